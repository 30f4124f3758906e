//! A stand-in for the relay: passes every frame on to the other clients of its document.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::task::spawn_local;
use yrelay_core::id::DocumentId;

use crate::config::{Config, Storage};
use crate::handle::StartError;
use crate::http::Routes;
use crate::metrics::{Gauges, Metrics};
use crate::outbox::Outbox;
use crate::pump::pump;
use crate::status::{Document, Role, Room, Status, Upstream};
use crate::ws::{Close, Frame, Reader, Writer};

/// Owns the documents.
pub struct Relay {
    role: Role,
    metrics: Rc<Metrics>,
    clients: RefCell<BTreeMap<(DocumentId, u64), Outbox>>,
    next: Cell<u64>,
    left: Notify,
}

/// What can fail to open, opened before anybody is told that the relay is there.
pub struct Opened {
    _directory: Option<PathBuf>,
}

impl Relay {
    /// Opens the store. Called on the starting thread, after the port was taken.
    pub fn open(config: &Config) -> Result<Opened, StartError> {
        let Storage::Directory(path) = &config.storage else {
            return Ok(Opened { _directory: None });
        };
        fs::create_dir_all(path)
            .and_then(|()| fs::write(path.join(".probe"), b""))
            .and_then(|()| fs::remove_file(path.join(".probe")))
            .map_err(|error| StartError::data_directory(path, &error))?;
        Ok(Opened { _directory: Some(path.clone()) })
    }

    /// Called on the relay's thread, inside a `LocalSet`, before the first connection.
    pub fn new(_opened: Opened, config: &Config, metrics: Rc<Metrics>) -> Rc<Self> {
        Rc::new(Self {
            role: config.role,
            metrics,
            clients: RefCell::default(),
            next: Cell::new(0),
            left: Notify::new(),
        })
    }

    /// Stops in order: nothing new comes in any more. The caller bounds the time.
    pub async fn stop(&self) {
        for outbox in self.clients.borrow().values() {
            outbox.close(Close::new(1001, "yrelay is stopping"));
        }
        while !self.clients.borrow().is_empty() {
            self.left.notified().await;
        }
    }

    fn broadcast(&self, id: &DocumentId, author: u64, frame: Frame) {
        let Frame::Binary(bytes) = frame else { return };
        self.metrics.received_messages.count();
        self.metrics.received_bytes.add(bytes.len() as u64);
        for ((document, client), outbox) in &*self.clients.borrow() {
            if document == id && *client != author && outbox.push(bytes.clone()).is_err() {
                outbox.close(Close::new(1013, "reads too slowly"));
            }
        }
    }
}

/// The same relay, for the routes: they spawn tasks that own it.
pub struct Shared(pub Rc<Relay>);

impl Routes for Shared {
    fn status(&self) -> Status {
        let documents = self.rooms().into_iter().map(|room| Document {
            identifier: room.identifier,
            clients: room.clients,
            saved: false,
            confirmed: None,
            synced: false,
            bytes: 0,
            incomplete: false,
            opaque: false,
            parked: None,
        });
        Status {
            version: env!("CARGO_PKG_VERSION"),
            role: self.0.role,
            upstream: Upstream::none(),
            documents: documents.collect(),
        }
    }

    fn metrics(&self) -> String {
        let documents = self.rooms().len() as u64;
        let clients = self.0.clients.borrow().len() as u64;
        self.0.metrics.render(&Gauges { documents, clients, ..Gauges::default() })
    }

    fn rooms(&self) -> Vec<Room> {
        let mut rooms: Vec<Room> = Vec::new();
        for (id, _) in self.0.clients.borrow().keys() {
            match rooms.last_mut().filter(|room| room.identifier == id.as_str()) {
                Some(room) => room.clients += 1,
                None => rooms.push(Room {
                    identifier: id.as_str().to_owned(),
                    clients: 1,
                    persistent: false,
                    permanent: false,
                    secret: false,
                }),
            }
        }
        rooms
    }

    fn attach(&self, id: DocumentId, peer: SocketAddr, reader: Reader, writer: Writer) {
        let relay = self.0.clone();
        let number = relay.next.replace(relay.next.get() + 1);
        let outbox = Outbox::new();
        relay.clients.borrow_mut().insert((id.clone(), number), outbox.clone());
        spawn_local(async move {
            tracing::info!(%id, client = number, %peer, "joined");
            let ended =
                pump(reader, writer, &outbox, async |frame| relay.broadcast(&id, number, frame))
                    .await;
            tracing::info!(%id, client = number, "{ended}");
            relay.clients.borrow_mut().remove(&(id, number));
            relay.left.notify_one();
        });
    }
}
