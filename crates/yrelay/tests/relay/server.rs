//! The server above: records what it is sent, and behaves as it is told.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use bytes::Bytes;
use yrelay_core::wire::{self, Message as Y};

use crate::client::Editor;
use crate::socket::{Message, Socket};
use crate::wait::PATIENCE;

/// A server on a port of its own.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The close code for a message of a document, if the server cannot stand it.
type Judge = fn(&str, &[u8]) -> Option<u16>;

/// What it does and what it has seen.
#[derive(Default)]
pub(crate) struct State {
    /// The status that requests are answered with; 0 means 101.
    pub(crate) status: u16,
    /// The login that opens; without it, or with another, requests are answered with 401.
    pub(crate) login: Option<String>,
    /// Further lines of the answer.
    pub(crate) lines: &'static str,
    /// Keeps documents and answers step 1, as a persistent server does; else it only listens.
    pub(crate) keeps: bool,
    /// Nothing is read while this is set.
    pub(crate) frozen: bool,
    pub(crate) judge: Option<Judge>,
    /// The logins that came with each request.
    pub(crate) requests: Vec<Option<String>>,
    /// Bytes of the largest frame.
    pub(crate) largest: usize,
    pub(crate) connections: Vec<Connection>,
    documents: BTreeMap<String, Editor>,
}

pub(crate) struct Connection {
    socket: Socket,
    /// Document, as it was written, and message.
    pub(crate) frames: Vec<(String, Vec<u8>)>,
    /// How the relay ended it.
    pub(crate) end: Option<Message>,
    /// The server has closed it.
    judged: bool,
}

impl State {
    /// The frames of all connections.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &(String, Vec<u8>)> {
        self.connections.iter().flat_map(|connection| &connection.frames)
    }

    /// Whether it was sent anything of this document.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.frames().any(|(document, _)| document == name)
    }

    /// The text of a document that it keeps.
    pub(crate) fn text(&self, name: &str) -> String {
        self.documents.get(name).map(Editor::text).unwrap_or_default()
    }

    /// A document that it keeps.
    pub(crate) fn document(&mut self, name: &str) -> &Editor {
        self.documents.entry(name.to_owned()).or_insert_with(|| Editor::new(u64::from(u32::MAX)))
    }

    /// Loses everything.
    pub(crate) fn forget(&mut self) {
        self.documents.clear();
    }

    /// Sends a whole frame over the last connection.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.connections.last_mut().unwrap().socket.binary(frame);
    }

    /// Sends text over the last connection.
    pub(crate) fn send_text(&mut self, text: &str) {
        self.connections.last_mut().unwrap().socket.text(text);
    }

    /// Cuts the last connection.
    pub(crate) fn cut(&mut self) {
        self.connections.last_mut().unwrap().socket.cut();
    }

    /// Closes the last connection.
    pub(crate) fn close(&mut self, code: u16) {
        self.connections.last_mut().unwrap().socket.close(code);
    }

    fn answer_request(&mut self, login: Option<&str>) -> (u16, &'static str) {
        self.requests.push(login.map(str::to_owned));
        match self.status {
            0 if self.login.as_deref().is_none_or(|wanted| login == Some(wanted)) => (101, ""),
            0 => (401, self.lines),
            status => (status, self.lines),
        }
    }

    fn take(&mut self, number: usize, name: &str, message: &[u8]) {
        let connection = &mut self.connections[number];
        if connection.judged {
            return;
        }
        connection.frames.push((name.to_owned(), message.to_vec()));
        if let Some(code) = self.judge.and_then(|judge| judge(name, message)) {
            connection.socket.close(code);
            connection.judged = true;
        } else if self.keeps {
            self.answer(number, name, &Bytes::copy_from_slice(message));
        }
    }

    fn answer(&mut self, number: usize, name: &str, message: &Bytes) {
        match wire::messages(message).next().unwrap().unwrap() {
            Y::SyncStep1(vector) => {
                let document = self.document(name);
                let step_2 = wire::sync_step2(&document.difference(&vector));
                let step_1 = wire::sync_step1(&document.state_vector());
                let socket = &mut self.connections[number].socket;
                socket.binary(&frame(name, &step_2));
                socket.binary(&frame(name, &step_1));
            }
            Y::SyncStep2(update) | Y::Update { update, .. } => self.document(name).apply(&update),
            _ => {}
        }
    }
}

/// A frame of the link.
pub(crate) fn frame(name: &str, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, u8::try_from(name.len()).unwrap()];
    assert!(name.len() < 128);
    frame.extend(name.as_bytes());
    frame.extend(message);
    frame
}

impl Server {
    /// One that keeps documents.
    pub(crate) fn start() -> Self {
        let server = Self::listener();
        server.with(|state| state.keeps = true);
        server
    }

    /// One that only listens.
    pub(crate) fn listener() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let server = Self { address, shared: shared.clone() };
        // Lives as long as the tests do.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = shared.clone();
                thread::spawn(move || shared.serve(stream.unwrap()));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// Looks at it or changes what it does.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let result = work(&mut self.shared.state());
        self.shared.changed.notify_all();
        result
    }

    /// Waits until it has seen something.
    pub(crate) fn until(&self, what: &str, mut seen: impl FnMut(&mut State) -> bool) {
        let (mut state, late) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.state(), PATIENCE, |state| !seen(state))
            .unwrap();
        let frames: Vec<_> = state.frames().map(|(name, frame)| (name, frame.len())).collect();
        let shown = format!("{} connections, {frames:?}", state.connections.len());
        assert!(!late.timed_out() || seen(&mut state), "not seen by the server: {what} ({shown})");
    }

    pub(crate) fn until_text(&self, name: &str, text: &str) {
        self.until(&format!("{name} reads {text:.50}"), |state| state.text(name) == text);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn serve(&self, stream: TcpStream) {
        let socket = Socket::accept(stream, |login| self.state().answer_request(login));
        self.changed.notify_all();
        let Some(mut socket) = socket else { return };
        let number = {
            let mut state = self.state();
            let (frames, end, judged) = (Vec::new(), None, false);
            state.connections.push(Connection { socket: socket.twin(), frames, end, judged });
            state.connections.len() - 1
        };
        self.changed.notify_all();
        loop {
            let thawed = self.changed.wait_while(self.state(), |state| state.frozen);
            drop(thawed);
            match socket.read() {
                Message::Binary(bytes) => {
                    let (document, message) = split(&bytes);
                    let mut state = self.state();
                    state.largest = state.largest.max(bytes.len());
                    state.take(number, &document, &message);
                }
                end => {
                    if let Message::Close(code) = end {
                        socket.close(code);
                    }
                    self.state().connections[number].end = Some(end);
                    self.changed.notify_all();
                    return;
                }
            }
            self.changed.notify_all();
        }
    }
}

/// `02 00`, the document's name behind its length, exactly one Y message.
fn split(frame: &[u8]) -> (String, Vec<u8>) {
    assert_eq!(frame[..2], [2, 0]);
    let length = usize::from(frame[2]);
    assert!(length < 128, "the test uses short names");
    let name = String::from_utf8(frame[3..3 + length].to_vec()).unwrap();
    let message = Bytes::copy_from_slice(&frame[3 + length..]);
    assert_eq!(wire::messages(&message).count(), 1, "{name}: {message:?}");
    (name, message.to_vec())
}
