//! The server goes and comes, and the way to it breaks, or serves many.

use std::time::Duration;

use serde_json::Value;
use yrelay_interop::{
    Client, Keeping, Kind, Pair, Proxy, Relay, Server, Software, converge, eventually,
    eventually_eq, ready, steady, within,
};

fn the_server_is_killed(disk_survives: bool) {
    if !ready() {
        return;
    }
    let mut pair = Pair::build(Keeping::Disk);
    pair.documents[0].append("0123456789");
    pair.converge(|text| text == "0123456789");
    pair.confirmed();
    pair.server.kill();
    for relay in &pair.relays {
        eventually("the loss is noticed", || relay.upstream_state() != "online");
    }
    pair.documents[0].append("<left>");
    pair.documents[1].delete(2, 3);
    pair.documents[1].append("<right>");
    // Nobody but the relay has this when the server is back.
    let guest = Client::start(Kind::YWebsocket1, &pair.relays[0].url());
    let visit = guest.open("notes");
    eventually("the guest is answered", || visit.synced());
    visit.append("<guest>");
    eventually("the guest's edit is saved", || visit.saved());
    guest.kill();
    if !disk_survives {
        pair.server.wipe();
    }
    pair.server.restart();
    let parts = ["0156789", "<left>", "<right>", "<guest>"];
    let length = parts.map(str::len).iter().sum::<usize>();
    let text = pair.converge(|text| text.len() == length);
    assert!(parts[1..].iter().all(|part| text.contains(part)), "{text}");
    pair.confirmed();
    let direct = Client::start(Kind::Elva33Framed, &pair.server.url()).open("notes");
    eventually_eq("the server has it all", || direct.text(), &text);
}

#[test]
fn a_killed_server_comes_back_with_its_disk() {
    the_server_is_killed(true);
}

#[test]
fn a_killed_server_comes_back_empty() {
    the_server_is_killed(false);
}

#[test]
fn a_message_is_torn() {
    if !ready() {
        return;
    }
    let pair = Pair::build(Keeping::Disk);
    pair.documents[0].append("<before>");
    pair.converge(|text| text == "<before>");
    pair.confirmed();
    let long = "x".repeat(5_000);
    pair.proxies[0].cut_after(1_000);
    pair.documents[0].append(&long);
    pair.documents[1].append("<right>");
    pair.converge(|text| text.len() == "<before><right>".len() + long.len());
    pair.confirmed();
    assert_eq!(pair.proxies[0].accepted(), 2);
    assert_eq!(pair.proxies[1].accepted(), 1, "nobody else suffers");
}

const RELAYS: usize = 8;
const CONTENT: usize = 20_000;

#[test]
fn a_joiner_of_many_relays_below_a_broadcaster_causes_no_storm() {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(Keeping::Nothing));
    let proxy = Proxy::start(server.port());
    let relays = [(); RELAYS].map(|()| Relay::below(&proxy.url()));
    let clients = relays.each_ref().map(|relay| Client::start(Kind::YWebsocket3, &relay.url()));
    let documents = clients.each_ref().map(|client| client.open("notes"));
    documents[0].append(&"x".repeat(CONTENT));
    converge(&documents.each_ref(), |text| text.len() == CONTENT);
    for relay in &relays {
        let confirmed = || relay.document("notes")["confirmed"].clone();
        eventually_eq("nothing is proved", confirmed, &Value::Null);
    }
    let rest = Duration::from_secs(2);
    let before = steady(rest, || proxy.bytes_up());
    let joiner = Relay::below(&proxy.url());
    let late = Client::start(Kind::YWebsocket3, &joiner.url()).open("notes");
    eventually_eq("the joiner learns all", || late.text().len(), &CONTENT);
    let sent = steady(rest, || proxy.bytes_up()) - before;
    // All would be eight times as much. On a busy machine more than one begin before they hear.
    assert!(sent < RELAYS * CONTENT / 2, "{sent} bytes go up for {CONTENT}");
    late.append("<joiner>");
    within(Duration::from_secs(5), "the joiner is heard", || {
        documents.iter().all(|document| document.text().ends_with("<joiner>"))
    });
}
