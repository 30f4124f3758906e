//! ELVA: 0.33's local service below its server, the program that yrelay grew from; and the server
//! of 0.37.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Abilities, Contender, clean, install};
use crate::connection::Address;
use crate::yjs;

/// The server of 0.33 needs the asyncio interface of websockets 14 …
const SERVER_33: [&str; 4] =
    ["elva==0.33", "pycrdt==0.12.50", "pycrdt-websocket==0.15.5", "websockets==15.0.1"];
/// … and its service the one before.
const SERVICE_33: [&str; 4] =
    ["elva==0.33", "pycrdt==0.12.50", "pycrdt-websocket==0.15.5", "websockets==13.1"];
const SERVER_37: [&str; 3] = ["elva==0.37", "pycrdt==0.14.13", "websockets==17.4"];

/// 0.33: service and server.
pub struct Elva33 {
    server: PathBuf,
    service: PathBuf,
}

impl Elva33 {
    /// Installs both, unless they are.
    pub fn new() -> Result<Self> {
        let server = install::pip("elva33", &SERVER_33)?;
        let service = install::pip("elva33-service", &SERVICE_33)?;
        Ok(Self { server, service })
    }
}

impl Contender for Elva33 {
    fn name(&self) -> &'static str {
        "elva-0.33"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            has_documents: true,
            stores: true,
            has_presence: true,
            has_relay: true,
            is_relay: true,
            ..Abilities::default()
        }
    }

    fn server(&self, port: u16, data: &Path) -> Result<Command> {
        let mut command = clean(&self.server.join("bin/elva"), data);
        command.args(["--messages", "elva", "serve", "127.0.0.1", &port.to_string()]);
        command.arg("--persistent").arg(data.join("documents"));
        Ok(command)
    }

    fn relay(&self, port: u16, data: &Path, server: u16) -> Result<Command> {
        let mut command = clean(&self.service.join("bin/elva"), data);
        command.args(["--server", &url(server), "service", "127.0.0.1", &port.to_string()]);
        Ok(command)
    }

    /// Before that it drops what its clients send.
    fn relay_says(&self, server: u16) -> Option<String> {
        Some(format!("connection to {} opened", url(server)))
    }

    /// The server speaks ELVA's messages only: all documents of a connection at one path.
    fn far_address(&self, port: u16, document: &str) -> Address {
        let mut prefix = vec![2, 0];
        yjs::put_bytes(&mut prefix, document.as_bytes());
        Address {
            socket: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            path: "/".into(),
            prefix,
            greeting: None,
        }
    }
}

/// The server of 0.37, with rooms on disk.
pub struct Elva37 {
    directory: PathBuf,
}

impl Elva37 {
    /// Installs it, unless it is.
    pub fn new() -> Result<Self> {
        Ok(Self { directory: install::pip("elva37", &SERVER_37)? })
    }
}

impl Contender for Elva37 {
    fn name(&self) -> &'static str {
        "elva-0.37"
    }

    fn abilities(&self) -> Abilities {
        Abilities { has_documents: true, stores: true, has_presence: true, ..Abilities::default() }
    }

    fn server(&self, port: u16, data: &Path) -> Result<Command> {
        let mut command = clean(&self.directory.join("bin/elva"), data);
        command.args(["server", "--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--persistent", "TRUE", "--permanent", "TRUE", "--path"]).arg(data);
        Ok(command)
    }
}

fn url(port: u16) -> String {
    format!("ws://127.0.0.1:{port}/")
}
