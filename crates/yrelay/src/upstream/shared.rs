//! One WebSocket to the server for all documents, each message behind its document's prefix.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use yrelay_core::event::{Dialect, Habit, Input};
use yrelay_core::fellow;
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::upstream::Event;
use yrelay_core::wire::{self, Message};
use yrelay_core::{hocuspocus, link};

use super::attempt::Token;
use super::connection::{Connection, greeted};
use super::{Link, advice, room_bytes};
use crate::config::Messages;
use crate::connector::Opened;
use crate::keeping::Asked;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::pump::pump;
use crate::relay::Relay;
use crate::state::State;
use crate::ws::Frame;
use crate::{clock, limits};

/// The connection for all documents, or the attempt to open it.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) connection: Option<Connection>,
    /// The attempt or connection under way.
    task: Option<AbortHandle>,
    /// Attached documents by the name that the server knows.
    pub(super) names: HashMap<String, DocumentId>,
    /// Somebody wants room on the link.
    wanted: Rc<Notify>,
}

impl Shared {
    pub(super) fn peer(&self) -> Option<PeerId> {
        Some(self.connection.as_ref()?.peer)
    }

    /// This is the attempt under way now; the one before is dropped, connection and all.
    pub(super) fn follow(&mut self, task: AbortHandle) {
        if let Some(before) = self.task.replace(task) {
            before.abort();
        }
    }

    pub(super) fn notify(&self) {
        self.wanted.notify_one();
    }

    pub(super) fn send(&mut self, prefix: &[u8], message: &[u8]) -> usize {
        self.connection.as_mut().map_or(0, |connection| connection.send(prefix, message))
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.connection.as_ref().is_some_and(Connection::is_leaving)
    }

    /// A document is attached no more.
    pub(super) fn leave(&mut self, id: &DocumentId) {
        if let Some(connection) = &mut self.connection {
            connection.entries.leave(id);
        }
        if let Some(name) = self.forget(id)
            && let Some(connection) = &mut self.connection
        {
            connection.leave(id, &name, self.names.is_empty());
            self.wanted.notify_one();
        }
    }

    /// It comes back at once.
    pub(super) fn leave_to_return(&mut self, id: &DocumentId) {
        if let Some(name) = self.forget(id)
            && let Some(connection) = &mut self.connection
        {
            connection.leave(id, &name, false);
        }
    }

    /// The server has closed it, or never opened it. A word that it is left would wait there, and
    /// close it when it is opened again.
    pub(super) fn was_closed(&mut self, id: &DocumentId) {
        self.forget(id);
        if let Some(connection) = &mut self.connection {
            connection.is_left(id);
        }
    }

    fn forget(&mut self, id: &DocumentId) -> Option<String> {
        let found = self.names.iter().find(|(_, other)| *other == id);
        let name = found.map(|(name, _)| name.clone())?;
        self.names.remove(&name);
        Some(name)
    }

    pub(super) fn close(&self) {
        if let Some(connection) = &self.connection {
            connection.outbox.close(crate::connection::going_away());
        }
    }
}

impl Link {
    pub(crate) fn dialect(&self) -> Dialect {
        match self.upstream.speaks {
            Messages::Yjs if self.upstream.is_y_sweet() => Dialect::YSweet,
            Messages::Yjs => Dialect::Yjs,
            Messages::Hocuspocus => Dialect::Hocuspocus,
            Messages::Elva => {
                self.shared.connection.as_ref().map_or(Dialect::Elva, |it| it.dialect)
            }
        }
    }

    pub(super) fn shared_prefix(&self, id: &DocumentId) -> Option<Bytes> {
        let name = self.upstream.name_of(id)?;
        Some(match self.upstream.speaks {
            Messages::Hocuspocus => hocuspocus::prefix(&name),
            Messages::Elva | Messages::Yjs => link::prefix(&name),
        })
    }
}

impl Relay {
    /// One attempt, and the connection that comes of it.
    pub(super) async fn run_link(self: Rc<Self>, number: usize) {
        let door = self.state.borrow().above.get(number).map(|link| link.door.clone());
        let Some(mut door) = door else { return };
        let opened = door.open().await;
        if let Some(link) = self.state.borrow_mut().above.get_mut(number) {
            link.door.learn(&door);
        }
        match opened {
            Ok((opened, token)) => self.pump_link(number, opened, token).await,
            Err(closed) => {
                let (failure, reason) = (closed.failure, closed.reason);
                self.link_event(number, Event::Failed { failure, reason });
            }
        }
    }

    async fn pump_link(self: Rc<Self>, number: usize, opened: Opened, token: Token) {
        let Opened { mut reader, writer, is_granted } = opened;
        let speaks = self.state.borrow().above.get(number).map(|link| link.upstream.speaks);
        let (dialect, first) = match (speaks, is_granted) {
            (Some(Messages::Hocuspocus), _) => (Dialect::Hocuspocus, None),
            (_, true) => greeted(&mut reader).await,
            (_, false) => (Dialect::Elva, None),
        };
        let outbox = Outbox::leaving_in(&self.turn, room_bytes());
        let connected = self.with(|state, _| state.connected(number, &outbox, dialect, token));
        let Some((peer, wanted)) = connected else { return };
        self.link_event(number, Event::Connected);
        let has_spoken = Cell::new(dialect == Dialect::Own || first.is_some());
        if let Some(frame) = first {
            self.link_frame(number, peer, &frame).await;
        }
        let take = async |frame| {
            has_spoken.set(true);
            match frame {
                Frame::Binary(bytes) => self.link_frame(number, peer, &bytes).await,
                Frame::Text(_) => self.metrics.reject("text_frame"),
            }
        };
        let give_room = self.give_link_room(number, &outbox, &wanted);
        let ended = tokio::select! {
            ended = pump(reader, writer, &outbox, take) => ended,
            () = give_room => return,
            () = self.tell_signs(number) => return,
        };
        let (code, mut reason) = (ended.code(), ended.to_string());
        if self.with(|state, _| state.was_unneeded(number, code)) {
            return self.link_event(number, Event::Unneeded);
        }
        if let Some(speaks) = speaks.filter(|_| !has_spoken.get()) {
            reason += advice::on_silent_end(speaks, code);
        }
        self.link_event(number, Event::Closed { code, reason });
    }

    /// What a connection says of itself now and then.
    async fn tell_signs(&self, number: usize) {
        loop {
            clock::sleep(limits::COUNT_MS).await;
            let above = &mut self.state.borrow_mut().above;
            let Some(link) = above.get_mut(number) else { return };
            if let Some(connection) = link.shared.connection.as_mut() {
                connection.tell_count();
                connection.keep_alive(clock::now_ms(), &link.shared.names);
            }
        }
    }

    async fn give_link_room(self: &Rc<Self>, number: usize, outbox: &Outbox, wanted: &Notify) {
        let mut pace = Pace::new();
        let wants_room = || {
            let state = self.state.borrow();
            let link = state.above.get(number);
            link.is_some_and(|it| it.shared.is_leaving() || it.machine.wants_room(clock::now_ms()))
        };
        loop {
            wanted.notified().await;
            while wants_room() {
                pace.wait_for_room(outbox).await;
                let before = outbox.bytes();
                self.with(|state, relay| state.link_room(relay, number, pace.bytes_max()));
                pace.pulled(outbox.bytes() - before);
            }
            pace.rest();
        }
    }

    /// A frame of the server, for one of the documents that were attached.
    pub(super) async fn link_frame(self: &Rc<Self>, number: usize, peer: PeerId, frame: &Bytes) {
        self.metrics.received_messages.count();
        self.metrics.received_bytes.add(frame.len() as u64);
        if self.with(|state, _| state.takes_for_itself(number, frame)) {
            return;
        }
        let dialect = self.state.borrow().above.get(number).map(Link::dialect);
        let split = match dialect {
            Some(Dialect::Hocuspocus) => {
                hocuspocus::split(frame).map(|parts| (parts.name, parts.message))
            }
            _ => link::decode(frame),
        };
        let found = split.map(|(name, bytes)| {
            (self.with(|state, relay| state.recall(relay, number, name)), bytes)
        });
        match found {
            Ok((Some(id), bytes)) => {
                let bytes = match dialect {
                    Some(Dialect::Hocuspocus) => self.with(|state, relay| {
                        state.take_from_hocuspocus(relay, number, &id, &bytes)
                    }),
                    _ => Some(bytes),
                };
                let Some(bytes) = bytes else { return };
                self.admit(&id).await;
                if !self.stopping.get() {
                    self.input(&id, Input::Frame { peer, bytes });
                }
            }
            // Whatever comes is asked for when it is attached again.
            Ok((None, _)) => {
                self.metrics.unknown_documents.count();
                self.advise(number, frame);
            }
            Err(error) => {
                self.metrics.reject("link_frame");
                if !self.advise(number, frame) {
                    tracing::warn!(%error, "refused a frame of the upstream");
                }
            }
        }
    }

    /// What a server says that greets in plain Yjs shows that it wants to be spoken to so.
    fn advise(&self, number: usize, frame: &Bytes) -> bool {
        let greets = matches!(wire::messages(frame).next(), Some(Ok(Message::SyncStep1(_))));
        if !greets {
            return false;
        }
        let mut state = self.state.borrow_mut();
        let Some(link) = state.above.get_mut(number) else { return true };
        if link.advice.replace(advice::GREETS).is_none() {
            let upstream = link.door.connector.target();
            tracing::warn!(%upstream, "{}", advice::GREETS);
        }
        true
    }
}

impl State {
    pub(super) fn connected(
        &mut self,
        number: usize,
        outbox: &Outbox,
        dialect: Dialect,
        token: Token,
    ) -> Option<(PeerId, Rc<Notify>)> {
        let peer = self.next_peer();
        let shared = &mut self.above.get_mut(number)?.shared;
        if dialect == Dialect::Own {
            let _ = outbox.push(fellow::hello());
        }
        shared.connection = Some(Connection::new(peer, outbox.clone(), dialect, token));
        shared.wanted = Rc::default();
        Some((peer, shared.wanted.clone()))
    }

    fn takes_for_itself(&mut self, number: usize, frame: &Bytes) -> bool {
        let link = self.above.get_mut(number);
        let connection = link.and_then(|link| link.shared.connection.as_mut());
        connection.is_some_and(|connection| connection.takes_for_itself(frame))
    }

    /// The document of which a server has said something, if only that it denies it. Where that does
    /// not keep documents itself (or may not), somebody may ask for one that has left memory here:
    /// it is loaded again.
    fn recall(&mut self, relay: &Relay, number: usize, name: &str) -> Option<DocumentId> {
        let link = self.above.get(number)?;
        if let Some(id) = link.shared.names.get(name) {
            return Some(id.clone());
        }
        let id = link.upstream.id_of(name)?;
        if link.shared.was_left(&id) {
            return Some(id);
        }
        if link.upstream.speaks != Messages::Elva
            || link.machine.habit() == Habit::Keeps
            || link.machine.parked_because(&id).is_some()
            || !self.stored.contains_key(&id)
            || relay.routes.of(&id) != Some(number)
        {
            return None;
        }
        self.open(relay, &id, Asked::default()).used_at = None;
        Some(id)
    }

    /// The link has room for one message of about so many bytes.
    pub(super) fn link_room(&mut self, relay: &Relay, number: usize, bytes_max: usize) {
        let link = self.above.get_mut(number);
        if let Some(connection) = link.and_then(|link| link.shared.connection.as_mut()) {
            connection.bytes_max = bytes_max;
            if !connection.leave_next() {
                self.link_event(relay, number, Event::Room);
            }
        }
    }

    /// It is the turn of a document to send.
    pub(super) fn pull(&mut self, relay: &Relay, number: usize, document: &DocumentId) {
        let link = self.above.get(number);
        let connection = link.and_then(|link| link.shared.connection.as_ref());
        if let Some(&Connection { peer, bytes_max, .. }) = connection {
            self.input(relay, document, Input::Room { peer, bytes_max });
        }
    }

    /// Attaches a document over the connection for all, where that stands.
    pub(super) fn attach_shared(&mut self, relay: &Relay, number: usize, id: &DocumentId) {
        if let Some(peer) = self.above.get(number).and_then(|link| link.shared.peer()) {
            self.attach_as(relay, number, id, peer);
        }
    }

    pub(super) fn detach_shared(&mut self, relay: &Relay, number: usize) {
        let Some(link) = self.above.get_mut(number) else { return };
        link.shared.names.clear();
        link.shared.connection = None;
        self.documents_of(number).iter().for_each(|id| self.detach_from(relay, id));
    }
}
