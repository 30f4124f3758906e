//! What the harness tells about other projects' clients and servers, without yrelay in between.

use std::time::Duration;

use serde_json::Value;
use yrelay_interop::{
    Client, Document, Kind, Server, Software, converge, eventually, eventually_eq, ready,
    side_by_side, steady, y_sweet_ready,
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
        Software::Elva37 => [Kind::YWebsocket3, Kind::Elva37],
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

#[test]
fn clients_meet_at_elva() {
    if ready() {
        meet(peers(Software::Elva37), Software::Elva37);
        keeps(Kind::YWebsocket3, Software::Elva37);
    }
}

fn happened(document: &Document, event: &str) -> Vec<Value> {
    document.events().into_iter().filter(|it| it["event"] == event).collect()
}

/// Who may write, who may read, who may nothing, and who says no name.
fn guard(kind: Kind, software: Software) {
    let server = Server::guarded(software);
    let [writer, reader, stranger] = ["secret", "reader", "wrong"]
        .map(|token| Client::start_with_token(kind, &server.url(), token));
    let nobody = Client::start(kind, &server.url());
    let [author, audience] = [&writer, &reader].map(|client| client.open("notes"));
    let outsiders = [&stranger, &nobody].map(|client| client.open("notes"));
    author.append("read me");
    eventually_eq("a reader reads", || audience.text(), &"read me".to_owned());
    eventually("all is acknowledged", || author.synced() && author.saved());
    audience.append("!");
    author.append(".");
    eventually("what follows is acknowledged", || author.saved());
    eventually("a reader hears it", || audience.text().len() == "read me.!".len());
    assert_eq!(author.text(), "read me.");
    assert_eq!(audience.unsynced_changes(), 1);
    eventually_eq("a stranger is told", || happened(&outsiders[0], "refused").len(), &1);
    // Version 2 without a token does not ask, and is not told.
    let is_told = kind != Kind::Hocuspocus2;
    eventually_eq("so is nobody", || happened(&outsiders[1], "refused").len(), &is_told.into());
    assert!(outsiders.iter().all(|outsider| outsider.text().is_empty() && !outsider.synced()));
    // Others of the same socket go on.
    let tasks = writer.open("tasks");
    eventually("a second document", || tasks.synced());
    author.destroy();
    tasks.append("still here");
    eventually("it is acknowledged", || tasks.saved());
    tasks.send_stateless("hello");
    eventually_eq("the server repeats it", || happened(&tasks, "stateless").len(), &1);
    assert_eq!(happened(&tasks, "stateless")[0]["payload"], "hello");
}

#[test]
fn hocuspocus_lets_in_by_token() {
    if ready() {
        side_by_side(&[
            ("2", || guard(Kind::Hocuspocus2, Software::Hocuspocus2)),
            ("3", || guard(Kind::Hocuspocus3, Software::Hocuspocus3)),
            ("4", || guard(Kind::Hocuspocus4, Software::Hocuspocus4)),
        ]);
    }
}

#[test]
fn y_sweet_lets_in_by_token() {
    if !ready() || !y_sweet_ready() {
        return;
    }
    let server = Server::guarded(Software::YSweet);
    let url = server.url_for("notes");
    let raw = |token: &str| {
        let document = Client::start(Kind::Raw, &url).open(&format!("notes?token={token}"));
        eventually("the server opens", || document.frames().len() == 2);
        document
    };
    let update = [0, 2, 14, 1, 1, 5, 0, 4, 1, 4, b't', b'e', b'x', b't', 1, b'x', 0];
    let status = [102, 1, 7];
    let reader = raw(&server.client_token("notes", "read-only"));
    reader.send_frame(&update);
    reader.send_frame(&status);
    eventually_eq("it is dropped", || reader.frames().split_off(2), &vec![status.to_vec()]);
    let writer = raw(&server.client_token("notes", "full"));
    writer.send_frame(&update);
    writer.send_frame(&status);
    let both = vec![update.to_vec(), status.to_vec()];
    eventually_eq("it is repeated", || writer.frames().split_off(2), &both);
}

#[test]
fn servers_forget_and_fall_back() {
    if !ready() {
        return;
    }
    let mut server = Server::start(Software::YWebsocket);
    let text = |server: &Server| {
        let client = Client::start(Kind::YWebsocket3, &server.url());
        let document = client.open("notes");
        eventually("it is synced", || document.synced());
        // What is stored follows the answer.
        steady(Duration::from_millis(300), || document.text())
    };
    let write = |server: &Server, text: &str| {
        let client = Client::start(Kind::YWebsocket3, &server.url());
        let document = client.open("notes");
        eventually("it is synced", || document.synced());
        document.append(text);
        eventually("it is saved", || document.saved());
    };
    write(&server, "old");
    server.stop();
    let backup = server.backup();
    server.restart();
    write(&server, ", new");
    server.stop();
    server.restart();
    // A writer that begins before the server has loaded writes at the front.
    assert!(["old, new", ", newold"].contains(&text(&server).as_str()));
    server.kill();
    server.roll_back(&backup);
    server.restart();
    assert_eq!(text(&server), "old");
    server.kill();
    server.wipe();
    server.restart();
    assert_eq!(text(&server), "");
}

#[test]
fn a_rebuilding_server_doubles_what_clients_kept() {
    if !ready() {
        return;
    }
    let mut server = Server::start(Software::Rebuilding);
    let document = Client::start(Kind::YWebsocket3, &server.url()).open("notes");
    document.append("once");
    eventually("it is saved", || document.saved());
    server.kill();
    server.restart();
    eventually_eq("twice", || document.text().matches("once").count(), &2);
    let later = Client::start(Kind::YWebsocket3, &server.url()).open("notes");
    eventually_eq("for all", || later.text(), &document.text());
}
