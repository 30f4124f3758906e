//! Frames of real programs, as data for the tests of the core. They differ from run to run, in
//! client ids if nothing else, so nothing is compared: `ACCEPT_FRAMES=1` with `--ignored` records
//! them anew.

use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use serde_json::{Value, json};
use yrelay_interop::{
    Client, Document, Elva37Server, Frame, Kind, Server, Software, Tap, eventually_eq, ready,
    y_sweet_ready,
};

/// Servers answer within this, and store or collect for less.
const QUIET: Duration = Duration::from_millis(700);

/// What one file is to hold.
struct Recording {
    file: &'static str,
    is_named: bool,
    frames: Vec<Value>,
}

impl Recording {
    fn new(file: &'static str, is_named: bool) -> Recording {
        Recording { file, is_named, frames: Vec::new() }
    }

    /// Notes what has passed since the last note.
    fn note(&mut self, tap: &Tap, what: &str) {
        for Frame { is_from_server, hex } in tap.take(QUIET) {
            let from = if is_from_server { "server" } else { "client" };
            let kind = kind(&unhex(&hex), self.is_named);
            self.frames.push(json!({"from": from, "hex": hex, "what": format!("{what}: {kind}")}));
        }
    }

    fn write(self) {
        assert!(self.frames.len() > 10, "{} has {} frames", self.file, self.frames.len());
        if env::var_os("ACCEPT_FRAMES").is_some_and(|accept| accept == "1") {
            let lines: Vec<String> = self.frames.iter().map(|frame| format!("  {frame}")).collect();
            let directory =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/core/tests/frames");
            fs::create_dir_all(&directory).expect("the sources are writable");
            let written =
                fs::write(directory.join(self.file), format!("[\n{}\n]\n", lines.join(",\n")));
            written.expect("the sources are writable");
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|two| str::from_utf8(two).expect("hex is ASCII"));
    digits.map(|two| u8::from_str_radix(two, 16).expect("frames are whole bytes")).collect()
}

/// Names are short here, and so are types.
fn kind(frame: &[u8], is_named: bool) -> &'static str {
    let at = match frame {
        [9] => return "ping",
        [10] => return "pong",
        [b'g', ..] if !is_named => return "encrypted",
        [length, ..] if is_named => usize::from(*length) + 1,
        _ => 0,
    };
    match (is_named, &frame[at..]) {
        (_, [0, 0, ..]) => "sync step 1",
        (_, [0, 1, ..]) => "sync step 2",
        (_, [0, 2, ..]) => "update",
        (_, [1, ..]) => "awareness",
        (true, [2, 0]) => "the server asks for a token",
        (true, [2, 0, ..]) => "auth",
        (true, [2, 1, ..]) => "auth denied",
        (true, [2, 2, ..]) => "auth granted",
        (_, [3, ..]) => "query awareness",
        (true, [5, ..]) => "stateless",
        (true, [7, ..]) => "close",
        (true, [8, ..]) => "sync status",
        (false, [102, ..]) => "y-sweet's sync status",
        _ => "unknown",
    }
}

fn shows(document: &Document, text: &str) {
    eventually_eq("it is shown", || document.text(), &text.to_owned());
}

/// The conversation on a connection of one document.
fn plain(recording: &mut Recording, kind: Kind, server_url: &str) {
    let tap = Tap::start(server_url);
    let client = Client::start(kind, &tap.url());
    let document = client.open("notes");
    recording.note(&tap, "opening an empty document");
    document.append("one");
    recording.note(&tap, "an edit");
    let other = Client::start(kind, server_url).open("notes");
    shows(&other, "one");
    recording.note(&tap, "another client opens it");
    if Kind::PRESENT.contains(&kind) {
        document.announce("Ada");
        recording.note(&tap, "awareness of the first");
        other.announce("Bob");
        recording.note(&tap, "awareness of the other");
    }
    other.append(" two");
    shows(&document, "one two");
    recording.note(&tap, "an edit of the other");
    document.delete(0, 4);
    recording.note(&tap, "a deletion");
    joiner(recording, kind, server_url);
    recording.note(&tap, "a third comes and goes");
    other.disconnect();
    recording.note(&tap, "the other leaves");
    document.disconnect();
    recording.note(&tap, "the first leaves");
}

fn joiner(recording: &mut Recording, kind: Kind, server_url: &str) {
    let tap = Tap::start(server_url);
    let document = Client::start(kind, &tap.url()).open("notes");
    shows(&document, "two");
    recording.note(&tap, "opening it where two are");
}

/// Frames that no client sends by itself, each on a connection of its own.
fn raw(recording: &mut Recording, server_url: &str, document: &str, frames: &[(&str, &[u8])]) {
    let tap = Tap::start(server_url);
    let client = Client::start(Kind::Raw, &tap.url());
    for (what, frame) in frames {
        let connection = client.open(document);
        recording.note(&tap, "before the client speaks");
        connection.send_frame(frame);
        recording.note(&tap, what);
        connection.disconnect();
        tap.take(QUIET);
    }
}

const EMPTY_STEP_1: (&str, &[u8]) = ("step 1 of nothing", &[0, 0, 1, 0]);
const QUERY: (&str, &[u8]) = ("who is there", &[3]);

#[test]
#[ignore = "records frames anew, and compares nothing"]
fn y_websocket_server() {
    if ready() {
        let server = Server::start(Software::YWebsocket);
        let mut recording = Recording::new("y-websocket-server.json", false);
        plain(&mut recording, Kind::YWebsocket3, &server.url());
        raw(&mut recording, &server.url(), "notes", &[EMPTY_STEP_1, QUERY]);
        recording.write();
    }
}

#[test]
#[ignore = "records frames anew, and compares nothing"]
fn pycrdt_websocket() {
    if ready() {
        let server = Server::start(Software::Pycrdt);
        let mut recording = Recording::new("pycrdt-websocket.json", false);
        plain(&mut recording, Kind::YWebsocket3, &server.url());
        raw(&mut recording, &server.url(), "notes", &[EMPTY_STEP_1, QUERY]);
        recording.write();
    }
}

#[test]
#[ignore = "records frames anew, and compares nothing"]
fn y_sweet() {
    if ready() && y_sweet_ready() {
        let server = Server::start(Software::YSweet);
        let mut recording = Recording::new("y-sweet.json", false);
        plain(&mut recording, Kind::YWebsocket3, &server.url_for("notes"));
        let status: (&str, &[u8]) = ("sync status", &[102, 1, 5]);
        raw(&mut recording, &server.url_for("notes"), "notes", &[EMPTY_STEP_1, QUERY, status]);
        recording.write();
    }
}

#[test]
#[ignore = "records frames anew, and compares nothing"]
fn elva37() {
    if ready() {
        let server = Elva37Server::start();
        let mut recording = Recording::new("elva37.json", false);
        plain(&mut recording, Kind::Elva37, &server.url());
        raw(&mut recording, &server.url(), "notes", &[EMPTY_STEP_1]);
        let tap = Tap::start(&server.url());
        let client = Client::start(Kind::Elva37, &tap.url());
        let document = client.open_secret("vault", "open sesame");
        recording.note(&tap, "opening a secret document");
        document.append("x");
        recording.note(&tap, "an edit of a secret document");
        recording.write();
    }
}

/// The name `notes` before a body.
fn named(body: &[u8]) -> Vec<u8> {
    [b"\x05notes", body].concat()
}

/// The conversation of Hocuspocus: two who may write, one who may read, one who may nothing.
fn hocuspocus(recording: &mut Recording, kind: Kind, server_url: &str) {
    let tap = Tap::start(server_url);
    let client = Client::start_with_token(kind, &tap.url(), "secret");
    let document = client.open("notes");
    recording.note(&tap, "opening an empty document");
    document.append("one");
    recording.note(&tap, "an edit");
    let friend = Client::start_with_token(kind, server_url, "secret");
    let other = friend.open("notes");
    shows(&other, "one");
    recording.note(&tap, "another client opens it");
    document.announce("Ada");
    recording.note(&tap, "awareness of the first");
    other.announce("Bob");
    recording.note(&tap, "awareness of the other");
    other.append(" two");
    shows(&document, "one two");
    recording.note(&tap, "an edit of the other");
    document.delete(0, 4);
    recording.note(&tap, "a deletion");
    document.send_stateless("hello");
    recording.note(&tap, "a message beside the document");
    let second = client.open("tasks");
    recording.note(&tap, "opening a second document");
    second.disconnect();
    recording.note(&tap, "closing the second document");
    if kind != Kind::Hocuspocus2 {
        orders(recording, kind, server_url);
    }
    reader(recording, kind, server_url);
    stranger(recording, kind, server_url);
    recording.note(&tap, "a reader comes and goes");
    other.destroy();
    recording.note(&tap, "the other leaves");
    document.destroy();
    recording.note(&tap, "the first leaves");
}

/// What the server does by itself, since version 3.
fn orders(recording: &mut Recording, kind: Kind, server_url: &str) {
    let tap = Tap::start(server_url);
    let client = Client::start_with_token(kind, &tap.url(), "secret");
    let document = client.open("other");
    tap.take(QUIET);
    document.send_stateless("ask for my token");
    recording.note(&tap, "the server asks for the token");
    if kind == Kind::Hocuspocus4 {
        document.send_stateless("ping me");
        recording.note(&tap, "a ping, which this server does not send by itself");
    }
    document.send_stateless("close my document");
    recording.note(&tap, "the server closes a document");
}

fn reader(recording: &mut Recording, kind: Kind, server_url: &str) {
    let tap = Tap::start(server_url);
    let client = Client::start_with_token(kind, &tap.url(), "reader");
    let document = client.open("notes");
    shows(&document, "two");
    recording.note(&tap, "opening it as a reader, where two are");
    document.append("!");
    recording.note(&tap, "an edit of a reader");
}

fn stranger(recording: &mut Recording, kind: Kind, server_url: &str) {
    let tap = Tap::start(server_url);
    let client = Client::start_with_token(kind, &tap.url(), "wrong");
    let _document = client.open("notes");
    recording.note(&tap, "opening it with a wrong token");
}

/// What providers do not send.
fn hocuspocus_raw(recording: &mut Recording, server_url: &str, further: &[(&str, &[u8])]) {
    let tap = Tap::start(server_url);
    let connection = Client::start(Kind::Raw, &tap.url()).open("");
    recording.note(&tap, "before the client speaks");
    let auth = named(b"\x02\x00\x06secret");
    let step_1 = named(&[0, 0, 1, 0]);
    let frames: [(&str, &[u8]); 6] = [
        ("auth alone", &auth),
        ("step 1 of nothing", &step_1),
        ("step 1 again", &step_1),
        ("auth again", &auth),
        ("who is there", &named(&[3])),
        ("close", &named(&[7])),
    ];
    for (what, frame) in frames.iter().chain(further) {
        connection.send_frame(frame);
        recording.note(&tap, what);
    }
}

#[test]
#[ignore = "records frames anew, and compares nothing"]
fn hocuspocus_2() {
    if ready() {
        let server = Server::guarded(Software::Hocuspocus2);
        let mut recording = Recording::new("hocuspocus-2.json", true);
        hocuspocus(&mut recording, Kind::Hocuspocus2, &server.url());
        hocuspocus_raw(&mut recording, &server.url(), &[]);
        recording.write();
    }
}

#[test]
#[ignore = "records frames anew, and compares nothing"]
fn hocuspocus_3() {
    if ready() {
        let server = Server::guarded(Software::Hocuspocus3);
        let mut recording = Recording::new("hocuspocus-3.json", true);
        hocuspocus(&mut recording, Kind::Hocuspocus3, &server.url());
        hocuspocus_raw(&mut recording, &server.url(), &[]);
        recording.write();
    }
}

#[test]
#[ignore = "records frames anew, and compares nothing"]
fn hocuspocus_4() {
    if ready() {
        let server = Server::guarded(Software::Hocuspocus4);
        let mut recording = Recording::new("hocuspocus-4.json", true);
        hocuspocus(&mut recording, Kind::Hocuspocus4, &server.url());
        // With a session beside the name, and the ping that version 4 has.
        let session = b"\x07notes\x00s\x02\x00\x06secret".as_slice();
        hocuspocus_raw(
            &mut recording,
            &server.url(),
            &[("auth of a session", session), ("ping", &[9])],
        );
        recording.write();
    }
}
