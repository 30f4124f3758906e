//! Servers that want a token, or take some documents only.

use std::time::Duration;

use serde_json::Value;
use yrelay_interop::{
    Client, Document, Kind, Relay, SecretFile, Server, Site, Software, converge, elva37_rooms,
    eventually, eventually_eq, ready, side_by_side, steady, within, y_sweet_ready,
};

/// A token file is looked at every 2 s; a little for a busy machine.
const LOOKED_AT: Duration = Duration::from_secs(8);
/// Long enough for what should not happen.
const A_WHILE: Duration = Duration::from_secs(1);

/// Why a document does not go up.
fn parked(relay: &Relay, document: &str) -> Option<String> {
    relay.document(document)["parked"].as_str().map(str::to_owned)
}

fn is_parked(relay: &Relay, document: &str, why: &str) {
    eventually("it is shown why it stays here", || {
        parked(relay, document).is_some_and(|reason| reason.contains(why))
    });
    // Once something of it has arrived.
    eventually("it is not confirmed", || relay.document(document)["confirmed"] != true);
}

/// Who comes to the relay sees all that is written there.
fn local_work_goes_on(site: &Site, near: &Document, name: &str, piece: &str) {
    let (_other, other) = site.at_relay(Kind::YWebsocket1, name);
    near.append(piece);
    converge(&[near, &other], |text| text.ends_with(piece));
    eventually("saved", || near.saved());
}

/// A relay that is let in as a reader, then as a writer, then not at all, and then again.
fn hocuspocus(software: Software) {
    let token = SecretFile::new("reader");
    let path = token.path();
    let mut site = Site::below(Server::guarded(software), &["--token-file", &path]);
    let there = Client::start_with_token(software.native(), &site.server.url(), "secret");
    let far = there.open("notes");
    far.append("<far>");
    let (_here, near) = site.at_relay(Kind::YWebsocket3, "notes");
    converge(&[&near, &far], |text| text == "<far>");

    local_work_goes_on(&site, &near, "notes", "<as a reader>");
    is_parked(&site.relay, "notes", "read only");
    assert_eq!(steady(A_WHILE, || far.text()), "<far>");
    token.write("secret");
    within(LOOKED_AT, "it goes up", || far.text() == "<far><as a reader>");
    site.confirmed("notes");
    assert_eq!(parked(&site.relay, "notes"), None);

    site.relay.kill();
    token.write("wrong");
    site.relay.restart();
    is_parked(&site.relay, "notes", "its token is refused");
    local_work_goes_on(&site, &near, "notes", "<refused>");
    assert_eq!(steady(A_WHILE, || far.text()), "<far><as a reader>");
    token.write("secret");
    within(LOOKED_AT, "it goes up", || far.text() == "<far><as a reader><refused>");
    converge(&[&near, &far], |_| true);
    site.confirmed("notes");
}

#[test]
fn hocuspocus_lets_read_or_write_by_token() {
    if ready() {
        side_by_side(&[
            ("2", || hocuspocus(Software::Hocuspocus2)),
            ("3", || hocuspocus(Software::Hocuspocus3)),
            ("4", || hocuspocus(Software::Hocuspocus4)),
        ]);
    }
}

#[test]
fn a_token_may_come_from_a_command() {
    if !ready() {
        return;
    }
    let server = Server::guarded(Software::Hocuspocus3);
    let site = Site::below(server, &["--token-command", "echo secret"]);
    let (_here, near) = site.at_relay(Kind::Hocuspocus4, "notes");
    near.append("near");
    site.confirmed("notes");
}

#[test]
fn elva_refuses_names_and_that_is_about_these_only() {
    if !ready() {
        return;
    }
    let site = Site::build(Software::Elva37, &[]);
    let (_one, refused) = site.at_relay(Kind::YWebsocket3, "a/b");
    refused.append("stays");
    is_parked(&site.relay, "a/b", "403");
    let (_two, taken) = site.at_relay(Kind::YWebsocket3, "notes");
    let (_there, far) = site.at_server("notes");
    taken.append("goes up");
    converge(&[&taken, &far], |text| text == "goes up");
    site.confirmed("notes");
    assert_eq!(site.relay.upstream_state(), "online");
    local_work_goes_on(&site, &refused, "a/b", ", and goes on");
    is_parked(&site.relay, "a/b", "403");
}

#[test]
fn elva_is_given_flags() {
    if !ready() {
        return;
    }
    // It lists no room unless it is asked to.
    let showing = Site::build(Software::Elva37, &["--upstream-params", "visible=1"]);
    let url = showing.server.url();
    let hiding = Relay::start(&["--server", &url, "--messages", "yjs"]);
    let client = Client::start(Kind::YWebsocket3, &hiding.url());
    client.open("hidden").append("hidden");
    let confirmed = || hiding.document("hidden")["confirmed"].clone();
    eventually_eq("confirmed", confirmed, &Value::Bool(true));
    let (_one, shown) = showing.at_relay(Kind::YWebsocket3, "shown");
    shown.append("shown");
    showing.confirmed("shown");
    let rooms = elva37_rooms(showing.server.port());
    assert!(rooms.contains("shown") && !rooms.contains("hidden"), "{rooms}");
}

/// A relay below y-sweet meets somebody who has a token for one document.
fn y_sweet_meets(site: &Site) {
    let token = site.server.client_token("notes", "full");
    let there = Client::start(Kind::YWebsocket3, &site.server.url_for("notes"));
    let far = there.open(&format!("notes?token={token}"));
    far.append("<far>");
    let (_here, near) = site.at_relay(Kind::YWebsocket3, "notes");
    converge(&[&near, &far], |text| text == "<far>");
    near.append("<near>");
    converge(&[&near, &far], |text| text == "<far><near>");
    site.confirmed("notes");
}

#[test]
fn y_sweet_takes_the_token_of_servers_in_the_address() {
    if !ready() || !y_sweet_ready() {
        return;
    }
    let server = Server::guarded(Software::YSweet);
    let token = SecretFile::new("wrong");
    let path = token.path();
    let asks = ["--token-file", &path, "--upstream-params", "token={token}"];
    let right = server.server_token().to_owned();
    let site = Site::below(server, &asks);
    let (_early, early) = site.at_relay(Kind::YWebsocket3, "early");
    early.append("early");
    let refused = || site.relay.upstream_state();
    eventually_eq("the token is refused", refused, &"unauthorized".to_owned());
    local_work_goes_on(&site, &early, "early", ", and goes on");
    token.write(&right);
    within(LOOKED_AT, "online", || site.relay.upstream_state() == "online");
    site.confirmed("early");
    y_sweet_meets(&site);
}

#[test]
fn y_sweet_gives_a_token_for_each_document() {
    if !ready() || !y_sweet_ready() {
        return;
    }
    let server = Server::guarded(Software::YSweet);
    let token = SecretFile::new(server.server_token());
    let path = token.path();
    let desk = format!("http://127.0.0.1:{}/doc/{{identifier}}/auth", server.port());
    let site = Site::below(server, &["--token-file", &path, "--token-url", &desk]);
    y_sweet_meets(&site);
}
