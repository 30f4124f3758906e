//! One connection to the server: how it speaks, and what is counted on it.

use bytes::Bytes;
use yrelay_core::event::Dialect;
use yrelay_core::fellow::{self, Counts};
use yrelay_core::id::PeerId;

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
}

impl Connection {
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
