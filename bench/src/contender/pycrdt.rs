//! pycrdt-websocket under Hypercorn, as its documentation starts it: in memory.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Abilities, Contender, clean, install};

const PACKAGES: [&str; 4] =
    ["pycrdt-websocket==0.16.5", "pycrdt==0.14.13", "hypercorn==0.18.0", "wsproto==1.2.0"];

/// The server.
pub struct Pycrdt {
    directory: PathBuf,
}

impl Pycrdt {
    /// Installs it, unless it is.
    pub fn new() -> Result<Self> {
        Ok(Self { directory: install::pip("pycrdt-websocket", &PACKAGES)? })
    }
}

impl Contender for Pycrdt {
    fn name(&self) -> &'static str {
        "pycrdt-websocket-0.16.5"
    }

    fn abilities(&self) -> Abilities {
        Abilities { has_documents: true, has_presence: true, ..Abilities::default() }
    }

    fn server(&self, port: u16, data: &Path) -> Result<Command> {
        let mut command = clean(&self.directory.join("bin/python"), data);
        command.args(["-c", include_str!("../../servers/pycrdt_websocket.py")]);
        command.arg(port.to_string());
        Ok(command)
    }
}
