//! Any client and any server: what each kind of program writes at a relay reaches a program that is
//! connected straight to the server, and the other way round.
//!
//! A test for each kind of server, with all kinds of clients: a column of the table in the README.

use std::time::Duration;

use serde_json::Value;
use yrelay_interop::{
    Client, Document, Keeping, Kind, Relay, Site, Software, converge, eventually, eventually_eq,
    ready, side_by_side, within, y_sweet_ready,
};

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
        if kind == Kind::YWebsocket3 || !forgets_departures(site) {
            is_missed(&here, &far);
        }
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
    within(Duration::from_secs(40), "the gone are missed there", gone);
}

/// Whether it passes no departures on, so that those who leave are there for half a minute more.
fn forgets_departures(site: &Site) -> bool {
    site.server.software() == Software::Hocuspocus4
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
