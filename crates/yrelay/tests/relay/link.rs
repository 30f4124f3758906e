//! The server above: one connection for all documents, and both sides converge.

use std::collections::BTreeSet;
use std::path::Path;

use tempfile::TempDir;
use yrelay_core::wire;

use crate::client::{Client, Editor, present};
use crate::local::Relay;
use crate::pages::upstream_state;
use crate::server::{Server, frame};
use crate::wait::{eventually, find};

#[test]
fn a_new_document_is_mentioned_once_a_client_has_spoken() {
    let server = Server::start();
    let relay = Relay::diskless(&server);
    relay.pages.until_upstream_is("online");
    let mut silent = Client::join(relay.address(), "a%20b/%c3%bc%25", 1);
    silent.sent_so_far();
    // Whatever were to be said of the first document would come before this.
    Client::synced(relay.address(), "other", 2).save("x");
    server.until_text("other", "x");
    let name = "a%20b/%C3%BC%25";
    assert!(!server.with(|state| state.knows(name)));
    silent.ask();
    server.until("its first frame", |state| state.knows(name));
    let first = server.with(|state| state.frames().find(|(n, _)| n == name).unwrap().1.clone());
    assert_eq!(first, wire::sync_step1(&[0]));
    assert_eq!(relay.pages.document("a b/\u{fc}%")["clients"], 1);
}

#[test]
fn fifty_documents_share_one_connection() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let relay = Relay::below(&server, directory.path());
    let mut clients: Vec<_> =
        (0..50).map(|n| Client::join(relay.address(), &format!("d{n}"), n + 1)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.sync();
        client.save(&format!("text {n}"));
    }
    for n in 0..50 {
        server.until_text(&format!("d{n}"), &format!("text {n}"));
        relay.pages.until_synced(&format!("d{n}"));
    }
    assert_eq!(server.with(|state| state.connections.len()), 1);
    assert!(relay.pages.documents().iter().all(|document| document["confirmed"] == true));
}

#[test]
fn what_others_write_there_arrives_here() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    server.with(|state| {
        state.document("my%20notes").write("theirs");
    });
    let relay = Relay::below(&server, directory.path());
    relay.pages.until_upstream_is("online");
    // Nothing is stored: its answer waits for the server's.
    let mut client = Client::synced(relay.address(), "my%20notes", 1);
    assert_eq!(client.text(), "theirs");
    let update = server.with(|state| state.document("my%20notes").write(" and more"));
    server.with(|state| state.send(&frame("my%20notes", &wire::update(&update))));
    client.read_until("theirs and more");
    server.with(|state| state.send(&frame("my%20notes", &present(99, 1))));
    client.receive(&present(99, 1));
    drop((client, relay));
    let relay = Relay::alone(directory.path());
    assert_eq!(Client::synced(relay.address(), "my%20notes", 2).text(), "theirs and more");
}

#[test]
fn after_a_cut_both_sides_get_what_they_missed() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let relay = Relay::below(&server, directory.path());
    let mut client = Client::synced(relay.address(), "notes", 1);
    client.save("before");
    relay.pages.until_synced("notes");
    server.with(|state| {
        state.status = 503;
        state.cut();
    });
    relay.pages.until_upstream_is("offline");
    let upstream = relay.pages.upstream();
    assert!(upstream["reason"].is_string() && upstream["next_try"].is_u64(), "{upstream}");
    client.save(" offline");
    let document = relay.pages.document("notes");
    assert_eq!((&document["saved"], &document["synced"]), (&true.into(), &false.into()));
    server.with(|state| {
        state.document("notes").write("theirs ");
        state.status = 0;
    });
    relay.pages.until_upstream_is("online");
    relay.pages.until_synced("notes");
    let merged = server.with(|state| state.text("notes"));
    assert!(merged.contains("before offline") && merged.contains("theirs "), "{merged}");
    client.read_until(&merged);
    assert_eq!(relay.pages.upstream()["reason"], serde_json::Value::Null);
}

#[test]
fn what_nobody_has_open_is_pushed_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let documents = ["one", "two", "three"];
    {
        let relay = Relay::below(&server, directory.path());
        Client::synced(relay.address(), "known", 1).save("known");
        relay.pages.until_synced("known");
        server.with(|state| {
            state.status = 503;
            state.cut();
        });
        relay.pages.until_upstream_is("offline");
        for document in documents {
            Client::synced(relay.address(), document, 1).save(document);
        }
    }
    server.with(|state| {
        state.status = 0;
        state.connections.clear();
    });
    let relay = Relay::below(&server, directory.path());
    for document in documents {
        server.until_text(document, document);
        relay.pages.until_synced(document);
    }
    server.with(|state| {
        let pushed = |(name, message): &(String, Vec<u8>)| {
            name == "known" && message[..2] != [0, 0] && message[..] != [0, 1, 2, 0, 0]
        };
        assert!(!state.frames().any(pushed), "that was confirmed");
    });
    assert_eq!(relay.pages.document("known")["confirmed"], true);
}

/// Three documents that the server had confirmed, in the directory of a relay that has stopped.
fn confirmed(server: &Server, directory: &Path) -> [&'static str; 3] {
    let documents = ["one", "two", "three"];
    let relay = Relay::below(server, directory);
    for document in documents {
        Client::synced(relay.address(), document, 1).save(document);
    }
    all_up(&relay, server, &documents);
    documents
}

fn all_up(relay: &Relay, server: &Server, documents: &[&str]) {
    for document in documents {
        server.until_text(document, document);
        relay.pages.until_synced(document);
    }
}

/// Whoever opens one of them elsewhere would find it empty, and fill it anew.
#[test]
fn a_server_that_has_lost_everything_is_offered_what_nobody_has_open() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let documents = confirmed(&server, directory.path());
    server.with(|state| state.forget());
    let relay = Relay::below(&server, directory.path());
    all_up(&relay, &server, &documents);
    // A server that has lost nothing is asked for one document.
    drop(relay);
    server.with(|state| state.connections.clear());
    let relay = Relay::below(&server, directory.path());
    server.until("it is greeted", |state| state.frames().count() == 2);
    Client::synced(relay.address(), "new", 1).save("new");
    server.until_text("new", "new");
    assert_eq!(server.with(|state| documents.iter().filter(|d| state.knows(d)).count()), 1);
}

#[test]
fn what_a_server_has_lost_is_offered_over_as_many_connections_as_it_takes() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let documents = confirmed(&server, directory.path());
    server.with(|state| {
        state.forget();
        state.connections.clear();
        // It goes down over the first thing that it is given.
        state.judge = Some(|_, message| (message[1] != 0 && message.len() > 5).then_some(1001));
    });
    {
        let relay = Relay::below(&server, directory.path());
        // What it shows of one document is to be remembered of all, without another connection.
        server.until("it is given something", |state| {
            let given = state.frames().any(|(_, message)| message[1] != 0 && message.len() > 5);
            if given {
                state.status = 503;
            }
            given
        });
        eventually("nothing is taken for confirmed any more", || {
            relay.pages.documents().iter().all(|document| document["confirmed"] == false)
        });
    }
    let disk = rusqlite::Connection::open(directory.path().join("yrelay.db")).unwrap();
    let confirmed = "SELECT count(*) FROM documents WHERE unconfirmed IS NULL";
    let confirmed: i64 = disk.query_row(confirmed, [], |row| row.get(0)).unwrap();
    assert_eq!(confirmed, 0, "on disk");
    drop(disk);
    server.with(|state| {
        state.judge = None;
        state.status = 0;
    });
    let relay = Relay::below(&server, directory.path());
    all_up(&relay, &server, &documents);
}

#[test]
fn what_the_server_does_wrong_does_not_cost_the_link() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let relay = Relay::below(&server, directory.path());
    let mut client = Client::synced(relay.address(), "notes", 1);
    client.save("x");
    relay.pages.until_synced("notes");
    let strange = wire::update(&Editor::new(5).write("strange"));
    server.with(|state| {
        state.send(&[7, 7, 7]);
        state.send(&frame("notes", &[0, 2, 5, 1]));
        state.send(&frame("nobody/knows", &strange));
        state.send_text("hello");
        state.send(&frame("notes", &[77, 1, 0]));
    });
    let update = server.with(|state| state.document("notes").write("y"));
    server.with(|state| state.send(&frame("notes", &wire::update(&update))));
    client.read_until("xy");
    assert_eq!(relay.pages.document("nobody/knows"), serde_json::Value::Null);
    for (name, count) in [
        ("unknown_documents_total", 1),
        ("ignored_messages_total", 1),
        (&upstream_state(&server, "online"), 1),
        ("rejected_total{reason=\"link_frame\"}", 1),
        ("rejected_total{reason=\"malformed\"}", 1),
        ("rejected_total{reason=\"text_frame\"}", 1),
    ] {
        assert_eq!(relay.pages.metric(name), count, "{name}");
    }
    assert_eq!(server.with(|state| state.connections.len()), 1);
    client.save("z");
    server.until_text("notes", "xyz");
}

#[test]
fn a_new_client_is_a_reason_to_try() {
    let server = Server::start();
    server.with(|state| state.status = 503);
    let relay = Relay::diskless(&server);
    let next_try = find("it waits for long", || {
        let upstream = relay.pages.upstream();
        let next_try = upstream["next_try"].as_u64().filter(|_| upstream["state"] == "offline")?;
        (next_try > yrelay::clock::unix_ms() + 2_000).then_some(next_try)
    });
    server.with(|state| state.status = 0);
    eventually("it is tried for a client's sake", || {
        Client::join(relay.address(), "notes", 1);
        relay.pages.upstream()["state"] == "online"
    });
    assert!(yrelay::clock::unix_ms() < next_try, "only when its time had come");
}

#[test]
fn a_refused_login_is_shown_and_local_work_goes_on() {
    for status in [401, 403] {
        let directory = TempDir::new().unwrap();
        let server = Server::start();
        server.with(|state| state.status = status);
        let relay = Relay::below(&server, directory.path());
        relay.pages.until_upstream_is("unauthorized");
        let upstream = relay.pages.upstream();
        assert!(upstream["reason"].as_str().unwrap().contains(&status.to_string()));
        assert!(upstream["next_try"].as_u64().unwrap() > yrelay::clock::unix_ms() + 60_000);
        assert_eq!(upstream["url"], server.url());
        let mut author = Client::synced(relay.address(), "notes", 1);
        let mut other = Client::synced(relay.address(), "notes", 2);
        author.save("x");
        other.read_until("x");
        let document = relay.pages.document("notes");
        assert_eq!((&document["saved"], &document["synced"]), (&true.into(), &false.into()));
        assert_eq!(server.with(|state| state.requests.len()), 1, "asked once, not for ever");
    }
}

#[test]
fn a_server_that_only_listens_is_sent_everything_and_proves_nothing() {
    let directory = TempDir::new().unwrap();
    let server = Server::listener();
    let relay = Relay::below(&server, directory.path());
    relay.pages.until_upstream_is("online");
    let mut client = Client::synced(relay.address(), "notes", 1);
    client.save("x");
    eventually("it is known to prove nothing", || {
        relay.pages.document("notes")["confirmed"] == serde_json::Value::Null
    });
    relay.pages.until_synced("notes");
    let sent = Editor::new(2);
    server.with(|state| {
        for (_, message) in state.frames().filter(|(_, message)| message[..2] != [0, 0]) {
            sent.apply(&message[3..]);
        }
    });
    assert_eq!(sent.text(), "x");
}

#[test]
fn documents_are_attached_again_after_each_cut() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let relay = Relay::below(&server, directory.path());
    let names = ["a", "b", "c"];
    let mut clients = names.map(|name| Client::synced(relay.address(), name, 1));
    for round in 1..=3 {
        for client in &mut clients {
            client.save("x");
        }
        for name in names {
            server.until_text(name, &"x".repeat(round));
        }
        server.with(|state| state.cut());
        server.until("all are attached again", |state| {
            let Some(last) = state.connections.get(round) else { return false };
            let named: BTreeSet<&str> = last.frames.iter().map(|(name, _)| &**name).collect();
            named == BTreeSet::from(names)
        });
    }
}

#[test]
fn a_document_that_is_named_opaque_is_passed_on_unread() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    let relay = Relay::below(&server, directory.path());
    relay.pages.until_upstream_is("online");
    let mut author = Client::join(relay.address(), "secret/plans", 1);
    let mut reader = Client::join(relay.address(), "secret/plans", 2);
    author.socket.binary(b"nobody's business");
    assert_eq!(reader.next(), b"nobody's business");
    server.until("it goes up as it is", |state| {
        state.frames().any(|(name, frame)| name == "secret/plans" && frame == b"nobody's business")
    });
    assert_eq!(relay.pages.document("secret/plans")["opaque"], true);
}

/// Where a server only passes on, those who keep documents answer whoever asks, be it late.
#[test]
fn a_document_that_has_left_memory_is_there_for_whoever_asks_over_a_server_that_keeps_none() {
    let directory = TempDir::new().unwrap();
    Client::synced(Relay::alone(directory.path()).address(), "notes", 1).save("x");
    let server = Server::listener();
    let relay = Relay::below(&server, directory.path());
    server.until("it goes up once", |state| state.frames().any(|(_, m)| m[..2] != [0, 0]));
    eventually("it leaves memory", || relay.pages.metric("documents") == 0);
    let seen = server.with(|state| state.frames().count());
    server.with(|state| {
        state.send(&frame("unheard-of", &wire::sync_step1(&[0])));
        state.send(&frame("notes", &wire::sync_step1(&[0])));
    });
    server.until("somebody who came later is answered", |state| {
        let late = Editor::new(2);
        for (_, message) in state.frames().skip(seen).filter(|(_, m)| m[..2] != [0, 0]) {
            late.apply(&message[3..]);
        }
        late.text() == "x"
    });
    assert!(!server.with(|state| state.knows("unheard-of")));
}
