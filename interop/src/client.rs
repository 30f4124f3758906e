//! Client processes and the documents they hold.

use std::fmt;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::install;
use crate::process::Process;
use crate::state::State;
use crate::wait::{self, PATIENCE};

/// A program that edits documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// y-websocket 1.5.
    YWebsocket1,
    /// y-websocket 2.1.
    YWebsocket2,
    /// y-websocket 3.0.
    YWebsocket3,
    /// @y/websocket 4, with Yjs 14.
    YWebsocket4,
    /// pycrdt's provider.
    Pycrdt,
    /// ELVA 0.33 with one connection for each document (`--messages yjs`).
    Elva33,
    /// ELVA 0.33 with the document's identifier in every frame (`--messages elva`).
    Elva33Framed,
    /// ELVA 0.37.
    Elva37,
    /// The provider of Hocuspocus 2.15, one connection for all documents.
    Hocuspocus2,
    /// That of 3.4.
    Hocuspocus3,
    /// That of 4.8.
    Hocuspocus4,
    /// No Yjs at all: sends and receives frames.
    Raw,
}

impl Kind {
    /// Every kind that opens one connection for each document and speaks Yjs.
    pub const PLAIN: [Kind; 7] = [
        Kind::YWebsocket1,
        Kind::YWebsocket2,
        Kind::YWebsocket3,
        Kind::YWebsocket4,
        Kind::Pycrdt,
        Kind::Elva33,
        Kind::Elva37,
    ];

    /// Those that have one connection for all documents, as Hocuspocus does it.
    pub const HOCUSPOCUS: [Kind; 3] = [Kind::Hocuspocus2, Kind::Hocuspocus3, Kind::Hocuspocus4];

    /// Those that show who is present.
    pub const PRESENT: [Kind; 6] = [
        Kind::YWebsocket1,
        Kind::YWebsocket2,
        Kind::YWebsocket3,
        Kind::YWebsocket4,
        Kind::Pycrdt,
        Kind::Elva37,
    ];
}

/// A running client process.
pub struct Client {
    driver: Arc<Driver>,
}

impl Client {
    /// Starts a client that dials `url` for every document it opens.
    pub fn start(kind: Kind, url: &str) -> Client {
        Client::build(kind, url, None)
    }

    /// Starts a client that shows a token for every document it opens, as a page (Hocuspocus).
    pub fn start_with_token(kind: Kind, url: &str, token: &str) -> Client {
        Client::build(kind, url, Some(token))
    }

    fn build(kind: Kind, url: &str, token: Option<&str>) -> Client {
        let (answers, replies) = mpsc::channel();
        let events = Arc::<Mutex<Vec<Value>>>::default();
        let seen = Arc::clone(&events);
        let process = Process::spawn(
            &format!("{kind:?}"),
            &mut install::client_command(kind, url, token),
            Box::new(move |line| match serde_json::from_str::<Value>(&line) {
                Ok(message) if message.get("event").is_some() => {
                    lock(&seen).push(message);
                    wait::report();
                    None
                }
                // One asks and waits for this. If all others looked again, they would ask, too.
                Ok(message) => {
                    drop(answers.send(message));
                    None
                }
                Err(_) => Some(line),
            }),
        );
        let conversation = Mutex::new(Conversation { replies, documents: 0 });
        Client { driver: Arc::new(Driver { kind, process, conversation, events }) }
    }

    /// Opens a document and starts to connect.
    pub fn open(&self, name: &str) -> Document {
        self.open_with(name, json!({}))
    }

    /// Opens a document of which the server is to see only what `secret` encrypts (ELVA 0.37).
    pub fn open_secret(&self, name: &str, secret: &str) -> Document {
        self.open_with(name, json!({"secret": secret}))
    }

    /// Opens a document with flags that say how it is to be kept, such as `{"visible": false}`
    /// (ELVA 0.37).
    pub fn open_asking(&self, name: &str, flags: &Value) -> Document {
        self.open_with(name, json!({"flags": flags}))
    }

    /// Opens a document with a login (ELVA 0.37).
    pub fn open_as_user(&self, name: &str, user: &str, password: &str) -> Document {
        self.open_with(name, json!({"login": [user, password]}))
    }

    /// Opens a document as a Yjs client with a certain id (pycrdt, ELVA).
    pub fn open_as(&self, name: &str, client_id: u64) -> Document {
        self.open_with(name, json!({"client_id": client_id}))
    }

    fn open_with(&self, name: &str, mut command: Value) -> Document {
        let number = {
            let mut conversation = lock(&self.driver.conversation);
            conversation.documents += 1;
            conversation.documents
        };
        command["name"] = name.into();
        let document = Document { driver: Arc::clone(&self.driver), number, name: name.to_owned() };
        document.ask("open", command);
        document
    }

    /// Kills the process: it leaves without a word.
    pub fn kill(&self) {
        self.driver.process.kill();
    }

    /// Stops the process where it is, until `thaw`: its machine sleeps.
    pub fn freeze(&self) {
        self.driver.process.freeze();
    }

    /// Lets the process go on.
    pub fn thaw(&self) {
        self.driver.process.thaw();
    }
}

struct Driver {
    kind: Kind,
    process: Process,
    conversation: Mutex<Conversation>,
    events: Arc<Mutex<Vec<Value>>>,
}

/// One command is answered before the next is given.
struct Conversation {
    replies: Receiver<Value>,
    documents: usize,
}

/// One document in a client process.
pub struct Document {
    driver: Arc<Driver>,
    number: usize,
    name: String,
}

/// Everything that a document shows.
#[derive(Debug, PartialEq)]
pub struct Content {
    /// Its text named `text`.
    pub text: String,
    /// Its map named `map`.
    pub map: Value,
    /// What it holds; `None` while it waits for something that it depends on.
    pub state: Option<State>,
}

impl Document {
    /// Inserts into the text, which is ASCII.
    pub fn insert(&self, index: usize, text: &str) {
        self.ask("insert", json!({"index": index, "text": text}));
    }

    /// Appends to the text.
    pub fn append(&self, text: &str) {
        self.ask("append", json!({"text": text}));
    }

    /// Deletes from the text.
    pub fn delete(&self, index: usize, len: usize) {
        self.ask("delete", json!({"index": index, "len": len}));
    }

    /// Sets an entry of the map.
    pub fn set(&self, key: &str, value: &str) {
        self.ask("set", json!({"key": key, "value": value}));
    }

    /// Types `text` one character after the other, and returns at once (y-websocket).
    pub fn type_slowly(&self, text: &str, every_ms: u64) {
        self.ask("type", json!({"text": text, "every_ms": every_ms}));
    }

    /// All that it shows now.
    pub fn content(&self) -> Content {
        let content = self.ask("content", json!({}));
        let bytes = |key: &str| unhex(content[key].as_str().expect("a client answers in hex"));
        Content {
            text: content["text"].as_str().expect("a text is a string").to_owned(),
            map: content["map"].clone(),
            state: State::decode(&bytes("vector"), &bytes("deletions")),
        }
    }

    /// The text it shows now.
    pub fn text(&self) -> String {
        self.content().text
    }

    /// Announces who is here.
    pub fn announce(&self, user: &str) {
        self.ask("awareness", json!({"state": {"user": user}}));
    }

    /// The others who are here by their names, sorted; those without a name are left out.
    pub fn peers(&self) -> Vec<String> {
        let peers = self.ask("peers", json!({}));
        let peers = peers.as_array().expect("peers are a list");
        let mut names: Vec<String> =
            peers.iter().filter_map(|peer| peer["user"].as_str().map(str::to_owned)).collect();
        names.sort_unstable();
        names
    }

    /// Whether the server's answer to the first step 1 has come (y-websocket, Hocuspocus).
    pub fn synced(&self) -> bool {
        self.ask("synced", json!({})) == true
    }

    /// Whether it has a connection (ELVA 0.37).
    pub fn connected(&self) -> bool {
        self.ask("is_connected", json!({})) == true
    }

    /// Whether all own edits have come back from the server (y-websocket), or are acknowledged
    /// (Hocuspocus).
    pub fn saved(&self) -> bool {
        self.ask("is_saved", json!({})) == true
    }

    /// Whether the newest own edit has come back from the server (y-websocket).
    pub fn newest_saved(&self) -> bool {
        self.ask("is_newest_saved", json!({})) == true
    }

    /// How many own insertions have come back from the server (y-websocket).
    pub fn saved_count(&self) -> usize {
        let count = self.ask("saved_count", json!({}));
        count.as_u64().and_then(|count| usize::try_from(count).ok()).expect("a count is a number")
    }

    /// How many changes wait to be acknowledged (Hocuspocus).
    pub fn unsynced_changes(&self) -> i64 {
        self.ask("unsynced_changes", json!({})).as_i64().expect("a count is a number")
    }

    /// Sends a message that is no part of the document (Hocuspocus).
    pub fn send_stateless(&self, payload: &str) {
        self.ask("send_stateless", json!({"payload": payload}));
    }

    /// Gives the document up for good (Hocuspocus).
    pub fn destroy(&self) {
        self.ask("destroy", json!({}));
    }

    /// Ends the connection as the client does when it is closed; where it has others, takes the
    /// document off it.
    pub fn disconnect(&self) {
        self.ask("disconnect", json!({}));
    }

    /// Connects again.
    pub fn connect(&self) {
        self.ask("connect", json!({}));
    }

    /// Sends a frame (raw client).
    pub fn send_frame(&self, frame: &[u8]) {
        let hex = frame.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.ask("send_frame", json!({"frame": hex}));
    }

    /// All frames received so far (raw client).
    pub fn frames(&self) -> Vec<Vec<u8>> {
        let frames = self.ask("frames", json!({}));
        let frames = frames.as_array().expect("frames are a list");
        frames.iter().map(|frame| unhex(frame.as_str().expect("a frame is hex"))).collect()
    }

    /// The code the connection was closed with, once it is (raw client).
    pub fn close_code(&self) -> Option<u64> {
        self.ask("close_code", json!({})).as_u64()
    }

    /// What happened to the document by itself, oldest first.
    pub fn events(&self) -> Vec<Value> {
        let events = lock(&self.driver.events);
        events.iter().filter(|event| event["doc"] == self.number).cloned().collect()
    }

    fn ask(&self, verb: &str, mut command: Value) -> Value {
        command["do"] = verb.into();
        command["doc"] = self.number.into();
        let conversation = lock(&self.driver.conversation);
        self.driver.process.write(format!("{command}\n").as_bytes());
        let reply = conversation.replies.recv_timeout(PATIENCE);
        let mut reply = reply.unwrap_or_else(|error| panic!("{self} to {command}: {error}"));
        assert!(reply.get("error").is_none(), "{self} to {command}: {}", reply["error"]);
        reply["value"].take()
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.driver.kind, self.name)
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|digits| {
            let digits = str::from_utf8(digits).expect("hex is ASCII");
            u8::from_str_radix(digits, 16).expect("clients encode whole bytes")
        })
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
