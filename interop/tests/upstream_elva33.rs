//! Relays below a server of ELVA 0.33, in each of its three modes.

use serde_json::{Value, json};
use yrelay_interop::{
    Client, Document, Elva33Service, Keeping, Kind, Proxy, Relay, Server, Software, converge,
    eventually, eventually_eq, ready,
};

/// What status says of a document in peace: a server that keeps nothing can confirm nothing.
fn at_rest(keeping: Keeping) -> Value {
    match keeping {
        Keeping::Nothing => Value::Null,
        Keeping::Memory | Keeping::Disk => json!(true),
    }
}

fn settled(relay: &Relay, keeping: Keeping) {
    eventually_eq("upstream is back", || relay.upstream_state(), &"online".to_owned());
    let confirmed = || relay.document("notes")["confirmed"].clone();
    eventually_eq("what can be confirmed is", confirmed, &at_rest(keeping));
}

/// A server, and a client on each of two relays below it.
struct Site {
    server: Server,
    relays: [Relay; 2],
    clients: [Client; 2],
    documents: [Document; 2],
}

impl Site {
    fn build(keeping: Keeping) -> Site {
        let server = Server::start(Software::Elva33(keeping));
        let relays = [(); 2].map(|()| Relay::below(&server.url()));
        let clients = [
            Client::start(Kind::YWebsocket3, &relays[0].url()),
            Client::start(Kind::Elva37, &relays[1].url()),
        ];
        let documents = clients.each_ref().map(|client| client.open("notes"));
        Site { server, relays, clients, documents }
    }

    fn converge(&self, complete: impl Fn(&str) -> bool) {
        converge(&self.documents.each_ref(), complete);
    }

    fn cut(&self) {
        self.server.kill();
        for relay in &self.relays {
            eventually("the loss is noticed", || relay.upstream_state() != "online");
        }
    }
}

fn a_relay_works_beside_the_original(keeping: Keeping) {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(keeping));
    let relay = Relay::below(&server.url());
    let service = Elva33Service::start(&server.url());
    let direct = Client::start(Kind::Elva33Framed, &server.url()).open("thesis/chapter 3");
    let ours = Client::start(Kind::YWebsocket1, &relay.url()).open("thesis/chapter 3");
    direct.append("<direct>");
    converge(&[&direct, &ours], |text| text == "<direct>");
    // It joins late and learns from a server that keeps nothing only what peers answer.
    let theirs = Client::start(Kind::Elva33, &service.url()).open("thesis/chapter 3");
    theirs.append("<theirs>");
    ours.append("<ours>");
    converge(&[&direct, &ours, &theirs], |text| text.len() == 22);
    assert_eq!(relay.document("thesis/chapter 3")["clients"], 1);
}

#[test]
fn a_relay_works_beside_the_original_broadcast() {
    a_relay_works_beside_the_original(Keeping::Nothing);
}

#[test]
fn a_relay_works_beside_the_original_memory() {
    a_relay_works_beside_the_original(Keeping::Memory);
}

#[test]
fn a_relay_works_beside_the_original_disk() {
    a_relay_works_beside_the_original(Keeping::Disk);
}

#[test]
fn fifty_documents_share_one_connection() {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let proxies = [(); 2].map(|()| Proxy::start(server.port()));
    let relays = proxies.each_ref().map(|proxy| Relay::below(&proxy.url()));
    let clients = relays.each_ref().map(|relay| Client::start(Kind::YWebsocket3, &relay.url()));
    let documents: Vec<[Document; 2]> = (0..50)
        .map(|number| clients.each_ref().map(|client| client.open(&format!("document-{number}"))))
        .collect();
    for (number, [left, right]) in documents.iter().enumerate() {
        left.append(&format!("<left {number}>"));
        right.append(&format!("<right {number}>"));
    }
    for (number, [left, right]) in documents.iter().enumerate() {
        let parts = [format!("<left {number}>"), format!("<right {number}>")];
        converge(&[left, right], |text| {
            text.len() == parts[0].len() + parts[1].len()
                && parts.iter().all(|part| text.contains(part))
        });
    }
    for proxy in &proxies {
        assert_eq!(proxy.accepted(), 1);
    }
}

fn edits_survive_three_losses_of_the_server(keeping: Keeping) {
    if !ready() {
        return;
    }
    let mut site = Site::build(keeping);
    let mut expected = Vec::new();
    for round in 0..3 {
        site.cut();
        for (side, document) in site.documents.iter().enumerate() {
            let edit = format!("<{side}.{round}>");
            document.append(&edit);
            document.set(&edit, "offline");
            expected.push(edit);
        }
        site.server.restart();
        let length: usize = expected.iter().map(String::len).sum();
        site.converge(|text| text.len() == length && expected.iter().all(|it| text.contains(it)));
        for relay in &site.relays {
            settled(relay, keeping);
        }
    }
}

#[test]
fn edits_survive_three_losses_of_the_server_broadcast() {
    edits_survive_three_losses_of_the_server(Keeping::Nothing);
}

#[test]
fn edits_survive_three_losses_of_the_server_memory() {
    edits_survive_three_losses_of_the_server(Keeping::Memory);
}

#[test]
fn edits_survive_three_losses_of_the_server_disk() {
    edits_survive_three_losses_of_the_server(Keeping::Disk);
}

fn offline_deletions_arrive(keeping: Keeping) {
    if !ready() {
        return;
    }
    let mut site = Site::build(keeping);
    site.documents[0].append("0123456789");
    site.converge(|text| text == "0123456789");
    for relay in &site.relays {
        settled(relay, keeping);
    }
    site.cut();
    // State vectors show none of this.
    site.documents[0].delete(1, 3);
    site.documents[1].delete(6, 2);
    site.server.restart();
    site.converge(|text| text == "04589");
    for relay in &site.relays {
        settled(relay, keeping);
    }
}

#[test]
fn offline_deletions_arrive_broadcast() {
    offline_deletions_arrive(Keeping::Nothing);
}

#[test]
fn offline_deletions_arrive_memory() {
    offline_deletions_arrive(Keeping::Memory);
}

#[test]
fn offline_deletions_arrive_disk() {
    offline_deletions_arrive(Keeping::Disk);
}

/// Nobody is left to send the edits again but the relay, and that was killed meanwhile.
fn edits_of_the_gone_arrive(keeping: Keeping) {
    if !ready() {
        return;
    }
    let mut site = Site::build(keeping);
    site.documents[0].append("before");
    site.converge(|text| text == "before");
    site.cut();
    site.documents[0].append(", offline");
    eventually("the edit is saved", || site.documents[0].saved_count() == 15);
    site.clients[0].kill();
    site.relays[0].kill();
    site.relays[0].restart();
    site.server.restart();
    eventually_eq("the edit arrives", || site.documents[1].text(), &"before, offline".to_owned());
    let late = Client::start(Kind::Elva33Framed, &site.server.url()).open("notes");
    converge(&[&late, &site.documents[1]], |text| text == "before, offline");
}

#[test]
fn edits_of_the_gone_arrive_broadcast() {
    edits_of_the_gone_arrive(Keeping::Nothing);
}

#[test]
fn edits_of_the_gone_arrive_memory() {
    edits_of_the_gone_arrive(Keeping::Memory);
}

#[test]
fn edits_of_the_gone_arrive_disk() {
    edits_of_the_gone_arrive(Keeping::Disk);
}

#[test]
fn a_document_that_the_server_would_double_is_not_sent() {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let relay = Relay::below(&server.url());
    let clients = Client::start(Kind::Pycrdt, &relay.url());
    let wide = clients.open_as("wide", (1 << 52) + 7);
    wide.append("once");
    let narrow = clients.open("narrow");
    narrow.append("narrow");
    let direct = Client::start(Kind::Elva33Framed, &server.url()).open("narrow");
    converge(&[&narrow, &direct], |text| text == "narrow");
    // Whoever asks the server gets the content of `wide` under another author, if it is there.
    let mut restarted = relay;
    restarted.kill();
    restarted.restart();
    let late = Client::start(Kind::YWebsocket1, &restarted.url()).open("wide");
    eventually("late is answered", || late.synced());
    eventually_eq("back online", || restarted.upstream_state(), &"online".to_owned());
    narrow.append(", still");
    converge(&[&narrow, &direct], |text| text == "narrow, still");
    converge(&[&wide, &late], |text| text == "once");
    assert_ne!(restarted.document("wide")["confirmed"], true);
}

/// Nobody between two encrypted editors can know what they missed of each other.
#[test]
fn encrypted_documents_catch_up_after_an_outage() {
    if !ready() {
        return;
    }
    let mut server = Server::start(Software::Elva33(Keeping::Nothing));
    let relays = [(); 2].map(|()| Relay::below(&server.url()));
    for relay in &relays {
        eventually_eq("online", || relay.upstream_state(), &"online".to_owned());
    }
    let clients = relays.each_ref().map(|relay| Client::start(Kind::Elva37, &relay.url()));
    let [left, right] = clients.each_ref().map(|client| client.open_secret("vault", "sesame"));
    left.append("hidden");
    converge(&[&left, &right], |text| text == "hidden");
    server.kill();
    for relay in &relays {
        eventually("the loss is noticed", || relay.upstream_state() != "online");
    }
    left.append("<left>");
    right.append("<right>");
    server.restart();
    converge(&[&left, &right], |text| text.len() == "hidden<left><right>".len());
}
