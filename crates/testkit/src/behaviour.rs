//! What an edit costs: a report that is compared with the accepted one.

use std::path::Path;
use std::{env, fs};

use crate::simulation::Summary;

/// So much more (or less) than accepted is another behaviour. Any change of the code changes what is
/// drawn, and so the figures, a little.
const TOLERANCE: f64 = 0.15;

impl Summary {
    /// Frames, bytes and resyncs for each edit, in a line.
    pub fn behaviour(&self) -> String {
        let [frames, bytes, resyncs] = self.costs();
        format!("{frames:.2} frames, {bytes:.0} bytes and {resyncs:.2} resyncs for an edit")
    }

    fn costs(&self) -> [f64; 3] {
        [self.frames, self.bytes, self.resyncs].map(|count| count as f64 / self.edits as f64)
    }

    /// Compares it with what is accepted under this name, in a file of lines `name: behaviour`.
    /// With `ACCEPT_BEHAVIOUR=1` it is accepted.
    pub fn assert_accepted(&self, name: &str, file: &Path) {
        let text = fs::read_to_string(file).unwrap_or_default();
        let behaviour = self.behaviour();
        if env::var_os("ACCEPT_BEHAVIOUR").is_some() {
            let others = text.lines().filter(|line| !line.starts_with(&format!("{name}: ")));
            let mut lines: Vec<String> = others.map(str::to_owned).collect();
            lines.push(format!("{name}: {behaviour}"));
            lines.sort();
            fs::write(file, lines.join("\n") + "\n").expect("the file can be written");
            return;
        }
        let accepted = text.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        let accepted = accepted.unwrap_or_else(|| panic!("nothing is accepted as {name:?}"));
        let numbers = accepted.split(' ').filter_map(|word| word.parse::<f64>().ok());
        for (now, then) in self.costs().into_iter().zip(numbers) {
            assert!(
                (now - then).abs() <= TOLERANCE * then,
                "{name}: {behaviour}\nwhere this was accepted: {accepted}\n\
                 If that is as it should be, run the test with ACCEPT_BEHAVIOUR=1 once."
            );
        }
    }
}
