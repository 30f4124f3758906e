//! What the one thread owns: the documents and their outboxes. The one place where inputs enter a
//! document and its outputs are carried out.
//!
//! What a document wants done goes straight into the outboxes, the store's backlog and the timer;
//! work for other threads is left in `jobs`, for after the borrow.

mod peers;

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, oneshot};
use yrelay_core::close::CloseReason;
use yrelay_core::document::Document;
use yrelay_core::event::{Input, Output};
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::replica::Pending;
use yrelay_core::upstream::Event;

use crate::jobs::{Compacted, Job};
use crate::keeping::{Asked, Keeping};
use crate::link_server::Links;
use crate::outbox::Outbox;
use crate::refusals::Refusals;
use crate::relay::Relay;
use crate::store::Stored;
use crate::upstream::{Link, Sleeper};
use crate::ws::Close;
use crate::{clock, limits};

/// What the one thread owns.
pub(crate) struct State {
    pub(crate) documents: HashMap<DocumentId, Slot>,
    /// What the store holds of documents that are not in memory.
    pub(crate) stored: BTreeMap<DocumentId, Shelved>,
    /// The ways to the servers above.
    pub(crate) above: Vec<Link>,
    pub(crate) links: Links,
    pub(crate) clients: FxHashMap<PeerId, Client>,
    /// Who is to be woken when.
    pub(crate) timers: BinaryHeap<Reverse<(u64, Sleeper)>>,
    refusals: Refusals,
    /// Who waits to hear what servers hold of documents that have diverged.
    pub(crate) asking: Vec<(DocumentId, oneshot::Sender<Bytes>)>,
    /// So many bytes of documents may still be loaded for servers' sake until the next look at the
    /// memory.
    pub(crate) offer_bytes: u64,
    /// So much has come into memory since that look.
    pub(crate) grown_bytes: usize,
    peers: u64,
    slots: u64,
    /// Work for other threads, and for after the borrow.
    pub(crate) jobs: Vec<Job>,
    outputs: Vec<Output>,
}

/// A document that is only in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shelved {
    pub(crate) bytes: u64,
    pub(crate) unconfirmed: bool,
    /// It is encrypted.
    pub(crate) opaque: bool,
    /// What the first client since the start asked for; nothing while there was none.
    pub(crate) visible: Option<bool>,
    /// When it was last noted that somebody has it open: milliseconds since 1970.
    pub(crate) opened_ms: u64,
}

/// A document in memory.
pub(crate) struct Slot {
    /// Tells it from one of the same name that was in memory before.
    pub(crate) number: u64,
    pub(crate) document: Document,
    pub(crate) keeping: Keeping,
    /// As in [`Shelved`].
    pub(crate) visible: Option<bool>,
    pub(crate) clients: Vec<PeerId>,
    /// The server that it goes to.
    pub(crate) link: Option<usize>,
    /// As whom that is attached, while it is.
    pub(crate) upstream: Option<PeerId>,
    /// How its frames begin there.
    prefix: Bytes,
    /// When somebody last had it open; nothing if it is here for the upstream's sake.
    pub(crate) used_at: Option<u64>,
    /// When it was last noted that somebody has it open: milliseconds since 1970.
    pub(crate) opened_ms: u64,
    /// Loading waits until what is queued of it has been saved.
    pub(crate) load_once_saved: bool,
    /// A compaction that the store is about to write.
    pub(crate) compacted: Option<Compacted>,
}

/// A connected client.
pub(crate) struct Client {
    pub(crate) outbox: Outbox,
    /// It is to be given room.
    pub(crate) ready: Rc<Cell<bool>>,
    /// Who is to hear of that.
    pub(crate) wanted: Rc<Notify>,
    /// What its frames begin with, if it speaks Hocuspocus.
    pub(crate) prefix: Option<Bytes>,
}

impl State {
    pub(crate) fn new(stored: Vec<Stored>, above: Vec<Link>) -> Self {
        let shelved = |stored: Stored| {
            let Stored { bytes, unconfirmed, opaque, opened_ms, .. } = stored;
            let shelved = Shelved { bytes, unconfirmed, opaque, opened_ms, visible: None };
            (stored.identifier, shelved)
        };
        Self {
            documents: HashMap::new(),
            stored: stored.into_iter().map(shelved).collect(),
            above,
            links: Links::default(),
            clients: FxHashMap::default(),
            timers: BinaryHeap::new(),
            refusals: Refusals::default(),
            asking: Vec::new(),
            offer_bytes: limits::OFFER_BYTES,
            grown_bytes: 0,
            peers: 0,
            slots: 0,
            jobs: Vec::new(),
            outputs: Vec::new(),
        }
    }

    pub(crate) fn next_peer(&mut self) -> PeerId {
        self.peers += 1;
        PeerId(self.peers)
    }

    /// The document in memory; it begins to load if it is not.
    pub(crate) fn open(&mut self, relay: &Relay, id: &DocumentId, asked: Asked) -> &mut Slot {
        let load_once_saved = relay.store.unsaved_bytes(id) > 0;
        let shelved = self.stored.get(id).copied();
        // What is stored stays so, whatever is asked for.
        let keeping = match shelved.is_some() || load_once_saved {
            true => Keeping::Stored,
            false => relay.policies.keeping(asked),
        };
        let visible = shelved.and_then(|shelved| shelved.visible);
        if self.documents.get(id).is_some_and(|slot| slot.keeping < keeping) {
            self.give_up(relay, id);
        }
        if !self.documents.contains_key(id) {
            self.slots += 1;
            self.grown_bytes +=
                shelved.map_or(0, |shelved| shelved.bytes as usize) + limits::DOCUMENT_BYTES;
            let link = relay.routes.of(id);
            let above = link.and_then(|link| self.above.get(link));
            let slot = Slot {
                number: self.slots,
                document: new_document(relay, id, keeping, above),
                keeping,
                visible: visible.or(Some(relay.policies.visible.decide(asked.visible))),
                clients: Vec::new(),
                link,
                upstream: None,
                prefix: above.map(|above| above.prefix(id)).unwrap_or_default(),
                used_at: Some(clock::now_ms()),
                opened_ms: self.stored.get(id).map_or_else(clock::unix_ms, |it| it.opened_ms),
                load_once_saved,
                compacted: None,
            };
            self.documents.insert(id.clone(), slot);
            if !load_once_saved {
                self.jobs.push(Job::Load { id: id.clone(), number: self.slots });
            }
            self.attach_upstream(relay, id);
            for (peer, dialect) in self.links.of(id) {
                self.input(relay, id, Input::AttachLink { peer, dialect });
            }
        }
        #[expect(clippy::expect_used, reason = "inserted above where it was not there")]
        self.documents.get_mut(id).expect("it is in memory now")
    }

    /// Something happens to a document; one that is not in memory has nothing to do with it.
    pub(crate) fn input(&mut self, relay: &Relay, id: &DocumentId, input: Input) {
        let Some(slot) = self.documents.get_mut(id) else { return };
        let now = clock::now_ms();
        let mut outputs = std::mem::take(&mut self.outputs);
        let document = &mut slot.document;
        let handled = catch_unwind(AssertUnwindSafe(|| document.handle(now, input, &mut outputs)));
        if handled.is_err() {
            outputs.clear();
            self.outputs = outputs;
            self.forsake(relay, id);
            return;
        }
        for output in outputs.drain(..) {
            self.carry_out(relay, id, output);
        }
        self.outputs = outputs;
    }

    fn carry_out(&mut self, relay: &Relay, id: &DocumentId, output: Output) {
        match output {
            Output::Broadcast { to, except, bytes } => {
                for peer in to.iter().filter(|peer| Some(**peer) != except) {
                    self.send(relay, *peer, bytes.clone());
                }
            }
            Output::Send { peer, bytes } => self.send_to(relay, id, peer, bytes),
            Output::Ready { peer } => self.ready(relay, id, peer),
            Output::Append { seq, update, local } => {
                if self.is_stored(id, seq, update.len()) {
                    relay.store.append(id, seq, update, local);
                }
            }
            Output::AppendFrame { seq, frame, local } => {
                if self.is_stored(id, seq, frame.len()) {
                    relay.store.append_frame(id, seq, frame, local);
                }
            }
            Output::ArchiveFull => tracing::warn!(
                document = %id,
                "its log is full: what is written from now on is passed on and not kept; to begin \
                 it anew with what its programs hold, run yrelay delete while they have it open"
            ),
            Output::Confirmed { seq } => relay.store.confirm(id, seq),
            Output::Habit(habit) => self.link_event_of(relay, id, Event::Habit(habit)),
            Output::Lost => self.offer_all(relay, id),
            Output::Reopen => self.enter_anew(relay, id),
            Output::Diverged => tracing::warn!(
                document = %id,
                "the server has made it anew: to merge that would double it. Nothing of it goes up \
                 or comes down until somebody runs yrelay resolve"
            ),
            Output::Theirs { update } => self.tell_theirs(id, &update),
            Output::History { history } => {
                let slot = self.documents.get(id);
                if slot.is_some_and(|slot| slot.keeping == Keeping::Stored) {
                    relay.store.note_history(id, history);
                }
            }
            Output::Compact { frozen, upto_seq } => {
                let Some(slot) = self.documents.get(id) else { return };
                let (id, number) = (id.clone(), slot.number);
                self.jobs.push(Job::Compact { id, number, frozen, upto_seq });
            }
            Output::Close { peer, reason } => self.close(relay, id, peer, reason),
            Output::Rejected { peer, reason } => {
                relay.metrics.reject(reason.label());
                tracing::warn!(document = %id, %peer, %reason, "refused a message on a link");
                if self.links.refuse(peer, reason) {
                    self.input(relay, id, Input::Detach { peer });
                }
            }
            Output::LeftOut { peer, pending } => {
                relay.metrics.reject("pending");
                let Pending { structs, bytes } = pending;
                tracing::warn!(
                    document = %id, %peer, structs, bytes,
                    "not taken: too many changes already wait for others, which are missing"
                );
            }
            Output::Refused { reason } => {
                self.link_event_of(relay, id, Event::Refused { document: id.clone(), reason });
            }
            Output::Ignored { peer, kind } => {
                relay.metrics.ignored_messages.count();
                tracing::debug!(document = %id, %peer, kind, "ignored a message of unknown type");
            }
            Output::WakeAt { at } => self.wake_at(relay, at, Sleeper::Document(id.clone())),
        }
    }

    /// Something of a document is to be kept. Returns whether in the store.
    fn is_stored(&mut self, id: &DocumentId, seq: u64, bytes: usize) -> bool {
        self.grown_bytes += bytes;
        let volatile = self.documents.get(id).filter(|slot| slot.keeping != Keeping::Stored);
        let Some(slot) = volatile else { return true };
        self.jobs.push(Job::Kept(id.clone(), slot.number, seq));
        false
    }

    pub(crate) fn wake_at(&mut self, relay: &Relay, at: u64, whom: Sleeper) {
        self.timers.push(Reverse((at, whom)));
        relay.timer_changed.notify_one();
    }

    pub(crate) fn spawn(&mut self, job: Job) {
        self.jobs.push(job);
    }

    /// A fault of our own in one document: its peers are sent away and it is dropped from memory.
    /// What it held is in the store, or on its way there; it loads anew when somebody comes.
    fn forsake(&mut self, relay: &Relay, id: &DocumentId) {
        tracing::error!(document = %id, "internal error: its clients are closed, it is loaded anew");
        let Some(slot) = self.drop_document(relay, id) else { return };
        let links = self.links.of(id).into_iter().map(|(peer, _)| peer);
        for peer in slot.clients.iter().copied().chain(links) {
            self.close(relay, id, peer, CloseReason::Internal);
        }
        if slot.keeping == Keeping::Stored {
            let Slot { document, visible, opened_ms, .. } = slot;
            let opaque = document.standing().opaque;
            let shelved = Shelved { bytes: 0, unconfirmed: true, opaque, opened_ms, visible };
            self.stored.insert(id.clone(), shelved);
            if let Some(link) = slot.link.and_then(|link| self.above.get_mut(link)) {
                link.offers.later(clock::now_ms(), id);
            }
        }
    }

    /// Somebody asks for more than a document was opened for: it is forgotten, to be opened anew.
    /// Those who have it open come back, and with them all that it held.
    fn give_up(&mut self, relay: &Relay, id: &DocumentId) {
        let Some(slot) = self.drop_document(relay, id) else { return };
        tracing::info!(document = %id, "opened anew, to be kept better");
        let code = CloseReason::Resync.code();
        for (peer, _) in self.links.of(id) {
            self.links.close(peer, code, CloseReason::Resync);
        }
        for client in slot.clients.iter().filter_map(|peer| self.clients.get(peer)) {
            client.outbox.close(Close::new(code, "kept better from now on: reconnect"));
        }
    }

    /// The document leaves memory.
    pub(crate) fn drop_document(&mut self, relay: &Relay, id: &DocumentId) -> Option<Slot> {
        let slot = self.documents.remove(id)?;
        if let Some(link) = slot.link {
            self.forget_upstream(relay, id, link);
        }
        Some(slot)
    }
}

fn new_document(
    relay: &Relay,
    id: &DocumentId,
    keeping: Keeping,
    above: Option<&Link>,
) -> Document {
    let document = match keeping {
        Keeping::Nothing => Document::passing(seed()),
        _ if relay.opaque.matches(id) => Document::opaque(seed()),
        _ => Document::new(seed()),
    };
    let document = match above {
        None => document.at_the_top(),
        Some(link) if link.merges() => document.merging(),
        Some(_) => document,
    };
    let is_volatile = relay.is_ephemeral || keeping != Keeping::Stored;
    if is_volatile { document.volatile() } else { document }
}

/// A number that differs from document to document and from start to start.
pub(crate) fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
