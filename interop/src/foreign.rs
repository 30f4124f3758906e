//! Servers of other projects, all handled alike.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;
use crate::y_sweet::y_sweet;
use crate::{Kind, install, port, world};

/// How long a server may take to stop; y-sweet and Hocuspocus store first.
const STOP_MAX: Duration = Duration::from_secs(15);

/// A server program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Software {
    /// y-websocket's server 0.1, which stores with `LevelDB`, soon after it has echoed.
    YWebsocket,
    /// The same without a store.
    YWebsocketMemory,
    /// One that stores text and builds documents anew from it, as Jupyter's does.
    Rebuilding,
    /// Hocuspocus 2.15; it stores when it stops, or two seconds after an edit.
    Hocuspocus2,
    /// That of 3.4.
    Hocuspocus3,
    /// That of 4.7.
    Hocuspocus4,
    /// pycrdt-websocket 0.16; it stores at each edit.
    Pycrdt,
    /// y-sweet 0.9; it stores when it stops, or each ten seconds. A test asks for
    /// `y_sweet_ready()` first.
    YSweet,
    /// ELVA 0.37 with rooms on disk.
    Elva37,
    /// ELVA 0.33, `elva --messages elva serve`.
    Elva33(Keeping),
}

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

impl Software {
    /// The versions of Hocuspocus.
    pub const HOCUSPOCUS: [Software; 3] =
        [Software::Hocuspocus2, Software::Hocuspocus3, Software::Hocuspocus4];

    /// The kind of client that is at home there.
    pub fn native(self) -> Kind {
        match self {
            Software::Hocuspocus2 => Kind::Hocuspocus2,
            Software::Hocuspocus3 => Kind::Hocuspocus3,
            Software::Hocuspocus4 => Kind::Hocuspocus4,
            Software::Elva33(_) => Kind::Elva33Framed,
            _ => Kind::YWebsocket3,
        }
    }
}

/// A running server with data of its own.
pub struct Server {
    software: Software,
    keys: Option<Value>,
    port: u16,
    data: TempDir,
    process: Process,
}

/// What a server had stored once.
pub struct Backup(TempDir);

impl Server {
    /// Starts a server that lets everyone in, and waits until it listens.
    pub fn start(software: Software) -> Server {
        Server::build(software, None)
    }

    /// Starts a server that asks for tokens. Hocuspocus lets `secret` write and `reader` read;
    /// for y-sweet see [`Server::client_token`].
    pub fn guarded(software: Software) -> Server {
        let keys = match software {
            Software::YSweet => {
                let keys = install::run(y_sweet().args(["gen-auth", "--json"]));
                serde_json::from_str(&keys).expect("y-sweet writes JSON")
            }
            Software::Hocuspocus2 | Software::Hocuspocus3 | Software::Hocuspocus4 => Value::Null,
            _ => panic!("{software:?} knows no tokens"),
        };
        Server::build(software, Some(keys))
    }

    fn build(software: Software, keys: Option<Value>) -> Server {
        let port = port::free();
        let data = directory();
        let process = launch(software, keys.as_ref(), port, data.path());
        Server { software, keys, port, data, process }
    }

    /// Which one it is.
    pub fn software(&self) -> Software {
        self.software
    }

    /// What it speaks, and its address, as a relay is told them.
    pub fn for_relays(&self) -> (&'static str, String) {
        match self.software {
            software if Software::HOCUSPOCUS.contains(&software) => ("hocuspocus", self.url()),
            Software::YSweet => {
                ("yjs", format!("{}d/{{identifier}}/ws/{{identifier}}", self.url()))
            }
            Software::Elva33(_) => ("elva", self.url()),
            _ => ("yjs", self.url()),
        }
    }

    /// Where it listens; for y-sweet, before the rest of the path.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }

    /// What a client of this document dials, before the document's name.
    pub fn url_for(&self, document: &str) -> String {
        match self.software {
            Software::YSweet => format!("{}d/{document}/ws/", self.url()),
            _ => self.url(),
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it stores documents.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Asks it to stop, and waits until it has stored all and ended.
    pub fn stop(&self) {
        let status = match self.software {
            // At SIGTERM it ends without storing.
            Software::YSweet => self.process.interrupt(STOP_MAX),
            _ => self.process.terminate(STOP_MAX),
        };
        assert!(status.is_some(), "{:?} does not stop", self.software);
    }

    /// Kills it, as a power cut would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again on the same port and data, after `kill` or `stop`.
    pub fn restart(&mut self) {
        self.process = launch(self.software, self.keys.as_ref(), self.port, self.data.path());
    }

    /// Loses all that it has stored, after `kill` or `stop`.
    pub fn wipe(&mut self) {
        self.data = directory();
    }

    /// Takes a copy of what it has stored, after `kill` or `stop`.
    pub fn backup(&self) -> Backup {
        let backup = directory();
        copy(self.data.path(), backup.path());
        Backup(backup)
    }

    /// Has nothing but what it had when the copy was taken, after `kill` or `stop`.
    pub fn roll_back(&mut self, backup: &Backup) {
        self.wipe();
        copy(backup.0.path(), self.data.path());
    }

    /// The last lines that it wrote.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Makes a document, unless it is there, and returns the token that opens it: fully, or only
    /// to read (y-sweet with tokens).
    pub fn client_token(&self, document: &str, authorization: &str) -> String {
        self.post("/doc/new", &format!(r#"{{"docId": "{document}"}}"#));
        let wish = format!(r#"{{"authorization": "{authorization}"}}"#);
        let answer = self.post(&format!("/doc/{document}/auth"), &wish);
        answer["token"].as_str().expect("y-sweet gives a token").to_owned()
    }

    /// The token of the programs that hand out tokens (y-sweet with tokens).
    pub fn server_token(&self) -> &str {
        let token = self.keys.as_ref().and_then(|keys| keys["server_token"].as_str());
        token.expect("the server asks for tokens")
    }

    /// Posts JSON as such a program does, and returns the answer (y-sweet).
    fn post(&self, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.port,
            self.server_token(),
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("the server speaks HTTP");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        serde_json::from_str(body).expect("the server answers in JSON")
    }
}

fn directory() -> TempDir {
    TempDir::new().expect("temporary directories can be made")
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the data is there").flatten() {
        let (source, sink) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            fs::create_dir(&sink).expect("temporary directories are writable");
            copy(&source, &sink);
        } else {
            fs::copy(source, sink).expect("temporary directories are writable");
        }
    }
}

fn launch(software: Software, keys: Option<&Value>, port: u16, data: &Path) -> Process {
    let mut command = command(software, keys, port, data);
    let process = Process::spawn(&format!("{software:?}"), &mut command, Box::new(Some));
    process.ready(|line| {
        ["listening", "running at", "Listening"].iter().any(|ready| line.contains(ready))
    });
    process
}

fn command(software: Software, keys: Option<&Value>, port: u16, data: &Path) -> Command {
    let port = port.to_string();
    match software {
        Software::YWebsocket => {
            let mut command = y_websocket(&port);
            command.env("YPERSISTENCE", data);
            command
        }
        Software::YWebsocketMemory => y_websocket(&port),
        Software::Rebuilding => with_data(install::rebuilding_server(), &port, data),
        Software::Hocuspocus2 => hocuspocus("hocuspocus-server-2", keys, &port, data),
        Software::Hocuspocus3 => hocuspocus("hocuspocus-server-3", keys, &port, data),
        Software::Hocuspocus4 => hocuspocus("hocuspocus-server-4", keys, &port, data),
        Software::Pycrdt => with_data(install::pycrdt_server(), &port, data),
        Software::Elva37 => elva37(&port, data),
        Software::Elva33(keeping) => elva33(keeping, &port, data),
        Software::YSweet => {
            let mut command = y_sweet();
            command.args(["serve", "--host", "127.0.0.1", "--port", &port]);
            if let Some(key) = keys.and_then(|keys| keys["private_key"].as_str()) {
                command.args(["--auth", key]);
            }
            command.arg(data);
            command
        }
    }
}

fn elva37(port: &str, data: &Path) -> Command {
    let mut command = install::elva37();
    command.args(["server", "--host", "127.0.0.1", "--port", port]);
    command.args(["--persistent", "TRUE", "--permanent", "TRUE", "--path"]).arg(data);
    world::stay_at(&mut command, data);
    command
}

fn elva33(keeping: Keeping, port: &str, data: &Path) -> Command {
    let mut command = install::elva33();
    command.args(["--messages", "elva", "serve", "127.0.0.1", port]);
    match keeping {
        Keeping::Nothing => {}
        Keeping::Memory => drop(command.arg("--persistent")),
        Keeping::Disk => drop(command.arg("--persistent").arg(data)),
    }
    world::stay_at(&mut command, data);
    command
}

fn y_websocket(port: &str) -> Command {
    let mut command = install::y_websocket_server();
    command.env("HOST", "127.0.0.1").env("PORT", port).env_remove("YPERSISTENCE");
    command
}

fn hocuspocus(package: &str, keys: Option<&Value>, port: &str, data: &Path) -> Command {
    let mut command = with_data(install::hocuspocus_server(package), port, data);
    command.arg(if keys.is_some() { "guarded" } else { "open" });
    command
}

fn with_data(mut command: Command, port: &str, data: &Path) -> Command {
    command.arg(port).arg(data);
    command
}
