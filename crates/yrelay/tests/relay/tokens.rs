//! Pages with programs of Hocuspocus, where logins are asked for: each document shows a token.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use tempfile::TempDir;
use yrelay::accounts::AccountsFile;
use yrelay::config::Config;
use yrelay::limits;
use yrelay::status::Role;
use yrelay_core::{hocuspocus, link, wire};

use crate::local::{Relay, config};
use crate::socket::{Message, Socket};

/// `hunter2`, by bcrypt.
const JANE: &str = "jane:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n";
const ORIGIN: &str = "Origin: http://localhost\r\n";

fn relay(directory: &Path) -> Relay {
    let users = directory.join("users");
    std::fs::write(&users, JANE).unwrap();
    let accounts = Some(AccountsFile::read(&users).unwrap());
    Relay::of(Config { role: Role::Serve, accounts, ..config() })
}

/// A page, by hand.
struct Page(Socket);

impl Page {
    fn open(address: SocketAddr) -> Self {
        Self(Socket::connect_with(address, "/", ORIGIN))
    }

    fn says(&mut self, name: &str, message: &[u8]) {
        self.0.binary(&framed(name, message));
    }

    fn hears(&mut self, name: &str, message: &[u8]) {
        assert_eq!(self.0.read(), Message::Binary(framed(name, message)));
    }

    /// As programs begin: without waiting for an answer.
    fn begins(&mut self, name: &str, token: &str) {
        self.says(name, &hocuspocus::token(token));
        self.says(name, &wire::sync_step1(&[0]));
    }

    fn denied(&mut self, name: &str) {
        self.hears(name, &hocuspocus::denied("permission-denied"));
    }

    fn let_in(&mut self, name: &str) {
        self.hears(name, &hocuspocus::granted(false));
        self.hears(name, &wire::sync_step1(&[0]));
        self.hears(name, &wire::sync_step2(wire::EMPTY_UPDATE));
    }

    fn is_sent_away(&mut self, code: u16) {
        assert_eq!(self.0.read(), Message::Close(code));
    }
}

fn framed(name: &str, message: &[u8]) -> Vec<u8> {
    [&hocuspocus::prefix(name)[..], message].concat()
}

/// The documents in memory.
fn documents(relay: &Relay) -> Vec<String> {
    let mut stream = TcpStream::connect(relay.address()).unwrap();
    let request = format!(
        "GET /-/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Basic {}\r\n\r\n",
        BASE64.encode("jane:hunter2")
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let documents = status["documents"].as_array().unwrap().iter();
    documents.map(|document| document["identifier"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_document_is_let_in_by_its_token_and_nothing_is_opened_before() {
    let directory = TempDir::new().unwrap();
    let relay = relay(directory.path());
    let mut page = Page::open(relay.address());
    for token in ["", "jane:wrong", "eve:hunter2", "hunter2"] {
        page.begins("notes", token);
        page.denied("notes");
        page.says("notes", &wire::update(&[0, 0]));
    }
    assert_eq!(documents(&relay), Vec::<String>::new());
    page.begins("notes", "jane:hunter2");
    page.let_in("notes");
    for _ in 0..2 {
        page.begins("plans", "jane:wrong");
        page.denied("plans");
    }
    page.begins("other", "jane:hunter2");
    page.let_in("other");
    assert_eq!(documents(&relay), ["notes", "other"]);
    // Denied is not sent away, and may be tried again.
    page.begins("plans", "jane:hunter2");
    page.let_in("plans");
}

#[test]
fn who_shows_no_token_at_first_is_sent_away() {
    let directory = TempDir::new().unwrap();
    let relay = relay(directory.path());
    let step_1 = wire::sync_step1(&[0]);
    let elva = [&link::prefix("notes")[..], &step_1].concat();
    for frame in [framed("notes", &step_1), elva, step_1.to_vec(), vec![], vec![9]] {
        let mut page = Page::open(relay.address());
        page.0.binary(&frame);
        page.is_sent_away(4401);
    }
    let mut page = Page::open(relay.address());
    page.0.text("hello");
    page.is_sent_away(4401);
    assert_eq!(documents(&relay), Vec::<String>::new());
}

#[test]
fn who_is_not_let_in_yet_can_make_us_hold_little() {
    let directory = TempDir::new().unwrap();
    let relay = relay(directory.path());
    let mut page = Page::open(relay.address());
    page.begins("notes", "jane:wrong");
    page.denied("notes");
    page.0.announce(limits::TOKEN_MESSAGE_BYTES_MAX as u64 + 1);
    page.is_sent_away(1009);
    let mut page = Page::open(relay.address());
    page.begins("notes", "jane:hunter2");
    page.let_in("notes");
    // Whose content does not matter: it is of a type that nobody knows.
    page.says("notes", &vec![99; limits::TOKEN_MESSAGE_BYTES_MAX + 1]);
    page.begins("other", "jane:hunter2");
    page.let_in("other");
}
