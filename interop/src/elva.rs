//! ELVA's local service, and its server that keeps rooms in memory.

use std::process::Command;

use crate::process::Process;
use crate::world::World;
use crate::{install, port};

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
