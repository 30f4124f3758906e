//! Servers under Node: y-websocket's, and Hocuspocus.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Abilities, Contender, clean, install};
use crate::connection::Address;
use crate::yjs;

const Y_WEBSOCKET_SERVER: [&str; 2] = ["@y/websocket-server@0.1.1", "yjs@13.6.33"];
/// The last one that runs with Node 20.
const HOCUSPOCUS: [&str; 3] =
    ["@hocuspocus/server@3.4.4", "@hocuspocus/extension-database@3.4.4", "yjs@13.6.33"];

/// `@y/websocket-server`, storing with LevelDB.
pub struct YWebsocketServer {
    directory: PathBuf,
}

impl YWebsocketServer {
    /// Installs it, unless it is.
    pub fn new() -> Result<Self> {
        Ok(Self { directory: install::npm("y-websocket-server", &Y_WEBSOCKET_SERVER)? })
    }
}

impl Contender for YWebsocketServer {
    fn name(&self) -> &'static str {
        "y-websocket-server-0.1.1"
    }

    fn abilities(&self) -> Abilities {
        Abilities { has_documents: true, stores: true, has_presence: true, ..Abilities::default() }
    }

    fn server(&self, port: u16, data: &Path) -> Result<Command> {
        let mut command = clean(Path::new("node"), data);
        command.arg(self.directory.join("node_modules/@y/websocket-server/src/server.js"));
        command.env("HOST", "127.0.0.1").env("PORT", port.to_string());
        command.env("YPERSISTENCE", data.join("leveldb"));
        Ok(command)
    }
}

/// Hocuspocus, storing a file for each document.
pub struct Hocuspocus {
    directory: PathBuf,
}

impl Hocuspocus {
    /// Installs it, unless it is.
    pub fn new() -> Result<Self> {
        Ok(Self { directory: install::npm("hocuspocus", &HOCUSPOCUS)? })
    }
}

impl Contender for Hocuspocus {
    fn name(&self) -> &'static str {
        "hocuspocus-3.4.4"
    }

    fn abilities(&self) -> Abilities {
        Abilities { has_documents: true, stores: true, has_presence: true, ..Abilities::default() }
    }

    fn server(&self, port: u16, data: &Path) -> Result<Command> {
        let mut command = clean(Path::new("node"), data);
        // Node looks for packages where it is started, if the script is an argument.
        command.args(["--input-type=module", "-e", include_str!("../../servers/hocuspocus.mjs")]);
        command.args(["--", &port.to_string()]).arg(data).current_dir(&self.directory);
        Ok(command)
    }

    /// All documents are at one path, each message behind its document's name; the first one asks
    /// to be let in.
    fn address(&self, port: u16, document: &str) -> Address {
        let mut prefix = Vec::new();
        yjs::put_bytes(&mut prefix, document.as_bytes());
        let greeting = [&prefix[..], &[2, 0, 0]].concat();
        Address {
            socket: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            path: "/".into(),
            prefix,
            greeting: Some(greeting),
        }
    }
}
