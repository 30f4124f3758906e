//! A server that builds its documents anew from text when it starts, as Jupyter's does: the same
//! text under other ids. What a relay below it makes of that, and of what somebody decides.

use std::path::Path;

use yrelay_interop::{
    Client, Document, Kind, Relay, Server, Software, converge, eventually, eventually_eq, ready,
    yrelay,
};

/// A document that was confirmed, a server that has made it anew since, and a program that has
/// written on.
struct Site {
    server: Server,
    relay: Relay,
    _here: Client,
    near: Document,
}

impl Site {
    fn build() -> Site {
        let mut server = Server::start(Software::Rebuilding);
        let relay = Relay::start(&["--server", &server.url(), "--messages", "yjs"]);
        let here = Client::start(Kind::YWebsocket3, &relay.url());
        let near = here.open("notes");
        near.append("hello");
        eventually("it is confirmed", || {
            let shown = relay.document("notes");
            shown["confirmed"] == true && shown["bytes"] != 0
        });
        server.stop();
        server.restart();
        let parked = || relay.document("notes")["parked"].to_string();
        eventually("it is seen to have diverged", || parked().contains("diverged"));
        near.append(" world");
        Site { server, relay, _here: here, near }
    }

    fn resolve(&self, choice: &str) -> String {
        yrelay(self.relay.data().as_path() as &Path, &["resolve", "notes", choice])
    }

    /// What a program sees that is connected straight to the server, or comes new to the relay.
    fn seen(&self, url: &str, document: &str) -> (Client, Document) {
        let client = Client::start(Kind::YWebsocket3, url);
        let document = client.open(document);
        (client, document)
    }
}

#[test]
fn nothing_is_doubled_before_somebody_decides() {
    if !ready() {
        return;
    }
    let mut site = Site::build();
    let (_there, far) = site.seen(&site.server.url(), "notes");
    eventually_eq("the server has its own", || far.text(), &"hello".to_owned());
    far.append("!");
    site.near.append(".");
    let (_new, new) = site.seen(&site.relay.url(), "notes");
    eventually_eq("local work goes on", || new.text(), &"hello world.".to_owned());
    eventually_eq("and so it does there", || far.text(), &"hello!".to_owned());
    // Not even a restart makes it forget.
    site.relay.kill();
    site.relay.restart();
    let parked = || site.relay.document("notes")["parked"].to_string();
    eventually("it is seen to have diverged", || parked().contains("diverged"));
    assert_eq!(new.text(), "hello world.");
    assert_eq!(far.text(), "hello!");
}

#[test]
fn what_the_server_has_may_win() {
    if !ready() {
        return;
    }
    let site = Site::build();
    site.resolve("--adopt");
    let closed = || site.near.events().iter().any(|event| event["code"] == 4409);
    eventually("who has what was given up is sent away", closed);
    let (_new, new) = site.seen(&site.relay.url(), "notes");
    let (_there, far) = site.seen(&site.server.url(), "notes");
    converge(&[&new, &far], |text| text == "hello");
    new.append("!");
    converge(&[&new, &far], |text| text == "hello!");
}

#[test]
fn what_the_server_has_may_win_and_what_was_here_be_kept() {
    if !ready() {
        return;
    }
    let site = Site::build();
    let said = site.resolve("--branch");
    assert!(said.contains("notes-branch"), "{said}");
    let (_new, new) = site.seen(&site.relay.url(), "notes");
    let (_there, far) = site.seen(&site.server.url(), "notes");
    converge(&[&new, &far], |text| text == "hello");
    let (_other, branch) = site.seen(&site.relay.url(), "notes-branch");
    eventually_eq("what was here is kept", || branch.text(), &"hello world".to_owned());
}

#[test]
fn what_is_here_may_win() {
    if !ready() {
        return;
    }
    let site = Site::build();
    let (_there, far) = site.seen(&site.server.url(), "notes");
    eventually_eq("the server has its own", || far.text(), &"hello".to_owned());
    far.append("!");
    let (_third, third) = site.seen(&site.server.url(), "notes");
    eventually_eq("that has arrived", || third.text(), &"hello!".to_owned());
    site.resolve("--push");
    converge(&[&site.near, &far], |text| text == "hello world");
    eventually("it is confirmed", || site.relay.document("notes")["confirmed"] == true);
    far.append(" again");
    converge(&[&site.near, &far], |text| text == "hello world again");
}
