//! `kill -9` of the relay while somebody types.

use yrelay_interop::{
    Client, Keeping, Kind, Relay, Server, Software, converge, eventually, eventually_eq, ready,
};

const TYPED: usize = 3000;

#[test]
fn what_was_acknowledged_survives() {
    if !ready() {
        return;
    }
    let mut relay = Relay::start(&[]);
    for kind in [Kind::YWebsocket4, Kind::YWebsocket1] {
        let typist = Client::start(kind, &relay.url());
        let document = typist.open(&format!("{kind:?}"));
        document.type_slowly(&"x".repeat(TYPED), 1);
        eventually("acknowledgements come", || document.saved_count() >= 100);
        relay.kill();
        let acknowledged = document.saved_count();
        typist.kill();
        relay.restart();
        let reader = Client::start(Kind::YWebsocket3, &relay.url()).open(&format!("{kind:?}"));
        eventually("the reader is answered", || reader.synced());
        let kept = reader.text().len();
        assert!(kept >= acknowledged, "{kept} kept of {acknowledged} acknowledged");
    }
}

#[test]
fn a_typist_who_stays_notices_nothing() {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let mut relay = Relay::below(&server.url());
    let typist = Client::start(Kind::YWebsocket4, &relay.url()).open("notes");
    let witness = Client::start(Kind::Elva33Framed, &server.url()).open("notes");
    typist.type_slowly(&"x".repeat(TYPED), 1);
    for saved in [200, 800, 1400] {
        eventually("acknowledgements come", || typist.saved_count() >= saved);
        relay.kill();
        relay.restart();
    }
    converge(&[&typist, &witness], |text| text.len() == TYPED);
    // What the relay had saved but not acknowledged when it died, nobody sends again.
    typist.append("!");
    eventually("acknowledgements go on", || typist.newest_saved());
    let confirmed = || relay.document("notes")["confirmed"].clone();
    eventually_eq("and confirmed", confirmed, &true.into());
}
