//! Any client and any server: what each kind of program writes at a relay reaches a program that is
//! connected straight to the server, and the other way round.
//!
//! A test for each kind of server, with all kinds of clients: a column of the table in the README.

use std::time::Duration;

use serde_json::Value;
use yrelay_interop::{
    Client, Kind, Relay, Site, Software, converge, eventually, eventually_eq, ready, side_by_side,
    within, y_sweet_ready,
};

/// A program of this kind at the relay, and one straight at the server.
fn meet(site: &Site, kind: Kind) {
    let name = format!("{kind:?}").to_lowercase();
    let (there, far) = site.at_server(&name);
    far.append("far ");
    let (here, near) = site.at_relay(kind, &name);
    converge(&[&near, &far], |text| text == "far ");
    near.append("near");
    converge(&[&near, &far], |text| text == "far near");
    far.delete(0, 4);
    converge(&[&near, &far], |text| text == "near");
    near.delete(0, 1);
    converge(&[&near, &far], |text| text == "ear");
    site.confirmed(&name);
    if Kind::PRESENT.contains(&kind) || Kind::HOCUSPOCUS.contains(&kind) {
        eventually("both see each other", || {
            near.announce("near");
            far.announce("far");
            near.peers().contains(&"far".to_owned()) && far.peers().contains(&"near".to_owned())
        });
        // Half a minute later anybody would be.
        here.kill();
        let gone = || !far.peers().contains(&"near".to_owned());
        within(Duration::from_secs(15), "the gone are missed there", gone);
    }
    drop((here, there));
}

fn column(software: Software) {
    let site = Site::build(software, &[]);
    for kind in Kind::PLAIN.into_iter().chain(Kind::HOCUSPOCUS) {
        meet(&site, kind);
    }
}

#[test]
fn y_websocket_server() {
    if ready() {
        column(Software::YWebsocket);
    }
}

#[test]
fn pycrdt_websocket() {
    if ready() {
        column(Software::Pycrdt);
    }
}

#[test]
fn elva_37() {
    if ready() {
        column(Software::Elva37);
    }
}

#[test]
fn y_sweet() {
    if ready() && y_sweet_ready() {
        column(Software::YSweet);
    }
}

#[test]
fn hocuspocus() {
    if ready() {
        side_by_side(&[
            ("2", || column(Software::Hocuspocus2)),
            ("3", || column(Software::Hocuspocus3)),
            ("4", || column(Software::Hocuspocus4)),
        ]);
    }
}

#[test]
fn relays_behind_an_elva_37_that_only_passes_on_take_nobody_for_the_server() {
    if !ready() {
        return;
    }
    let flags = ["--upstream-params", "client=elva&persistent=0&permanent=0"];
    let mut site = Site::build(Software::Elva37, &flags);
    let url = site.server.url();
    let other = Relay::start(&[&["--server", &url, "--messages", "yjs"][..], &flags].concat());
    let (_here, near) = site.at_relay(Kind::YWebsocket3, "notes");
    let client = Client::start(Kind::YWebsocket3, &other.url());
    let far = client.open("notes");
    near.append("near ");
    converge(&[&near, &far], |text| text == "near ");
    let nobody_confirms = || {
        for relay in [&site.relay, &other] {
            let standing = || {
                let document = relay.document("notes");
                (document["synced"].clone(), document["confirmed"].clone())
            };
            eventually_eq("sent, and no more", standing, &(Value::Bool(true), Value::Null));
        }
    };
    nobody_confirms();
    // They come back at the same moment.
    site.server.stop();
    far.append("far");
    site.server.restart();
    converge(&[&near, &far], |text| text == "near far");
    nobody_confirms();
}
