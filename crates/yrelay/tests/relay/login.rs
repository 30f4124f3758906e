//! A server that asks who we are.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use yrelay::clock;
use yrelay::login::Login;
use yrelay::secret::Source;

use crate::client::Client;
use crate::local::Relay;
use crate::server::Server;
use crate::wait::{eventually, find};

const BASIC: &str = "WWW-Authenticate: Basic realm=\"ELVA\"\r\n";

fn jane(password: Source) -> Login {
    Login::new("jane".into(), Some(password)).unwrap()
}

/// What is sent of a password.
fn sent(password: &str) -> Option<String> {
    let header = jane(Source::Text(password.into())).authorization().unwrap();
    Some(header.to_str().unwrap().to_owned())
}

fn server(password: &str) -> Server {
    let server = Server::start();
    server.with(|state| {
        state.login = sent(password);
        state.lines = BASIC;
    });
    server
}

/// Both sides know of their so many-th connection.
fn online(relay: &Relay, server: &Server, connections: usize) {
    server.until("a connection", |state| state.connections.len() == connections);
    relay.pages.until_upstream_is("online");
}

fn requests(server: &Server) -> Vec<Option<String>> {
    server.with(|state| state.requests.clone())
}

#[test]
fn a_login_is_sent_once_it_is_asked_for_and_from_then_on_straight_away() {
    let server = server("secret");
    let relay = Relay::with_login(&server, jane(Source::Text("secret".into())));
    online(&relay, &server, 1);
    assert_eq!(requests(&server), [None, sent("secret")]);
    server.with(|state| state.cut());
    online(&relay, &server, 2);
    assert_eq!(requests(&server)[2..], [sent("secret")]);
    Client::synced(relay.address(), "notes", 1).save("x");
    server.until_text("notes", "x");
}

#[test]
fn a_server_that_does_not_ask_is_told_nothing() {
    let server = Server::start();
    let relay = Relay::with_login(&server, jane(Source::Text("secret".into())));
    online(&relay, &server, 1);
    server.with(|state| state.cut());
    online(&relay, &server, 2);
    assert_eq!(requests(&server), [None, None]);
}

#[test]
fn a_server_that_wants_another_kind_of_login_is_not_told_the_password() {
    let server = server("secret");
    server.with(|state| state.lines = "WWW-Authenticate: Bearer\r\n");
    let relay = Relay::with_login(&server, jane(Source::Text("secret".into())));
    relay.pages.until_upstream_is("unauthorized");
    let reason = relay.pages.upstream()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("another kind than HTTP Basic"), "{reason}");
    assert_eq!(requests(&server), [None]);
}

/// A file with a password, and a relay that reads it.
fn with_file(server: &Server, directory: &Path, password: &str) -> Relay {
    let path = directory.join("password");
    fs::write(&path, password).unwrap();
    Relay::with_login(server, jane(Source::File(path)))
}

#[test]
fn a_refused_password_is_tried_again_when_its_file_is_mended() {
    let directory = TempDir::new().unwrap();
    let server = server("secret");
    let relay = with_file(&server, directory.path(), "wrong");
    relay.pages.until_upstream_is("unauthorized");
    let upstream = relay.pages.upstream();
    let reason = upstream["reason"].as_str().unwrap();
    assert!(reason.contains("401") && reason.contains("jane"), "{reason}");
    assert!(upstream["next_try"].as_u64().unwrap() > clock::unix_ms() + 60_000);
    assert!(upstream["since"].as_u64().unwrap() <= clock::unix_ms());
    let mut client = Client::synced(relay.address(), "notes", 1);
    client.save("meanwhile");
    // Each content of the file is tried once.
    for (content, tries) in [("wrong too", 3), ("secret\n", 4)] {
        fs::write(directory.path().join("password"), content).unwrap();
        eventually("it is tried", || requests(&server).len() == tries);
    }
    relay.pages.until_upstream_is("online");
    server.until_text("notes", "meanwhile");
    let expected = [None, sent("wrong"), sent("wrong too"), sent("secret")];
    assert_eq!(requests(&server), expected);
}

#[test]
fn a_file_that_is_gone_is_named_and_missed_until_it_is_back() {
    let directory = TempDir::new().unwrap();
    let server = server("secret");
    let relay = with_file(&server, directory.path(), "secret");
    online(&relay, &server, 1);
    let path = directory.path().join("password");
    fs::remove_file(&path).unwrap();
    server.with(|state| state.cut());
    relay.pages.until_upstream_is("unauthorized");
    let reason = relay.pages.upstream()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains(path.to_str().unwrap()), "{reason}");
    fs::write(&path, "secret").unwrap();
    relay.pages.until_upstream_is("online");
}

/// The network may come and go; whoever asks a person for a PIN does not.
#[cfg(unix)]
#[test]
fn a_command_for_the_password_is_not_run_again_for_each_connection() {
    let directory = TempDir::new().unwrap();
    let runs = directory.path().join("runs");
    let command = format!("echo >> {}; echo secret", runs.display());
    let server = server("secret");
    let relay = Relay::with_login(&server, jane(Source::Command(command)));
    for connection in 1..=3 {
        online(&relay, &server, connection);
        server.with(|state| state.cut());
    }
    online(&relay, &server, 4);
    assert_eq!(fs::read(runs).unwrap(), b"\n");
}

#[cfg(unix)]
#[test]
fn a_command_that_fails_says_why_and_local_work_goes_on() {
    let server = server("secret");
    let command = "echo hunter2; echo no card >&2; exit 2".into();
    let relay = Relay::with_login(&server, jane(Source::Command(command)));
    relay.pages.until_upstream_is("unauthorized");
    let reason = relay.pages.upstream()["reason"].as_str().unwrap().to_owned();
    let expected = "refused with HTTP status 401: it wants a login, and cannot read the password \
                    from its command: exit status: 2: no card";
    assert_eq!(reason, expected);
    Client::synced(relay.address(), "notes", 1).save("meanwhile");
    assert_eq!(requests(&server), [None]);
}

#[test]
fn a_login_may_be_withdrawn_while_the_link_stands() {
    let server = server("secret");
    let relay = Relay::with_login(&server, jane(Source::Text("secret".into())));
    online(&relay, &server, 1);
    server.with(|state| state.close(4401));
    // A fresh login is tried, once.
    online(&relay, &server, 2);
    server.with(|state| state.close(4401));
    relay.pages.until_upstream_is("unauthorized");
    let next_try = relay.pages.upstream()["next_try"].as_u64().unwrap();
    assert!(next_try > clock::unix_ms() + 60_000, "it is not tried again at once");
    assert_eq!(requests(&server).len(), 3);
}

#[test]
fn a_server_that_asks_to_be_left_alone_is_left_alone() {
    let server = Server::start();
    server.with(|state| {
        state.status = 503;
        state.lines = "Retry-After: 60\r\n";
    });
    let relay = Relay::diskless(&server);
    let next_try = find("it was refused", || relay.pages.upstream()["next_try"].as_u64());
    assert!(next_try > clock::unix_ms() + 50_000);
    for number in 0..5 {
        Client::synced(relay.address(), "notes", number + 1).save("x");
    }
    assert_eq!(requests(&server), [None], "whoever comes");
}
