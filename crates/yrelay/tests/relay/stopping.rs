//! The order of stopping: all is saved, who was here is withdrawn, everybody gets a close frame.
#![cfg(unix)]

use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use yrelay_core::wire;

use crate::client::{Client, present, withdrawn};
use crate::local::{Pages, Relay};
use crate::program::Program;
use crate::saving::database;
use crate::server::Server;
use crate::socket::Message;
use crate::wait::{eventually, now};

const PROMISE: Duration = Duration::from_secs(5);
/// A client that answers the close frame is not waited for.
const PROMPT: Duration = Duration::from_secs(2);

/// Types until it is closed. Returns how many of its letters were acknowledged.
fn type_to_the_end(mut client: Client, letter: &str, begun: &Barrier) -> usize {
    let (mut sent, mut acknowledged) = (0, 0);
    loop {
        while sent < acknowledged + 10 {
            client.write(letter);
            sent += 1;
            if sent == 50 {
                begun.wait();
            }
        }
        match client.socket.read() {
            Message::Binary(frame) => {
                let before = client.editor.text();
                client.take(&frame);
                // What changes nothing is its own.
                acknowledged += usize::from(frame[..2] == [0, 2] && client.text() == before);
            }
            Message::Close(code) => {
                assert_eq!(code, 1001);
                client.socket.close(code);
                return acknowledged;
            }
            other => panic!("{other:?} instead of a close frame"),
        }
    }
}

#[test]
fn a_signal_while_people_type_ends_it_well() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let program = Program::start(directory.path(), &["-s", &server.url()]);
    Pages(program.address).until_upstream_is("online");
    let mut watcher = Client::synced(program.address, "notes", 9);
    watcher.socket.binary(&present(9, 1));
    server.until("the watcher is announced", |state| {
        state.frames().any(|(_, message)| *message == present(9, 1))
    });
    let begun = Barrier::new(4);
    let (acknowledged, took) = thread::scope(|scope| {
        let typists = ["a", "b", "c"].map(|letter| {
            let number = u64::from(letter.as_bytes()[0]);
            let client = Client::synced(program.address, "notes", number);
            let begun = &begun;
            scope.spawn(move || (letter, type_to_the_end(client, letter, begun)))
        });
        begun.wait();
        let start = now();
        program.signal("TERM");
        let watching = scope.spawn(move || assert_eq!(watcher.closed(), 1001));
        let acknowledged = typists.map(|typist| typist.join().unwrap());
        watching.join().unwrap();
        assert_eq!(program.code(), Some(0));
        (acknowledged, start.elapsed())
    });
    assert!(took < PROMPT, "{took:?}");
    server.until("the link is closed", |state| state.connections[0].end.is_some());
    server.with(|state| {
        assert_eq!(state.connections.len(), 1, "not opened again");
        assert_eq!(state.connections[0].end, Some(Message::Close(1001)));
        let (_, last) = state.connections[0].frames.last().unwrap();
        assert_eq!(*last, withdrawn(9, 2));
    });
    let relay = Relay::alone(directory.path());
    let stored = Client::synced(relay.address(), "notes", 1).text();
    for (letter, count) in acknowledged {
        let kept = stored.matches(letter).count();
        assert!(kept >= count, "{kept} of {count} {letter}");
    }
}

#[test]
fn what_is_relayed_is_saved_and_acknowledged_when_it_ends() {
    let directory = TempDir::new().unwrap();
    let program = Program::start(directory.path(), &[]);
    let mut author = Client::synced(program.address, "notes", 1);
    let mut reader = Client::synced(program.address, "notes", 2);
    let disk = database(directory.path());
    disk.execute_batch("BEGIN IMMEDIATE").unwrap();
    let message = author.write("the last words");
    reader.read_until("the last words");
    program.signal("TERM");
    disk.execute_batch("ROLLBACK").unwrap();
    author.receive(&message);
    assert_eq!(author.closed(), 1001);
    assert_eq!(reader.closed(), 1001);
    assert_eq!(program.code(), Some(0));
    let relay = Relay::alone(directory.path());
    assert_eq!(Client::synced(relay.address(), "notes", 1).text(), "the last words");
}

#[test]
fn much_that_is_saved_at_the_end_is_acknowledged_too() {
    let directory = TempDir::new().unwrap();
    let program = Program::start(directory.path(), &[]);
    let mut author = Client::synced(program.address, "notes", 1);
    let disk = database(directory.path());
    disk.execute_batch("BEGIN IMMEDIATE").unwrap();
    let messages: Vec<_> = (0..2_000).map(|_| author.write("x")).collect();
    eventually("all of it is there", || {
        Pages(program.address).metric("received_messages_total") > messages.len() as u64
    });
    program.signal("TERM");
    disk.execute_batch("ROLLBACK").unwrap();
    for message in messages {
        author.receive(&message);
    }
    assert_eq!(author.closed(), 1001);
    assert_eq!(program.code(), Some(0));
}

/// A client that reads nothing, and so much for it that the relay is stuck in a write.
fn frozen(program: &Program) -> Client {
    let frozen = Client::synced(program.address, "large", 1);
    let mut author = Client::synced(program.address, "large", 2);
    // More than the socket buffers hold, less than the queue does.
    for _ in 0..11 {
        author.save(&"x".repeat(700 << 10));
    }
    frozen
}

#[test]
fn a_client_that_does_not_read_does_not_hold_up_the_end() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let program = Program::start(directory.path(), &["-s", &server.url()]);
    let frozen = frozen(&program);
    let start = now();
    program.signal("TERM");
    assert_eq!(program.code(), Some(0));
    let took = start.elapsed();
    assert!(took < PROMISE, "{took:?}");
    server.until("the link is closed", |state| {
        state.connections[0].end == Some(Message::Close(1001))
    });
    assert_eq!(server.with(|state| state.requests.len()), 1, "the link is not opened again");
    drop(frozen);
}

#[test]
fn a_server_that_does_not_read_does_not_hold_up_the_end() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let program = Program::start(directory.path(), &["-s", &server.url()]);
    Client::synced(program.address, "large", 1).save("x");
    server.until_text("large", "x");
    server.with(|state| state.frozen = true);
    let mut author = Client::synced(program.address, "large", 1);
    // More than the socket buffers hold: some of it is still to be sent when the time is up.
    for _ in 0..30 {
        author.save(&"x".repeat(700 << 10));
    }
    let mut typist = Client::synced(program.address, "small", 3);
    let mut typing = typist.socket.twin();
    let start = now();
    thread::scope(|scope| {
        let (stop, stopped) = mpsc::channel::<()>();
        let editor = &typist.editor;
        let hands = scope.spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(1)).is_err() {
                typing.binary(&wire::update(&editor.write("x")));
            }
        });
        program.signal("TERM");
        while !matches!(typist.socket.read(), Message::Close(1001)) {}
        stop.send(()).unwrap();
        hands.join().unwrap();
        typist.socket.close(1001);
        let answered = now();
        assert_eq!(typist.socket.read(), Message::End);
        assert!(answered.elapsed() < PROMPT, "its answer was not read");
    });
    assert_eq!(author.closed(), 1001);
    assert_eq!(program.code(), Some(0));
    let took = start.elapsed();
    assert!(took < PROMISE, "{took:?}");
    server.with(|state| state.frozen = false);
}

#[test]
fn a_stop_that_cannot_save_everything_says_so() {
    let directory = TempDir::new().unwrap();
    let program = Program::start_on_a_small_disk(directory.path());
    let mut author = Client::synced(program.address, "notes", 1);
    let mut reader = Client::synced(program.address, "notes", 2);
    let message = author.write(&"x".repeat(200 << 10));
    reader.read_until(&author.text());
    eventually("it is shown", || Pages(program.address).document("notes")["unsaved"] == true);
    assert!(!author.sent_so_far().contains(&message.to_vec()), "it is not acknowledged");
    program.signal("TERM");
    assert_eq!(program.code(), Some(1));
}
