//! Who comes in at `yrelay serve`, and what real clients may ask for there.

use std::fs;

use serde_json::json;
use tempfile::TempDir;
use yrelay_interop::{Client, Kind, Relay, converge, elva37_rooms, eventually_eq, ready};

const Y_WEBSOCKETS: [Kind; 4] =
    [Kind::YWebsocket1, Kind::YWebsocket2, Kind::YWebsocket3, Kind::YWebsocket4];
/// `hunter2`, with the least cost.
const JANE: &str = "jane:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n";

#[test]
fn elva_37_lists_what_its_editors_ask_for() {
    if !ready() {
        return;
    }
    let relay = Relay::serve(&[]);
    let rooms = || elva37_rooms(relay.port());
    assert_eq!(rooms().trim(), "");
    let editor = Client::start(Kind::Elva37, &relay.url());
    let plain = editor.open("plain");
    let _hidden = editor.open_asking("hidden", &json!({"visible": false}));
    let volatile = editor.open_asking("volatile", &json!({"permanent": false}));
    let _broadcast = editor.open_asking("broadcast", &json!({"persistent": false}));
    let _secret = editor.open_secret("secret", "hunter2");
    plain.append("x");
    volatile.append("x");
    let expected = "broadcast\t1\t\nplain\t1\tpermanent,persistent\n\
                    secret\t1\tpermanent,persistent,secret\nvolatile\t1\tpersistent\n";
    eventually_eq("the list is complete", rooms, &expected.to_owned());
    let other = Client::start(Kind::Elva37, &relay.url());
    let twin = other.open_asking("volatile", &json!({"permanent": false}));
    converge(&[&volatile, &twin], |text| text == "x");
}

#[test]
fn editors_of_elva_37_answer_each_other_where_nothing_is_kept() {
    if !ready() {
        return;
    }
    let relay = Relay::serve(&[]);
    let ask = json!({"persistent": false});
    let first = Client::start(Kind::Elva37, &relay.url()).open_asking("notes", &ask);
    first.append("x");
    let second = Client::start(Kind::Elva37, &relay.url()).open_asking("notes", &ask);
    converge(&[&first, &second], |text| text == "x");
    // Who asks for nothing has it stored, and all of it.
    let third = Client::start(Kind::YWebsocket3, &relay.url()).open("notes");
    converge(&[&first, &second, &third], |text| text == "x");
    eventually_eq("it is saved", || relay.document("notes")["saved"].clone(), &json!(true));
}

#[test]
fn y_websockets_and_editors_of_elva_log_in() {
    if !ready() {
        return;
    }
    let home = TempDir::new().expect("temporary directories can be made");
    let users = home.path().join("users");
    fs::write(&users, JANE).expect("homes are writable");
    let relay = Relay::serve(&["--auth-file", users.to_str().expect("a plain path")]);
    let address = |login: &str| format!("ws://{login}127.0.0.1:{}/", relay.port());
    let strangers = ["", "jane:wrong@"].map(|login| {
        let stranger = Client::start(Kind::YWebsocket3, &address(login)).open("notes");
        stranger.append("stranger");
        stranger
    });
    let clients = Y_WEBSOCKETS.map(|kind| Client::start(kind, &address("jane:hunter2@")));
    let documents = clients.each_ref().map(|client| client.open("notes"));
    documents[0].append("x");
    converge(&documents.each_ref(), |text| text == "x");
    let editor = Client::start(Kind::Elva37, &relay.url()).open_as_user("notes", "jane", "hunter2");
    converge(&[&documents[0], &editor], |text| text == "x");
    for stranger in &strangers {
        assert_eq!(stranger.text(), "stranger");
    }
}
