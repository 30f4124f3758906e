//! A document over which the server closes the link is kept off it, and the others go on.

use tempfile::TempDir;

use crate::client::Client;
use crate::local::Relay;
use crate::server::Server;
use crate::wait::eventually;

/// Closes as ELVA's server does over a message that is too long for it.
fn short_messages_only(_: &str, message: &[u8]) -> Option<u16> {
    (message.len() > 10_000).then_some(1009)
}

#[test]
fn a_document_that_the_server_cannot_stand_is_parked() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    server.with(|state| state.judge = Some(short_messages_only));
    let relay = Relay::below(&server, directory.path());
    let mut bad = Client::synced(relay.address(), "bad", 1);
    bad.save(&"x".repeat(20_000));
    eventually("it is parked", || relay.pages.document("bad")["parked"].is_string());
    relay.pages.until_upstream_is("online");
    let mut good = Client::synced(relay.address(), "good", 1);
    good.save("x");
    server.until_text("good", "x");
    relay.pages.until_synced("good");
    assert_eq!(relay.pages.document("good")["parked"], serde_json::Value::Null);
    bad.save("saved all the same");
    let document = relay.pages.document("bad");
    assert_eq!((&document["saved"], &document["synced"]), (&true.into(), &false.into()));
}

#[test]
fn the_right_one_of_many_is_parked() {
    let directory = TempDir::new().unwrap();
    let server = Server::start();
    server.with(|state| state.status = 503);
    let relay = Relay::below(&server, directory.path());
    let mut clients: Vec<_> =
        (0..10).map(|n| Client::synced(relay.address(), &format!("good{n}"), 1)).collect();
    let mut bad = Client::synced(relay.address(), "bad", 1);
    bad.save(&"x".repeat(20_000));
    for client in &mut clients {
        client.save("x");
    }
    server.with(|state| {
        state.judge = Some(short_messages_only);
        state.status = 0;
    });
    eventually("it is parked", || relay.pages.document("bad")["parked"].is_string());
    for n in 0..10 {
        relay.pages.until_synced(&format!("good{n}"));
    }
}
