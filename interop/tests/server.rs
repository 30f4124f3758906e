//! `yrelay serve`: both protocols on one port, with the programs that spoke them to ELVA's servers.

use yrelay_interop::{
    Client, Document, Elva33Service, Kind, Relay, converge, eventually, eventually_eq, ready,
};

/// A server, an original service of ELVA 0.33 below it, and clients everywhere.
struct Site {
    server: Relay,
    _service: Elva33Service,
    _clients: Vec<Client>,
    documents: Vec<Document>,
}

/// Who is where: directly at the server, on a link of its own, behind the original service.
fn site() -> Site {
    let server = Relay::serve(&[]);
    let service = Elva33Service::start(&server.url());
    let mut clients = Vec::new();
    for kind in [Kind::YWebsocket3, Kind::Pycrdt, Kind::Elva33Framed] {
        clients.push(Client::start(kind, &server.url()));
    }
    for kind in [Kind::YWebsocket2, Kind::Elva33] {
        clients.push(Client::start(kind, &service.url()));
    }
    let documents = clients.iter().map(|client| client.open("notes")).collect();
    Site { server, _service: service, _clients: clients, documents }
}

impl Site {
    fn converge(&self, complete: impl Fn(&str) -> bool) -> String {
        converge(&self.documents.iter().collect::<Vec<_>>(), complete)
    }
}

#[test]
fn one_document_is_shared_over_both_protocols() {
    if !ready() {
        return;
    }
    let site = site();
    for (number, document) in site.documents.iter().enumerate() {
        document.append(&format!("<{number}>"));
    }
    site.converge(|text| text.len() == 3 * site.documents.len());
    let status = site.server.document("notes");
    assert_eq!((&status["clients"], &status["links"]), (&2.into(), &2.into()), "{status}");
    // Deletions, too, go everywhere.
    site.documents[4].delete(0, 3);
    site.converge(|text| text.len() == 3 * (site.documents.len() - 1));
}

#[test]
fn what_was_written_over_a_link_is_kept() {
    if !ready() {
        return;
    }
    let mut server = Relay::serve(&[]);
    {
        let service = Elva33Service::start(&server.url());
        let writer = Client::start(Kind::YWebsocket3, &service.url());
        writer.open("notes").append("kept");
        eventually("it is saved", || server.document("notes")["saved"] == true);
        eventually("all of it", || server.document("notes")["bytes"].as_u64() > Some(4));
    }
    server.kill();
    server.restart();
    let service = Elva33Service::start(&server.url());
    let reader = Client::start(Kind::Elva33, &service.url());
    let document = reader.open("notes");
    eventually_eq("it is there", || document.text(), &"kept".to_owned());
}

/// Two services below one server, over links of our own, each with a client.
fn online(relays: &[&Relay]) {
    for relay in relays {
        eventually_eq("online", || relay.upstream_state(), &"online".to_owned());
    }
}

fn stands(relay: &Relay, identifier: &str) -> (bool, bool) {
    let document = relay.document(identifier);
    (document["confirmed"] == true, document["above"] == true)
}

#[test]
fn services_below_a_server_are_told_when_all_is_saved_there() {
    if !ready() {
        return;
    }
    let mut server = Relay::serve(&[]);
    let services = [(); 2].map(|()| Relay::below(&server.url()));
    online(&services.each_ref());
    let clients =
        services.each_ref().map(|service| Client::start(Kind::YWebsocket3, &service.url()));
    let documents = clients.each_ref().map(|client| client.open("notes"));
    documents[0].append("<0>");
    documents[1].append("<1>");
    converge(&documents.each_ref(), |text| text.len() == 6);
    for service in &services {
        eventually_eq("confirmed", || stands(service, "notes"), &(true, true));
    }
    // Offline edits and deletions, and a server that is killed meanwhile.
    server.kill();
    documents[0].append("<offline>");
    documents[1].delete(0, 1);
    for service in &services {
        eventually_eq("unconfirmed", || stands(service, "notes").0, &false);
    }
    server.restart();
    let text = converge(&documents.each_ref(), |text| text.len() == 6 + 9 - 1);
    for service in &services {
        eventually_eq("confirmed again", || stands(service, "notes"), &(true, true));
    }
    let direct = Client::start(Kind::YWebsocket4, &server.url());
    let document = direct.open("notes");
    eventually_eq("at the server", || document.text(), &text);
}

#[test]
fn a_chain_says_when_all_has_come_to_its_top() {
    if !ready() {
        return;
    }
    let mut server = Relay::serve(&[]);
    let middle = Relay::below(&server.url());
    let low = Relay::below(&middle.url());
    online(&[&middle, &low]);
    let below = Client::start(Kind::YWebsocket3, &low.url());
    let above = Client::start(Kind::YWebsocket2, &server.url());
    let documents = [below.open("notes"), above.open("notes")];
    documents[0].append("up");
    converge(&documents.each_ref(), |text| text == "up");
    eventually_eq("to the top", || stands(&low, "notes"), &(true, true));
    server.kill();
    eventually_eq("offline", || middle.upstream_state(), &"offline".to_owned());
    documents[0].append(" and on");
    eventually_eq("to the middle only", || stands(&low, "notes"), &(true, false));
    server.restart();
    converge(&documents.each_ref(), |text| text == "up and on");
    eventually_eq("to the top again", || stands(&low, "notes"), &(true, true));
}
