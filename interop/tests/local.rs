//! Real clients on one relay without an upstream.

use yrelay_interop::{Client, Kind, Relay, converge, eventually, eventually_eq, ready};

const Y_WEBSOCKETS: [Kind; 4] =
    [Kind::YWebsocket1, Kind::YWebsocket2, Kind::YWebsocket3, Kind::YWebsocket4];

#[test]
fn clients_of_every_kind_converge() {
    if !ready() {
        return;
    }
    let relay = Relay::start(&[]);
    let clients = Kind::PLAIN.map(|kind| Client::start(kind, &relay.url()));
    let documents = clients.each_ref().map(|client| client.open("notes"));
    for (document, kind) in documents.iter().zip(Kind::PLAIN) {
        document.append(&format!("<{kind:?}>"));
        document.set(&format!("{kind:?}"), "was here");
    }
    let complete =
        |text: &str| Kind::PLAIN.iter().all(|kind| text.contains(&format!("<{kind:?}>")));
    let text = converge(&documents.each_ref(), complete);

    documents[3].delete(0, text.len());
    documents[0].insert(0, "fresh");
    converge(&documents.each_ref(), |text| text == "fresh");

    let late = Client::start(Kind::YWebsocket3, &relay.url()).open("notes");
    converge(&[&late, &documents[4]], |text| text == "fresh");
    assert_eq!(relay.document("notes")["clients"], 8);
}

#[test]
fn everyone_sees_who_is_present() {
    if !ready() {
        return;
    }
    let relay = Relay::start(&[]);
    let clients = Kind::PRESENT.map(|kind| Client::start(kind, &relay.url()));
    let documents = clients.each_ref().map(|client| client.open("notes"));
    converge(&documents.each_ref(), |_| true);
    let names = Kind::PRESENT.map(|kind| format!("{kind:?}"));
    for (document, name) in documents.iter().zip(&names) {
        document.announce(name);
    }
    let others = |gone: &[&String]| {
        for (document, own) in documents.iter().zip(&names).filter(|(_, own)| !gone.contains(own)) {
            let mut expected: Vec<String> =
                names.iter().filter(|name| *name != own && !gone.contains(name)).cloned().collect();
            expected.sort_unstable();
            eventually_eq(&format!("{own} sees the others"), || document.peers(), &expected);
        }
    };
    others(&[]);
    // Entries that were just renewed do not expire while this test waits.
    for (document, name) in documents.iter().zip(&names) {
        document.announce(name);
    }
    // One takes its leave, two are just gone. The y-websockets among the others have repeated to
    // the relay what they heard of them.
    documents[0].disconnect();
    clients[3].kill();
    clients[5].kill();
    others(&[&names[0], &names[3], &names[5]]);
}

#[test]
fn a_joiner_learns_at_once_who_is_present() {
    if !ready() {
        return;
    }
    let relay = Relay::start(&[]);
    let present = Client::start(Kind::YWebsocket1, &relay.url()).open("notes");
    present.announce("first");
    for kind in Kind::PRESENT {
        let joiner = Client::start(kind, &relay.url()).open("notes");
        eventually_eq(&format!("{kind:?} sees"), || joiner.peers(), &vec!["first".to_owned()]);
    }
}

#[test]
fn y_websocket_is_told_that_its_edits_are_saved() {
    if !ready() {
        return;
    }
    let relay = Relay::start(&[]);
    for kind in Y_WEBSOCKETS {
        let document = Client::start(kind, &relay.url()).open("notes");
        document.append("typed before the connection");
        eventually("the first edit is saved", || document.saved_count() == 27 && document.saved());
        document.append(", and after");
        document.delete(0, 5);
        eventually("all edits are saved", || document.saved_count() == 38 && document.saved());
        assert_eq!(relay.document("notes")["saved"], true);
    }
}

#[test]
fn documents_are_kept_apart_whatever_their_names() {
    if !ready() {
        return;
    }
    let relay = Relay::start(&[]);
    let names = ["notes", "thesis/chapter 3", "Größe", "größe", "a%2Fb", "a/b", "日本"];
    let clients = [Kind::YWebsocket1, Kind::Pycrdt, Kind::Elva37]
        .map(|kind| Client::start(kind, &relay.url()));
    for name in names {
        // The clients in Python quote a name once more.
        let document = clients[0].open(&name.replace('%', "%25"));
        document.append(name);
        let others = clients[1..].iter().map(|client| client.open(name)).collect::<Vec<_>>();
        for other in &others {
            converge(&[&document, other], |text| text == name);
        }
    }
    for name in names {
        let late = clients[0].open(&name.replace('%', "%25"));
        eventually_eq("nothing was mixed", || late.text(), &name.to_owned());
    }
}

#[test]
fn encrypted_documents_pass_unread() {
    if !ready() {
        return;
    }
    let relay = Relay::start(&[]);
    let clients = [(); 3].map(|()| Client::start(Kind::Elva37, &relay.url()));
    let one = clients[0].open_secret("vault", "open sesame");
    one.append("hidden");
    one.announce("one");
    let other = clients[1].open_secret("vault", "open sesame");
    converge(&[&one, &other], |text| text == "hidden");
    other.announce("other");
    eventually_eq("presence passes", || one.peers(), &vec!["other".to_owned()]);

    // ELVA 0.37 takes its leave in plain text. The document goes on.
    one.disconnect();
    let third = clients[2].open_secret("vault", "open sesame");
    converge(&[&other, &third], |text| text == "hidden");
    third.append(" treasure");
    converge(&[&other, &third], |text| text == "hidden treasure");

    let stranger = clients[0].open_secret("vault", "wrong");
    stranger.append("noise");
    other.append("!");
    converge(&[&other, &third], |text| text == "hidden treasure!");
}

#[test]
fn wide_client_ids_are_kept() {
    if !ready() {
        return;
    }
    let relay = Relay::start(&[]);
    let wide = (1 << 52) + 7;
    let author = Client::start(Kind::Pycrdt, &relay.url()).open_as("notes", wide);
    author.append("wide");
    let elva = Client::start(Kind::Elva37, &relay.url()).open_as("notes", wide + 1);
    elva.append("r");
    let others = Y_WEBSOCKETS.map(|kind| Client::start(kind, &relay.url()).open("notes"));
    for other in &others {
        converge(&[&author, &elva, other], |text| text.len() == 5);
    }
}

#[test]
fn a_stopped_relay_has_kept_everything() {
    if !ready() {
        return;
    }
    let mut relay = Relay::start(&[]);
    let document = Client::start(Kind::YWebsocket2, &relay.url()).open("notes");
    document.append("kept, dropped");
    document.delete(4, 9);
    eventually("saved", || document.saved_count() == 13 && document.saved());
    document.disconnect();
    let status = relay.stop().expect("the relay stops in time");
    assert!(status.success(), "{status}");
    relay.restart();
    let late = Client::start(Kind::YWebsocket2, &relay.url()).open("notes");
    eventually_eq("it is back", || late.text(), &"kept".to_owned());
}
