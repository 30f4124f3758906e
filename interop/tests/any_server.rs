//! Any client and any server: what each kind of program writes at a relay reaches a program that is
//! connected straight to the server, and the other way round.
//!
//! A test for each kind of server, with all kinds of clients: a column of the table in the README.

use std::time::Duration;

use serde_json::Value;
use yrelay_interop::{
    Client, Document, Keeping, Kind, Relay, Server, Site, Software, converge, eventually,
    eventually_eq, ready, side_by_side, within, y_sweet_ready,
};

/// Hocuspocus 4 looks once a minute who has opened nothing for a minute.
const SHOWS_IT_MAX: Duration = Duration::from_secs(150);

fn kinds() -> impl Iterator<Item = Kind> {
    Kind::PLAIN.into_iter().chain(Kind::HOCUSPOCUS)
}

fn name(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

/// A program of this kind at the relay, and one straight at the server.
fn meet(site: &Site, kind: Kind) {
    let name = name(kind);
    let (_there, far) = site.at_server(&name);
    far.append("far ");
    let (here, near) = site.at_relay(kind, &name);
    write(&near, &far);
    site.confirmed(&name);
    if shows_who_is_there(kind) && shows_who_is_there(site.server.software().native()) {
        see_each_other(&near, &far);
        is_missed(&here, &far);
    }
}

/// Both write and delete, after the one that is far.
fn write(near: &Document, far: &Document) {
    let both = [near, far];
    converge(&both, |text| text == "far ");
    near.append("near");
    converge(&both, |text| text == "far near");
    far.delete(0, 4);
    converge(&both, |text| text == "near");
    near.delete(0, 1);
    converge(&both, |text| text == "ear");
}

fn shows_who_is_there(kind: Kind) -> bool {
    Kind::PRESENT.contains(&kind) || Kind::HOCUSPOCUS.contains(&kind)
}

fn see_each_other(near: &Document, far: &Document) {
    eventually("both see each other", || {
        near.announce("near");
        far.announce("far");
        near.peers().contains(&"far".to_owned()) && far.peers().contains(&"near".to_owned())
    });
}

fn is_missed(here: &Client, far: &Document) {
    here.kill();
    let gone = || !far.peers().contains(&"near".to_owned());
    // Half a minute later anybody would be.
    within(Duration::from_secs(15), "the gone are missed there", gone);
}

fn column(software: Software) {
    let site = Site::build(software, &[]);
    for kind in kinds() {
        meet(&site, kind);
    }
}

/// A server of ELVA 0.33 passes on who is there only where it keeps nothing, and the program that is
/// connected straight to it shows nobody: so the other one is below another relay.
fn column_of_presence() {
    let site = Site::build(Software::Elva33(Keeping::Nothing), &[]);
    let other = Relay::below(&site.server.url());
    for kind in kinds().filter(|kind| shows_who_is_there(*kind)) {
        let name = name(kind);
        let there = Client::start(Kind::YWebsocket3, &other.url());
        let far = there.open(&name);
        far.append("far ");
        let (here, near) = site.at_relay(kind, &name);
        write(&near, &far);
        let confirmed = || site.relay.document(&name)["confirmed"].clone();
        eventually_eq("it can prove nothing", confirmed, &Value::Null);
        see_each_other(&near, &far);
        is_missed(&here, &far);
    }
}

#[test]
fn elva_33() {
    if ready() {
        side_by_side(&[
            ("keeping", || column(Software::Elva33(Keeping::Disk))),
            ("passing on", column_of_presence),
        ]);
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

/// A relay that speaks to this server in messages that are not its own says which are.
fn names(software: Software, messages: &str, named: &str) {
    is_named_below(&Server::start(software), messages, named);
}

fn is_named_below(server: &Server, messages: &str, named: &str) {
    let url = match messages {
        "yjs" => server.for_relays().1,
        _ => server.url(),
    };
    let relay = Relay::start(&["--server", &url, "--messages", messages]);
    let client = Client::start(Kind::YWebsocket3, &relay.url());
    let document = client.open("notes");
    document.append("text");
    eventually("it is saved here", || document.saved());
    let what = format!("{:?}, spoken to in {messages}, wants {named}", server.software());
    let advice = format!("write --messages {named}");
    within(SHOWS_IT_MAX, &what, || relay.output().contains(&advice));
    assert_ne!(relay.document("notes")["confirmed"], true);
}

#[test]
fn messages_of_another_server_are_named() {
    if !ready() {
        return;
    }
    names(Software::Elva33(Keeping::Memory), "yjs", "elva");
    names(Software::Elva33(Keeping::Memory), "hocuspocus", "yjs or elva");
    names(Software::Hocuspocus2, "yjs", "hocuspocus");
    for software in [Software::YWebsocketMemory, Software::Pycrdt] {
        names(software, "elva", "yjs");
        names(software, "hocuspocus", "yjs");
    }
    names(Software::Elva37, "elva", "yjs");
    names(Software::Elva37, "hocuspocus", "yjs or elva");
    if y_sweet_ready() {
        names(Software::YSweet, "elva", "yjs");
        names(Software::YSweet, "hocuspocus", "yjs or elva");
    }
}

/// These wait for somebody to show a token, and do not wait for ever.
#[test]
fn messages_of_hocuspocus_are_named_when_it_loses_patience() {
    if ready() {
        side_by_side(&[
            ("2", || {
                is_named_below(&Server::guarded(Software::Hocuspocus2), "elva", "hocuspocus");
            }),
            ("4 as elva", || names(Software::Hocuspocus4, "elva", "hocuspocus")),
            ("4 as yjs", || names(Software::Hocuspocus4, "yjs", "hocuspocus")),
        ]);
    }
}

/// Hocuspocus 2 ends a connection on which nothing was opened for half a minute.
#[test]
fn a_connection_that_nobody_needs_is_opened_again_for_who_comes() {
    if !ready() {
        return;
    }
    let site = Site::build(Software::Hocuspocus2, &[]);
    eventually_eq("online", || site.relay.upstream_state(), &"online".to_owned());
    within(Duration::from_secs(60), "it has ended", || site.relay.upstream_state() == "idle");
    assert!(!site.relay.output().contains("offline"), "that is no loss");
    let (_here, near) = site.at_relay(Kind::YWebsocket3, "notes");
    let (_there, far) = site.at_server("notes");
    near.append("text");
    converge(&[&near, &far], |text| text == "text");
    site.confirmed("notes");
}
