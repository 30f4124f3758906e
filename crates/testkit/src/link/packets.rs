//! What comes over a link from the server.

use bytes::Bytes;
use yrelay_core::close::CloseReason;
use yrelay_core::event::{Dialect, Habit, Input};
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::upstream::Event;
use yrelay_core::{hocuspocus, link};

use super::Link;
use crate::account::Account;
use crate::garbage::{Fate, Garbage};
use crate::network::{End, Network, Packet};
use crate::server::Mode;
use crate::service::Service;

impl Link {
    /// What went up for a document on the present connection.
    pub(crate) fn account(&self, id: &DocumentId) -> Option<&Account> {
        match &self.connection {
            Some(connection) => connection.accounts.get(id),
            None => self.line_account(id),
        }
    }

    /// See [`Link::account`].
    pub(crate) fn account_mut(&mut self, id: &DocumentId) -> Option<&mut Account> {
        if self.has_lines() {
            return self.line_account_mut(id);
        }
        self.connection.as_mut()?.accounts.get_mut(id)
    }
}

impl Service {
    pub(crate) fn link_packet(&mut self, net: &mut Network, end: End) {
        let dialect = self.dialect();
        let target = match net.peek(end) {
            Some(Packet::Frame(frame) | Packet::Garbage(frame)) => {
                split(dialect, &frame).and_then(|(name, _)| self.recall(net, name))
            }
            _ => None,
        };
        if let Some(id) = &target
            && self.holds_back(net, end, id)
        {
            return;
        }
        let taken = net.take(end);
        if let Some(Packet::Frame(frame)) = &taken
            && dialect == Dialect::Own
            && let Some(connection) =
                self.memory().link.as_mut().and_then(|l| l.connection.as_mut())
        {
            match connection.counts.received(frame) {
                Ok(false) => {}
                Ok(true) => return,
                Err(_) => return net.hang_up(end, CloseReason::FramesLost.code()),
            }
        }
        match (taken, target) {
            (Some(Packet::Frame(frame)), Some(id)) => self.link_frame(net, &id, &frame),
            (Some(Packet::Garbage(frame)), id) => self.link_garbage(net, id, &frame),
            (Some(Packet::Closed(code)), _) => {
                let memory = self.memory();
                let link = memory.link.as_ref();
                let unneeded =
                    memory.offers.is_empty() && link.is_some_and(|it| it.was_unneeded(code));
                let event = match unneeded {
                    true => Event::Unneeded,
                    false => Event::Closed { code, reason: "gone".into() },
                };
                self.link_event(net, event);
            }
            // Its document has left memory.
            (Some(Packet::Frame(_)), None) | (None, _) => {}
        }
    }

    /// The document of which the server says something. If that does not keep documents, one that
    /// has left memory is loaded again.
    fn recall(&mut self, net: &mut Network, name: &str) -> Option<DocumentId> {
        let memory = self.memory();
        let link = memory.link.as_ref()?;
        if let Some(id) = link.names.get(name) {
            return Some(id.clone());
        }
        let id = DocumentId::from_encoded(name).ok()?;
        if link.was_left(&id) {
            return Some(id);
        }
        let keeps = link.machine.habit() == Habit::Keeps || link.dialect == Dialect::Hocuspocus;
        if keeps || link.machine.parked_because(&id).is_some() || !memory.stored.contains_key(&id) {
            return None;
        }
        self.open(net, &id);
        Some(id)
    }

    fn link_frame(&mut self, net: &mut Network, id: &DocumentId, frame: &Bytes) {
        let dialect = self.dialect();
        let (_, mut bytes) = split(dialect, frame).expect("the server frames what it sends");
        if dialect == Dialect::Hocuspocus {
            match self.take_from_hocuspocus(net, id, &bytes) {
                Some(message) => bytes = message,
                None => return,
            }
        }
        self.note_heard(net, id, &bytes);
        let Some(peer) = self.memory().link.as_ref().and_then(Link::peer) else { return };
        self.input(net, id, Input::Frame { peer, bytes });
    }

    /// The server says something of a document.
    pub(super) fn note_heard(&mut self, net: &Network, id: &DocumentId, message: &Bytes) {
        let now = self.now(net);
        let memory = self.memory.as_mut().expect("the service runs");
        if let Some(account) = memory.link.as_mut().and_then(|link| link.account_mut(id)) {
            account.hears(now, message, || self.disk.replica(id));
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.server.map_or(Dialect::Elva, Mode::dialect)
    }

    pub(crate) fn tell_count_up(&mut self, net: &mut Network) {
        let is_own = self.dialect() == Dialect::Own;
        let Some(link) = &mut self.memory().link else { return };
        link.keep_alive(net);
        if let Some(connection) = link.connection.as_mut().filter(|_| is_own)
            && let Some(count) = connection.counts.tell()
        {
            net.send(connection.end, count);
        }
    }

    /// It is refused and counted, and nothing else happens.
    fn link_garbage(&mut self, net: &mut Network, id: Option<DocumentId>, frame: &Bytes) {
        let dialect = self.dialect();
        let fate = Garbage::fate(dialect, frame);
        let Some(link) = &self.memory().link else { return };
        let Some(peer) = link.peer() else { return };
        let is_for = |id: &DocumentId| link.names.contains_key(&id.to_encoded());
        let is_told = !matches!(fate, Fate::Frame | Fate::Stranger);
        let Some(id) = id.filter(|id| is_told && is_for(id)) else {
            self.refused += 1;
            return;
        };
        let (_, mut bytes) = split(dialect, frame).expect("it has a sound prefix");
        if dialect == Dialect::Hocuspocus {
            bytes = self.take_from_hocuspocus(net, &id, &bytes).expect("a message in Yjs");
        }
        self.garbage_for(net, &id, peer, &bytes);
        assert_eq!(self.link().map(|_| peer), self.memory().link.as_ref().and_then(Link::peer));
    }

    /// See [`Service::link_garbage`].
    pub(super) fn garbage_for(
        &mut self,
        net: &mut Network,
        id: &DocumentId,
        peer: PeerId,
        bytes: &Bytes,
    ) {
        let Some(slot) = self.memory().documents.get_mut(id) else { return };
        slot.garbage += 1;
        // It may wait until the server has shown its history, and is refused then.
        let (loaded, may_wait) = (slot.loaded, slot.document.history().is_known());
        let appended = slot.appended.clone();
        let refused = self.refused;
        self.input(net, id, Input::Frame { peer, bytes: bytes.clone() });
        let is_refused = self.refused == refused + 1;
        let waits = may_wait && self.memory().documents[id].appended == appended;
        assert!(!loaded || is_refused || waits, "{id}: garbage was taken: {bytes:?}");
    }
}

/// The document of a frame, and what it says.
fn split(dialect: Dialect, frame: &Bytes) -> Option<(&str, Bytes)> {
    match dialect {
        Dialect::Hocuspocus => {
            hocuspocus::split(frame).ok().map(|parts| (parts.name, parts.message))
        }
        _ => link::decode(frame).ok(),
    }
}
