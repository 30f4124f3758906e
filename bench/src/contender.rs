//! What is measured: each contender says how it is started and how it is spoken to.

pub mod bare;
pub mod elva;
pub mod install;
pub mod node;
pub mod pycrdt;
pub mod yrelay;
pub mod ysweet;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::connection::Address;

/// What a contender can do: scenarios that need more leave it out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Abilities {
    /// Has documents to give to those who come.
    pub has_documents: bool,
    /// Has them after `kill -9`, or means to.
    pub stores: bool,
    /// Tells an author that its update is saved, by sending it back.
    pub acknowledges: bool,
    /// Passes presence on.
    pub has_presence: bool,
    /// Has a relay that takes clients while its server is away.
    pub works_alone: bool,
    /// Has a relay at all.
    pub has_relay: bool,
    /// Clients always go to the relay, with a server behind it: both are measured.
    pub is_relay: bool,
    /// Its relay's `/-/status` says whether all is `confirmed`.
    pub confirms: bool,
}

/// Something that is measured.
pub trait Contender {
    /// What it is called in tables.
    fn name(&self) -> &str;

    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// Starts its server on a port, with a directory of its own.
    fn server(&self, port: u16, data: &Path) -> Result<Command>;

    /// Starts its relay on a port, with a directory of its own, below the server at another port.
    fn relay(&self, _port: u16, _data: &Path, _server: u16) -> Result<Command> {
        bail!("{} has no relay", self.name())
    }

    /// Where a document is to be had.
    fn address(&self, port: u16, document: &str) -> Address {
        address(port, format!("/{document}"))
    }

    /// Where a document is to be had at the server above a relay.
    fn far_address(&self, port: u16, document: &str) -> Address {
        self.address(port, document)
    }

    /// What a relay prints once it is of use, where listening is not enough.
    fn relay_says(&self, _server: u16) -> Option<String> {
        None
    }

    /// The program, where it is one file.
    fn program(&self) -> Option<PathBuf> {
        None
    }
}

type Make = fn() -> Result<Box<dyn Contender>>;

/// All that can be measured, by the names that the command line has for them.
const ALL: &[(&str, Make)] = &[
    ("bare", || Ok(Box::new(bare::Bare::new()?))),
    ("yrelay", || Ok(Box::new(yrelay::Yrelay::built()?))),
    ("elva-0.33", || Ok(Box::new(elva::Elva33::new()?))),
    ("elva-0.37", || Ok(Box::new(elva::Elva37::new()?))),
    ("y-websocket-server", || Ok(Box::new(node::YWebsocketServer::new()?))),
    ("hocuspocus", || Ok(Box::new(node::Hocuspocus::new()?))),
    ("pycrdt-websocket", || Ok(Box::new(pycrdt::Pycrdt::new()?))),
    ("y-sweet", || Ok(Box::new(ysweet::YSweet::new()?))),
];

/// The names of all that can be measured.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// The contender of this name, installed if need be. `NAME=PATH` is another build of yrelay.
pub fn find(name: &str) -> Result<Box<dyn Contender>> {
    if let Some((name, path)) = name.split_once('=') {
        let path = std::path::absolute(path)?;
        return Ok(Box::new(yrelay::Yrelay::of(name, &path)));
    }
    match ALL.iter().find(|(known, _)| *known == name) {
        Some((_, make)) => make(),
        None => bail!(
            "no contender is called {name}; there are {}",
            names().collect::<Vec<_>>().join(", ")
        ),
    }
}

/// An address without anything special.
fn address(port: u16, path: String) -> Address {
    let socket = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Address { socket, path, prefix: Vec::new(), greeting: None }
}

/// A program that knows nothing of this machine's settings, at home in its data directory.
fn clean(program: &Path, data: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", data).current_dir(data);
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("PYTHONUNBUFFERED", "1");
    command
}
