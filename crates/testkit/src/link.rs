//! A service's link to the server: the core's `Upstream`, driven as yrelay's shell drives it.

mod checks;
mod entry;
mod lines;
mod packets;

use std::collections::BTreeMap;

use bytes::Bytes;
use yrelay_core::event::{Dialect, Input};
use yrelay_core::fellow::{self, Counts};
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::upstream::{Action, Connections, Event, Failure, LinkState, Upstream};
use yrelay_core::wire;
use yrelay_core::{Millis, hocuspocus, limits, link};

use crate::account::Account;
use crate::network::{self, End, Network};
use crate::refused::Refused;
use crate::server::Mode;
use crate::service::{Service, Timer};

use entry::{CLOSING_MS, Entries};
use lines::Line;

pub(crate) use lines::Which;

pub(crate) struct Link {
    pub(crate) machine: Upstream,
    dialect: Dialect,
    /// The connection for all documents.
    connection: Option<Connection>,
    /// Those for one each.
    lines: BTreeMap<DocumentId, Line>,
    /// Documents are offered over them.
    is_offered: bool,
    names: BTreeMap<String, DocumentId>,
    attempts: u64,
    /// The attempt to connect that is under way.
    attempt: Option<u64>,
    refused: Refused,
}

/// One connection.
struct Connection {
    peer: PeerId,
    end: End,
    /// In the network's time.
    opened_at: Millis,
    /// Room will be given.
    room_due: bool,
    counts: Counts,
    accounts: BTreeMap<DocumentId, Account>,
    /// Who is let in, where that is asked for each document.
    entries: Entries,
    /// When something was last sent.
    spoke_at: Millis,
}

/// Small, so that documents wait for their turn.
const OUTBOX_MESSAGES_MAX: usize = 2;

impl Link {
    pub(crate) fn new(now: Millis, seed: u64, server: Mode) -> Self {
        let connections = match server.has_lines() {
            true => Connections::Separate,
            false => Connections::Shared,
        };
        Self {
            machine: Upstream::new(now, seed, connections),
            dialect: server.dialect(),
            connection: None,
            lines: BTreeMap::new(),
            is_offered: false,
            names: BTreeMap::new(),
            attempts: 0,
            attempt: None,
            refused: Refused::default(),
        }
    }

    pub(crate) fn end(&self) -> Option<End> {
        self.connection.as_ref().map(|connection| connection.end)
    }

    pub(crate) fn peer(&self) -> Option<PeerId> {
        self.connection.as_ref().map(|connection| connection.peer)
    }

    /// A document has left memory, or is kept off the link. Returns whether it was attached.
    pub(crate) fn forget(&mut self, net: &mut Network, id: &DocumentId) -> bool {
        let name = id.to_encoded();
        let was_attached = self.names.remove(&name).is_some();
        if let Some(connection) = &mut self.connection {
            connection.accounts.remove(id);
            connection.entries.leave(id);
            let leave = match self.dialect {
                Dialect::Own => [&link::prefix(&name)[..], &fellow::leave()].concat(),
                // Version 2 ends a connection with its last document.
                Dialect::Hocuspocus if self.names.is_empty() => return was_attached,
                Dialect::Hocuspocus => {
                    [&hocuspocus::prefix(&name)[..], &hocuspocus::leave()].concat()
                }
                Dialect::Elva | Dialect::Yjs | Dialect::YSweet => return was_attached,
            };
            if was_attached {
                if self.dialect == Dialect::Hocuspocus {
                    connection.entries.closes(net.now, id);
                }
                connection.counts.sent();
                net.send(connection.end, leave.into());
            }
        }
        was_attached
    }
}

impl Connection {
    fn drop(self, net: &mut Network) {
        if !net.is_over(self.end) {
            net.close(self.end, None);
        }
        net.abandon(self.end);
    }
}

impl Service {
    /// Its end of the connection for all documents.
    pub(crate) fn link(&self) -> Option<End> {
        self.memory.as_ref()?.link.as_ref()?.end()
    }

    /// A document is kept off its link.
    pub(crate) fn is_parked(&self) -> bool {
        let link = self.memory.as_ref().and_then(|memory| memory.link.as_ref());
        link.is_some_and(|link| link.machine.parked().next().is_some())
    }

    /// An attempt to connect has ended; here is the connection, if it succeeded.
    pub(crate) fn connected(&mut self, net: &mut Network, end: Result<End, Failure>) {
        let Some(link) = &mut self.memory().link else { return };
        link.attempt = None;
        let end = match end {
            Ok(end) => end,
            Err(failure) => {
                let event = Event::Failed { failure, reason: "refused".into() };
                self.link_event(net, event);
                return;
            }
        };
        let (peer, opened_at) = (self.next_peer(), net.now);
        let Some(link) = &mut self.memory().link else { return };
        link.connection = Some(Connection {
            peer,
            end,
            opened_at,
            room_due: false,
            counts: Counts::default(),
            accounts: BTreeMap::new(),
            entries: Entries::default(),
            spoke_at: opened_at,
        });
        self.link_event(net, Event::Connected);
    }

    /// Another login is there: where the last one was refused, it is tried at once.
    pub(crate) fn change_login(&mut self, net: &mut Network) {
        let Some(link) = &self.memory().link else { return };
        let refused = matches!(link.machine.state(), LinkState::Unauthorized { .. });
        self.link_event(net, Event::LoginChanged);
        let Some(link) = &self.memory().link else { return };
        // (With a connection for each document: if any needs one.)
        let tries = link.attempt.is_some() || link.has_lines();
        assert!(!refused || tries, "another login is there, and nobody tries it");
    }

    pub(crate) fn link_event(&mut self, net: &mut Network, event: Event) {
        let (number, now) = (self.number, self.now(net));
        let Some(link) = &mut self.memory().link else { return };
        if !matches!(event, Event::Room | Event::Ready { .. }) {
            net.note(|| format!("link of service {number} < {event:?}"));
        }
        if !link.has_lines() {
            link.refused.note(now, &event);
        }
        let mut actions = Vec::new();
        link.machine.handle(now, event, &mut actions);
        if actions.contains(&Action::Connect) {
            link.refused.assert_over(now);
        }
        for action in actions {
            self.act(net, action);
        }
        self.plan_room(net);
        self.plan_offers(net);
    }

    /// Room is given as soon as the queue has some, but not in the same turn.
    fn plan_room(&mut self, net: &mut Network) {
        let now = self.now(net);
        let Some(link) = &mut self.memory().link else { return };
        if let Some(connection) = &mut link.connection
            && link.machine.wants_room(now)
            && !std::mem::replace(&mut connection.room_due, true)
        {
            let at = net.room_at(connection.end, OUTBOX_MESSAGES_MAX);
            net.at(at, network::Event::Room(connection.end));
        }
    }

    pub(crate) fn link_room(&mut self, net: &mut Network, end: End) {
        let now = self.now(net);
        let Some(link) = &mut self.memory().link else { return };
        if let Some(connection) = &mut link.connection {
            connection.room_due = false;
        }
        if link.machine.wants_room(now) && net.waiting(end) < OUTBOX_MESSAGES_MAX {
            self.link_event(net, Event::Room);
        } else {
            self.plan_room(net);
        }
    }

    fn act(&mut self, net: &mut Network, action: Action) {
        match action {
            Action::Connect => {
                if let Some(link) = &mut self.memory().link {
                    if let Some(connection) = link.connection.take() {
                        connection.drop(net);
                    }
                    link.attempts += 1;
                    link.attempt = Some(link.attempts);
                    let timer = Timer::Connect(link.attempts);
                    let wait = net.random.upto(200);
                    self.after(net, wait, timer);
                }
            }
            Action::Attach => {
                let memory = self.memory();
                let ids: Vec<DocumentId> = memory.documents.keys().cloned().collect();
                for id in ids {
                    self.attach_upstream(net, &id);
                }
                self.offer_begin(net);
            }
            Action::Detach => self.detach_upstream(net),
            Action::Line { document, action } => self.act_on_line(net, &document, action),
            Action::Pull { document } => {
                if let Some(peer) = self.memory().link.as_ref().and_then(Link::peer) {
                    // As fast or slow as the link may be.
                    let bytes_max = limits::CHUNK_BYTES_MAX >> net.random.upto(5);
                    self.input(net, &document, Input::Room { peer, bytes_max });
                }
            }
            Action::Park { document } => {
                net.note(|| format!("{document} is parked"));
                let Some(link) = &mut self.memory().link else { return };
                if link.has_lines() {
                    self.detach_line(net, &document);
                    return;
                }
                let Some(peer) = link.peer() else { return };
                if link.forget(net, &document) {
                    self.input(net, &document, Input::Detach { peer });
                }
            }
            Action::Unpark { document } => {
                if self.hangs_up_for_denied(net, &document) {
                    return;
                }
                self.attach_upstream(net, &document);
                self.memory().offers.again(&document);
                self.offer_next(net);
            }
            Action::WakeAt { at } => {
                let at = self.in_net_time(at);
                net.at(at, network::Event::Service(self.number, self.life, Timer::Link));
            }
        }
    }

    /// Attaches a document to the upstream, if that is here and takes it.
    pub(crate) fn attach_upstream(&mut self, net: &mut Network, id: &DocumentId) {
        let keeps = self.server == Some(Mode::Persistent);
        let dialect = self.dialect();
        let memory = self.memory();
        let Some(link) = &mut memory.link else { return };
        if link.machine.parked_because(id).is_some() || !memory.documents.contains_key(id) {
            return;
        }
        if link.has_lines() {
            self.want_line(net, id);
            return;
        }
        if link.connection.is_none() {
            return self.link_event(net, Event::Wanted);
        }
        if !link.enters(net, id) {
            if link.is_closing(id) {
                self.after(net, CLOSING_MS, Timer::Link);
            }
            return;
        }
        let Some(connection) = &mut link.connection else { return };
        link.names.insert(id.to_encoded(), id.clone());
        if dialect == Dialect::Elva {
            connection.accounts.insert(id.clone(), Account::new(link.machine.habit(), keeps));
        }
        let peer = connection.peer;
        let input = Input::AttachUpstream { peer, habit: link.machine.habit(), dialect };
        self.input(net, id, input);
    }

    fn detach_upstream(&mut self, net: &mut Network) {
        let memory = self.memory();
        memory.offers.end();
        let Some(link) = &mut memory.link else { return };
        link.names.clear();
        let Some(connection) = link.connection.take() else { return };
        let peer = connection.peer;
        connection.drop(net);
        let ids: Vec<DocumentId> = memory.documents.keys().cloned().collect();
        for id in ids {
            self.input(net, &id, Input::Detach { peer });
        }
    }

    /// A document was given room and makes use of it.
    pub(crate) fn send_up(&mut self, net: &mut Network, id: &DocumentId, message: &Bytes) {
        let now = self.now(net);
        let memory = self.memory();
        let slot = memory.documents.get(id).expect("it has just been given room");
        let incomplete = slot.document.standing().incomplete;
        let Some(link) = memory.link.as_mut() else { return };
        let mut messages = wire::messages(message);
        let first = messages.next().expect("a message").expect("the relay sends what parses");
        let is_one = messages.next().is_none() || message == wire::QUERY;
        assert!(is_one, "servers read one message of a frame");
        if let Some(account) = link.account_mut(id) {
            account.sends(now, id, first, incomplete);
        }
        if link.has_lines() {
            return link.send_line(net, id, message);
        }
        let dialect = link.dialect;
        let Some(connection) = &mut link.connection else { return };
        let end = connection.end;
        assert!(
            net.waiting(end) < OUTBOX_MESSAGES_MAX,
            "{id}: a message went up without being given room"
        );
        if fellow::is_ask(message)
            && let Some(count) = connection.counts.tell()
        {
            net.send(end, count);
        }
        connection.counts.sent();
        connection.spoke_at = now;
        let name = id.to_encoded();
        let prefix = match dialect {
            Dialect::Hocuspocus => hocuspocus::prefix(&name),
            _ => link::prefix(&name),
        };
        net.send(end, [&prefix[..], message].concat().into());
    }
}
