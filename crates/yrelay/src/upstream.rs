//! Carries out the core's [`Upstream`]: one WebSocket to the server's root path, all documents on
//! it, each message behind its document's prefix.

mod attempt;
mod pace;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use yrelay_core::event::Input;
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::link;
use yrelay_core::upstream::{Action, Event, LinkState, Upstream};

use crate::config;
use crate::connector::Connector;
use crate::jobs::Job;
use crate::outbox::Outbox;
use crate::pump::{Ended, pump};
use crate::relay::Relay;
use crate::state::{State, seed};
use crate::status::UpstreamState;
use crate::ws::{Frame, Reader, Writer};
use crate::{clock, limits};

use attempt::Door;
use pace::Pace;

/// The way up.
pub(crate) struct Link {
    pub(crate) door: Door,
    pub(crate) machine: Upstream,
    connection: Option<Connection>,
    /// The attempt or connection under way.
    task: Option<AbortHandle>,
    /// Attached documents by the name that the server knows.
    names: HashMap<String, DocumentId>,
    /// Somebody wants room on the link.
    wanted: Rc<Notify>,
    pub(crate) told: Told,
}

/// One connection.
struct Connection {
    peer: PeerId,
    outbox: Outbox,
    /// About so large may the next message be.
    bytes_max: usize,
}

/// How it stands, as people were last told. An attempt that is under way changes nothing.
pub(crate) struct Told {
    pub(crate) state: UpstreamState,
    /// Milliseconds since 1970.
    pub(crate) since_ms: u64,
    reason: Option<String>,
}

impl Link {
    pub(crate) fn new(upstream: &config::Upstream, connector: Connector) -> Self {
        let state = UpstreamState::Offline;
        Self {
            door: Door::new(connector, upstream.login.clone()),
            machine: Upstream::new(clock::now_ms(), seed()),
            connection: None,
            task: None,
            names: HashMap::new(),
            wanted: Rc::default(),
            told: Told { state, since_ms: clock::unix_ms(), reason: None },
        }
    }

    /// The document has left memory.
    pub(crate) fn forget(&mut self, id: &DocumentId) {
        self.names.remove(&id.to_encoded());
    }

    /// This is the attempt under way now; the one before is dropped, connection and all.
    pub(crate) fn follow(&mut self, task: AbortHandle) {
        if let Some(before) = self.task.replace(task) {
            before.abort();
        }
    }

    /// Tells people what has changed. The same failure is worth one line, however often it is met.
    fn tell(&mut self) {
        let state = match self.machine.state() {
            // The connection before was dropped for that.
            LinkState::Connecting if self.told.state == UpstreamState::Online => {
                UpstreamState::Offline
            }
            LinkState::Connecting => return,
            LinkState::Online => UpstreamState::Online,
            LinkState::Offline { .. } => UpstreamState::Offline,
            LinkState::Unauthorized { .. } => UpstreamState::Unauthorized,
        };
        let reason = self.machine.reason();
        let told = &mut self.told;
        if state == told.state && reason == told.reason.as_deref() {
            return;
        }
        let upstream = self.door.connector.target();
        let seconds = clock::unix_ms().saturating_sub(told.since_ms) / 1_000;
        match (state, reason) {
            (UpstreamState::Online, _) => tracing::info!(%upstream, after_s = seconds, "online"),
            (_, None) => return, // it has not been tried yet
            (UpstreamState::Unauthorized, Some(reason)) => {
                tracing::warn!(%upstream, reason, "unauthorized; local work goes on");
            }
            (_, Some(reason)) => tracing::warn!(%upstream, reason, "offline; local work goes on"),
        }
        if state != told.state {
            told.since_ms = clock::unix_ms();
        }
        told.state = state;
        told.reason = reason.map(str::to_owned);
    }
}

impl Relay {
    /// One attempt, and the connection that comes of it.
    pub(crate) async fn run_link(self: Rc<Self>) {
        let door = self.state.borrow().link.as_ref().map(|link| link.door.clone());
        let Some(mut door) = door else { return };
        let opened = door.open().await;
        if let Some(link) = &mut self.state.borrow_mut().link {
            link.door = door;
        }
        match opened {
            Ok((reader, writer)) => self.pump_link(reader, writer).await,
            Err(closed) => {
                let (failure, reason) = (closed.failure, closed.reason);
                self.link_event(Event::Failed { failure, reason });
            }
        }
    }

    async fn pump_link(self: Rc<Self>, reader: Reader, writer: Writer) {
        let outbox = Outbox::with_room(limits::LINK_ROOM_BYTES);
        let Some((peer, wanted)) = self.with(|state, _| state.connected(&outbox)) else {
            return;
        };
        self.link_event(Event::Connected);
        let take = async |frame| match frame {
            Frame::Binary(bytes) => self.link_frame(peer, &bytes).await,
            Frame::Text(_) => self.metrics.reject("text_frame"),
        };
        let give_room = self.give_link_room(&outbox, &wanted);
        let ended = tokio::select! {
            ended = pump(reader, writer, &outbox, take) => ended,
            () = give_room => return,
        };
        let code = match &ended {
            Ended::Theirs(close) | Ended::Fault(close) => Some(close.code),
            Ended::Ours(_) | Ended::Lost(_) | Ended::Silent => None,
        };
        self.link_event(Event::Closed { code, reason: ended.to_string() });
    }

    async fn give_link_room(self: &Rc<Self>, outbox: &Outbox, wanted: &Notify) {
        let mut pace = Pace::new();
        loop {
            wanted.notified().await;
            while self.link_wants_room() {
                if outbox.has_room() {
                    pace.rest();
                } else {
                    let since = clock::now_ms();
                    outbox.room().await;
                    pace.drained(clock::now_ms() - since);
                }
                let before = outbox.bytes();
                self.with(|state, relay| state.link_room(relay, pace.bytes_max()));
                pace.pulled(outbox.bytes() - before);
            }
            pace.rest();
        }
    }

    /// A frame of the server, for one of the documents that were attached.
    async fn link_frame(self: &Rc<Self>, peer: PeerId, frame: &Bytes) {
        self.metrics.received_messages.count();
        self.metrics.received_bytes.add(frame.len() as u64);
        let found = link::decode(frame).map(|(name, bytes)| {
            let state = self.state.borrow();
            let names = state.link.as_ref().map(|link| &link.names);
            (names.and_then(|names| names.get(name)).cloned(), bytes)
        });
        match found {
            Ok((Some(id), bytes)) => {
                self.admit(&id).await;
                if !self.stopping.get() {
                    self.input(&id, Input::Frame { peer, bytes });
                }
            }
            // It left memory: whatever came meanwhile is asked for when it is attached again.
            Ok((None, _)) => self.metrics.unknown_documents.count(),
            Err(error) => {
                self.metrics.reject("link_frame");
                tracing::warn!(%error, "refused a frame of the upstream");
            }
        }
    }

    pub(crate) fn link_wants_room(&self) -> bool {
        self.state
            .borrow()
            .link
            .as_ref()
            .is_some_and(|link| link.machine.wants_room(clock::now_ms()))
    }
}

impl State {
    fn connected(&mut self, outbox: &Outbox) -> Option<(PeerId, Rc<Notify>)> {
        let peer = self.next_peer();
        let link = self.link.as_mut()?;
        link.connection = Some(Connection { peer, outbox: outbox.clone(), bytes_max: 0 });
        link.wanted = Rc::default();
        Some((peer, link.wanted.clone()))
    }

    /// Something happens to the upstream link.
    pub(crate) fn link_event(&mut self, relay: &Relay, event: Event) {
        let Some(link) = &mut self.link else { return };
        let mut actions = Vec::new();
        link.machine.handle(clock::now_ms(), event, &mut actions);
        link.tell();
        if link.machine.wants_room(clock::now_ms()) {
            link.wanted.notify_one();
        }
        for action in actions {
            self.act(relay, action);
        }
    }

    /// The link has room for one message of about so many bytes.
    fn link_room(&mut self, relay: &Relay, bytes_max: usize) {
        let connection = self.link.as_mut().and_then(|link| link.connection.as_mut());
        if let Some(connection) = connection {
            connection.bytes_max = bytes_max;
            self.link_event(relay, Event::Room);
        }
    }

    fn act(&mut self, relay: &Relay, action: Action) {
        match action {
            Action::Connect if relay.stopping.get() => {}
            Action::Connect => self.spawn(Job::Connect),
            Action::Attach => {
                let ids: Vec<DocumentId> = self.documents.keys().cloned().collect();
                for id in ids {
                    self.attach_upstream(relay, &id);
                }
                let stored = self.stored.iter();
                self.offers.begin(stored.map(|(id, shelved)| (id, shelved.unconfirmed)));
                self.offer_expired(relay);
                self.offer_next(relay);
            }
            Action::Detach => self.detach_upstream(relay),
            Action::Pull { document } => {
                let connection = self.link.as_ref().and_then(|link| link.connection.as_ref());
                if let Some(&Connection { peer, bytes_max, .. }) = connection {
                    self.input(relay, &document, Input::Room { peer, bytes_max });
                }
            }
            Action::Park { document } => {
                let link = self.link.as_ref();
                let reason = link.and_then(|link| link.machine.parked_because(&document));
                tracing::warn!(%document, reason, "kept off the upstream, which ends the link over it");
            }
            Action::Unpark { document } => {
                self.attach_upstream(relay, &document);
                self.offers.again(&document);
                self.offer_next(relay);
            }
            Action::WakeAt { at } => self.wake_at(relay, at, None),
        }
    }

    /// Attaches a document to the upstream, if that is here and takes it.
    pub(crate) fn attach_upstream(&mut self, relay: &Relay, id: &DocumentId) {
        let Some(link) = &mut self.link else { return };
        let Some(connection) = &link.connection else { return };
        if link.machine.parked_because(id).is_some() || !self.documents.contains_key(id) {
            return;
        }
        link.names.insert(id.to_encoded(), id.clone());
        let peer = connection.peer;
        let input = Input::AttachUpstream { peer, habit: link.machine.habit(), narrow: true };
        self.input(relay, id, input);
    }

    fn detach_upstream(&mut self, relay: &Relay) {
        let Some(link) = &mut self.link else { return };
        link.names.clear();
        self.offers.end();
        let Some(Connection { peer, .. }) = link.connection.take() else { return };
        let ids: Vec<DocumentId> = self.documents.keys().cloned().collect();
        for id in ids {
            self.input(relay, &id, Input::Detach { peer });
        }
    }

    /// The upstream has lost something: nothing that is stored is taken for confirmed any more.
    pub(crate) fn offer_all(&mut self, relay: &Relay) {
        if self.offers.lost(self.stored.keys()) {
            tracing::warn!("the upstream has lost what it had; every document is offered again");
            for (id, shelved) in &mut self.stored {
                shelved.unconfirmed = true;
                relay.store.unconfirm(id);
            }
            let ids: Vec<DocumentId> = self.documents.keys().cloned().collect();
            for id in ids {
                self.input(relay, &id, Input::Lost);
            }
            self.offer_next(relay);
        }
    }

    /// Loads the next document of those that the upstream may lack, while there is room.
    pub(crate) fn offer_next(&mut self, relay: &Relay) {
        if self.offer_bytes == 0 || self.upstream_peer().is_none() {
            return;
        }
        let (stored, documents, link) = (&self.stored, &self.documents, self.link.as_ref());
        let wanted = |id: &DocumentId| {
            let parked = link.is_some_and(|link| link.machine.parked_because(id).is_some());
            stored.contains_key(id) && !documents.contains_key(id) && !parked
        };
        let Some(id) = self.offers.next(clock::now_ms(), wanted) else { return };
        let bytes = self.stored.get(&id).map_or(0, |shelved| shelved.bytes);
        self.offer_bytes = self.offer_bytes.saturating_sub(bytes);
        // Nobody uses it: it leaves as soon as it may.
        self.open(relay, &id).used_at = None;
    }

    pub(crate) fn upstream_peer(&self) -> Option<PeerId> {
        Some(self.link.as_ref()?.connection.as_ref()?.peer)
    }

    /// The outbox of the upstream, if that is who this is.
    pub(crate) fn upstream_outbox(&self, peer: PeerId) -> Option<Outbox> {
        let connection = self.link.as_ref()?.connection.as_ref()?;
        (connection.peer == peer).then(|| connection.outbox.clone())
    }

    /// Ends the link.
    pub(crate) fn end_link(&mut self) {
        if let Some(connection) = self.link.as_ref().and_then(|link| link.connection.as_ref()) {
            connection.outbox.close(crate::connection::going_away());
        }
    }
}
