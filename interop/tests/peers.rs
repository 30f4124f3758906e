//! What the harness tells about other projects' clients and servers, without yrelay in between.

use yrelay_interop::{
    Client, Document, Kind, Server, Software, converge, eventually, eventually_eq, ready,
    side_by_side, y_sweet_ready,
};

/// Two clients of a server that lets everyone in.
struct Meeting {
    server: Server,
    _clients: [Client; 2],
    documents: [Document; 2],
}

impl Meeting {
    fn new(kinds: [Kind; 2], software: Software) -> Meeting {
        let server = Server::start(software);
        let clients = kinds.map(|kind| Client::start(kind, &server.url_for("notes")));
        let documents = clients.each_ref().map(|client| client.open("notes"));
        Meeting { server, _clients: clients, documents }
    }

    fn converge(&self, expected: &str) {
        converge(&self.documents.each_ref(), |text| text == expected);
    }
}

/// They converge, see each other, and go on with a server that was away.
fn meet(kinds: [Kind; 2], software: Software) {
    let mut meeting = Meeting::new(kinds, software);
    let [one, other] = &meeting.documents;
    one.append("one");
    meeting.converge("one");
    other.append(" two");
    meeting.converge("one two");
    one.delete(0, 4);
    meeting.converge("two");
    eventually("both see each other", || {
        one.announce("one");
        other.announce("other");
        one.peers().contains(&"other".to_owned()) && other.peers().contains(&"one".to_owned())
    });
    meeting.server.stop();
    one.append(", offline");
    meeting.server.restart();
    meeting.converge("two, offline");
}

/// What a server has stored, a client that comes later is given.
fn keeps(kind: Kind, software: Software) {
    let mut server = Server::start(software);
    {
        let clients = [(); 2].map(|()| Client::start(kind, &server.url_for("notes")));
        let documents = clients.each_ref().map(|client| client.open("notes"));
        documents[0].append("kept");
        converge(&documents.each_ref(), |text| text == "kept");
    }
    server.stop();
    server.restart();
    let later = Client::start(kind, &server.url_for("notes")).open("notes");
    eventually_eq("it is still there", || later.text(), &"kept".to_owned());
}

fn peers(software: Software) -> [Kind; 2] {
    match software {
        Software::Hocuspocus2 => [Kind::Hocuspocus2; 2],
        Software::Hocuspocus3 => [Kind::Hocuspocus3; 2],
        Software::Hocuspocus4 => [Kind::Hocuspocus4; 2],
        Software::YWebsocket => [Kind::YWebsocket1, Kind::YWebsocket2],
        Software::Pycrdt => [Kind::YWebsocket3, Kind::Pycrdt],
        _ => [Kind::YWebsocket3, Kind::YWebsocket4],
    }
}

#[test]
fn clients_of_y_websocket_meet_at_its_server() {
    if ready() {
        meet(peers(Software::YWebsocket), Software::YWebsocket);
        meet(peers(Software::YWebsocketMemory), Software::YWebsocketMemory);
        keeps(Kind::YWebsocket3, Software::YWebsocket);
    }
}

#[test]
fn clients_of_hocuspocus_meet_at_its_servers() {
    fn scene(software: Software) {
        meet(peers(software), software);
        keeps(peers(software)[0], software);
    }
    if ready() {
        side_by_side(&[
            ("2", || scene(Software::Hocuspocus2)),
            ("3", || scene(Software::Hocuspocus3)),
            ("4", || scene(Software::Hocuspocus4)),
        ]);
    }
}

#[test]
fn clients_meet_at_pycrdt_websocket() {
    if ready() {
        meet(peers(Software::Pycrdt), Software::Pycrdt);
        keeps(Kind::YWebsocket3, Software::Pycrdt);
    }
}

#[test]
fn clients_meet_at_y_sweet() {
    if ready() && y_sweet_ready() {
        meet(peers(Software::YSweet), Software::YSweet);
        keeps(Kind::YWebsocket3, Software::YSweet);
    }
}
