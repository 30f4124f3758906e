//! What nobody opens is forgotten once the server has shown that it has it, and not before.

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use yrelay::config::{Bounds, Config, Upstream};
use yrelay::target::Target;

use crate::client::Client;
use crate::local::{Relay, config};
use crate::server::Server;
use crate::wait::eventually;

const DAY_MS: u64 = 24 * 3_600_000;

fn bounds() -> Bounds {
    Bounds { idle_ms: 0, retain_ms: Some(90 * DAY_MS), ..Bounds::default() }
}

fn disk(directory: &Path) -> Connection {
    Connection::open(directory.join("yrelay.db")).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let disk = disk(directory);
    let mut names = disk.prepare("SELECT identifier FROM documents ORDER BY 1").unwrap();
    names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Documents that the server has confirmed; `old` were last opened long ago.
fn scene(server: &Server, documents: &[&str], old: &[&str]) -> TempDir {
    let directory = TempDir::new().unwrap();
    let relay = Relay::below(server, directory.path());
    for name in documents {
        Client::synced(relay.address(), name, 1).save(name);
        relay.pages.until_synced(name);
    }
    eventually("all marks are off", || {
        let sql = "SELECT count(*) FROM documents WHERE unconfirmed IS NOT NULL";
        disk(directory.path()).query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() == 0
    });
    drop(relay);
    for name in old {
        let sql = "UPDATE documents SET opened = opened - 91 * 86400000 WHERE identifier = ?1";
        assert_eq!(disk(directory.path()).execute(sql, [name]).unwrap(), 1);
    }
    directory
}

#[test]
fn what_the_server_has_and_nobody_opens_is_forgotten() {
    let server = Server::start();
    let directory = scene(&server, &["fresh", "old", "older", "open"], &["old", "older", "open"]);
    let relay = Relay::bounded_below(&server, directory.path(), bounds());
    let mut open = Client::synced(relay.address(), "open", 2);
    eventually("two are forgotten", || names(directory.path()) == ["fresh", "open"]);
    assert!(relay.pages.document("old").is_null());
    // Whoever opens one gets it from the server.
    let mut again = Client::synced(relay.address(), "old", 3);
    again.read_until("old");
    open.save("!");
    drop((open, again));
    // They were opened today, and so they stay.
    eventually("they leave memory", || relay.pages.metric("documents") == 0);
    drop(relay);
    assert_eq!(names(directory.path()), ["fresh", "old", "open"]);
    let sql = "SELECT min(opened) > unixepoch() * 1000 - 86400000 FROM documents";
    let noted: bool = disk(directory.path()).query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(noted);
}

#[test]
fn what_the_server_has_lost_is_kept_and_goes_up_again() {
    let server = Server::start();
    let directory = scene(&server, &["a", "b"], &["a", "b"]);
    server.with(|state| state.forget());
    let _relay = Relay::bounded_below(&server, directory.path(), bounds());
    server.until("both are back", |state| state.text("a") == "a" && state.text("b") == "b");
    // Only then they go.
    eventually("they are forgotten", || names(directory.path()).is_empty());
    server.until_text("a", "a");
    server.until_text("b", "b");
}

#[test]
fn what_a_relay_below_has_open_is_not_forgotten() {
    let server = Server::start();
    let directory = scene(&server, &["idle", "used"], &["idle", "used"]);
    let relay = Relay::bounded_below(&server, directory.path(), bounds());
    let below = Relay::of(Config {
        upstream: Some(Upstream::open(Target::parse(&relay.handle.url).unwrap())),
        ..config()
    });
    let mut client = Client::synced(below.address(), "used", 2);
    client.read_until("used");
    eventually("the other is forgotten", || names(directory.path()) == ["used"]);
    drop((client, below));
    eventually("it leaves memory", || relay.pages.metric("documents") == 0);
    drop(relay);
    assert_eq!(names(directory.path()), ["used"]);
}

#[test]
fn a_clock_that_was_ahead_is_set_right() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::alone(directory.path());
    Client::synced(relay.address(), "notes", 1).save("x");
    drop(relay);
    let ahead = "UPDATE documents SET opened = opened + 91 * 86400000";
    assert_eq!(disk(directory.path()).execute(ahead, []).unwrap(), 1);
    let relay = Relay::alone(directory.path());
    drop(Client::synced(relay.address(), "notes", 2));
    drop(relay);
    let sql = "SELECT opened <= unixepoch() * 1000 + 1000 FROM documents";
    assert!(disk(directory.path()).query_row(sql, [], |row| row.get::<_, bool>(0)).unwrap());
}

/// Waits until a document has been in memory and has left it, which is when it would be forgotten.
fn comes_and_goes(relay: &Relay, name: &str) {
    drop(Client::synced(relay.address(), name, 9));
    eventually("it leaves memory", || relay.pages.metric("documents") == 0);
}

#[test]
fn without_a_server_that_answers_nothing_is_forgotten() {
    let server = Server::start();
    let directory = scene(&server, &["a", "b"], &["a", "b"]);
    let relay = Relay::bounded(directory.path(), bounds());
    comes_and_goes(&relay, "b");
    drop(relay);
    assert_eq!(names(directory.path()), ["a", "b"]);
    let silent = Server::listener();
    let relay = Relay::bounded_below(&silent, directory.path(), bounds());
    relay.pages.until_upstream_is("online");
    silent.until("it is offered a", |state| state.knows("a"));
    comes_and_goes(&relay, "b");
    // What it forgets is off the disk when it has ended.
    drop(relay);
    assert_eq!(names(directory.path()), ["a", "b"]);
}
