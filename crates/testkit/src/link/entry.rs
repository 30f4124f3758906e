//! Being let in to each document of a Hocuspocus server.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use yrelay_core::Millis;
use yrelay_core::event::{Dialect, Input};
use yrelay_core::hocuspocus::{self, Message};
use yrelay_core::id::DocumentId;
use yrelay_core::upstream::Event;

use super::Link;
use crate::network::Network;
use crate::service::Service;

/// How far it has come with that on one connection.
#[derive(Default)]
pub(super) struct Entries {
    /// Those that wait for the answers to others.
    waiting: VecDeque<DocumentId>,
    asked: BTreeSet<DocumentId>,
    /// Those that were left before they were answered.
    left: BTreeSet<DocumentId>,
    denied: BTreeSet<DocumentId>,
    /// Those that were closed, until the server says so or this time.
    closing: BTreeMap<DocumentId, Millis>,
}

/// Small, so that documents wait for each other.
const ENTRIES_AT_ONCE: usize = 1;
const KEEP_ALIVE_MS: Millis = 20_000;
/// So long the server may take to close a document.
pub(super) const CLOSING_MS: Millis = 2_000;

impl Entries {
    pub(super) fn leave(&mut self, id: &DocumentId) {
        if self.asked.remove(id) {
            self.left.insert(id.clone());
        }
        self.waiting.retain(|waiting| waiting != id);
    }

    pub(super) fn closes(&mut self, now: Millis, id: &DocumentId) {
        self.closing.insert(id.clone(), now + CLOSING_MS);
    }

    fn may_enter(&self, id: &DocumentId) -> bool {
        self.asked.len() < ENTRIES_AT_ONCE && !self.closing.contains_key(id)
    }

    /// The next one that may.
    fn next(&mut self, now: Millis) -> Option<DocumentId> {
        self.closing.retain(|_, until| now < *until);
        let next = self.waiting.iter().position(|id| self.may_enter(id))?;
        self.waiting.remove(next)
    }

    /// Somebody waits to be let in.
    pub(super) fn is_busy(&self) -> bool {
        !self.asked.is_empty() || !self.waiting.is_empty()
    }
}

impl Link {
    /// Whether it was left, and the server is to answer.
    pub(super) fn was_left(&self, id: &DocumentId) -> bool {
        let entries = self.connection.as_ref().map(|connection| &connection.entries);
        entries.is_some_and(|it| it.left.contains(id) || it.closing.contains_key(id))
    }

    /// The server has ended the connection because no document was open on it.
    pub(super) fn was_unneeded(&self, code: Option<u16>) -> bool {
        let connection = self.connection.as_ref();
        self.dialect == Dialect::Hocuspocus
            && connection.is_some_and(|connection| !connection.entries.is_busy())
            && self.names.is_empty()
            && matches!(code, Some(4401 | 4408))
    }

    /// It was just closed, and is entered later.
    pub(super) fn is_closing(&self, id: &DocumentId) -> bool {
        self.connection.as_ref().is_some_and(|it| it.entries.closing.contains_key(id))
    }

    /// A document is to be attached over the connection for all. Returns whether it may be now.
    pub(super) fn enters(&mut self, net: &mut Network, id: &DocumentId) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        if self.dialect != Dialect::Hocuspocus {
            return true;
        }
        let entries = &mut connection.entries;
        if !entries.may_enter(id) {
            entries.waiting.push_back(id.clone());
            return false;
        }
        entries.asked.insert(id.clone());
        connection.spoke_at = net.now;
        let prefix = hocuspocus::prefix(&id.to_encoded());
        net.send(connection.end, [&prefix[..], &hocuspocus::token("")].concat().into());
        true
    }

    /// The server closes what says nothing for a minute.
    pub(crate) fn keep_alive(&mut self, net: &mut Network) {
        let Some(connection) = &mut self.connection else { return };
        if self.dialect == Dialect::Hocuspocus
            && net.now >= connection.spoke_at + KEEP_ALIVE_MS
            && let Some(name) = self.names.keys().next()
        {
            connection.spoke_at = net.now;
            let prefix = hocuspocus::prefix(name);
            let frame = [&prefix[..], &hocuspocus::query_awareness()].concat();
            net.send(connection.end, frame.into());
        }
    }

    /// Documents wait to be let in.
    pub(crate) fn is_entering(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.entries.is_busy())
    }
}

impl Service {
    /// Where there is place, the next ones are let in.
    pub(crate) fn enter_next(&mut self, net: &mut Network) {
        loop {
            let link = self.memory().link.as_mut();
            let connection = link.and_then(|link| link.connection.as_mut());
            let Some(entries) = connection.map(|connection| &mut connection.entries) else {
                return;
            };
            let Some(next) = entries.next(net.now) else { return };
            self.attach_upstream(net, &next);
        }
    }

    /// A message of a Hocuspocus server. Returns what of it is Yjs.
    pub(super) fn take_from_hocuspocus(
        &mut self,
        net: &mut Network,
        id: &DocumentId,
        message: &Bytes,
    ) -> Option<Bytes> {
        let decoded = hocuspocus::decode(message).expect("the server sends what parses");
        let connection = self.memory().link.as_mut().and_then(|it| it.connection.as_mut())?;
        if hocuspocus::says_left(&decoded) {
            connection.entries.closing.remove(id);
            self.enter_next(net);
            return None;
        }
        connection.entries.asked.remove(id);
        connection.entries.left.remove(id);
        let peer = connection.peer;
        let event = match decoded {
            Message::Yjs(message) => {
                self.enter_next(net);
                return Some(message);
            }
            Message::Granted { read_only } => {
                self.input(net, id, Input::Granted { peer, read_only });
                None
            }
            Message::SyncStatus(true) => None,
            Message::Denied { reason } => {
                connection.entries.denied.insert(id.clone());
                Some(Event::Refused { document: id.clone(), reason })
            }
            Message::Closed { reason } => Some(Event::LetGo { document: id.clone(), reason }),
            other => panic!("{id}: {other:?} came down"),
        };
        if let Some(event) = event {
            self.link_event(net, event);
        }
        self.enter_next(net);
        None
    }

    /// Who left a document is still seen there: it is left, and entered anew.
    pub(crate) fn reopen(&mut self, net: &mut Network, id: &DocumentId) {
        let Some(link) = &mut self.memory().link else { return };
        let Some(connection) = &mut link.connection else { return };
        link.names.remove(&id.to_encoded());
        connection.entries.leave(id);
        connection.entries.closes(net.now, id);
        let prefix = hocuspocus::prefix(&id.to_encoded());
        net.send(connection.end, [&prefix[..], &hocuspocus::leave()].concat().into());
        let peer = connection.peer;
        self.input(net, id, Input::Detach { peer });
        self.attach_upstream(net, id);
    }

    /// A document may try again. Older servers remember for as long as the connection lasts that
    /// they have denied it. Returns whether the connection is opened anew for that.
    pub(super) fn hangs_up_for_denied(&mut self, net: &mut Network, id: &DocumentId) -> bool {
        let link = self.memory().link.as_ref();
        let connection = link.and_then(|link| link.connection.as_ref());
        let denied = connection.filter(|connection| connection.entries.denied.contains(id));
        if let Some(connection) = denied
            && !net.is_over(connection.end)
        {
            net.hang_up(connection.end, 1000);
        }
        denied.is_some()
    }
}
