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
