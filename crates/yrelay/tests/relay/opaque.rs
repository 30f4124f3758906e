//! Encrypted documents over real sockets: what is written is there for whoever comes later.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use tempfile::TempDir;
use yrelay::config::{Config, Storage, Upstream};
use yrelay::status::Role;
use yrelay::target::Target;

use crate::local::{Relay, config};
use crate::moving::{fails, printed};
use crate::program::Program;
use crate::socket::{Message, Socket};
use crate::wait::eventually;

/// A frame as ELVA 0.37 encrypts it, of a text of less than 16 bytes. All are made at one time.
fn token(name: &str) -> Vec<u8> {
    format!("gAAAAABpJIEA{name:A>88}").into_bytes()
}

/// The opening of a program of ELVA: who is there, what it asks for, what it has.
fn opened(address: SocketAddr, name: &str) -> Socket {
    let mut socket = Socket::connect(address, "/vault?client=elva");
    for part in ["presence", "question", "state"] {
        socket.binary(&token(&format!("{name}-{part}")));
    }
    socket
}

/// The next frames that are no plain text of ours.
#[track_caller]
fn expect(socket: &mut Socket, names: &[&str]) {
    for name in names {
        let told = loop {
            match socket.read() {
                Message::Binary(frame) if frame.starts_with(b"gAAAA") => break frame,
                Message::Binary(_) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(String::from_utf8(told), String::from_utf8(token(name)));
    }
}

fn saved(relay: &Relay, frames: u64) {
    eventually("it is saved", || {
        let document = relay.pages.document("vault");
        document["saved"] == true && document["bytes"] == 100 * frames
    });
}

#[test]
fn what_was_written_is_there_after_a_restart_for_who_comes_alone() {
    let directory = TempDir::new().unwrap();
    {
        let relay = Relay::alone(directory.path());
        let mut author = opened(relay.address(), "a");
        author.binary(&token("a-update"));
        saved(&relay, 2);
    }
    let relay = Relay::alone(directory.path());
    let document = relay.pages.document("vault");
    assert!(document["opaque"] == true && document["bytes"].as_u64() > Some(200), "{document}");
    assert_eq!(relay.pages.json("/")[0]["secret"], true);
    let mut reader = opened(relay.address(), "b");
    expect(&mut reader, &["a-state", "a-update"]);
    saved(&relay, 3);
    // It came alone, and nobody stirs; who comes next is sent all.
    let mut third = opened(relay.address(), "c");
    expect(&mut third, &["a-state", "a-update", "b-state"]);
    expect(&mut reader, &["c-presence", "c-question", "c-state"]);
    reader.binary(&token("b-answer"));
    expect(&mut third, &["b-answer"]);
    saved(&relay, 5);
}

#[test]
fn what_others_have_received_survives_a_kill() {
    let directory = TempDir::new().unwrap();
    let program = Program::start(directory.path(), &[]);
    let mut reader = opened(program.address, "b");
    let mut author = opened(program.address, "a");
    for number in 0..200 {
        author.binary(&token(&number.to_string()));
    }
    let all: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    expect(&mut reader, &["a-presence", "a-question", "a-state"]);
    expect(&mut reader, &all);
    program.kill();
    let program = Program::start(directory.path(), &[]);
    let mut third = opened(program.address, "c");
    // It wrote before it was seen what of that was its opening.
    expect(&mut third, &["b-state", "a-state", "a-presence", "a-question"]);
    expect(&mut third, &all);
}

#[test]
fn commands_say_that_it_is_encrypted_and_treat_it_as_any_other() {
    let directory = TempDir::new().unwrap();
    let data = directory.path();
    let relay = Relay::alone(data);
    let mut author = opened(relay.address(), "a");
    author.binary(&token("a-update"));
    saved(&relay, 2);
    let update = data.join("vault.y");
    fs::write(&update, b"\x01\x01\x01\x00\x04\x01\x04text\x01x\x00").unwrap();
    let import = ["import", update.to_str().unwrap()];
    let look = || {
        assert!(printed(data, &["documents"]).contains("vault  (encrypted)"));
        fails(data, &["export", "vault"], "end-to-end encrypted");
        fails(data, &import, "end-to-end encrypted");
    };
    look();
    drop((author, relay));
    look();
    let copy = TempDir::new().unwrap();
    printed(data, &["backup", copy.path().join("yrelay.db").to_str().unwrap()]);
    printed(data, &["delete", "vault", "--yes"]);
    for (place, names) in [(data, &["b-state"][..]), (copy.path(), &["a-state", "a-update"])] {
        let relay = Relay::alone(place);
        let mut one = opened(relay.address(), "b");
        saved(&relay, 1 + 2 * u64::from(place != data));
        let mut other = opened(relay.address(), "c");
        expect(&mut other, names);
        drop((one.read(), relay));
    }
}

fn relay(role: Role, port: u16, directory: &Path, above: Option<u16>) -> Relay {
    let open = |port| Upstream::open(Target::parse(&format!("ws://127.0.0.1:{port}/")).unwrap());
    let (storage, upstream) = (Storage::Directory(directory.to_owned()), above.map(open));
    Relay::of(Config { role, port, storage, upstream, ..config() })
}

/// Written while the server is away, by somebody who has left: it goes up, and from there to a
/// relay that comes later. Nobody is sent away.
#[test]
fn what_is_written_offline_goes_up_and_down_again() {
    let [top, one, two] = [(); 3].map(|()| TempDir::new().unwrap());
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let below = relay(Role::Service, 0, one.path(), Some(port));
    drop(opened(below.address(), "a"));
    let mut stays = opened(below.address(), "b");
    saved(&below, 2);
    assert_eq!(below.pages.document("vault")["confirmed"], false);
    let above = relay(Role::Serve, port, top.path(), None);
    eventually("it is on its disk", || below.pages.document("vault")["confirmed"] == true);
    drop(below);
    drop(stays.read());
    // A third relay, behind which nobody has ever had it.
    let other = relay(Role::Service, 0, two.path(), Some(port));
    other.pages.until_upstream_is("online");
    let mut late = opened(other.address(), "c");
    expect(&mut late, &["a-state", "b-state"]);
    eventually("it is confirmed", || other.pages.document("vault")["confirmed"] == true);
    saved(&above, 3);
    saved(&other, 3);
    // The server comes anew: nobody has to.
    drop(above);
    other.pages.until_upstream_is("offline");
    late.binary(&token("c-offline"));
    let above = relay(Role::Serve, port, top.path(), None);
    saved(&above, 4);
    eventually("it is confirmed", || other.pages.document("vault")["confirmed"] == true);
    late.binary(&token("c-still-here"));
    saved(&above, 5);
}
