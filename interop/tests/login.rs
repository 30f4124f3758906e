//! A gate asks for a login.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;
use yrelay_interop::{
    Client, Document, Gate, Keeping, Kind, Pair, Proxy, Relay, SecretFile, Server, Software,
    converge, eventually, eventually_eq, ready, within,
};

/// A password file is looked at every 2 s; a little for a busy machine.
const LOOKED_AT: Duration = Duration::from_secs(8);

/// Two relays below a server: the left one through a gate, with a password from a file.
struct Site {
    pair: Pair,
    gate: Gate,
    password: SecretFile,
}

impl Site {
    /// The gate accepts anna with `accepted`; the left relay knows `known`.
    fn build(accepted: &str, known: &str, more: &[&str]) -> Site {
        let server = Server::start(Software::Elva33(Keeping::Disk));
        let gate = Gate::start(&server.url(), "anna", accepted);
        let password = SecretFile::new(known);
        let proxies = [gate.port(), server.port()].map(Proxy::start);
        let path = password.path();
        let url = proxies[0].url();
        let mut arguments = vec!["--server", &url, "--user", "anna", "--password-file", &path];
        arguments.extend(more);
        let relays = [Relay::start(&arguments), Relay::below(&proxies[1].url())];
        Site { pair: Pair::join(server, proxies, relays), gate, password }
    }

    fn left(&self) -> &Relay {
        &self.pair.relays[0]
    }

    fn online(&self) {
        eventually_eq("online", || self.left().upstream_state(), &"online".to_owned());
    }

    fn unauthorized(&self) {
        is_unauthorized(self.left());
    }

    /// The password is mended: the relay finds out by itself, and all that was typed arrives.
    fn mend(&self, password: &str) {
        self.password.write(password);
        within(LOOKED_AT, "online", || self.left().upstream_state() == "online");
        self.pair.converge(|text| text.ends_with("<offline>"));
        self.pair.confirmed();
    }
}

fn is_unauthorized(relay: &Relay) {
    eventually_eq("refused", || relay.upstream_state(), &"unauthorized".to_owned());
    let reason = relay.status()["upstream"]["reason"].clone();
    assert_eq!(reason.as_str().map(|reason| reason.lines().count()), Some(1), "{reason}");
}

/// What needs no server: two clients of one relay. Leaves behind what the server is to get.
fn local_work_goes_on(relay: &Relay) -> [Document; 2] {
    let people =
        [Kind::YWebsocket3, Kind::YWebsocket1].map(|kind| Client::start(kind, &relay.url()));
    let documents = people.each_ref().map(|client| client.open("notes"));
    documents[0].append("<offline>");
    converge(&documents.each_ref(), |text| text.ends_with("<offline>"));
    eventually("saved", || documents[0].saved());
    documents
}

#[test]
fn a_login_goes_where_it_is_asked_for_and_then_at_once() {
    if !ready() {
        return;
    }
    let site = Site::build("sesame", "sesame", &[]);
    site.gate.saw(&["none", "right"]);
    let [left, right] = &site.pair.documents;
    left.append("<left>");
    right.append("<right>");
    site.pair.converge(|text| text.len() == "<left><right>".len());
    site.pair.proxies[0].cut();
    site.online();
    site.gate.saw(&["none", "right", "right"]);
    left.append("<left>");
    site.pair.converge(|text| text.len() == "<left><right><left>".len());
    site.pair.confirmed();
}

#[test]
fn nobody_logs_in_without_a_login() {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let gate = Gate::start(&server.url(), "anna", "sesame");
    let relay = Relay::below(&gate.url());
    is_unauthorized(&relay);
    drop(local_work_goes_on(&relay));
    gate.saw(&["none"]);
    assert_eq!(relay.upstream_state(), "unauthorized");
}

#[test]
fn a_wrong_password_is_tried_once_and_the_right_one_as_soon_as_it_is_there() {
    if !ready() {
        return;
    }
    let logs = TempDir::new().expect("temporary directories can be made");
    let log = logs.path().join("log");
    let log_path = log.to_str().expect("a plain path");
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let gate = Gate::start(&server.url(), "anna", "canary-right");
    let password = SecretFile::new("canary-wrong");
    let path = password.path();
    let url = gate.url();
    let arguments =
        ["--server", &url, "-u", "anna", "--password-file", &path, "-vv", "-l", log_path];
    let relay = Relay::start(&arguments);
    is_unauthorized(&relay);
    gate.saw(&["none", "wrong"]);
    let documents = local_work_goes_on(&relay);
    gate.saw(&["none", "wrong"]);
    password.write("canary-other");
    gate.saw(&["none", "wrong", "wrong"]);
    is_unauthorized(&relay);
    password.write("canary-right");
    within(LOOKED_AT, "online", || relay.upstream_state() == "online");
    gate.saw(&["none", "wrong", "wrong", "right"]);
    let direct = Client::start(Kind::Elva33Framed, &server.url()).open("notes");
    converge(&[&documents[0], &documents[1], &direct], |text| text == "<offline>");
    let pages = ["/-/status", "/-/metrics", "/"].map(|path| relay.page(path));
    let log = fs::read_to_string(&log).expect("the relay logs");
    assert!(log.contains("online"), "{log}");
    for told in pages.into_iter().chain([relay.output(), log]) {
        // The bare word, and as it goes over the wire.
        assert!(!told.contains("canary") && !told.contains("YW5uYTpjYW5hcn"), "{told}");
    }
}

#[test]
fn a_login_may_be_written_in_any_script() {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let (user, password) = ("zoë", "päss: ☂ слово ");
    let gate = Gate::start(&server.url(), user, password);
    let file = SecretFile::new(password);
    let path = file.path();
    let url = gate.url();
    let relay = Relay::start(&["-s", &url, "-u", user, "--password-file", &path]);
    eventually_eq("online", || relay.upstream_state(), &"online".to_owned());
    gate.saw(&["none", "right"]);
    let relay = Relay::start(&["-s", &url, "-u", user, "-p", password]);
    eventually_eq("online", || relay.upstream_state(), &"online".to_owned());
    gate.saw(&["none", "right", "none", "right"]);
}

#[test]
fn a_password_changes_while_the_network_is_away() {
    if !ready() {
        return;
    }
    let site = Site::build("old", "old", &[]);
    let proxy = &site.pair.proxies[0];
    proxy.refuse(true);
    proxy.cut();
    eventually("the loss is noticed", || site.left().upstream_state() != "online");
    site.gate.accept("anna", "new");
    site.pair.documents[0].append("<offline>");
    proxy.refuse(false);
    site.unauthorized();
    site.gate.saw(&["none", "right", "wrong"]);
    site.mend("new");
    site.gate.saw(&["none", "right", "wrong", "right"]);
}
