//! A connection to the server for each document.

use bytes::Bytes;
use yrelay_core::event::{Dialect, Input};
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::upstream::{Event, Failure, LineAction, LineEvent, LinkState};
use yrelay_core::{Millis, limits};

use super::{Link, OUTBOX_MESSAGES_MAX};
use crate::account::Account;
use crate::network::{self, End, Network, Packet};
use crate::server::{Foreign, Mode};
use crate::service::{Service, Timer};

/// One document's connection, or the attempt to open it.
#[derive(Default)]
pub(super) struct Line {
    /// None once that has ended.
    attempt: Option<u64>,
    connection: Option<Connection>,
}

struct Connection {
    peer: PeerId,
    end: End,
    /// In the network's time.
    opened_at: Millis,
    /// The document has something to send.
    ready: bool,
    /// Room will be given.
    room_due: bool,
    /// What went up, where the server answers as ELVA's.
    account: Option<Account>,
}

/// Which connection an attempt is to open.
pub(crate) enum Which {
    Shared,
    Line(DocumentId),
}

impl Line {
    pub(super) fn opened_at(&self) -> Option<Millis> {
        Some(self.connection.as_ref()?.opened_at)
    }
}

impl Link {
    pub(crate) fn has_lines(&self) -> bool {
        matches!(self.dialect, Dialect::Yjs | Dialect::YSweet)
    }

    /// All connections of documents of their own.
    fn connections(&self) -> impl Iterator<Item = (&DocumentId, &Connection)> {
        self.lines.iter().filter_map(|(id, line)| Some((id, line.connection.as_ref()?)))
    }

    fn connection_of(&mut self, id: &DocumentId) -> Option<&mut Connection> {
        self.lines.get_mut(id)?.connection.as_mut()
    }

    pub(crate) fn line_at(&self, end: End) -> Option<DocumentId> {
        let mut found = self.connections().filter(|(_, connection)| connection.end == end);
        found.next().map(|(id, _)| id.clone())
    }

    pub(crate) fn is_peer(&self, peer: PeerId) -> bool {
        self.peer() == Some(peer) || self.connections().any(|(_, it)| it.peer == peer)
    }

    /// Our ends of all connections.
    pub(crate) fn ends(&self) -> Vec<End> {
        let lines = self.connections().map(|(_, connection)| connection.end);
        self.end().into_iter().chain(lines).collect()
    }

    /// Our end of the connection over which a document goes.
    pub(crate) fn end_of(&self, id: &DocumentId) -> Option<End> {
        match self.has_lines() {
            true => self.lines.get(id)?.connection.as_ref().map(|it| it.end),
            false => self.end(),
        }
    }

    /// Whether what takes documents that nobody uses does so from now on, or no more.
    pub(crate) fn begins_or_ends_offers(&mut self) -> bool {
        let takes = self.machine.takes_offers();
        std::mem::replace(&mut self.is_offered, takes) != takes
    }

    /// The attempt that this is, if it is waited for.
    pub(super) fn attempt_of(&self, attempt: u64) -> Option<Which> {
        if self.attempt == Some(attempt) {
            return Some(Which::Shared);
        }
        let mut lines = self.lines.iter().filter(|(_, line)| line.attempt == Some(attempt));
        lines.next().map(|(id, _)| Which::Line(id.clone()))
    }

    pub(super) fn line_account(&self, id: &DocumentId) -> Option<&Account> {
        self.lines.get(id)?.connection.as_ref()?.account.as_ref()
    }

    pub(super) fn line_account_mut(&mut self, id: &DocumentId) -> Option<&mut Account> {
        self.connection_of(id)?.account.as_mut()
    }

    pub(super) fn send_line(&mut self, net: &mut Network, id: &DocumentId, message: &Bytes) {
        let Some(connection) = self.connection_of(id) else { return };
        assert!(
            net.waiting(connection.end) < OUTBOX_MESSAGES_MAX,
            "{id}: a message went up without being given room"
        );
        net.send(connection.end, message.clone());
    }

    /// What it says of itself is so.
    pub(super) fn assert_lines_truthful(&self, now: Millis) {
        let opening = self.lines.values().filter(|line| line.attempt.is_some()).count();
        let open = self.connections().count();
        match self.machine.state() {
            LinkState::Online => {}
            // (Or more, if those were begun while another stood.)
            LinkState::Connecting => assert!(opening > 0 && open == 0, "{opening}, {open}"),
            LinkState::Idle => assert_eq!((opening, open), (0, 0), "nobody needs it"),
            LinkState::Offline { next_try } | LinkState::Unauthorized { next_try } => {
                // (One that is busy may have let in others before.)
                assert!(next_try >= now, "nobody tries at {now}");
            }
        }
        assert!(opening <= limits::UPSTREAM_OPENING_MAX, "{opening} at once");
    }
}

impl Service {
    /// Whether it waits for this attempt to connect, and to what.
    pub(crate) fn awaits(&self, attempt: u64) -> Option<Which> {
        self.memory.as_ref()?.link.as_ref()?.attempt_of(attempt)
    }

    /// Its ends of all connections upwards.
    pub(crate) fn ends_up(&self) -> Vec<End> {
        let link = self.memory.as_ref().and_then(|memory| memory.link.as_ref());
        link.map(Link::ends).unwrap_or_default()
    }

    /// Whether all that is to be there stands: nothing for what does not.
    pub(crate) fn ways_up(&self) -> Vec<Option<End>> {
        let Some(memory) = &self.memory else { return vec![None] };
        let Some(link) = &memory.link else { return Vec::new() };
        if link.has_lines() {
            let lines = memory.documents.keys().map(|id| link.end_of(id));
            // (Who is not let in may have nobody left who tries.)
            return lines.chain((!link.machine.takes_offers()).then_some(None)).collect();
        }
        let is_idle = link.machine.state() == LinkState::Idle;
        let end = (!is_idle).then(|| link.end().filter(|_| !link.is_entering()));
        end.into_iter().collect()
    }

    fn line_event(&mut self, net: &mut Network, document: DocumentId, event: LineEvent) {
        self.link_event(net, Event::Line { document, event });
    }

    pub(super) fn want_line(&mut self, net: &mut Network, id: &DocumentId) {
        self.line_event(net, id.clone(), LineEvent::Wanted);
    }

    /// A document has left memory.
    pub(crate) fn unwant_line(&mut self, net: &mut Network, id: &DocumentId) {
        if self.memory().link.as_ref().is_some_and(Link::has_lines) {
            self.line_event(net, id.clone(), LineEvent::Unwanted);
        }
    }

    pub(super) fn act_on_line(&mut self, net: &mut Network, id: &DocumentId, action: LineAction) {
        match action {
            LineAction::Open => {
                let Some(link) = &mut self.memory().link else { return };
                let tries = link.lines.values().any(|line| line.attempt.is_some());
                let in_question = link.machine.state() == LinkState::Connecting;
                assert!(!in_question || !tries, "{id}: another one tries");
                link.attempts += 1;
                let line = Line { attempt: Some(link.attempts), connection: None };
                let timer = Timer::Connect(link.attempts);
                let before = link.lines.insert(id.clone(), line);
                assert!(before.is_none_or(|it| it.connection.is_none()), "{id}: opened twice");
                let wait = net.random.upto(200);
                self.after(net, wait, timer);
            }
            LineAction::HangUp => {
                self.detach_line(net, id);
                self.memory().link.as_mut().and_then(|link| link.lines.remove(id));
            }
            LineAction::Attach => {
                let is_elva = self.server == Some(Mode::Foreign(Foreign::Elva37 { keeps: true }));
                let Some(link) = &mut self.memory().link else { return };
                let (habit, dialect) = (link.machine.habit(), link.dialect);
                let Some(connection) = link.connection_of(id) else { return };
                connection.account = is_elva.then(|| Account::new(habit, true));
                let peer = connection.peer;
                self.input(net, id, Input::AttachUpstream { peer, habit, dialect });
                self.offer_next(net);
            }
            LineAction::Detach => self.detach_line(net, id),
        }
    }

    /// Drops a document's connection.
    pub(super) fn detach_line(&mut self, net: &mut Network, id: &DocumentId) {
        let link = self.memory().link.as_mut();
        let line = link.and_then(|link| link.lines.get_mut(id));
        let Some(Connection { peer, end, .. }) = line.and_then(|line| line.connection.take())
        else {
            return;
        };
        if !net.is_over(end) {
            net.close(end, None);
        }
        net.abandon(end);
        self.input(net, id, Input::Detach { peer });
    }

    /// An attempt has ended; here is the connection, if it succeeded.
    pub(crate) fn line_connected(
        &mut self,
        net: &mut Network,
        id: DocumentId,
        end: Result<End, Failure>,
    ) {
        let (peer, opened_at) = (self.next_peer(), net.now);
        let link = self.memory().link.as_mut();
        let Some(line) = link.and_then(|link| link.lines.get_mut(&id)) else { return };
        line.attempt = None;
        let event = match end {
            Ok(end) => {
                line.connection = Some(Connection {
                    peer,
                    end,
                    opened_at,
                    ready: false,
                    room_due: false,
                    account: None,
                });
                LineEvent::Opened
            }
            Err(failure) => LineEvent::Failed { failure, reason: "refused".into() },
        };
        self.line_event(net, id, event);
    }

    pub(crate) fn line_packet(&mut self, net: &mut Network, end: End, id: DocumentId) {
        if self.holds_back(net, end, &id) {
            return;
        }
        let peer = self.memory().link.as_mut().and_then(|link| link.connection_of(&id));
        let Some(peer) = peer.map(|it| it.peer) else { return };
        match net.take(end) {
            Some(Packet::Frame(bytes)) => {
                self.note_heard(net, &id, &bytes);
                self.input(net, &id, Input::Frame { peer, bytes });
            }
            Some(Packet::Garbage(bytes)) => self.garbage_for(net, &id, peer, &bytes),
            Some(Packet::Closed(code)) => {
                self.line_event(net, id, LineEvent::Closed { code, reason: "gone".into() });
            }
            None => {}
        }
    }

    /// Something is to be sent over it, as soon as it has room.
    pub(crate) fn line_ready(&mut self, net: &mut Network, id: &DocumentId) {
        let link = self.memory().link.as_mut();
        if let Some(connection) = link.and_then(|link| link.connection_of(id)) {
            connection.ready = true;
            plan_room(net, connection);
        }
    }

    pub(crate) fn line_room(&mut self, net: &mut Network, id: &DocumentId) {
        let link = self.memory().link.as_mut();
        let Some(connection) = link.and_then(|link| link.connection_of(id)) else { return };
        connection.room_due = false;
        if net.waiting(connection.end) >= OUTBOX_MESSAGES_MAX {
            return plan_room(net, connection);
        }
        if std::mem::take(&mut connection.ready) {
            let peer = connection.peer;
            let bytes_max = limits::CHUNK_BYTES_MAX >> net.random.upto(5);
            self.input(net, id, Input::Room { peer, bytes_max });
        }
    }
}

fn plan_room(net: &mut Network, connection: &mut Connection) {
    if connection.ready && !std::mem::replace(&mut connection.room_due, true) {
        let at = net.room_at(connection.end, OUTBOX_MESSAGES_MAX);
        net.at(at, network::Event::Room(connection.end));
    }
}
