//! What the relay shows of itself.

use serde_json::{Value, json};
use tempfile::TempDir;
use yrelay::config::Storage;

use crate::client::Client;
use crate::local::Relay;
use crate::server::Server;
use crate::wait::eventually;

#[test]
fn the_list_and_the_status_show_each_document() {
    let directory = TempDir::new().unwrap();
    {
        let relay = Relay::alone(directory.path());
        Client::synced(relay.address(), "old", 1).save("x");
    }
    let relay = Relay::alone(directory.path());
    let mut first = Client::synced(relay.address(), "plain", 1);
    let _second = Client::synced(relay.address(), "plain", 2);
    first.save("x");
    let mut encrypts = Client::join(relay.address(), "secret", 3);
    encrypts.socket.binary(b"gAAAAAB_and_the_rest_of_a_token");
    eventually("its kind shows", || relay.pages.document("secret")["opaque"] == true);
    let room = |identifier: &str, clients: u64, secret: bool| {
        json!({
            "identifier": identifier, "clients": clients,
            "persistent": true, "permanent": true, "secret": secret,
        })
    };
    let rooms = [room("old", 0, false), room("plain", 2, false), room("secret", 1, true)];
    assert_eq!(relay.pages.json("/"), Value::from(rooms.to_vec()));
    let status = relay.pages.json("/-/status");
    assert_eq!(status["role"], "service");
    assert_eq!(
        status["upstream"],
        json!({
            "state": "none", "url": null, "reason": null, "since": null, "next_try": null,
            "advice": null,
        })
    );
    let plain = relay.pages.document("plain");
    let expected = json!({
        "identifier": "plain", "clients": 2, "links": 0, "saved": true, "confirmed": null,
        "above": null, "synced": true,
        "bytes": plain["bytes"], "unsaved": false, "incomplete": false, "opaque": false,
        "volatile": false, "parked": null,
    });
    assert_eq!(plain, expected);
    assert!(plain["bytes"].as_u64().unwrap() > 0);
    for (name, value) in [("documents", 2), ("clients", 3), ("upstream_state{state=\"none\"}", 1)] {
        assert_eq!(relay.pages.metric(name), value, "{name}");
    }
    assert_eq!(relay.pages.get("/-/healthy"), "ok\n");
}

#[test]
fn what_waits_for_something_missing_is_incomplete() {
    let relay = Relay::start(Storage::Ephemeral, None);
    let mut author = Client::synced(relay.address(), "notes", 1);
    let missing = author.editor.write("a");
    let message = author.write("b");
    while author.next() != message {}
    let document = relay.pages.document("notes");
    assert_eq!((&document["incomplete"], &document["saved"]), (&true.into(), &true.into()));
    author.socket.binary(&yrelay_core::wire::update(&missing));
    eventually("it is complete", || relay.pages.document("notes")["incomplete"] == false);
    assert_eq!(Client::synced(relay.address(), "notes", 2).text(), "ab");
}

#[test]
fn the_upstream_is_counted() {
    let server = Server::start();
    let relay = Relay::diskless(&server);
    relay.pages.until_upstream_is("online");
    assert_eq!(relay.pages.metric("upstream_state{state=\"online\"}"), 1);
    let mut client = Client::synced(relay.address(), "notes", 1);
    client.save("x");
    relay.pages.until_synced("notes");
    let document = relay.pages.document("notes");
    assert_eq!((&document["confirmed"], &document["clients"]), (&true.into(), &1.into()));
    for name in [
        "received_bytes_total",
        "received_messages_total",
        "sent_bytes_total",
        "sent_messages_total",
        "commits_total",
    ] {
        assert!(relay.pages.metric(name) > 0, "{name}");
    }
}
