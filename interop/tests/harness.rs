//! The clients and servers among themselves: what fails here is not the relay's fault.

use yrelay_interop::{
    Client, Elva33Service, Elva37Server, Keeping, Kind, Proxy, Server, Software, converge,
    eventually, eventually_eq, ready,
};

#[test]
fn clients_of_every_kind_converge_on_a_real_server() {
    if !ready() {
        return;
    }
    let server = Elva37Server::start();
    let clients = Kind::PLAIN.map(|kind| Client::start(kind, &server.url()));
    let documents = clients.each_ref().map(|client| client.open("notes"));
    for (document, kind) in documents.iter().zip(Kind::PLAIN) {
        document.append(&format!("<{kind:?}>"));
        document.set(&format!("{kind:?}"), "was here");
    }
    let all = documents.each_ref();
    let complete =
        |text: &str| Kind::PLAIN.iter().all(|kind| text.contains(&format!("<{kind:?}>")));
    let text = converge(&all, complete);

    documents[3].delete(0, text.len());
    documents[0].insert(0, "fresh");
    converge(&all, |text| text == "fresh");
}

#[test]
fn clients_see_who_is_present() {
    if !ready() {
        return;
    }
    let server = Elva37Server::start();
    let clients = Kind::PRESENT.map(|kind| Client::start(kind, &server.url()));
    let documents = clients.each_ref().map(|client| client.open("notes"));
    converge(&documents.each_ref(), |_| true);
    // The server keeps no awareness: a joiner learns of the others by their next announcement.
    eventually("everyone is connected", || {
        for (document, kind) in documents.iter().zip(Kind::PRESENT) {
            document.announce(&format!("{kind:?}"));
        }
        documents.iter().all(|document| document.peers().len() == documents.len() - 1)
    });
    documents[0].disconnect();
    for document in &documents[1..] {
        eventually_eq("the gone are missed", || document.peers().len(), &(documents.len() - 2));
    }
}

#[test]
fn encrypted_clients_meet_and_the_server_learns_nothing() {
    if !ready() {
        return;
    }
    let server = Elva37Server::start();
    let one = Client::start(Kind::Elva37, &server.url());
    let other = Client::start(Kind::Elva37, &server.url());
    let one = one.open_secret("vault", "open sesame");
    one.append("hidden");
    let other = other.open_secret("vault", "open sesame");
    converge(&[&one, &other], |text| text == "hidden");

    let observer = Client::start(Kind::Raw, &server.url());
    let observer = observer.open("vault");
    other.append(" treasure");
    converge(&[&one, &other], |text| text == "hidden treasure");
    eventually("the observer sees something", || !observer.frames().is_empty());
    assert!(observer.frames().iter().all(|frame| frame.starts_with(b"gAAAA")));
}

#[test]
fn the_original_service_joins_its_clients_with_those_of_the_server() {
    if !ready() {
        return;
    }
    for keeping in [Keeping::Nothing, Keeping::Memory, Keeping::Disk] {
        let server = Server::start(Software::Elva33(keeping));
        let proxy = Proxy::start(server.port());
        let service = Elva33Service::start(&proxy.url());
        let framed = Client::start(Kind::Elva33Framed, &server.url());
        let framed = framed.open("a name/with ü");
        let local =
            [Kind::Elva33, Kind::YWebsocket2].map(|kind| Client::start(kind, &service.url()));
        let local = local.each_ref().map(|client| client.open("a name/with ü"));
        framed.append("<framed>");
        // It pushes nothing by itself, and where the server keeps nothing, nobody asks it.
        eventually("y-websocket is answered", || local[1].synced());
        for document in &local {
            document.append("<local>");
        }
        converge(&[&framed, &local[0], &local[1]], |text| text.len() == 22);
        assert_eq!(proxy.accepted(), 1, "the service multiplexes");
    }
}

#[test]
fn a_killed_server_comes_back_on_its_port() {
    if !ready() {
        return;
    }
    let mut server = Server::start(Software::Elva33(Keeping::Disk));
    let client = Client::start(Kind::Elva33Framed, &server.url());
    let document = client.open("notes");
    document.append("before");
    let witness = Client::start(Kind::Elva33Framed, &server.url()).open("notes");
    converge(&[&document, &witness], |text| text == "before");
    server.kill();
    document.append(", offline");
    server.restart();
    converge(&[&document, &witness], |text| text == "before, offline");
}
