//! Carries out the core's [`Upstream`]: one WebSocket to the server's root path, all documents on
//! it, each message behind its document's prefix.

mod attempt;
mod connection;
mod offering;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use yrelay_core::close::CloseReason;
use yrelay_core::event::{Dialect, Habit, Input};
use yrelay_core::fellow;
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::link;
use yrelay_core::upstream::{Action, Event, LinkState, Upstream};

use crate::config;
use crate::connector::{Connector, Opened};
use crate::jobs::Job;
use crate::keeping::Asked;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::pump::{Ended, pump};
use crate::relay::Relay;
use crate::state::{State, seed};
use crate::status::UpstreamState;
use crate::ws::{Close, Frame};
use crate::{clock, limits};

use attempt::Door;
use connection::{Connection, greeted};

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

    /// The document has left memory, or is kept off the link. Returns whether it was attached.
    pub(crate) fn forget(&mut self, id: &DocumentId) -> bool {
        let was_attached = self.names.remove(&id.to_encoded()).is_some();
        if let Some(connection) = self.connection.as_mut().filter(|_| was_attached) {
            connection.leave(id);
            self.wanted.notify_one();
        }
        was_attached
    }

    /// A message of a document, which was given room for it. Returns how long its frame is.
    pub(crate) fn send(&mut self, prefix: &[u8], message: &[u8]) -> usize {
        self.connection.as_mut().map_or(0, |connection| connection.send(prefix, message))
    }

    /// Whether somebody waits for room.
    fn wants_room(&self) -> bool {
        let leaves = self.connection.as_ref().is_some_and(Connection::is_leaving);
        leaves || self.machine.wants_room(clock::now_ms())
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
            Ok(opened) => self.pump_link(opened).await,
            Err(closed) => {
                let (failure, reason) = (closed.failure, closed.reason);
                self.link_event(Event::Failed { failure, reason });
            }
        }
    }

    async fn pump_link(self: Rc<Self>, opened: Opened) {
        let Opened { mut reader, writer, is_granted } = opened;
        let (dialect, first) = match is_granted {
            true => greeted(&mut reader).await,
            false => (Dialect::Elva, None),
        };
        let outbox = Outbox::leaving_in(&self.turn, limits::LINK_ROOM_BYTES);
        let Some((peer, wanted)) = self.with(|state, _| state.connected(&outbox, dialect)) else {
            return;
        };
        self.link_event(Event::Connected);
        if let Some(frame) = first {
            self.link_frame(peer, &frame).await;
        }
        let take = async |frame| match frame {
            Frame::Binary(bytes) => self.link_frame(peer, &bytes).await,
            Frame::Text(_) => self.metrics.reject("text_frame"),
        };
        let give_room = self.give_link_room(&outbox, &wanted);
        let ended = tokio::select! {
            ended = pump(reader, writer, &outbox, take) => ended,
            () = give_room => return,
            () = self.tell_counts() => return,
        };
        let code = match &ended {
            Ended::Theirs(close) | Ended::Fault(close) => Some(close.code),
            Ended::Ours(_) | Ended::Lost(_) | Ended::Silent => None,
        };
        self.link_event(Event::Closed { code, reason: ended.to_string() });
    }

    async fn tell_counts(&self) {
        loop {
            clock::sleep(limits::COUNT_MS).await;
            let link = &mut self.state.borrow_mut().link;
            if let Some(connection) = link.as_mut().and_then(|link| link.connection.as_mut()) {
                connection.tell_count();
            }
        }
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
        if self.state.borrow_mut().takes_for_count(frame) {
            return;
        }
        let found = link::decode(frame)
            .map(|(name, bytes)| (self.with(|state, relay| state.recall(relay, name)), bytes));
        match found {
            Ok((Some(id), bytes)) => {
                self.admit(&id).await;
                if !self.stopping.get() {
                    self.input(&id, Input::Frame { peer, bytes });
                }
            }
            // Whatever comes is asked for when it is attached again.
            Ok((None, _)) => self.metrics.unknown_documents.count(),
            Err(error) => {
                self.metrics.reject("link_frame");
                tracing::warn!(%error, "refused a frame of the upstream");
            }
        }
    }

    pub(crate) fn link_wants_room(&self) -> bool {
        self.state.borrow().link.as_ref().is_some_and(Link::wants_room)
    }
}

impl State {
    fn connected(&mut self, outbox: &Outbox, dialect: Dialect) -> Option<(PeerId, Rc<Notify>)> {
        let peer = self.next_peer();
        let link = self.link.as_mut()?;
        if dialect == Dialect::Own {
            let _ = outbox.push(fellow::hello());
        }
        link.connection = Some(Connection::new(peer, outbox.clone(), dialect));
        link.wanted = Rc::default();
        Some((peer, link.wanted.clone()))
    }

    /// Counts a frame of the server. Returns whether it was for that only. Where frames were lost,
    /// the connection ends: on the next each side says what it holds.
    fn takes_for_count(&mut self, frame: &[u8]) -> bool {
        let connection = self.link.as_mut().and_then(|link| link.connection.as_mut());
        let own = connection.filter(|connection| connection.dialect == Dialect::Own);
        let Some(connection) = own else { return false };
        connection.counts.received(frame).unwrap_or_else(|lost| {
            let reason = CloseReason::FramesLost;
            tracing::warn!(%lost, "the link is opened anew");
            connection.outbox.close(Close::new(reason.code(), reason.to_string()));
            true
        })
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

    /// The document of which a server has said something. Where that does not keep documents itself
    /// (or may not), somebody may ask for one that has left memory here: it is loaded again.
    fn recall(&mut self, relay: &Relay, name: &str) -> Option<DocumentId> {
        let link = self.link.as_ref()?;
        if let Some(id) = link.names.get(name) {
            return Some(id.clone());
        }
        let id = DocumentId::from_encoded(name).ok()?;
        if link.machine.habit() == Habit::Keeps
            || link.machine.parked_because(&id).is_some()
            || !self.stored.contains_key(&id)
        {
            return None;
        }
        self.open(relay, &id, Asked::default()).used_at = None;
        Some(id)
    }

    /// The link has room for one message of about so many bytes.
    fn link_room(&mut self, relay: &Relay, bytes_max: usize) {
        let connection = self.link.as_mut().and_then(|link| link.connection.as_mut());
        if let Some(connection) = connection {
            connection.bytes_max = bytes_max;
            if !connection.leave_next() {
                self.link_event(relay, Event::Room);
            }
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
                tracing::warn!(%document, reason, "kept off the upstream");
                self.detach_parked(relay, &document);
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
        let Some(connection) = &mut link.connection else { return };
        if link.machine.parked_because(id).is_some() || !self.documents.contains_key(id) {
            return;
        }
        link.names.insert(id.to_encoded(), id.clone());
        connection.come_back(id);
        let Connection { peer, dialect, .. } = *connection;
        let input = Input::AttachUpstream { peer, habit: link.machine.habit(), dialect };
        self.input(relay, id, input);
    }

    /// One that the server refuses is parked while the link stands.
    fn detach_parked(&mut self, relay: &Relay, id: &DocumentId) {
        let Some(peer) = self.upstream_peer() else { return };
        if self.link.as_mut().is_some_and(|link| link.forget(id)) {
            self.input(relay, id, Input::Detach { peer });
        }
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

    pub(crate) fn upstream_peer(&self) -> Option<PeerId> {
        Some(self.link.as_ref()?.connection.as_ref()?.peer)
    }

    /// Ends the link.
    pub(crate) fn end_link(&mut self) {
        if let Some(connection) = self.link.as_ref().and_then(|link| link.connection.as_ref()) {
            connection.outbox.close(crate::connection::going_away());
        }
    }
}
