//! A client as a Yjs provider is one, with a real document.

use std::net::SocketAddr;

use bytes::Bytes;
use yrelay_core::wire::{self, Message as Y};
use yrs::updates::decoder::Decode as _;
use yrs::{
    Doc, GetString as _, ReadTxn as _, StateVector, Text as _, TextRef, Transact as _, Update,
};

use crate::socket::{Message, Socket};
use crate::wait::{PATIENCE, now};

/// "Who is present?": answered at once, and so a mark in the stream of what is sent to a client.
const QUERY_AWARENESS: &[u8] = &[3];

/// A Yjs document of one text, and who writes it.
pub(crate) struct Editor {
    doc: Doc,
    text: TextRef,
}

impl Editor {
    pub(crate) fn new(number: u64) -> Self {
        let doc = Doc::with_client_id(number);
        let text = doc.get_or_insert_text("text");
        Self { doc, text }
    }

    /// Appends to the text. Returns the update.
    pub(crate) fn write(&self, words: &str) -> Vec<u8> {
        let mut txn = self.doc.transact_mut();
        let end = self.text.len(&txn);
        self.text.insert(&mut txn, end, words);
        txn.encode_update_v1()
    }

    pub(crate) fn apply(&self, update: &[u8]) {
        let update = Update::decode_v1(update).unwrap();
        self.doc.transact_mut().apply_update(update).unwrap();
    }

    pub(crate) fn text(&self) -> String {
        self.text.get_string(&self.doc.transact())
    }

    pub(crate) fn difference(&self, state_vector: &[u8]) -> Vec<u8> {
        let state_vector = StateVector::decode_v1(state_vector).unwrap();
        self.doc.transact().encode_diff_v1(&state_vector)
    }

    pub(crate) fn state_vector(&self) -> Vec<u8> {
        use yrs::updates::encoder::Encode as _;
        self.doc.transact().state_vector().encode_v1()
    }
}

/// A client of one document.
pub(crate) struct Client {
    pub(crate) socket: Socket,
    pub(crate) editor: Editor,
}

impl Client {
    /// Connects and says nothing.
    pub(crate) fn join(address: SocketAddr, document: &str, number: u64) -> Self {
        let socket = Socket::connect(address, &format!("/{document}"));
        Self { socket, editor: Editor::new(number) }
    }

    /// Connects and waits until it is told all there is.
    pub(crate) fn synced(address: SocketAddr, document: &str, number: u64) -> Self {
        let mut client = Self::join(address, document, number);
        client.sync();
        client
    }

    /// Connects again, with the document it had.
    pub(crate) fn rejoin(self, address: SocketAddr, document: &str) -> Self {
        let socket = Socket::connect(address, &format!("/{document}"));
        let mut client = Self { socket, editor: self.editor };
        client.sync();
        client
    }

    /// Asks for what it lacks, and offers what others lack, until it is answered.
    pub(crate) fn sync(&mut self) {
        self.ask();
        loop {
            let frame = self.next();
            if self.take(&frame) {
                return;
            }
        }
    }

    pub(crate) fn ask(&mut self) {
        self.socket.binary(&wire::sync_step1(&self.editor.state_vector()));
    }

    /// Takes what a frame holds; whether a step 2 was among it.
    pub(crate) fn take(&mut self, frame: &[u8]) -> bool {
        let mut synced = false;
        for message in wire::messages(&Bytes::copy_from_slice(frame)) {
            match message.unwrap() {
                Y::SyncStep1(vector) => {
                    let answer = self.editor.difference(&vector);
                    if answer != wire::EMPTY_UPDATE {
                        self.socket.binary(&wire::sync_step2(&answer));
                    }
                }
                Y::SyncStep2(update) => {
                    self.editor.apply(&update);
                    synced = true;
                }
                Y::Update { update, .. } => self.editor.apply(&update),
                Y::Awareness(_) => {}
                other => panic!("{other:?}"),
            }
        }
        synced
    }

    /// Writes and sends it. Returns the message, which comes back once it is saved.
    pub(crate) fn write(&mut self, words: &str) -> Bytes {
        let message = wire::update(&self.editor.write(words));
        self.socket.binary(&message);
        message
    }

    /// Writes, and waits until that is acknowledged.
    pub(crate) fn save(&mut self, words: &str) {
        let message = self.write(words);
        self.receive(&message);
    }

    /// The next binary message.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        match self.socket.read() {
            Message::Binary(bytes) => bytes,
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// Waits for this message; what comes before is taken.
    pub(crate) fn receive(&mut self, message: &[u8]) {
        loop {
            let frame = self.next();
            self.take(&frame);
            if frame == message {
                return;
            }
        }
    }

    /// Takes what comes until the text is this.
    pub(crate) fn read_until(&mut self, text: &str) {
        while self.editor.text() != text {
            let frame = self.next();
            self.take(&frame);
        }
    }

    /// Reads on while the text is such.
    pub(crate) fn read_while(&mut self, goes_on: impl Fn(&str) -> bool) {
        while goes_on(&self.editor.text()) {
            let frame = self.next();
            self.take(&frame);
        }
    }

    /// All that the relay has sent so far.
    pub(crate) fn sent_so_far(&mut self) -> Vec<Vec<u8>> {
        self.socket.binary(QUERY_AWARENESS);
        let mut frames = Vec::new();
        loop {
            let frame = self.next();
            if frame[0] == 1 {
                return frames;
            }
            frames.push(frame);
        }
    }

    /// Reads up to the close frame and answers it.
    pub(crate) fn closed(&mut self) -> u16 {
        let start = now();
        loop {
            // Keep-alives would have it wait for ever.
            assert!(start.elapsed() < PATIENCE, "it is not closed");
            match self.socket.read() {
                Message::Close(code) => {
                    self.socket.close(code);
                    return code;
                }
                Message::End => panic!("the connection ended without a close frame"),
                _ => {}
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        self.editor.text()
    }
}

/// An awareness message that says that this client is here.
pub(crate) fn present(number: u8, clock: u8) -> Vec<u8> {
    let mut entry = vec![1, number, clock, 2];
    entry.extend(b"{}");
    wire::awareness(&entry).into()
}

/// The awareness message that withdraws it.
pub(crate) fn withdrawn(number: u8, clock: u8) -> Vec<u8> {
    let mut entry = vec![1, number, clock, 4];
    entry.extend(b"null");
    wire::awareness(&entry).into()
}
