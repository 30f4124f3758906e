//! What documents have done on other threads, and how it comes back: loads, compactions, saves.

use std::rc::Rc;

use bytes::Bytes;
use tokio::task::{spawn_blocking, spawn_local};
use yrelay_core::LogSize;
use yrelay_core::event::Input;
use yrelay_core::id::DocumentId;
use yrelay_core::replica::{Compaction, Replica};
use yrelay_core::update::Update;

use crate::clock;
use crate::keeping::Keeping;
use crate::moving::Fault;
use crate::relay::Relay;
use crate::state::{Slot, State};
use crate::store::{Loaded, Outcome, Store};
use crate::upstream::Which;

/// Work for the blocking pool.
pub(crate) enum Job {
    /// Read a document from the store.
    Load { id: DocumentId, number: u64 },
    /// Compact a document and hand the result to the store.
    Compact { id: DocumentId, number: u64, frozen: Box<Replica>, upto_seq: u64 },
    /// Tell a document that an update is kept, as well as it is to be.
    Kept(DocumentId, u64, u64),
    /// Open a connection to a server.
    Connect(Which),
    /// Show a server the token of a document again.
    ShowToken { link: usize, id: DocumentId },
}

/// A compaction that is being written.
pub(crate) struct Compacted {
    replica: Box<Replica>,
    bytes: usize,
}

impl Relay {
    pub(crate) fn run(self: &Rc<Self>, job: Job) {
        let relay = self.clone();
        match job {
            Job::Load { id, number } => drop(spawn_local(relay.load(id, number))),
            Job::Compact { id, number, frozen, upto_seq } => {
                drop(spawn_local(relay.compact(id, number, frozen, upto_seq)));
            }
            Job::Kept(id, number, seq) => self.with(|state, relay| {
                if state.documents.get(&id).is_some_and(|slot| slot.number == number) {
                    state.input(relay, &id, Input::Saved { seq });
                }
            }),
            Job::Connect(which) => self.connect(which),
            Job::ShowToken { link, id } => drop(spawn_local(relay.show_token(link, id))),
        }
    }

    async fn load(self: Rc<Self>, id: DocumentId, number: u64) {
        let _turn = self.loads.acquire().await;
        let (store, name) = (self.store.clone(), id.clone());
        let loaded = spawn_blocking(move || load(&store, &name)).await;
        let input = match loaded {
            Ok(Ok(input)) => input,
            Ok(Err(error)) => {
                tracing::error!(document = %id, %error, "cannot be loaded");
                Input::LoadFailed
            }
            Err(panic) => {
                tracing::error!(document = %id, %panic, "cannot be loaded");
                Input::LoadFailed
            }
        };
        let failed = matches!(input, Input::LoadFailed);
        self.with(|state, relay| {
            // One that was opened anew meanwhile, or deleted, has nothing to do with it.
            let is_same = state.documents.get(&id).is_some_and(|slot| slot.number == number);
            if is_same {
                state.take_loaded(relay, &id, input);
            }
            for link in &mut state.above {
                link.offers.loaded(clock::now_ms(), &id, failed && is_same);
            }
            state.offer_next(relay);
        });
        self.resume();
    }

    async fn compact(
        self: Rc<Self>,
        id: DocumentId,
        number: u64,
        frozen: Box<Replica>,
        upto_seq: u64,
    ) {
        let compacted = spawn_blocking(move || frozen.compact_rows(Compaction::Full));
        let compacted = compacted.await.ok().flatten();
        self.with(|state, relay| {
            // A document that was loaded anew meanwhile has nothing to do with it.
            let same = |slot: &&mut Slot| slot.number == number;
            let Some(slot) = state.documents.get_mut(&id).filter(same) else { return };
            if let Some((replica, rows)) = compacted {
                let bytes = rows.iter().map(Bytes::len).sum();
                if slot.keeping != Keeping::Stored {
                    let result = Some((replica, bytes));
                    state.input(relay, &id, Input::Compacted { result });
                    return;
                }
                slot.compacted = Some(Compacted { replica, bytes });
                relay.store.compact(&id, upto_seq, rows);
            } else {
                tracing::error!(document = %id, "compaction came to nothing; the log stays");
                state.input(relay, &id, Input::Compacted { result: None });
            }
        });
    }

    /// Tells the documents what the store has done.
    pub(crate) async fn watch_store(self: Rc<Self>) {
        loop {
            self.store_news.notified().await;
            self.take_store_news();
        }
    }

    pub(crate) fn take_store_news(self: &Rc<Self>) {
        for (id, outcome) in self.store.outcomes() {
            self.with(|state, relay| state.outcome(relay, &id, outcome));
        }
        self.resume();
    }
}

impl State {
    fn take_loaded(&mut self, relay: &Relay, id: &DocumentId, mut input: Input) {
        let failed = matches!(input, Input::LoadFailed);
        // What the disk says of it may be a moment old.
        if let Input::Loaded { unconfirmed, .. } = &mut input {
            *unconfirmed |= self.stored.get(id).is_some_and(|shelved| shelved.unconfirmed);
        }
        self.input(relay, id, input);
        if failed {
            self.drop_document(relay, id);
        } else if self.documents.contains_key(id) {
            self.stored.remove(id);
        }
    }

    fn outcome(&mut self, relay: &Relay, id: &DocumentId, outcome: Outcome) {
        if let Some(error) = &outcome.failed {
            tracing::error!(document = %id, error, "changes cannot be saved; tried again");
        }
        if let Some(seq) = outcome.saved {
            self.input(relay, id, Input::Saved { seq });
        }
        if outcome.failed.is_some() {
            self.input(relay, id, Input::SaveFailed);
        }
        if let Some(written) = outcome.compacted
            && let Some(slot) = self.documents.get_mut(id)
            && let Some(Compacted { replica, bytes }) = slot.compacted.take()
        {
            if let Err(error) = &written {
                tracing::error!(document = %id, error, "compaction was not written");
            }
            let result = written.is_ok().then_some((replica, bytes));
            self.input(relay, id, Input::Compacted { result });
        }
        if let Some(slot) = self.documents.get_mut(id)
            && slot.load_once_saved
            && relay.store.unsaved_bytes(id) == 0
        {
            slot.load_once_saved = false;
            let (id, number) = (id.clone(), slot.number);
            self.spawn(Job::Load { id, number });
        }
    }
}

/// What is stored of a document.
pub(crate) fn load_replica(store: &Store, id: &DocumentId) -> Result<Replica, String> {
    match load(store, id)? {
        Input::Loaded { frames, .. } if !frames.is_empty() => {
            Err(Fault::Encrypted(id.to_string()).to_string())
        }
        Input::Loaded { replica, .. } => Ok(*replica),
        _ => Err("it is not loaded".to_owned()),
    }
}

fn load(store: &Store, id: &DocumentId) -> Result<Input, String> {
    let loaded = store.load(id).map_err(|error| error.to_string())?;
    let Loaded {
        updates,
        frames,
        seq,
        snapshot_bytes,
        log_bytes,
        log_updates,
        unconfirmed,
        history,
    } = loaded;
    let mut replica = Box::new(Replica::default());
    let mut tail = Vec::new();
    let snapshot_rows = updates.len() - log_updates as usize;
    for (row, update) in updates.into_iter().enumerate() {
        let update = Update::parse(update).map_err(|error| format!("stored update: {error}"))?;
        replica.apply(&update);
        if row >= snapshot_rows {
            tail.push(update);
        }
    }
    let log = LogSize {
        last_seq: seq,
        snapshot_bytes: snapshot_bytes as usize,
        updates: log_updates as usize,
        bytes: log_bytes as usize,
    };
    Ok(Input::Loaded { replica, log, tail, frames, unconfirmed, history })
}
