//! Who writes remembers what was said of it, and compares that with what is there later.

use std::collections::HashSet;
use std::net::SocketAddr;

use bytes::Bytes;
use yrelay_core::wire::{self, Message as Y};
use yrs::updates::decoder::Decode as _;
use yrs::{
    Doc, GetString as _, ReadTxn as _, StateVector, Text as _, TextRef, Transact as _, Update,
};

use crate::socket::{Message, Socket};

/// Each so-many-th edit is a deletion.
const DELETION_EVERY: usize = 8;
/// Each so-many-th edit is asked about, as y-sweet's clients do.
const QUESTION_EVERY: usize = 16;

/// What was said of the edits of one writer. They are numbered from 1.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) document: String,
    /// The writer's id, and its text in the document.
    pub(crate) number: u64,
    pub(crate) sent: usize,
    /// All up to this one were acknowledged.
    pub(crate) acknowledged: usize,
    /// All up to this one had reached somebody else.
    pub(crate) relayed: usize,
}

impl Account {
    /// Compares with a document that was read later: it holds all edits that were acknowledged, and
    /// of the others those that were written first. What it holds it is to hold from now on.
    /// Returns how many are lost that others had received.
    pub(crate) fn settle(&mut self, found: &Doc) -> usize {
        let text = found.get_or_insert_text(root(self.number)).get_string(&found.transact());
        let kept = (self.acknowledged..=self.sent).rev().find(|edits| text == content(*edits));
        let kept = kept.unwrap_or_else(|| panic!("{self:?}, and {text:?} is there"));
        let lost = self.relayed.saturating_sub(kept);
        (self.sent, self.acknowledged, self.relayed) = (kept, kept, kept.min(self.relayed));
        lost
    }
}

/// What a writer's text is after so many edits.
fn content(edits: usize) -> String {
    let deleted = edits / DELETION_EVERY;
    (deleted..edits - deleted).map(letter).collect()
}

fn letter(number: usize) -> char {
    char::from(b'a' + (number % 26) as u8)
}

fn root(number: u64) -> String {
    format!("by {number}")
}

/// Somebody who writes into a text of its own.
pub(crate) struct Writer {
    pub(crate) socket: Socket,
    doc: Doc,
    text: TextRef,
    pub(crate) account: Account,
    /// The messages, and how many of them have come back.
    messages: Vec<Bytes>,
    echoed: usize,
}

impl Writer {
    pub(crate) fn join(address: SocketAddr, document: &str, number: u64) -> Self {
        let (socket, _) = synced(address, document);
        let doc = Doc::with_client_id(number);
        let text = doc.get_or_insert_text(root(number));
        let document = document.to_owned();
        let account = Account { document, number, sent: 0, acknowledged: 0, relayed: 0 };
        Self { socket, doc, text, account, messages: Vec::new(), echoed: 0 }
    }

    pub(crate) fn write(&mut self) {
        self.account.sent += 1;
        let sent = self.account.sent;
        let update = {
            let mut txn = self.doc.transact_mut();
            if sent.is_multiple_of(DELETION_EVERY) {
                self.text.remove_range(&mut txn, 0, 1);
            } else {
                let end = self.text.len(&txn);
                let letter = letter(sent - 1 - sent / DELETION_EVERY);
                self.text.insert(&mut txn, end, &letter.to_string());
            }
            txn.encode_update_v1()
        };
        let message = wire::update(&update);
        self.socket.binary(&message);
        self.messages.push(message);
        if sent.is_multiple_of(QUESTION_EVERY) {
            self.socket.binary(&wire::sync_status(sent.to_string().as_bytes()));
        }
    }

    /// Writes on, some edits ahead of their acknowledgements, while `goes_on`, and then reads to the
    /// end. Returns what was said, and how the relay ended it.
    pub(crate) fn write_to_the_end(mut self, goes_on: bool) -> (Self, Message) {
        loop {
            while goes_on && self.account.sent < self.account.acknowledged + 20 {
                self.write();
            }
            match self.socket.read() {
                Message::Binary(frame) => self.hear(&frame),
                end => return (self, end),
            }
        }
    }

    /// Reads until all it has written is acknowledged.
    pub(crate) fn until_acknowledged(&mut self) {
        while self.account.acknowledged < self.account.sent {
            match self.socket.read() {
                Message::Binary(frame) => self.hear(&frame),
                end => panic!("{end:?} instead of an acknowledgement"),
            }
        }
    }

    fn hear(&mut self, frame: &[u8]) {
        if self.messages.get(self.echoed).is_some_and(|message| message == frame) {
            self.echoed += 1;
            self.account.acknowledged = self.account.acknowledged.max(self.echoed);
        } else if frame[0] == 102 {
            let answered = std::str::from_utf8(&frame[2..]).unwrap().parse().unwrap();
            self.account.acknowledged = self.account.acknowledged.max(answered);
        }
    }

    /// Given what somebody else has received.
    pub(crate) fn seen(mut self, received: &HashSet<Vec<u8>>) -> Self {
        let last = self.messages.iter().rposition(|message| received.contains(&message[..]));
        self.account.relayed = last.map_or(0, |last| last + 1);
        self
    }

    /// Comes back to a relay with all it has written, until that is acknowledged.
    pub(crate) fn return_to(&mut self, address: SocketAddr) {
        self.socket = Socket::connect(address, &format!("/{}", self.account.document));
        loop {
            let Message::Binary(frame) = self.socket.read() else { panic!("it is not asked") };
            for message in wire::messages(&frame.into()) {
                let Y::SyncStep1(vector) = message.unwrap() else { continue };
                let vector = StateVector::decode_v1(&vector).unwrap();
                let missing = self.doc.transact().encode_diff_v1(&vector);
                self.socket.binary(&wire::sync_step2(&missing));
                self.socket.binary(&wire::sync_status(self.account.sent.to_string().as_bytes()));
                return self.until_acknowledged();
            }
        }
    }
}

/// Somebody who reads a document, and remembers all updates.
pub(crate) struct Watcher {
    pub(crate) socket: Socket,
    pub(crate) received: HashSet<Vec<u8>>,
}

impl Watcher {
    pub(crate) fn join(address: SocketAddr, document: &str) -> Self {
        Self { socket: synced(address, document).0, received: HashSet::new() }
    }

    /// Reads until it has received so many; how the relay ended it, if it did before.
    pub(crate) fn watch(&mut self, count: usize) -> Option<Message> {
        while self.received.len() < count {
            match self.socket.read() {
                Message::Binary(frame) => drop(frame[..2] == [0, 2] && self.received.insert(frame)),
                end => return Some(end),
            }
        }
        None
    }
}

/// What a document holds.
pub(crate) fn read(address: SocketAddr, document: &str) -> Doc {
    synced(address, document).1
}

/// A connection that is told all there is, and what that was.
fn synced(address: SocketAddr, document: &str) -> (Socket, Doc) {
    let mut socket = Socket::connect(address, &format!("/{document}"));
    socket.binary(&wire::sync_step1(&[0]));
    let doc = Doc::new();
    loop {
        let Message::Binary(frame) = socket.read() else { panic!("{document} is not to be had") };
        for message in wire::messages(&frame.into()) {
            match message.unwrap() {
                Y::SyncStep2(update) => {
                    apply(&doc, &update);
                    return (socket, doc);
                }
                Y::Update { update, .. } => apply(&doc, &update),
                _ => {}
            }
        }
    }
}

fn apply(doc: &Doc, update: &[u8]) {
    doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
}
