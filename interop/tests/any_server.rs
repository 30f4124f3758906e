//! Any client and any server: what each kind of program writes at a relay reaches a program that is
//! connected straight to the server, and the other way round.
//!
//! A test for each kind of server, with all kinds of clients: a column of the table in the README.

use std::time::Duration;

use serde_json::json;
use yrelay_interop::{
    Client, Document, Kind, Relay, Server, Software, converge, eventually, eventually_eq, ready,
    side_by_side, within, y_sweet_ready,
};

/// A server, a relay below it, and a client of the server's own kind beside that.
struct Site {
    software: Software,
    server: Server,
    relay: Relay,
}

/// What a relay is told of a server.
fn arguments(software: Software, server: &Server) -> Vec<String> {
    let (messages, url) = match software {
        Software::Hocuspocus2 | Software::Hocuspocus3 | Software::Hocuspocus4 => {
            ("hocuspocus", server.url())
        }
        Software::YSweet => ("yjs", format!("{}d/{{identifier}}/ws/{{identifier}}", server.url())),
        _ => ("yjs", server.url()),
    };
    ["--server", &url, "--messages", messages].map(str::to_owned).into()
}

/// The kind of client that is at home at a server.
fn native(software: Software) -> Kind {
    match software {
        Software::Hocuspocus2 => Kind::Hocuspocus2,
        Software::Hocuspocus3 => Kind::Hocuspocus3,
        Software::Hocuspocus4 => Kind::Hocuspocus4,
        _ => Kind::YWebsocket3,
    }
}

impl Site {
    fn build(software: Software) -> Site {
        let server = Server::start(software);
        let arguments = arguments(software, &server);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Site { software, relay: Relay::start(&arguments), server }
    }

    fn at_server(&self, document: &str) -> (Client, Document) {
        let client = Client::start(native(self.software), &self.server.url_for(document));
        let document = client.open(document);
        (client, document)
    }

    fn at_relay(&self, kind: Kind, document: &str) -> (Client, Document) {
        let client = Client::start(kind, &self.relay.url());
        let document = client.open(document);
        (client, document)
    }

    fn confirmed(&self, document: &str) {
        let confirmed = || self.relay.document(document)["confirmed"].clone();
        eventually_eq("the server has shown that it holds it", confirmed, &json!(true));
    }
}

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
        here.kill();
        let gone = || !far.peers().contains(&"near".to_owned());
        within(Duration::from_secs(40), "the gone are missed there", gone);
    }
    drop((here, there));
}

fn column(software: Software) {
    let site = Site::build(software);
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
