//! Hostile bytes over every door: whoever sends them is refused, and nobody else notices.
#![cfg(target_os = "linux")]

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use yrelay_core::id_set::IdSet;
use yrelay_core::state_vector::StateVector;
use yrelay_core::{fellow, link, wire};

use crate::client::Client;
use crate::local::Pages;
use crate::poison::{known, spoilt};
use crate::process::Vitals;
use crate::program::Program;
use crate::random::Random;
use crate::scale::scaled;
use crate::server::{Server, frame};
use crate::socket::{Message, Socket};
use crate::wait::{eventually, now};

const SEED: u64 = 5;
const DOCUMENT: &str = "notes";
/// Then others are given the time for an edit.
const AT_ONCE: usize = 20;
/// What hostile bytes may cost at most, at any time.
const GROWTH_KIB: u64 = 32 << 10;
/// Whoever is sent away as the peer at fault hears one of these.
const REFUSALS: [u16; 3] = [1007, 1008, 4400];

/// Two who write in turn, each once it has what the other wrote.
struct Honest {
    clients: [Client; 2],
    written: HashSet<Bytes>,
}

impl Honest {
    fn join(address: SocketAddr) -> Self {
        let clients = [1, 2].map(|number| Client::synced(address, DOCUMENT, number));
        Self { clients, written: HashSet::new() }
    }

    fn write_while(mut self, goes_on: &AtomicBool, edits: &AtomicUsize) -> Duration {
        let mut slowest = Duration::ZERO;
        while goes_on.load(Ordering::Relaxed) {
            let start = now();
            let message = self.clients[0].write("x");
            self.written.insert(message.clone());
            self.receive(1, &message);
            slowest = slowest.max(start.elapsed());
            edits.fetch_add(1, Ordering::Relaxed);
            self.clients.swap(0, 1);
        }
        let message = self.clients[0].write("x");
        self.written.insert(message.clone());
        self.receive(0, &message);
        let edits = edits.fetch_add(1, Ordering::Relaxed) + 1;
        holds_only_theirs(&self.clients[0], edits);
        slowest
    }

    /// Waits for this message. Only what these two have written may come before it.
    fn receive(&mut self, reader: usize, message: &Bytes) {
        loop {
            let frame = Bytes::from(self.clients[reader].next());
            assert!(frame[0] == 1 || self.written.contains(&frame), "they are sent {frame:?}");
            self.clients[reader].take(&frame);
            if frame == message {
                return;
            }
        }
    }
}

fn holds_only_theirs(client: &Client, edits: usize) {
    assert_eq!(client.text(), "x".repeat(edits));
    let vector = StateVector::decode(&client.editor.state_vector()).unwrap();
    let strangers = vector.iter().filter(|(client, _)| ![1, 2].contains(client)).count();
    assert_eq!(strangers, 0, "somebody else has written");
}

/// All poisons go through a door while honest people write; the program lives, and has kept theirs.
fn attack(
    door: &str,
    program: Program,
    restart: impl FnOnce() -> Program,
    mut send: impl FnMut(&[Vec<u8>]) + Send,
) {
    let poisons = [known(), spoilt(scaled(300, 20_000), &mut Random(SEED))].concat();
    let honest = Honest::join(program.address);
    let before = Vitals::of(program.pid());
    let (goes_on, edits) = (AtomicBool::new(true), AtomicUsize::new(0));
    let slowest = thread::scope(|scope| {
        let writing = scope.spawn(|| honest.write_while(&goes_on, &edits));
        let sending = scope.spawn(|| {
            for some in poisons.chunks(AT_ONCE) {
                let written = edits.load(Ordering::Relaxed);
                send(some);
                eventually("others write", || edits.load(Ordering::Relaxed) > written);
            }
        });
        // The others are to end, too, where it fails.
        let sent = sending.join();
        goes_on.store(false, Ordering::Relaxed);
        let slowest = writing.join().unwrap();
        sent.unwrap();
        slowest
    });
    let grown = Vitals::of(program.pid()).peak_kib - before.kib;
    let edits = edits.into_inner();
    println!(
        "{door}: {} poisons, meanwhile {edits} edits of others, the slowest {slowest:?}; \
         {grown} KiB more at most",
        poisons.len()
    );
    assert!(grown < GROWTH_KIB, "{grown} KiB");
    program.kill();
    let program = restart();
    holds_only_theirs(&Client::synced(program.address, DOCUMENT, 3), edits);
}

/// How many were refused so far.
fn refused(pages: Pages) -> u64 {
    let metric = |reason| pages.metric(&format!("rejected_total{{reason=\"{reason}\"}}"));
    metric("malformed") + metric("awareness_limits")
}

fn serve(directory: &Path) -> Program {
    Program::serve(&["--data-dir", directory.to_str().unwrap()])
}

#[test]
fn by_a_client() {
    let directory = TempDir::new().unwrap();
    let start = || Program::start(directory.path(), &[]);
    let program = start();
    let address = program.address;
    attack("a client", program, start, |poisons| {
        for poison in poisons {
            let mut client = Client::join(address, DOCUMENT, 9);
            client.socket.binary(poison);
            let code = client.closed();
            assert!(REFUSALS.contains(&code), "{code} for {poison:.40?}");
        }
        let mut client = Client::join(address, DOCUMENT, 9);
        client.socket.announce(100 << 20);
        assert!([1009, 4400].contains(&client.closed()));
    });
}

#[test]
fn by_a_link_in_the_dialect_of_elva() {
    let directory = TempDir::new().unwrap();
    let start = || serve(directory.path());
    let program = start();
    let (pages, mut sent) = (program.pages(), 0);
    let mut link = Socket::connect(program.address, "/");
    attack("a link of ELVA", program, start, |poisons| {
        for poison in poisons {
            link.binary(&frame(DOCUMENT, poison));
        }
        sent += poisons.len() as u64;
        // The link is none the worse for it.
        link.binary(&frame("other", &wire::sync_step1(&[0])));
        until(&mut link, |name, message| name == "other" && *message == wire::sync_step2(&[0, 0]));
        assert_eq!(refused(pages), sent);
    });
}

#[test]
fn by_a_link_of_our_own() {
    let directory = TempDir::new().unwrap();
    let start = || serve(directory.path());
    let program = start();
    let protocol = "Sec-WebSocket-Protocol: yrelay.1\r\n";
    let mut link = Socket::connect_with(program.address, "/", protocol);
    link.binary(&fellow::hello());
    attack("a link of our own", program, start, |poisons| {
        for poison in poisons {
            link.binary(&frame(DOCUMENT, &fellow::have(&StateVector::default(), &IdSet::new())));
            link.binary(&frame(DOCUMENT, poison));
            until(&mut link, |_, message| {
                matches!(fellow::decode(message), Ok(Some(fellow::Message::Refused { .. })))
            });
        }
    });
}

#[test]
fn by_the_server_above() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let program = Program::start(directory.path(), &["-s", &server.url()]);
    let (pages, mut sent) = (program.pages(), 0);
    let restart = || Program::start(directory.path(), &[]);
    attack("the server above", program, restart, |poisons| {
        server.until("the document is joined", |state| state.knows(DOCUMENT));
        for poison in poisons {
            server.with(|state| state.send(&frame(DOCUMENT, poison)));
        }
        sent += poisons.len() as u64;
        eventually("all are refused", || refused(pages) == sent);
        assert_eq!(server.with(|state| state.connections.len()), 1, "the link stands");
    });
}

/// Reads a link up to this.
fn until(link: &mut Socket, found: impl Fn(&str, &Bytes) -> bool) {
    loop {
        let Message::Binary(frame) = link.read() else { panic!("the link has ended") };
        let frame = frame.into();
        let (name, message) = link::decode(&frame).unwrap_or_default();
        if found(name, &message) {
            return;
        }
    }
}
