//! The bare limit, a command of this very program.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Abilities, Contender};

/// See [`crate::bare`].
pub struct Bare {
    program: PathBuf,
}

/// The program that holds it: this one, or the one beside this test.
pub fn program() -> Result<PathBuf> {
    const NAME: &str = "yrelay-bench";
    let this = env::current_exe().context("this program has no path")?;
    let mut beside = this.ancestors().skip(1).map(|directory| directory.join(NAME));
    let program = beside.find(|path| path.is_file());
    program.with_context(|| format!("{NAME} is not beside {}", this.display()))
}

impl Bare {
    /// The one in [`program`].
    pub fn new() -> Result<Self> {
        Ok(Self { program: program()? })
    }

    fn command(&self, port: u16) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["bare", "--port", &port.to_string()]);
        command
    }
}

impl Contender for Bare {
    fn name(&self) -> &'static str {
        "bare"
    }

    fn abilities(&self) -> Abilities {
        Abilities { has_presence: true, has_relay: true, ..Abilities::default() }
    }

    fn server(&self, port: u16, _data: &Path) -> Result<Command> {
        Ok(self.command(port))
    }

    fn relay(&self, port: u16, _data: &Path, server: u16) -> Result<Command> {
        let mut command = self.command(port);
        command.args(["--upstream", &format!("ws://127.0.0.1:{server}/")]);
        Ok(command)
    }
}
