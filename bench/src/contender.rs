//! What is measured: each contender says how it is started and how it is spoken to.

pub mod bare;
pub mod yrelay;

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
    /// Has a relay that goes on while its server is away.
    pub survives_outages: bool,
    /// Has a relay at all.
    pub has_relay: bool,
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
        Address {
            socket: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            path: format!("/{document}"),
            prefix: Vec::new(),
            greeting: None,
        }
    }

    /// The program, where it is one file.
    fn program(&self) -> Option<PathBuf> {
        None
    }
}

/// Names of all that can be measured.
pub const NAMES: &[&str] = &["bare", "yrelay"];

/// The contender of this name. `NAME=PATH` is yrelay as another build.
pub fn find(name: &str) -> Result<Box<dyn Contender>> {
    match name.split_once('=') {
        Some((name, path)) => Ok(Box::new(yrelay::Yrelay::of(name, &std::path::absolute(path)?))),
        None => match name {
            "bare" => Ok(Box::new(bare::Bare::new()?)),
            "yrelay" => Ok(Box::new(yrelay::Yrelay::built()?)),
            _ => bail!("no contender is called {name}; there are {}", NAMES.join(", ")),
        },
    }
}
