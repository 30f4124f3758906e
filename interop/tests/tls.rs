//! A gate with TLS, and what is wrong with certificates.

use yrelay_interop::{
    Authority, Certificate, Client, Gate, Keeping, Kind, Proxy, Relay, Server, Software, converge,
    eventually, eventually_eq, ready,
};

fn relay(url: &str, authority: &Authority) -> Relay {
    let file = authority.file();
    let file = file.to_str().expect("a plain path");
    Relay::start(&["-s", url, "-u", "anna", "-p", "sesame", "--tls-ca", file])
}

#[test]
fn edits_pass_through_tls() {
    if !ready() {
        return;
    }
    let authority = Authority::new();
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let gate = Gate::secure(&server.url(), "anna", "sesame", &authority.certificate());
    let relays = [(); 2].map(|()| relay(&gate.url(), &authority));
    let clients = relays.each_ref().map(|relay| Client::start(Kind::YWebsocket3, &relay.url()));
    let documents = clients.each_ref().map(|client| client.open("notes"));
    documents[0].append("<left>");
    documents[1].append("<right>");
    converge(&documents.each_ref(), |text| text.len() == "<left><right>".len());
    for relay in &relays {
        assert_eq!(relay.upstream_state(), "online");
    }
}

/// Without TLS, a bit that flips within a text would make another text.
#[test]
fn a_bit_that_flips_on_the_way_costs_the_connection_and_nothing_else() {
    if !ready() {
        return;
    }
    let authority = Authority::new();
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let gate = Gate::secure(&server.url(), "anna", "sesame", &authority.certificate());
    let proxy = Proxy::start(gate.port());
    let relay = relay(&format!("wss://localhost:{}/", proxy.port()), &authority);
    let document = Client::start(Kind::YWebsocket3, &relay.url()).open("notes");
    let direct = Client::start(Kind::Elva33Framed, &server.url()).open("notes");
    document.append("<before>");
    converge(&[&document, &direct], |text| text == "<before>");
    for round in 1..4 {
        let before = proxy.accepted();
        proxy.spoil();
        document.append("<x>");
        eventually("it connects anew", || proxy.accepted() > before);
        converge(&[&document, &direct], |text| text.len() == "<before>".len() + round * 3);
    }
}

/// Says what is wrong, in one line and once, and mends itself when the gate is mended.
fn a_certificate_is_refused(authority: &Authority, wrong: &Certificate, words: &str) {
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let mut gate = Gate::secure(&server.url(), "anna", "sesame", wrong);
    let relay = relay(&gate.url(), authority);
    let document = Client::start(Kind::YWebsocket3, &relay.url()).open("notes");
    document.append("<offline>");
    let reason = || relay.status()["upstream"]["reason"].as_str().unwrap_or_default().to_owned();
    eventually("it says what is wrong", || {
        relay.upstream_state() == "offline" && reason().contains(words)
    });
    assert_eq!(reason().lines().count(), 1);
    gate.saw(&[]); // nothing is told to strangers
    gate.kill();
    gate.restart(Some(&authority.certificate()));
    eventually_eq("online", || relay.upstream_state(), &"online".to_owned());
    gate.saw(&["none", "right"]);
    let direct = Client::start(Kind::Elva33Framed, &server.url()).open("notes");
    converge(&[&document, &direct], |text| text == "<offline>");
    assert_eq!(relay.output().matches(words).count(), 1, "it says so once");
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused() {
    if ready() {
        let stranger = Authority::new();
        let words = "is signed by an unknown authority";
        a_certificate_is_refused(&Authority::new(), &stranger.certificate(), words);
    }
}

#[test]
fn an_expired_certificate_is_refused() {
    if ready() {
        let authority = Authority::new();
        let wrong = authority.expired_certificate();
        a_certificate_is_refused(&authority, &wrong, "has expired");
    }
}

#[test]
fn a_certificate_of_another_server_is_refused() {
    if ready() {
        let authority = Authority::new();
        let wrong = authority.certificate_of_another();
        a_certificate_is_refused(&authority, &wrong, "is not for localhost");
    }
}
