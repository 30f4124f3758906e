//! y-sweet 0.9.1, built from crates.io: its package on npm fetches a program from GitHub.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Abilities, Contender, address, clean, install};
use crate::connection::Address;

/// The server.
pub struct YSweet {
    program: PathBuf,
}

impl YSweet {
    /// Builds it, unless it is: that takes a quarter of an hour.
    pub fn new() -> Result<Self> {
        Ok(Self { program: install::cargo("y-sweet", "y-sweet@0.9.1")?.join("bin/y-sweet") })
    }
}

impl Contender for YSweet {
    fn name(&self) -> &'static str {
        "y-sweet-0.9.1"
    }

    fn abilities(&self) -> Abilities {
        Abilities { has_documents: true, stores: true, has_presence: true, ..Abilities::default() }
    }

    fn server(&self, port: u16, data: &Path) -> Result<Command> {
        let mut command = clean(&self.program, data);
        command.args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()]).arg(data);
        Ok(command)
    }

    fn address(&self, port: u16, document: &str) -> Address {
        address(port, format!("/d/{document}/ws/{document}"))
    }

    fn program(&self) -> Option<PathBuf> {
        Some(self.program.clone())
    }
}
