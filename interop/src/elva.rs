//! ELVA's servers, and its local service.

use std::path::PathBuf;
use std::process::Command;

use crate::process::Process;
use crate::world::World;
use crate::{install, port};

/// What a server of ELVA 0.33 keeps of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Nothing: it passes frames on, unread.
    Nothing,
    /// A replica in memory.
    Memory,
    /// A replica in memory, written to disk.
    Disk,
}

/// `elva --messages elva serve` of 0.33.
pub struct Elva33Server {
    home: World,
    port: u16,
    keeping: Keeping,
    process: Process,
}

impl Elva33Server {
    /// Starts a server and waits until it listens.
    pub fn start(keeping: Keeping) -> Elva33Server {
        let home = World::new();
        let port = port::free();
        let process = Self::launch(&home, port, keeping);
        Elva33Server { home, port, keeping, process }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps documents, if it does so on disk.
    pub fn documents(&self) -> PathBuf {
        self.home.path("~/documents")
    }

    /// Kills it, as a power cut would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Loses all that it has on disk, after `kill`.
    pub fn wipe(&mut self) {
        self.home = World::new();
    }

    /// Starts it again on the same port, after `kill`.
    pub fn restart(&mut self) {
        self.process = Self::launch(&self.home, self.port, self.keeping);
    }

    fn launch(home: &World, port: u16, keeping: Keeping) -> Process {
        let mut command = install::elva33();
        command.args(["--messages", "elva", "serve", "127.0.0.1", &port.to_string()]);
        match keeping {
            Keeping::Nothing => {}
            Keeping::Memory => drop(command.arg("--persistent")),
            Keeping::Disk => drop(command.arg("--persistent").arg(home.path("~/documents"))),
        }
        launch("ELVA 0.33 server", command, home, |line| line.contains("server listening on"))
    }
}

/// `elva service` of 0.33: the program that yrelay grew from.
pub struct Elva33Service {
    port: u16,
    _process: Process,
    _home: World,
}

impl Elva33Service {
    /// Starts a service below the server at `server_url` and waits until it is connected: before
    /// that it would drop what its clients send.
    pub fn start(server_url: &str) -> Elva33Service {
        let port = port::free();
        let arguments = ["--server", server_url, "service", "127.0.0.1", &port.to_string()];
        Self::launch(World::new(), port, server_url, &arguments)
    }

    /// The same without options, where the settings of its world say the server and the port.
    pub fn start_in(world: World, port: u16, server_url: &str) -> Elva33Service {
        Self::launch(world, port, server_url, &["service"])
    }

    fn launch(home: World, port: u16, server_url: &str, arguments: &[&str]) -> Elva33Service {
        let mut command = install::elva33_service();
        command.args(arguments);
        let connected = format!("connection to {server_url} opened");
        let process = launch("ELVA 0.33 service", command, &home, |line| line.contains(&connected));
        Elva33Service { port, _process: process, _home: home }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        url(self.port)
    }
}

/// `elva server` of 0.37, with rooms kept in memory.
pub struct Elva37Server {
    port: u16,
    _process: Process,
    _home: World,
}

impl Elva37Server {
    /// Starts a server and waits until it listens.
    pub fn start() -> Elva37Server {
        let home = World::new();
        let port = port::free();
        let mut command = install::elva37();
        command.args(["server", "--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--persistent", "TRUE"]);
        let listens = |line: &str| line.contains("server listening on");
        let process = launch("ELVA 0.37 server", command, &home, listens);
        Elva37Server { port, _process: process, _home: home }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        url(self.port)
    }
}

fn url(port: u16) -> String {
    format!("ws://127.0.0.1:{port}/")
}

/// Starts a program of ELVA in a home of its own and waits for the line that says it is ready.
fn launch(
    name: &str,
    mut command: Command,
    home: &World,
    is_ready: impl Fn(&str) -> bool,
) -> Process {
    home.enter(&mut command);
    install::impatient(&mut command);
    let process = Process::spawn(name, &mut command, Box::new(Some));
    process.ready(is_ready);
    process
}
