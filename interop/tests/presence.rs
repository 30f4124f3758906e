//! Nobody who is here is invisible at a server of another project for long, and nobody who has left
//! stays. Clients renew their presence every 15 s and take others for gone after 30: what is seen
//! sooner is the relay's doing.

use std::time::Duration;

use yrelay_interop::{
    Document, Kind, Proxy, Relay, Server, Site, Software, eventually, ready, side_by_side, within,
};

const SOON: Duration = Duration::from_secs(10);

fn introduce(names: &[&str], documents: &[&Document]) {
    eventually("they see each other", || {
        documents.iter().zip(names).for_each(|(document, name)| document.announce(name));
        documents.iter().all(|document| document.peers().len() == names.len() - 1)
    });
}

fn one_of_two_leaves(software: Software) {
    let site = Site::build(software, &[]);
    let (_there, far) = site.at_server("notes");
    let (leaver, leaving) = site.at_relay(Kind::YWebsocket3, "notes");
    let (_stayer, staying) = site.at_relay(Kind::Hocuspocus3, "notes");
    introduce(&["far", "leaving", "staying"], &[&far, &leaving, &staying]);
    leaver.kill();
    within(SOON, "who has left is gone, and nobody else", || far.peers() == ["staying"]);
    far.append("text");
    eventually("the document is still attached", || staying.text() == "text");
    assert_eq!(staying.peers(), ["far"]);
}

#[test]
fn who_leaves_is_missed_and_who_stays_is_seen() {
    if ready() {
        side_by_side(&[
            ("y-websocket", || one_of_two_leaves(Software::YWebsocket)),
            ("Hocuspocus 2", || one_of_two_leaves(Software::Hocuspocus2)),
            ("Hocuspocus 3", || one_of_two_leaves(Software::Hocuspocus3)),
            ("Hocuspocus 4", || one_of_two_leaves(Software::Hocuspocus4)),
        ]);
    }
}

/// The server withdraws with a connection whoever was announced there, and remembers their clocks.
fn the_connection_is_lost(software: Software) {
    let server = Server::start(software);
    let proxy = Proxy::start(server.port());
    let (messages, url) = server.for_relays();
    let url = url.replace(&server.port().to_string(), &proxy.port().to_string());
    let relay = Relay::start(&["--server", &url, "--messages", messages]);
    let site = Site { server, relay };
    let (_there, far) = site.at_server("notes");
    let (_here, near) = site.at_relay(Kind::YWebsocket3, "notes");
    introduce(&["far", "near"], &[&far, &near]);
    // Behind it comes what shows that the server sends back what it takes.
    far.append("text");
    eventually("it comes down", || near.text() == "text");
    proxy.refuse(true);
    proxy.cut();
    within(SOON, "the loss is seen", || far.peers().is_empty());
    proxy.refuse(false);
    within(SOON, "who is here is seen again", || far.peers() == ["near"]);
    within(SOON, "who is there is seen again", || near.peers() == ["far"]);
}

#[test]
fn a_lost_connection_makes_nobody_invisible() {
    if ready() {
        side_by_side(&[
            ("y-websocket", || the_connection_is_lost(Software::YWebsocket)),
            ("Hocuspocus 2", || the_connection_is_lost(Software::Hocuspocus2)),
            ("Hocuspocus 3", || the_connection_is_lost(Software::Hocuspocus3)),
            ("Hocuspocus 4", || the_connection_is_lost(Software::Hocuspocus4)),
        ]);
    }
}
