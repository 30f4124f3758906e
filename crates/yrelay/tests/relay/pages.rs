//! What the relay shows of itself.

use serde_json::{Value, json};
use tempfile::TempDir;
use yrelay::config::{Config, Patterns, Route, Storage};

use crate::client::Client;
use crate::local::{self, Relay};
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

/// The series of the metrics that is 1 when the way to this server stands so.
pub(crate) fn upstream_state(server: &Server, state: &str) -> String {
    format!("upstream_state{{upstream=\"{}\",state=\"{state}\"}}", server.url())
}

#[test]
fn each_server_above_has_its_own_state() {
    let servers = [Server::start(), Server::start()];
    servers[1].with(|state| state.status = 401);
    let [upstream, routed] = servers.each_ref().map(|server| Some(local::open(server)));
    let route = Route { patterns: Patterns::new(["team/*"]), upstream: routed };
    let relay = Relay::of(Config { upstream, routes: vec![route], ..local::config() });
    for (server, state) in servers.iter().zip(["online", "unauthorized"]) {
        let name = upstream_state(server, state);
        eventually(&name, || relay.pages.metric(&name) == 1);
    }
    let routes = relay.pages.json("/-/status")["routes"].take();
    assert_eq!(routes[0]["state"], "unauthorized");
}

#[test]
fn the_upstream_is_counted() {
    let server = Server::start();
    let relay = Relay::diskless(&server);
    relay.pages.until_upstream_is("online");
    assert_eq!(relay.pages.metric(&upstream_state(&server, "online")), 1);
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
