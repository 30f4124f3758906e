//! Instructions that the hot paths of the core take, counted by valgrind: unlike times they come
//! out the same on a busy machine, so that a path that has become dearer shows.
//!
//! [`paths`] says what is counted. Each path runs in a process of its own, this very program under
//! valgrind, and what it does outside [`paths::counted`] is not counted. What was accepted stands
//! in a file ([`accepted`]).

pub mod accepted;
pub mod paths;

use std::env;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{script, yjs};
use accepted::Accepted;
use paths::{Material, PATHS};

/// The command that [`run`] carries out.
pub const COMMAND: &str = "count";

/// Updates that make the document of 100,000 edits.
const UPDATES: usize = 10_000;
/// So much more than what was accepted is too much, in per cent.
const TOLERANCE: f64 = 3.0;
/// Where counting is on, as valgrind spells it.
const COUNTED: &str = "*counts::paths::counted*";

/// Counts all paths and prints them beside what was accepted; returns whether none is above.
/// `accepts` makes the new counts the accepted ones.
pub fn count_all(accepts: bool) -> Result<bool> {
    ensure!(!cfg!(debug_assertions), "counts say something of a release build only");
    let accepted = Accepted::read()?;
    let bytes = framed(&script::editing(script::author_id(0, 0), &[], UPDATES).updates);
    let place = tempfile::tempdir()?;
    let mut counts = Vec::new();
    for path in PATHS {
        counts.push((path.name, count(path.name, &bytes, place.path())?));
    }
    let is_same = accepted.holds_here();
    let (table, dearer) = table(&counts, &accepted);
    print!("{table}");
    if accepts {
        Accepted::of(counts).write()?;
        return Ok(true);
    }
    if !is_same {
        eprintln!("not judged: accepted are counts of {}", accepted.maker);
    } else if !dearer.is_empty() {
        eprintln!("more than {TOLERANCE} % above what is accepted: {}", dearer.join(", "));
    }
    Ok(dearer.is_empty() || !is_same)
}

/// Instructions of one operation of a path.
fn count(name: &str, bytes: &[u8], place: &Path) -> Result<f64> {
    let out = place.join(name);
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet", &format!("--toggle-collect={COUNTED}")]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(env::current_exe()?).args([COMMAND, name]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("valgrind is not installed"),
        child => child?,
    };
    child.stdin.take().context("stdin is piped")?.write_all(bytes)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{name} under valgrind: {}", output.status);
    let operations: f64 = str::from_utf8(&output.stdout)?.trim().parse()?;
    let profile = std::fs::read_to_string(&out)?;
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: f64 = total.context("valgrind has written no total")?.trim().parse()?;
    ensure!(total > 0.0, "{name}: nothing was counted; {COUNTED} is not in this program");
    Ok(total / operations)
}

/// Takes one path with the updates of a document that come in, and prints its operations.
pub fn run(name: &str) -> Result<()> {
    let path = PATHS.iter().find(|path| path.name == name).context("no path is called so")?;
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    let mut reader = yjs::Reader::new(&bytes);
    let mut updates = Vec::new();
    while !reader.left().is_empty() {
        updates.push(reader.bytes().map_err(anyhow::Error::msg)?.to_vec());
    }
    println!("{}", (path.run)(&Material::new(updates)?)?);
    Ok(())
}

fn framed(updates: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    updates.iter().for_each(|update| yjs::put_bytes(&mut bytes, update));
    bytes
}

/// All counts as Markdown, and the paths that take more than was accepted.
fn table(counts: &[(&'static str, f64)], accepted: &Accepted) -> (String, Vec<&'static str>) {
    let mut out = String::from("| | | instructions | accepted | |\n|---|---|---|---|---|\n");
    let mut dearer = Vec::new();
    for (path, (name, count)) in PATHS.iter().zip(counts) {
        let _ = write!(out, "| {name} | {} | {count:.0} |", path.about);
        match accepted.of_path(name) {
            Some(before) => {
                let more = (count / before - 1.0) * 100.0;
                let is_dearer = more > TOLERANCE;
                dearer.extend(is_dearer.then_some(*name));
                let mark = if is_dearer { "**" } else { "" };
                let _ = writeln!(out, " {before:.0} | {mark}{more:+.1} %{mark} |");
            }
            None => out.push_str(" – | – |\n"),
        }
    }
    (out, dearer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dearer_is_marked() {
        let accepted = Accepted::of(vec![(PATHS[0].name, 100.0), (PATHS[1].name, 100.0)]);
        let counts = [(PATHS[0].name, 102.9), (PATHS[1].name, 103.1), (PATHS[2].name, 5.0)];
        let (table, dearer) = table(&counts, &accepted);
        assert_eq!(dearer, [PATHS[1].name]);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert!(rows[0].ends_with("| 103 | 100 | +2.9 % |"), "{table}");
        assert!(rows[1].ends_with("| 103 | 100 | **+3.1 %** |"), "{table}");
        assert!(rows[2].ends_with("| 5 | – | – |"), "{table}");
    }
}
