//! What other machines may. Here this one is taken for one of them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use tempfile::TempDir;
use yrelay::config::{Bounds, Config, Rate, Storage, Strangers};
use yrelay::status::Role;
use yrelay_core::{link, wire};

use crate::client::{Client, Editor};
use crate::local::{Relay, config};
use crate::socket::Socket;
use crate::wait::{PATIENCE, eventually, now};

fn relay(directory: &TempDir, strangers: Strangers) -> Relay {
    let strangers = Strangers { spare_loopback: false, ..strangers };
    let bounds = Bounds { strangers, ..Bounds::default() };
    let storage = Storage::Directory(directory.path().into());
    Relay::of(Config { role: Role::Serve, storage, bounds, ..config() })
}

/// What whoever connects is told. It does not ask for more than one answer, and yet is sent away.
fn answer(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn an_address_may_have_so_many_connections_and_no_more() {
    let directory = TempDir::new().unwrap();
    let strangers = Strangers { connections_per_address: 2, ..Strangers::default() };
    let relay = relay(&directory, strangers);
    let mut first = Client::synced(relay.address(), "notes", 1);
    let mut second = Client::synced(relay.address(), "notes", 2);
    for _ in 0..3 {
        let answer = answer(relay.address()).to_lowercase();
        assert!(answer.starts_with("http/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nretry-after: 10\r\n"), "{answer}");
        assert!(answer.contains("there are 2 connections from your address"), "{answer}");
    }
    first.save("a");
    second.read_until("a");
    drop(second);
    eventually("there is a place again", || {
        let answer = answer(relay.address());
        answer.starts_with("HTTP/1.1 200 ")
    });
    let refused = "rejected_total{reason=\"address\"}";
    assert!(relay.pages.metric(refused) >= 3);
}

#[test]
fn another_machine_is_read_at_its_pace_and_nothing_is_lost() {
    let directory = TempDir::new().unwrap();
    let bytes = Rate { per_second: 100_000, burst: 300_000 };
    let relay = relay(&directory, Strangers { bytes, ..Strangers::default() });
    let mut author = Client::synced(relay.address(), "notes", 1);
    let mut other = Client::synced(relay.address(), "notes", 2);
    let start = now();
    author.write(&"x".repeat(200_000));
    author.write(&"y".repeat(200_000));
    other.save("of one's own"); // meanwhile
    author.read_while(|text| !text.ends_with("of one's own"));
    other.read_while(|text| text.len() < 400_012);
    // A third of it was too much.
    assert!(start.elapsed().as_millis() >= 950, "{:?}", start.elapsed());
    assert_eq!(author.text(), other.text());
}

#[test]
fn a_link_joins_documents_at_its_pace_and_none_is_lost() {
    let directory = TempDir::new().unwrap();
    let joins = Rate { per_second: 20, burst: 30 };
    let relay = relay(&directory, Strangers { joins, ..Strangers::default() });
    let mut below = Socket::connect(relay.address(), "/");
    let start = now();
    for number in 0..50 {
        let message = wire::update(&Editor::new(1).write("x"));
        below.binary(&[&link::prefix(&number.to_string())[..], &message].concat());
    }
    eventually("all are here", || relay.pages.metric("documents") == 50);
    assert!(start.elapsed().as_millis() >= 900, "{:?}", start.elapsed());
    Client::synced(relay.address(), "49", 2).read_until("x");
}
