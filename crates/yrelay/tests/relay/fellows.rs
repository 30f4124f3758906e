//! Relays below relays: our own link over real sockets.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;

use tempfile::TempDir;
use yrelay::accounts::AccountsFile;
use yrelay::config::{Config, Storage, Upstream};
use yrelay::login::Login;
use yrelay::secret::Source;
use yrelay::status::Role;
use yrelay::target::Target;
use yrelay_core::fellow::{self, Kept, Message as Word};
use yrelay_core::id_set::IdSet;
use yrelay_core::state_vector::StateVector;
use yrelay_core::{link, wire};

use crate::client::{Client, Editor};
use crate::local::{Pages, Relay, config};
use crate::moving::printed;
use crate::server::frame;
use crate::socket::{Message, Socket};
use crate::wait::eventually;

fn below(address: SocketAddr, directory: &Path, port: u16) -> Relay {
    let upstream = Upstream::open(Target::parse(&format!("ws://{address}/")).unwrap());
    let storage = Storage::Directory(directory.to_owned());
    Relay::of(Config { port, storage, upstream: Some(upstream), ..config() })
}

fn server(directory: &Path) -> Relay {
    let storage = Storage::Directory(directory.to_owned());
    Relay::of(Config { role: Role::Serve, storage, ..config() })
}

fn confirmed(pages: Pages) -> usize {
    pages.documents().iter().filter(|document| document["confirmed"] == true).count()
}

#[test]
fn two_thousand_documents_go_up_over_one_link_and_are_left_again() {
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let threads = 20;
    let each = 100;
    {
        let relay = Relay::alone(directories[0].path());
        let address = relay.address();
        thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || {
                    for n in 0..each {
                        Client::synced(address, &format!("{thread}/{n}"), 1).save("x");
                    }
                });
            }
        });
    }
    let above = server(directories[1].path());
    let relay = below(above.address(), directories[0].path(), 0);
    relay.pages.until_upstream_is("online");
    eventually("all are confirmed", || confirmed(relay.pages) == threads * each);
    let documents = above.pages.documents();
    assert_eq!(documents.len(), threads * each);
    assert!(documents.iter().all(|document| document["bytes"].as_u64() > Some(0)));
    // Nobody has them open below: they are left, and may leave memory above, too.
    eventually("they are left", || {
        above.pages.documents().iter().all(|document| document["links"] == 0)
    });
}

#[test]
fn a_server_that_keeps_things_in_memory_only_confirms_nothing() {
    let directory = TempDir::new().unwrap();
    let above = Relay::of(Config { role: Role::Serve, ..config() });
    let relay = below(above.address(), directory.path(), 0);
    let mut client = Client::synced(relay.address(), "notes", 1);
    client.save("x");
    eventually("it is there", || above.pages.documents().iter().any(|d| d["bytes"] != 0));
    eventually("and that proves nothing", || relay.pages.document("notes")["confirmed"].is_null());
}

#[test]
fn a_relay_without_a_server_takes_links_of_our_own_only() {
    let relay = Relay::of(config());
    let request = |protocol: &str| {
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let line =
            format!("GET / HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n{key}\r\n{protocol}\r\n");
        first_line(relay.address(), &line)
    };
    // A program that speaks Hocuspocus comes in there, too, so the first frame decides.
    for protocol in ["", "Sec-WebSocket-Protocol: other\r\n"] {
        assert_eq!(request(protocol), "HTTP/1.1 101 Switching Protocols");
    }
    let frame = [&[2, 0, 5][..], b"notes", &[0, 0, 1, 0]].concat();
    for frame in [&frame[..], &[0, 0, 1, 0]] {
        let mut socket = Socket::connect(relay.address(), "/");
        socket.binary(frame);
        assert_eq!(socket.read(), Message::Close(4400));
    }
    assert_eq!(request("Sec-WebSocket-Protocol: yrelay.1\r\n"), "HTTP/1.1 101 Switching Protocols");
}

fn first_line(address: SocketAddr, request: &str) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Each is the server of the next, and the last one of the first.
#[test]
fn a_ring_of_relays_converges_and_comes_to_rest() {
    let directories = [(); 3].map(|()| TempDir::new().unwrap());
    let ports = [(); 3].map(|()| free_port());
    let relays: Vec<Relay> = (0..3)
        .map(|n| {
            let next = SocketAddr::from(([127, 0, 0, 1], ports[(n + 1) % 3]));
            below(next, directories[n].path(), ports[n])
        })
        .collect();
    for relay in &relays {
        relay.pages.until_upstream_is("online");
    }
    let mut clients: Vec<Client> = (1..)
        .zip(&relays)
        .map(|(number, relay)| Client::synced(relay.address(), "notes", number))
        .collect();
    for (n, letter) in ["a", "b", "c"].iter().enumerate() {
        clients[n].save(letter);
    }
    for relay in &relays {
        relay.pages.until_synced("notes");
    }
    for client in &mut clients {
        client.read_while(|text| text.len() < 3);
    }
    let texts: Vec<String> = clients.iter().map(Client::text).collect();
    assert!(texts.iter().all(|text| text.len() == 3 && *text == texts[0]), "{texts:?}");
    // One more edit is one update for each hop: the ring does not turn.
    let before: u64 = relays.iter().map(|relay| relay.pages.metric("sent_messages_total")).sum();
    clients[0].save("d");
    for client in &mut clients[1..] {
        client.read_while(|text| text.len() < 4);
    }
    for relay in &relays {
        relay.pages.until_synced("notes");
    }
    let after: u64 = relays.iter().map(|relay| relay.pages.metric("sent_messages_total")).sum();
    assert!(after - before <= 40, "{} messages for one letter", after - before);
}

/// Each side says what it has, and only what the other lacks goes over.
#[test]
fn a_reconnect_costs_the_difference_only() {
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let port = free_port();
    let storage = || Storage::Directory(directories[1].path().to_owned());
    let start = || Relay::of(Config { role: Role::Serve, port, storage: storage(), ..config() });
    let above = start();
    let relay = below(above.address(), directories[0].path(), 0);
    let mut client = Client::synced(relay.address(), "notes", 1);
    client.save(&"0123456789".repeat(50_000));
    let stands = || relay.pages.document("notes")["confirmed"] == true;
    eventually("it has gone up", stands);
    drop(above);
    relay.pages.until_upstream_is("offline");
    client.save("and more");
    let before = relay.pages.metric("sent_bytes_total");
    let above = start();
    eventually("the rest has gone up", stands);
    let sent = relay.pages.metric("sent_bytes_total") - before;
    let back = above.pages.metric("sent_bytes_total");
    assert!(sent < 1_000 && back < 1_000, "{sent} bytes up, {back} down");
    assert_eq!(Client::synced(above.address(), "notes", 2).text().len(), 500_008);
}

/// `hunter2`, by bcrypt.
const JANE: &str = "jane:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n";

#[test]
fn a_link_is_let_in_by_its_login() {
    let directory = TempDir::new().unwrap();
    let users = directory.path().join("users");
    std::fs::write(&users, JANE).unwrap();
    let accounts = Some(AccountsFile::read(&users).unwrap());
    let above = Relay::of(Config { role: Role::Serve, accounts, ..config() });
    for (password, state) in [("hunter3", "unauthorized"), ("hunter2", "online")] {
        let target = Target::parse(&format!("ws://{}/", above.address())).unwrap();
        let password = Some(Source::Text(password.into()));
        let login = Some(Login::new("jane".into(), password).unwrap());
        let upstream = Some(Upstream { login, ..Upstream::open(target) });
        let relay = Relay::of(Config { upstream, ..config() });
        relay.pages.until_upstream_is(state);
    }
}

/// A relay below, by hand.
struct Below(Socket);

impl Below {
    fn connect(address: SocketAddr) -> Self {
        let lines = "Sec-WebSocket-Protocol: yrelay.1\r\n";
        let mut socket = Socket::connect_with(address, "/", lines);
        assert_eq!(socket.read(), Message::Binary(fellow::hello().to_vec()));
        socket.binary(&fellow::hello());
        Self(socket)
    }

    fn say(&mut self, name: &str, message: &[u8]) {
        self.0.binary(&frame(name, message));
    }

    /// A document is joined of which nothing is here.
    fn join(&mut self, name: &str) {
        self.say(name, &fellow::have(&StateVector::default(), &IdSet::default()));
    }

    /// What it is told, up to a word of its own of this document.
    fn until_told(&mut self, name: &str) -> Word {
        loop {
            let Message::Binary(frame) = self.0.read() else { panic!("the link has ended") };
            let frame = frame.into();
            let (of, message) = link::decode(&frame).unwrap();
            match fellow::decode(&message).unwrap() {
                Some(word) if of == name && !matches!(word, Word::Have { .. }) => return word,
                _ => {}
            }
        }
    }
}

/// And all the others stay on it.
#[test]
fn a_document_that_does_not_pass_the_gate_is_refused_and_never_called_saved() {
    let directory = TempDir::new().unwrap();
    let above = server(directory.path());
    let mut below = Below::connect(above.address());
    for name in ["good", "bad"] {
        below.join(name);
    }
    below.say("bad", &wire::update(&[9, 9, 9]));
    below.say("bad", &fellow::ask(1));
    let Word::Refused { code: 6, reason } = below.until_told("bad") else { panic!("not refused") };
    assert!(reason.starts_with("malformed message"), "{reason}");
    below.say("good", &wire::update(&Editor::new(1).write("x")));
    below.say("good", &fellow::ask(2));
    assert_eq!(below.until_told("good"), Word::Saved { version: 2, kept: Kept::Top });
    // Whoever goes on with the other is asked what it has.
    below.join("bad");
    below.say("bad", &wire::update(&Editor::new(1).write("y")));
    below.say("bad", &fellow::ask(3));
    assert_eq!(below.until_told("bad"), Word::Saved { version: 3, kept: Kept::Top });
    assert_eq!(Client::synced(above.address(), "bad", 2).text(), "y");
}

#[test]
fn what_was_deleted_above_is_brought_back_whole_or_not_called_confirmed() {
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let above = server(directories[1].path());
    let relay = below(above.address(), directories[0].path(), 0);
    let mut client = Client::synced(relay.address(), "notes", 1);
    client.save("before");
    relay.pages.until_synced("notes");
    printed(directories[1].path(), &["delete", "notes", "--yes"]);
    assert!(above.pages.document("notes").is_null());
    client.save(" after");
    relay.pages.until_synced("notes");
    assert_eq!(Client::synced(above.address(), "notes", 2).text(), "before after");
}

#[test]
fn a_relay_without_a_server_is_the_top() {
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let above = Relay::alone(directories[0].path());
    let relay = below(above.address(), directories[1].path(), 0);
    let mut client = Client::synced(relay.address(), "notes", 1);
    client.save("x");
    eventually("all above have it", || relay.pages.document("notes")["above"] == true);
}
