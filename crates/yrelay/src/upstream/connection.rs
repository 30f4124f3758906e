//! One connection to the server: how it speaks, and what is counted on it.

use std::collections::BTreeSet;

use bytes::Bytes;
use yrelay_core::event::Dialect;
use yrelay_core::fellow::{self, Counts};
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::link;

use crate::outbox::Outbox;
use crate::ws::{Frame, Incoming, Reader};
use crate::{clock, limits};

/// One connection.
pub(super) struct Connection {
    pub(super) peer: PeerId,
    pub(super) outbox: Outbox,
    pub(super) dialect: Dialect,
    pub(super) counts: Counts,
    /// About so large may the next message be.
    pub(super) bytes_max: usize,
    /// Documents that are still to be left, as there is room: thousands may go at once.
    leaving: BTreeSet<DocumentId>,
}

impl Connection {
    pub(super) fn new(peer: PeerId, outbox: Outbox, dialect: Dialect) -> Self {
        let (counts, leaving) = (Counts::default(), BTreeSet::new());
        Self { peer, outbox, dialect, counts, bytes_max: 0, leaving }
    }

    /// A document is attached no more.
    pub(super) fn leave(&mut self, id: &DocumentId) {
        if self.dialect == Dialect::Own {
            self.leaving.insert(id.clone());
        }
    }

    /// It is to be attached again: what was said of it before is over.
    pub(super) fn come_back(&mut self, id: &DocumentId) {
        if self.leaving.remove(id) {
            self.say_leave(id);
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// There is room for a message. Returns whether it was taken to leave a document.
    pub(super) fn leave_next(&mut self) -> bool {
        let next = self.leaving.pop_first();
        next.inspect(|id| self.say_leave(id)).is_some()
    }

    fn say_leave(&mut self, id: &DocumentId) {
        self.send(&link::prefix(&id.to_encoded()), &fellow::leave());
    }

    /// It was given room, so the queue takes it.
    pub(super) fn send(&mut self, prefix: &[u8], message: &[u8]) -> usize {
        if fellow::is_ask(message) {
            // Nobody says that all is saved while something has got lost.
            self.tell_count();
        }
        self.counts.sent();
        let frame = [prefix, message].concat();
        let bytes = frame.len();
        let _ = self.outbox.push(frame.into());
        bytes
    }

    pub(super) fn tell_count(&mut self) {
        if self.dialect == Dialect::Own
            && let Some(count) = self.counts.tell()
        {
            let _ = self.outbox.push(count);
        }
    }
}

/// Whether a server that has granted our subprotocol speaks it, which it says at once; and what
/// else it said first.
pub(super) async fn greeted(reader: &mut Reader) -> (Dialect, Option<Bytes>) {
    let first = async {
        loop {
            match reader.next().await {
                Ok(Incoming::Frame(Frame::Binary(bytes))) => return Some(bytes),
                Ok(Incoming::Control) => {}
                Ok(Incoming::Frame(Frame::Text(_)) | Incoming::Closed(_)) | Err(_) => return None,
            }
        }
    };
    match clock::timeout(limits::HELLO_MS, first).await.flatten() {
        Some(frame) if fellow::is_hello(&frame) => (Dialect::Own, None),
        other => (Dialect::Elva, other),
    }
}
