//! What commands do with documents: list, read, put, delete, copy all. They come in through
//! [`admin`](crate::admin) where the relay runs, and directly where a command has the store.

use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::{spawn_blocking, spawn_local};
use yrelay_core::close::CloseReason;
use yrelay_core::event::Input;
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::replica::Replica;
use yrelay_core::update::Update;
use yrelay_core::wire;

use crate::keeping::{Asked, Keeping};
use crate::outbox::Outbox;
use crate::relay::{Come, Relay};
use crate::state::State;
use crate::{clock, jobs, limits};

/// A document, as `yrelay documents` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub identifier: String,
    /// Its size here.
    pub bytes: u64,
    /// It is encrypted by its programs.
    #[serde(default)]
    pub opaque: bool,
    /// How many have it open.
    pub clients: usize,
    /// Whether the upstream holds all of it; nothing where there is none, or it can prove nothing.
    pub confirmed: Option<bool>,
    /// When somebody last opened it, to a day: milliseconds since 1970.
    pub opened: u64,
}

/// Why something was not done, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing is known of such a document.
    #[error("there is no document {0:?} here; `yrelay documents` lists those that are")]
    Unknown(String),
    /// Only its programs can read or write it.
    #[error(
        "{0:?} is end-to-end encrypted: only its programs can read and write it; `yrelay backup` \
         copies it as it is"
    )]
    Encrypted(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

fn other(line: impl Into<String>) -> Fault {
    Fault::Other(line.into())
}

impl Relay {
    /// All documents that are stored or open. `follows`: whether changes of one go somewhere, if
    /// not now.
    pub(crate) fn list(&self, follows: impl Fn(&DocumentId) -> bool) -> Vec<Listed> {
        let state = self.state.borrow();
        let loaded = state.documents.iter().map(|(id, slot)| {
            let standing = slot.document.standing();
            let confirmed = standing.confirmed;
            let size = (standing.bytes as u64, standing.opaque);
            (id, size, slot.clients.len(), confirmed, slot.opened_ms)
        });
        let shelved = state.stored.iter().filter(|(id, _)| !state.documents.contains_key(*id));
        let shelved = shelved
            .map(|(id, it)| (id, (it.bytes, it.opaque), 0, Some(!it.unconfirmed), it.opened_ms));
        let listed = loaded.chain(shelved);
        let listed = listed.map(|(id, (bytes, opaque), clients, confirmed, opened)| Listed {
            identifier: id.to_string(),
            bytes,
            opaque,
            clients,
            confirmed: confirmed.filter(|_| follows(id)),
            opened,
        });
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by(|a, b| a.identifier.cmp(&b.identifier));
        listed
    }

    /// All that is held of a document, as updates that can be applied in this order; what lies
    /// beyond a gap comes last.
    pub(crate) async fn read(&self, id: &DocumentId) -> Result<Vec<Update>, Fault> {
        let known = {
            let state = self.state.borrow();
            let slot = state.documents.get(id);
            let held = slot.and_then(|slot| slot.document.replica()).cloned();
            let is_known = slot.is_some() || state.stored.contains_key(id);
            is_known.then_some(held)
        };
        let Some(held) = known else { return Err(Fault::Unknown(id.to_string())) };
        if self.state.borrow().is_encrypted(id) {
            return Err(Fault::Encrypted(id.to_string()));
        }
        let (store, id) = (self.store.clone(), id.clone());
        let read = spawn_blocking(move || {
            store.write();
            let replica = match held {
                Some(replica) => replica,
                None => jobs::load_replica(&store, &id)?,
            };
            Ok::<_, String>(replica.snapshot())
        });
        read.await.map_err(|panic| other(panic.to_string()))?.map_err(Fault::Other)
    }

    /// Takes an update as a client's: whoever has the document open gets it, and the upstream.
    /// Ends when it is saved.
    pub(crate) async fn put(
        self: &Rc<Self>,
        id: &DocumentId,
        update: &Update,
    ) -> Result<(), Fault> {
        let (relay, id, message) = (self.clone(), id.clone(), wire::update(update.bytes()));
        let outbox = Outbox::new();
        let (peer, _) = self.join(&id, Asked::TO_KEEP, Come::alone(outbox.clone()));
        // It must leave even where whoever waits for it is gone.
        let put = spawn_local(async move {
            let work = relay.hand_in(&id, peer, &outbox, message);
            let put = clock::timeout(limits::PUT_MS, work).await;
            relay.leave(&id, peer);
            put
        });
        let put = put.await.map_err(|panic| other(panic.to_string()))?;
        put.unwrap_or_else(|| {
            let seconds = limits::PUT_MS / 1_000;
            Err(other(format!(
                "not saved within {seconds} s: the disk may be full, or the document take no more \
                 changes whose predecessors are missing; the log says which"
            )))
        })
    }

    async fn hand_in(
        self: &Rc<Self>,
        id: &DocumentId,
        peer: PeerId,
        outbox: &Outbox,
        message: Bytes,
    ) -> Result<(), Fault> {
        self.admit(id).await;
        if let Some(slot) = self.state.borrow().documents.get(id)
            && slot.keeping != Keeping::Stored
        {
            return Err(other(format!(
                "{id:?} is not stored here: the settings persistent and permanent say so"
            )));
        }
        if self.state.borrow().is_encrypted(id) {
            return Err(Fault::Encrypted(id.to_string()));
        }
        self.input(id, Input::Frame { peer, bytes: message.clone() });
        let mut batch = Vec::new();
        loop {
            let close = outbox.next_batch(&mut batch).await;
            outbox.written();
            // It comes back once it is saved.
            if batch.drain(..).any(|sent| sent == message) {
                return Ok(());
            }
            if let Some(close) = close {
                return Err(other(close.reason));
            }
        }
    }

    /// Forgets a document: its clients are sent away, and nothing of it stays in memory or in the
    /// store. Whoever else holds it can bring it back.
    pub(crate) async fn delete(self: &Rc<Self>, id: &DocumentId) -> Result<(), Fault> {
        if !self.with(|state, relay| state.forget(relay, id, CloseReason::Deleted)) {
            return Err(Fault::Unknown(id.to_string()));
        }
        tracing::info!(document = %id, "deleted");
        let gone = async {
            loop {
                let resumed = self.resumed();
                if !self.store.forgets(id) {
                    return;
                }
                resumed.await;
            }
        };
        clock::timeout(limits::PUT_MS, gone).await.ok_or_else(|| {
            other(format!(
                "{id:?} cannot be taken off the disk yet; it is tried again until it can"
            ))
        })
    }

    /// Copies the store to a file that is not there yet.
    pub(crate) async fn back_up(&self, path: PathBuf) -> Result<(), Fault> {
        let store = self.store.clone();
        let copied = spawn_blocking(move || store.back_up(&path)).await;
        copied.map_err(|panic| other(panic.to_string()))?.map_err(|error| other(error.to_string()))
    }
}

impl State {
    /// Whether a document is encrypted, loaded or not.
    fn is_encrypted(&self, id: &DocumentId) -> bool {
        let is_loaded = self.documents.get(id).is_some_and(|slot| slot.document.standing().opaque);
        is_loaded || self.stored.get(id).is_some_and(|shelved| shelved.opaque)
    }

    /// Drops a document from memory and store, and sends its clients away; false if there is none.
    /// From here on what they still say finds nothing that it could be for.
    pub(crate) fn forget(&mut self, relay: &Relay, id: &DocumentId, reason: CloseReason) -> bool {
        let slot = self.drop_document(relay, id);
        let stored = self.stored.remove(id);
        let is_known = slot.is_some() || stored.is_some();
        for peer in slot.into_iter().flat_map(|slot| slot.clients) {
            self.close(relay, id, peer, reason);
        }
        // Relays below hold it, too: what they say of it next brings it back.
        self.links.forget(id);
        if is_known {
            relay.store.forget(id);
        }
        is_known
    }
}

/// A replica of what these hold.
pub fn joined(updates: &[Update]) -> Replica {
    let mut replica = Replica::default();
    updates.iter().for_each(|update| drop(replica.apply(update)));
    replica
}
