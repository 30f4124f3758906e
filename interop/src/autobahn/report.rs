//! What the cases have come to.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// As it should be.
const OK: &str = "OK";
/// Of a case that asks what is done where the standard leaves it open.
const INFORMATIONAL: &str = "INFORMATIONAL";

/// What each case has come to; shown by group.
pub struct Report(BTreeMap<Case, Verdict>);

/// A case, as in `5.1`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Case(Vec<u32>);

/// What was said, and how the connection was closed.
struct Verdict {
    behavior: String,
    close: String,
}

impl Report {
    pub(super) fn read(directory: &Path) -> Report {
        let index = fs::read(directory.join("index.json")).expect("it writes a report");
        let index: Value = serde_json::from_slice(&index).expect("a report is JSON");
        let agents = index.as_object().expect("a report is about agents");
        let cases = agents.values().next().and_then(Value::as_object).expect("there is one agent");
        Report(
            cases
                .iter()
                .map(|(case, verdict)| (Case::read(case), Verdict::read(verdict)))
                .collect(),
        )
    }

    /// How many cases were run.
    pub fn cases(&self) -> usize {
        self.0.len()
    }

    /// The cases that are not as they should be, each with what it has come to.
    pub fn others(&self) -> Vec<String> {
        let others =
            self.0.iter().filter(|(_, verdict)| !verdict.is(OK) && !verdict.is(INFORMATIONAL));
        others
            .map(|(case, Verdict { behavior, close })| format!("{case} {behavior}, close {close}"))
            .collect()
    }
}

impl Case {
    fn read(case: &str) -> Case {
        Case(case.split('.').map(|part| part.parse().expect("cases have numbers")).collect())
    }
}

impl Verdict {
    fn read(verdict: &Value) -> Verdict {
        let word = |name: &str| verdict[name].as_str().expect("a verdict is a word").to_owned();
        Verdict { behavior: word("behavior"), close: word("behaviorClose") }
    }

    fn is(&self, word: &str) -> bool {
        self.behavior == word && self.close == word
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups = BTreeMap::<u32, [usize; 3]>::new();
        for (case, verdict) in &self.0 {
            let column = [OK, INFORMATIONAL].iter().position(|word| verdict.is(word)).unwrap_or(2);
            groups.entry(case.0[0]).or_default()[column] += 1;
        }
        writeln!(f, "group  OK  informational  other")?;
        for (group, [ok, informational, other]) in groups {
            writeln!(f, "{group:>5} {ok:>3} {informational:>14} {other:>6}")?;
        }
        Ok(())
    }
}
