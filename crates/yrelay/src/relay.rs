//! The relay: what connections, timers, the store and the link call. Each call borrows the
//! state, where the documents are; nothing is held across an await.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore};
use yrelay_core::close::CloseReason;
use yrelay_core::event::Input;
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::upstream::Event;

use crate::config::{Bounds, Config, Patterns, Storage};
use crate::keeping::{Asked, Policies};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::routes::Routes;
use crate::state::{Client, Slot, State};
use crate::status::Role;
use crate::store::{Opened, Store};
use crate::turn::Turn;
use crate::upstream::{Link, Sleeper};
use crate::{clock, limits};

/// How a client comes.
pub(crate) struct Come {
    /// What goes to it.
    pub(crate) outbox: Outbox,
    /// Whom to tell that it wants room.
    pub(crate) wanted: Rc<Notify>,
    /// On a connection of many documents: what its frames begin with.
    pub(crate) prefix: Option<Bytes>,
}

impl Come {
    /// On a connection of its own.
    pub(crate) fn alone(outbox: Outbox) -> Self {
        Self { outbox, wanted: Rc::default(), prefix: None }
    }
}

/// All documents, and what they are connected to.
pub struct Relay {
    pub(crate) role: Role,
    /// Which documents go to which server.
    pub(crate) routes: Routes,
    /// Which documents are end-to-end encrypted.
    pub(crate) opaque: Patterns,
    /// Nothing outlives the process.
    pub(crate) is_ephemeral: bool,
    pub(crate) policies: Policies,
    pub(crate) bounds: Bounds,
    pub(crate) metrics: Rc<Metrics>,
    pub(crate) store: Store,
    /// The store has news.
    pub(crate) store_news: Arc<Notify>,
    /// A document has loaded, or the store has room again: readers may go on.
    resumed: Notify,
    pub(crate) timer_changed: Notify,
    /// When what is queued to peers leaves.
    pub(crate) turn: Turn,
    /// Much has come into memory.
    grown: Notify,
    /// Documents are loaded in the order they were asked for, some at once.
    pub(crate) loads: Semaphore,
    pub(crate) stopping: Cell<bool>,
    pub(crate) state: RefCell<State>,
}

impl Relay {
    /// A relay over an opened store.
    pub(crate) fn new(
        config: &Config,
        opened: Opened,
        store_news: Arc<Notify>,
        above: Vec<Link>,
        metrics: Rc<Metrics>,
    ) -> Rc<Self> {
        let log = opened.store.clone();
        Rc::new(Self {
            role: config.role,
            routes: Routes::new(config),
            opaque: config.opaque.clone(),
            is_ephemeral: matches!(config.storage, Storage::Ephemeral),
            policies: config.policies,
            bounds: config.bounds,
            metrics,
            store: opened.store,
            store_news,
            resumed: Notify::new(),
            timer_changed: Notify::new(),
            turn: Turn::new(move || log.write()),
            grown: Notify::new(),
            loads: Semaphore::new(limits::LOADS_AT_ONCE),
            stopping: Cell::new(false),
            state: RefCell::new(State::new(opened.documents, above)),
        })
    }

    /// Starts what runs beside the connections. Ends with the `LocalSet`.
    pub fn start(self: &Rc<Self>) {
        tokio::task::spawn_local(self.turn.clone().run());
        tokio::task::spawn_local(self.clone().watch_store());
        tokio::task::spawn_local(self.clone().watch_timers());
        tokio::task::spawn_local(self.clone().sweep());
        if !self.state.borrow().above.is_empty() {
            tokio::task::spawn_local(self.clone().watch());
        }
        tokio::task::spawn_local(self.clone().retain());
        self.with(|state, relay| state.link_events(relay, || Event::Tick));
    }

    /// Something happens to a document that is in memory.
    pub(crate) fn input(self: &Rc<Self>, id: &DocumentId, input: Input) {
        self.with(|state, relay| state.input(relay, id, input));
    }

    /// Something happens to the way to a server.
    pub(crate) fn link_event(self: &Rc<Self>, number: usize, event: Event) {
        self.with(|state, relay| state.link_event(relay, number, event));
    }

    /// Borrows the state; what it leaves for other threads starts afterwards.
    pub(crate) fn with<T>(self: &Rc<Self>, work: impl FnOnce(&mut State, &Self) -> T) -> T {
        let (result, jobs) = {
            let mut state = self.state.borrow_mut();
            let result = work(&mut state, self);
            if state.has_grown(self) {
                self.grown.notify_one();
            }
            (result, std::mem::take(&mut state.jobs))
        };
        for job in jobs {
            self.run(job);
        }
        result
    }

    /// A client joins a document; it is loaded if it is not in memory. Returns where it is noted
    /// that the document has something for it.
    pub(crate) fn join(
        self: &Rc<Self>,
        id: &DocumentId,
        asked: Asked,
        come: Come,
    ) -> (PeerId, Rc<Cell<bool>>) {
        self.with(|state, relay| {
            let peer = state.next_peer();
            let ready = Rc::new(Cell::new(false));
            let Come { outbox, wanted, prefix } = come;
            let client = Client { outbox, ready: ready.clone(), wanted, prefix };
            state.clients.insert(peer, client);
            state.open(relay, id, asked).clients.push(peer);
            state.note_opened(relay, id);
            state.input(relay, id, Input::Attach { peer });
            state.link_event_of(relay, id, Event::ClientCame);
            (peer, ready)
        })
    }

    /// A client is gone.
    pub(crate) fn leave(self: &Rc<Self>, id: &DocumentId, peer: PeerId) {
        self.with(|state, relay| {
            state.clients.remove(&peer);
            if let Some(slot) = state.documents.get_mut(id) {
                slot.clients.retain(|client| *client != peer);
                slot.used_at = Some(clock::now_ms());
                state.input(relay, id, Input::Detach { peer });
            }
        });
    }

    /// A client did what no document can mend: it is sent away.
    pub(crate) fn refuse(self: &Rc<Self>, id: &DocumentId, peer: PeerId, reason: CloseReason) {
        self.with(|state, relay| {
            state.input(relay, id, Input::Detach { peer });
            state.close(relay, id, peer, reason);
        });
    }

    /// Waits while the store's backlog is full or the document loads: the only thing that a reader
    /// ever waits for.
    pub(crate) async fn admit(&self, id: &DocumentId) {
        loop {
            let resumed = self.resumed.notified();
            let takes_input = |slot: &Slot| slot.document.takes_input();
            let ready = self.store.has_room()
                && self.state.borrow().documents.get(id).is_none_or(takes_input);
            // Who stops reads no more, but its peers' last words.
            if ready || self.stopping.get() {
                return;
            }
            resumed.await;
        }
    }

    /// Waits for the next time that readers may look again.
    pub(crate) fn resumed(&self) -> Notified<'_> {
        self.resumed.notified()
    }

    /// Readers that wait may look again.
    pub(crate) fn resume(&self) {
        self.resumed.notify_waiters();
    }

    async fn watch_timers(self: Rc<Self>) {
        loop {
            let changed = self.timer_changed.notified();
            let next = self.state.borrow().timers.peek().map(|Reverse((at, _))| *at);
            match next {
                Some(at) if at <= clock::now_ms() => self.ring(),
                Some(at) => {
                    tokio::select! {
                        () = clock::sleep_until(at) => {}
                        () = changed => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    fn ring(self: &Rc<Self>) {
        let due = self.state.borrow_mut().timers.pop();
        match due {
            Some(Reverse((_, Sleeper::Document(id)))) => self.input(&id, Input::Tick),
            Some(Reverse((_, Sleeper::Link(number)))) => {
                self.link_event(number, Event::Tick);
                self.with(|state, relay| state.enter_next(relay, number));
            }
            None => {}
        }
    }

    /// Lets documents that nobody uses leave memory.
    async fn sweep(self: Rc<Self>) {
        loop {
            tokio::select! {
                () = clock::sleep(limits::SWEEP_MS) => {}
                () = self.grown.notified() => {}
            }
            self.with(State::evict);
        }
    }
}
