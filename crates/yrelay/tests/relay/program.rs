//! The relay as a process of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::alone::alone;
use crate::local::Pages;
use crate::wait::find;

pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// `yrelay service` on a free port of 127.0.0.1, with these arguments.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yrelay"));
    command.args(["service", "127.0.0.1", "0", "--data-dir"]).arg(directory).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    alone(&mut command);
    command
}

/// The same under limits that a shell sets.
#[cfg(unix)]
fn command_under(limits: &str, directory: &Path) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]);
    command.args([env!("CARGO_BIN_EXE_yrelay"), "service", "127.0.0.1", "0", "--data-dir"]);
    command.arg(directory).stdin(Stdio::null()).stdout(Stdio::piped());
    alone(&mut command);
    command
}

impl Program {
    pub(crate) fn start(directory: &Path, arguments: &[&str]) -> Self {
        Self::run(command(directory, arguments))
    }

    /// `yrelay serve` on a free port of 127.0.0.1, with these arguments.
    pub(crate) fn serve(arguments: &[&str]) -> Self {
        Self::at("serve", 0, arguments)
    }

    /// `yrelay service` or `yrelay serve` on this port of 127.0.0.1, with these arguments.
    pub(crate) fn at(role: &str, port: u16, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yrelay"));
        command.args([role, "127.0.0.1", &port.to_string()]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        alone(&mut command);
        Self::run(command)
    }

    pub(crate) fn pages(&self) -> Pages {
        Pages(self.address)
    }

    /// Where the administrator allows so many file descriptors, and the shell gives fewer.
    #[cfg(target_os = "linux")]
    pub(crate) fn start_with_descriptors(directory: &Path, soft: usize, hard: usize) -> Self {
        let limits = format!("ulimit -Sn {soft}; ulimit -Hn {hard}");
        Self::run(command_under(&limits, directory))
    }

    #[cfg(unix)]
    pub(crate) fn start_on_a_small_disk(directory: &Path) -> Self {
        // No file grows beyond 64 KiB. The signal would end the program; ignored, the write fails.
        Self::run(command_under("trap '' XFSZ; ulimit -f 64", directory))
    }

    fn run(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ws://").unwrap().parse().unwrap();
        Self { child, address }
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    #[cfg(unix)]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    #[cfg(unix)]
    pub(crate) fn code(mut self) -> Option<i32> {
        find("the program ends", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program that does not start says, all of it on standard error.
pub(crate) fn start_error(directory: &Path) -> String {
    let mut child = command(directory, &[]).stderr(Stdio::piped()).spawn().unwrap();
    let status = find("the program ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stdout, "");
    stderr
}
