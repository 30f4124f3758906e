//! The counts that were accepted, and of which compiler.

use std::env::consts::ARCH;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

const HEAD: &str =
    "# Instructions of one operation of each path, written by `yrelay-bench counts --accept`.\n";

/// Accepted counts.
pub struct Accepted {
    /// Compiler and processor.
    pub maker: String,
    counts: Vec<(String, f64)>,
}

impl Accepted {
    /// What this program has counted.
    pub fn of(counts: Vec<(&str, f64)>) -> Self {
        let counts = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        Self { maker: here(), counts }
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// It is not there, or not as [`Accepted::write`] writes it.
    pub fn read() -> Result<Self> {
        let path = path();
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Writes the file.
    pub fn write(&self) -> Result<()> {
        Ok(fs::write(path(), self.text())?)
    }

    /// Whether counts of this program can be compared with it.
    pub fn holds_here(&self) -> bool {
        self.maker == here()
    }

    /// Instructions of one operation of this path, if known.
    pub fn of_path(&self, name: &str) -> Option<f64> {
        self.counts.iter().find(|(path, _)| path == name).map(|(_, count)| *count)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let maker = lines.next().context("it names no compiler")?.to_owned();
        let mut counts = Vec::new();
        for line in lines {
            let (name, count) = line.split_once(' ').context("a line without a count")?;
            counts.push((name.to_owned(), count.parse()?));
        }
        Ok(Self { maker, counts })
    }

    fn text(&self) -> String {
        let mut text = format!("{HEAD}{}\n", self.maker);
        for (name, count) in &self.counts {
            let _ = writeln!(text, "{name} {count:.0}");
        }
        text
    }
}

/// Where they stand in the repository that this program was built from.
fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("counts.txt")
}

fn here() -> String {
    format!("{}, {ARCH}", env!("COMPILER"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::paths::PATHS;

    #[test]
    fn what_is_written_is_read() {
        let accepted = Accepted::of(vec![("a", 5.0), ("b", 1e9)]);
        let read = Accepted::parse(&accepted.text()).unwrap();
        assert!(read.holds_here());
        assert_eq!(
            [read.of_path("a"), read.of_path("b"), read.of_path("c")],
            [Some(5.0), Some(1e9), None]
        );
        assert!(Accepted::parse("x\ny").is_err());
    }

    #[test]
    fn the_file_knows_every_path() {
        let accepted = Accepted::read().unwrap();
        for path in PATHS {
            assert!(accepted.of_path(path.name).is_some(), "{}", path.name);
        }
        assert_eq!(accepted.counts.len(), PATHS.len());
    }
}
