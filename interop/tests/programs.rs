//! Programs that speak Hocuspocus, at a relay itself.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use yrelay_interop::{
    Client, Document, Kind, Relay, converge, eventually, eventually_eq, ready, steady,
};

fn scenes(scene: fn(Kind)) {
    if ready() {
        thread::scope(|scope| {
            for kind in Kind::HOCUSPOCUS {
                scope.spawn(move || scene(kind));
            }
        });
    }
}

fn open(kind: Kind, relay: &Relay, names: &[&str]) -> (Client, Vec<Document>) {
    let client = Client::start(kind, &relay.url());
    let documents = names.iter().map(|name| client.open(name)).collect();
    (client, documents)
}

/// It has nothing that the relay has not saved, and does not believe so too early.
fn saved(document: &Document) {
    eventually_eq("all is acknowledged", || document.unsynced_changes(), &0);
    assert_eq!(steady(Duration::from_millis(300), || document.unsynced_changes()), 0);
}

#[test]
fn several_documents_share_a_connection_and_meet_others() {
    fn scene(kind: Kind) {
        for relay in [Relay::start(&[]), Relay::serve(&[])] {
            let (_client, documents) = open(kind, &relay, &["one", "two/\u{fc}"]);
            let [one, two] = &documents[..] else { panic!() };
            let other = Client::start(Kind::YWebsocket3, &relay.url());
            let far = other.open("one");
            one.append("near");
            converge(&[one, &far], |text| text == "near");
            far.append(" far");
            converge(&[one, &far], |text| text == "near far");
            two.append("two");
            eventually_eq("each has its own", || two.text(), &"two".to_owned());
            assert!(one.synced() && two.synced());
            saved(one);
            saved(two);
            eventually("both see each other", || {
                one.announce("near");
                far.announce("far");
                one.peers().contains(&"far".to_owned()) && far.peers().contains(&"near".to_owned())
            });
            one.destroy();
            eventually_eq("who leaves a document is gone", || far.peers(), &vec![]);
            far.append(", still");
            two.append(" goes on");
            saved(two);
        }
    }
    scenes(scene);
}

#[test]
fn what_is_acknowledged_is_saved() {
    fn scene(kind: Kind) {
        let mut relay = Relay::start(&[]);
        {
            let (_client, documents) = open(kind, &relay, &["notes"]);
            for number in 0..20 {
                documents[0].append(&format!("{number} "));
            }
            saved(&documents[0]);
            relay.kill();
        }
        relay.restart();
        let (_client, documents) = open(kind, &relay, &["notes"]);
        eventually("all is there", || documents[0].text().ends_with("18 19 "));
    }
    scenes(scene);
}

#[test]
fn work_goes_on_after_a_restart() {
    fn scene(kind: Kind) {
        let mut relay = Relay::start(&[]);
        let (_client, documents) = open(kind, &relay, &["notes"]);
        documents[0].append("before");
        saved(&documents[0]);
        relay.kill();
        documents[0].append(", away");
        relay.restart();
        documents[0].append(", after");
        let later = Client::start(Kind::YWebsocket3, &relay.url());
        let far = later.open("notes");
        converge(&[&documents[0], &far], |text| text == "before, away, after");
        eventually("all is acknowledged", || documents[0].unsynced_changes() <= 0);
    }
    scenes(scene);
}

#[test]
fn stateless_messages_reach_the_other_programs() {
    fn scene(kind: Kind) {
        let relay = Relay::start(&[]);
        let (_one, here) = open(kind, &relay, &["notes", "other"]);
        let (_two, there) = open(Kind::Hocuspocus4, &relay, &["notes"]);
        converge(&[&here[0], &there[0]], |text| text.is_empty());
        eventually("both are there", || here[0].synced() && there[0].synced());
        here[0].send_stateless("hello");
        let heard = |document: &Document| {
            let events = document.events();
            events.iter().any(|event| event["event"] == "stateless" && event["payload"] == "hello")
        };
        eventually("it is heard", || heard(&there[0]));
        assert!(!heard(&here[1]), "it is about another document");
    }
    scenes(scene);
}

/// `hunter2`
const JANE: &str = "jane:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n";

fn denied(document: &Document) -> usize {
    let denied =
        |event: &Value| event["event"] == "refused" && event["reason"] == "permission-denied";
    document.events().iter().filter(|event| denied(event)).count()
}

#[test]
fn pages_log_in_by_their_token() {
    fn scene(kind: Kind) {
        let home = TempDir::new().expect("temporary directories can be made");
        let users = home.path().join("users");
        fs::write(&users, JANE).expect("homes are writable");
        let relay = Relay::serve(&["--auth-file", users.to_str().expect("a plain path")]);
        let page = |token| Client::start_with_token(kind, &relay.url(), token);
        let (wrong, none) = (page("jane:wrong"), page(""));
        let strangers = [wrong.open("notes"), wrong.open("plans"), none.open("notes")];
        strangers.iter().for_each(|stranger| stranger.append("stranger"));
        let jane = page("jane:hunter2");
        let documents = ["notes", "plans"].map(|name| jane.open(name));
        let address = format!("ws://jane:hunter2@127.0.0.1:{}/", relay.port());
        let far = Client::start(Kind::YWebsocket3, &address).open("notes");
        documents[0].append("near");
        converge(&[&documents[0], &far], |text| text == "near");
        far.append(" far");
        converge(&[&documents[0], &far], |text| text == "near far");
        documents[1].append("plans");
        documents.iter().for_each(saved);
        for stranger in &strangers[..2] {
            eventually("it is denied", || denied(stranger) > 0);
        }
        if kind == Kind::Hocuspocus2 {
            // Without a token it asks for nothing, and is sent away.
            let closed = |event: &Value| event["event"] == "closed" && event["code"] == 4401;
            eventually("it is closed", || strangers[2].events().iter().any(closed));
        } else {
            eventually("it is denied", || denied(&strangers[2]) > 0);
        }
        let texts = || strangers.each_ref().map(Document::text);
        assert_eq!(steady(Duration::from_millis(300), texts), ["stranger"; 3]);
        assert_eq!(far.text(), "near far");
        assert!(!strangers.iter().any(Document::synced));
        // It is told once, and stays.
        assert_eq!(strangers[..2].iter().map(denied).collect::<Vec<_>>(), [1, 1]);
    }
    scenes(scene);
}
