//! One connection for all documents: how the server speaks, and what is counted on it.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use yrelay_core::close::CloseReason;
use yrelay_core::event::Dialect;
use yrelay_core::fellow::{self, Counts};
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::{hocuspocus, link};

use super::attempt::Token;
use super::entry::Entries;
use crate::outbox::Outbox;
use crate::ws::{Close, Frame, Incoming, Reader};
use crate::{clock, limits};

/// One connection.
pub(super) struct Connection {
    pub(super) peer: PeerId,
    pub(super) outbox: Outbox,
    pub(super) dialect: Dialect,
    counts: Counts,
    /// Who is let in, where that is asked for each document.
    pub(super) entries: Entries,
    /// About so large may the next message be.
    pub(super) bytes_max: usize,
    /// Documents that are still to be left, as there is room: thousands may go at once. By the
    /// name that the server knows.
    leaving: BTreeMap<DocumentId, String>,
    /// When something was last sent.
    spoke_at: u64,
}

impl Connection {
    pub(super) fn new(peer: PeerId, outbox: Outbox, dialect: Dialect, token: Token) -> Self {
        Self {
            peer,
            outbox,
            dialect,
            counts: Counts::default(),
            entries: Entries::new(token),
            bytes_max: 0,
            leaving: BTreeMap::new(),
            spoke_at: clock::now_ms(),
        }
    }

    /// A document is attached no more. The last one stays open on a Hocuspocus server: version 2
    /// ends a connection with it, which looked as if the document was to blame.
    pub(super) fn leave(&mut self, id: &DocumentId, name: &str, is_last: bool) {
        let says_so = match self.dialect {
            Dialect::Own => true,
            Dialect::Hocuspocus => !is_last,
            Dialect::Elva | Dialect::Yjs | Dialect::YSweet => false,
        };
        if says_so {
            self.leaving.insert(id.clone(), name.to_owned());
        }
    }

    /// It is to be attached again: what was said of it before is over.
    pub(super) fn come_back(&mut self, id: &DocumentId, name: &str) {
        if self.leaving.remove(id).is_some() {
            self.say_leave(id, name);
        }
    }

    /// The server has it open no more: there is nothing to leave.
    pub(super) fn is_left(&mut self, id: &DocumentId) {
        self.leaving.remove(id);
    }

    pub(super) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// There is room for a message. Returns whether it was taken to leave a document.
    pub(super) fn leave_next(&mut self) -> bool {
        let next = self.leaving.pop_first();
        next.inspect(|(id, name)| self.say_leave(id, name)).is_some()
    }

    fn say_leave(&mut self, id: &DocumentId, name: &str) {
        match self.dialect {
            Dialect::Hocuspocus => {
                self.entries.closes(id);
                self.send(&hocuspocus::prefix(name), &hocuspocus::leave());
            }
            _ => {
                self.send(&link::prefix(name), &fellow::leave());
            }
        }
    }

    /// It was given room, so the queue takes it.
    pub(super) fn send(&mut self, prefix: &[u8], message: &[u8]) -> usize {
        if self.dialect == Dialect::Own && fellow::is_ask(message) {
            // Nobody says that all is saved while something has got lost.
            self.tell_count();
        }
        self.counts.sent();
        self.spoke_at = clock::now_ms();
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

    /// Hocuspocus closes what says nothing for a minute, and pings do not count.
    pub(super) fn keep_alive(&mut self, now: u64, names: &HashMap<String, DocumentId>) {
        if self.dialect == Dialect::Hocuspocus
            && now >= self.spoke_at + limits::UPSTREAM_KEEP_ALIVE_MS
            && let Some(name) = names.keys().next()
        {
            self.send(&hocuspocus::prefix(name), &hocuspocus::query_awareness());
        }
    }

    /// Counts a frame of the server. Returns whether it was for that only. Where frames were lost,
    /// the connection ends: on the next each side says what it holds.
    pub(super) fn takes_for_itself(&mut self, frame: &Bytes) -> bool {
        match self.dialect {
            Dialect::Own => self.counts.received(frame).unwrap_or_else(|lost| {
                let reason = CloseReason::FramesLost;
                tracing::warn!(%lost, "the link is opened anew");
                self.outbox.close(Close::new(reason.code(), reason.to_string()));
                true
            }),
            Dialect::Hocuspocus if hocuspocus::is_ping(frame) => {
                let _ = self.outbox.push(hocuspocus::pong());
                true
            }
            _ => false,
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
