//! Large documents hold nobody up, and no message of them is too long for the server.

use tempfile::TempDir;

use crate::client::Client;
use crate::local::Relay;
use crate::server::Server;
use crate::wait::eventually;

const MIB: usize = 1 << 20;

#[test]
fn many_updates_reach_a_slow_joiner_and_the_server_while_others_pass() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let relay = Relay::below(&server, directory.path());
    let mut author = Client::synced(relay.address(), "large", 1);
    let mut editor = Client::synced(relay.address(), "small", 2);
    let mut reader = Client::synced(relay.address(), "small", 3);
    server.with(|state| state.frozen = true);
    for _ in 0..15 {
        let messages: Vec<_> =
            (0..100).map(|n| author.write(&format!("{n:04}").repeat(1_024))).collect();
        author.receive(messages.last().unwrap());
    }
    let mut joiner = Client::join(relay.address(), "large", 4);
    joiner.ask();
    for _ in 0..20 {
        editor.save("x");
        reader.read_until(&editor.text());
    }
    // Only now is anything of the large one read.
    loop {
        let frame = joiner.next();
        if joiner.take(&frame) {
            break;
        }
    }
    assert!(joiner.text() == author.text());
    server.with(|state| state.frozen = false);
    relay.pages.until_synced("small");
    relay.pages.until_synced("large");
    server.with(|state| {
        assert!(state.text("large") == author.text());
        assert_eq!(state.text("small"), "x".repeat(20));
        assert_eq!(state.connections.len(), 1);
    });
}

#[test]
fn one_large_paste_is_cut_for_the_server() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let relay = Relay::below(&server, directory.path());
    let mut author = Client::synced(relay.address(), "large", 1);
    let mut other = Client::synced(relay.address(), "large", 2);
    author.save(&"0123456789abcdef".repeat(3 * MIB / 16));
    other.read_until(&author.text());
    relay.pages.until_synced("large");
    assert!(Client::synced(relay.address(), "large", 3).text() == author.text());
    server.with(|state| {
        assert!(state.text("large") == author.text());
        assert!(state.largest < MIB, "{}", state.largest);
    });
}

/// What one author wrote in one go is one struct once it is compacted.
#[test]
fn a_compacted_document_is_cut_for_clients_and_the_server() {
    let directory = TempDir::new().unwrap();
    {
        let relay = Relay::alone(directory.path());
        let mut author = Client::synced(relay.address(), "large", 1);
        for _ in 0..24 {
            author.save(&"0123456789abcdef".repeat(MIB / 64));
        }
    }
    let server = Server::start();
    let relay = Relay::below(&server, directory.path());
    relay.pages.until_synced("large");
    let mut joiner = Client::join(relay.address(), "large", 2);
    joiner.ask();
    loop {
        let frame = joiner.next();
        assert!(frame.len() < MIB, "{}", frame.len());
        if joiner.take(&frame) {
            break;
        }
    }
    assert_eq!(joiner.text().len(), 6 * MIB);
    server.with(|state| assert!(state.largest < MIB, "{}", state.largest));
}

#[test]
fn a_document_written_offline_in_large_and_small_goes_up_in_turns() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    server.with(|state| state.status = 503);
    let relay = Relay::below(&server, directory.path());
    let mut large = Client::synced(relay.address(), "large", 1);
    for _ in 0..16 {
        large.save(&"x".repeat(MIB));
    }
    let mut small = Client::synced(relay.address(), "small", 2);
    small.save("x");
    server.with(|state| state.status = 0);
    relay.pages.until_synced("large");
    relay.pages.until_synced("small");
    server.with(|state| {
        let place = |name: &str| {
            let pushes = |(n, message): &&(String, Vec<u8>)| {
                n == name && message[..2] != [0, 0] && message[..] != [0, 1, 2, 0, 0]
            };
            state.frames().enumerate().filter(|(_, frame)| pushes(frame)).last().map(|(at, _)| at)
        };
        assert!(place("small") < place("large"), "the small one waited for the large one");
        assert_eq!(state.text("large").len(), 16 * MIB);
    });
    eventually("the log is compacted", || {
        relay.pages.document("large")["bytes"].as_u64().unwrap() < 17 * MIB as u64
    });
}

/// A server that does not cut its answers sends the whole of it in one message.
#[test]
fn a_large_document_of_the_server_comes_down_and_others_go_on() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    server.with(|state| {
        for _ in 0..48 {
            state.document("large").write(&"0123456789abcdef".repeat(MIB / 16));
        }
    });
    let relay = Relay::below(&server, directory.path());
    let mut reader = Client::join(relay.address(), "large", 1);
    reader.ask();
    let mut editor = Client::synced(relay.address(), "small", 2);
    editor.save("x");
    server.until_text("small", "x");
    while reader.text().len() < 48 * MIB {
        let frame = reader.next();
        assert!(frame.len() < MIB, "{}", frame.len());
        reader.take(&frame);
    }
    relay.pages.until_synced("small");
    relay.pages.until_synced("large");
    assert_eq!(server.with(|state| state.connections.len()), 1);
}
