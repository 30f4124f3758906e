//! What clients ask for with ELVA 0.37's flags.

use serde_json::{Value, json};
use tempfile::TempDir;
use yrelay::config::{Bounds, Config, Storage};
use yrelay::keeping::{Policies, Policy};
use yrelay::status::Role;
use yrelay_core::wire;

use crate::client::Client;
use crate::local::{Relay, config};
use crate::socket::Socket;
use crate::wait::eventually;

fn server(directory: &TempDir, policies: Policies, bounds: Bounds) -> Relay {
    let storage = Storage::Directory(directory.path().into());
    Relay::of(Config { role: Role::Serve, storage, policies, bounds, ..config() })
}

impl Relay {
    fn serve(directory: &TempDir) -> Self {
        server(directory, Policies::default(), Bounds::default())
    }

    /// One whose documents leave memory soon, whatever they are.
    fn impatient(directory: &TempDir, policies: Policies) -> Self {
        server(directory, policies, Bounds { idle_ms: 0, ..Bounds::default() })
    }

    fn until_in_memory(&self, count: u64) {
        eventually("documents leave memory", || self.pages.metric("documents") == count);
    }

    fn listed(&self) -> Value {
        self.pages.json("/")
    }
}

fn room(identifier: &str, clients: u64, [persistent, permanent]: [bool; 2]) -> Value {
    json!([{
        "identifier": identifier, "clients": clients,
        "persistent": persistent, "permanent": permanent, "secret": false,
    }])
}

#[test]
fn what_is_not_to_be_stored_lives_as_long_as_somebody_is_there() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::serve(&directory);
    let mut first = Client::synced(relay.address(), "notes?client=elva&permanent=0", 1);
    // More than a log that nobody compacts would take.
    for _ in 0..600 {
        first.save("x");
    }
    let text = "x".repeat(600);
    let second = Client::synced(relay.address(), "notes?permanent=0", 2);
    assert_eq!(second.text(), text);
    assert_eq!(relay.pages.document("notes")["volatile"], true);
    assert_eq!(relay.listed(), room("notes", 2, [true, false]));
    drop(first);
    eventually("one has left", || relay.pages.document("notes")["clients"] == 1);
    assert_eq!(Client::synced(relay.address(), "notes?permanent=0", 3).text(), text);
    drop(second);
    relay.until_in_memory(0);
    assert_eq!((relay.listed(), relay.pages.documents()), (json!([]), vec![]));
    assert_eq!(Client::synced(relay.address(), "notes?permanent=0", 4).text(), "");
    drop(relay);
    let relay = Relay::serve(&directory);
    assert_eq!(relay.pages.documents(), [Value::Null; 0]);
}

#[test]
fn what_is_not_to_be_kept_is_passed_on_unread() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::serve(&directory);
    let mut first = Client::join(relay.address(), "notes?persistent=0", 1);
    first.write("x");
    let mut second = Client::join(relay.address(), "notes?persistent=0", 2);
    eventually("both are there", || relay.listed() == room("notes", 2, [false, false]));
    second.ask();
    let asked = first.next();
    assert_eq!(asked, wire::sync_step1(&second.editor.state_vector()));
    first.take(&asked);
    second.read_until("x");
    drop((first, second));
    eventually("it is not listed", || relay.listed() == json!([]));
}

#[test]
fn what_is_stored_stays_so() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::impatient(&directory, Policies::default());
    let mut plain = Client::synced(relay.address(), "notes", 1);
    plain.save("a");
    Client::synced(relay.address(), "notes?persistent=0&permanent=0", 2).save("b");
    drop(plain);
    relay.until_in_memory(0);
    // Nor when it comes from the disk.
    let mut other = Client::synced(relay.address(), "notes?persistent=0&permanent=0", 3);
    assert_eq!(other.text(), "ab");
    other.save("c");
    assert_eq!(relay.listed(), room("notes", 1, [true, true]));
    drop((other, relay));
    let relay = Relay::serve(&directory);
    assert_eq!(Client::synced(relay.address(), "notes?persistent=0", 4).text(), "abc");
}

#[test]
fn who_asks_for_more_gets_it() {
    for flags in ["permanent=0", "persistent=0"] {
        let directory = TempDir::new().unwrap();
        let relay = Relay::serve(&directory);
        let path = format!("notes?{flags}");
        let mut first = Client::join(relay.address(), &path, 1);
        first.write("x");
        eventually("it is there", || relay.pages.document("notes")["clients"] == 1);
        let mut second = Client::join(relay.address(), "notes", 2);
        assert_eq!(first.closed(), 1012, "{flags}");
        let first = first.rejoin(relay.address(), &path);
        second.sync();
        second.read_until("x");
        second.save("y");
        assert_eq!(relay.listed(), room("notes", 2, [true, true]), "{flags}");
        drop((first, second, relay));
        let relay = Relay::serve(&directory);
        assert_eq!(Client::synced(relay.address(), "notes", 3).text(), "xy", "{flags}");
    }
}

#[test]
fn who_asks_for_more_may_come_while_a_document_loads() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::serve(&directory);
    for n in 0..50 {
        let name = format!("notes{n}");
        let first = Socket::connect(relay.address(), &format!("/{name}?permanent=0"));
        let mut second = Client::synced(relay.address(), &name, 1);
        second.save("x");
        drop(first);
    }
}

#[test]
fn the_first_client_decides_whether_a_document_is_listed() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::impatient(&directory, Policies::default());
    let mut first = Client::synced(relay.address(), "hidden?visible=0", 1);
    let _second = Client::synced(relay.address(), "hidden?visible=1", 2);
    let mut third = Client::synced(relay.address(), "shown", 3);
    assert_eq!(relay.listed(), room("shown", 1, [true, true]));
    first.save("x");
    third.save("x");
    drop((first, _second, third));
    relay.until_in_memory(0);
    assert_eq!(relay.listed(), room("shown", 0, [true, true]));
    let _first = Client::synced(relay.address(), "hidden?visible=1", 4);
    assert_eq!(relay.listed(), room("shown", 0, [true, true]));
}

#[test]
fn policies_are_above_what_clients_ask_for() {
    let directory = TempDir::new().unwrap();
    let always = Policies { visible: Policy::Always, persistent: Policy::Always, permanent: None };
    let relay = Relay::impatient(&directory, always);
    let mut client = Client::synced(relay.address(), "notes?visible=0&persistent=0&permanent=0", 1);
    client.save("x");
    assert_eq!(relay.listed(), room("notes", 1, [true, true]));
    drop((client, relay));
    // What is stored is listed as new documents would be.
    for (visible, listed) in [(Policy::False, false), (Policy::True, true)] {
        let relay = Relay::impatient(&directory, Policies { visible, ..always });
        let expected = if listed { room("notes", 0, [true, true]) } else { json!([]) };
        assert_eq!(relay.listed(), expected);
        let _client = Client::synced(relay.address(), "notes?visible=1", 2);
        assert_eq!(relay.listed(), room("notes", 1, [true, true]));
    }
}
