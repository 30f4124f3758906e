//! yrelay, with its defaults: durable.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, str};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Abilities, Contender, clean};

/// A build of yrelay.
pub struct Yrelay {
    name: String,
    program: PathBuf,
}

impl Yrelay {
    /// The one of this workspace, built as this program is.
    pub fn built() -> Result<Self> {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", "yrelay", "--bin", "yrelay"]);
        cargo.arg("--message-format=json-render-diagnostics");
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let program = str::from_utf8(&output.stdout)?.lines().find_map(|line| {
            let message = serde_json::from_str::<Value>(line).ok()?;
            message["executable"].as_str().map(PathBuf::from)
        });
        let program = program.context("cargo does not say what it built")?;
        Ok(Self { name: "yrelay".into(), program })
    }

    /// Another one.
    pub fn of(name: &str, program: &Path) -> Self {
        Self { name: name.into(), program: program.to_owned() }
    }

    /// Settings come from the command line only, whatever this machine has in files and variables.
    fn command(&self, command: &str, port: u16, data: &Path) -> Command {
        let mut relay = clean(&self.program, data);
        relay.args([command, "127.0.0.1", &port.to_string(), "--data-dir"]).arg(data);
        relay
    }
}

impl Contender for Yrelay {
    fn name(&self) -> &str {
        &self.name
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            has_documents: true,
            stores: true,
            acknowledges: true,
            has_presence: true,
            works_alone: true,
            has_relay: true,
            confirms: true,
            ..Abilities::default()
        }
    }

    fn server(&self, port: u16, data: &Path) -> Result<Command> {
        Ok(self.command("serve", port, data))
    }

    fn relay(&self, port: u16, data: &Path, server: u16) -> Result<Command> {
        let mut command = self.command("service", port, data);
        command.args(["--server", &format!("ws://127.0.0.1:{server}/")]);
        Ok(command)
    }

    fn program(&self) -> Option<PathBuf> {
        Some(self.program.clone())
    }
}
