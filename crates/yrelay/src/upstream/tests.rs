//! The link over real sockets, driven from inside: what no program can be made to do to itself.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use tokio::sync::Notify;
use yrelay_core::event::Dialect;
use yrelay_core::{fellow, hocuspocus};

use super::*;
use crate::config::{Bounds, Config, Patterns, Storage};
use crate::keeping::{Asked, Policies};
use crate::metrics::Metrics;
use crate::origin::Rules;
use crate::outbox::Outbox;
use crate::status::Role;
use crate::store::{Place, Store};
use crate::target::Target;
use crate::ws;

const PATIENCE_MS: u64 = 10_000;

/// Accepts WebSockets and keeps them; whatever comes is thrown away.
struct Server {
    port: u16,
    /// How many connections there were, and how many of them the other side has ended.
    counts: RefCell<(usize, usize)>,
    changed: Notify,
}

impl Server {
    async fn start() -> Rc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Rc::new(Self { port, counts: RefCell::default(), changed: Notify::new() });
        let serving = server.clone();
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawn_local(serving.clone().serve(stream));
            }
        });
        server
    }

    async fn serve(self: Rc<Self>, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = |line: &str| line.strip_prefix("sec-websocket-key: ").map(str::to_owned);
        let accept = ws::accept_key(head.lines().find_map(key).unwrap().as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Hi\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        self.counts.borrow_mut().0 += 1;
        self.changed.notify_one();
        while matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) {}
        self.counts.borrow_mut().1 += 1;
        self.changed.notify_one();
    }

    async fn until(&self, counts: (usize, usize)) {
        let reached = async {
            while *self.counts.borrow() != counts {
                self.changed.notified().await;
            }
        };
        let reached = clock::timeout(PATIENCE_MS, reached).await;
        assert!(reached.is_some(), "{:?} instead of {counts:?}", self.counts.borrow());
    }
}

fn relay(server: &Server) -> Rc<Relay> {
    relay_to(server, Messages::Elva)
}

fn relay_to(server: &Server, speaks: Messages) -> Rc<Relay> {
    let target = Target::parse(&format!("ws://127.0.0.1:{}/", server.port)).unwrap();
    let connector = Connector::new(target.clone(), []).unwrap();
    let upstream = config::Upstream { speaks, ..config::Upstream::open(target) };
    let link = Link::new(&upstream, connector);
    let config = Config {
        role: Role::Service,
        host: "localhost".into(),
        port: 0,
        upstream: Some(upstream),
        routes: Vec::new(),
        storage: Storage::Ephemeral,
        rules: Rules::default(),
        accounts: None,
        opaque: Patterns::default(),
        policies: Policies::ALL,
        bounds: Bounds::default(),
    };
    let opened = Store::open(Place::Memory, None, || {}).unwrap();
    let relay =
        Relay::new(&config, opened, Arc::default(), vec![link], Rc::new(Metrics::default()));
    relay.start();
    relay
}

fn told(relay: &Relay) -> (UpstreamState, u64) {
    let state = relay.state.borrow();
    let told = &state.above[0].told;
    (told.state, told.since_ms)
}

async fn until_online(relay: &Relay) {
    let online = async {
        while relay.state.borrow().above[0].shared.peer().is_none() {
            clock::sleep(1).await;
        }
    };
    assert!(clock::timeout(PATIENCE_MS, online).await.is_some(), "it does not get online");
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn after_sleep_the_old_connection_is_dropped_and_a_new_one_opened() {
    run(async {
        let server = Server::start().await;
        let relay = relay(&server);
        server.until((1, 0)).await;
        until_online(&relay).await;
        let (_, since) = told(&relay);
        clock::sleep(2).await;
        relay.link_event(0, Event::Woke);
        assert_eq!(
            told(&relay).0,
            UpstreamState::Offline,
            "nobody is to be told that it is online"
        );
        // The old one must not live on: its end would take the new one's documents off the link.
        server.until((2, 1)).await;
        until_online(&relay).await;
        let (state, later) = told(&relay);
        assert!(state == UpstreamState::Online && later > since, "{since} {later}");
    });
}

#[test]
fn an_attempt_under_way_is_dropped_for_a_new_one() {
    run(async {
        let server = Server::start().await;
        let relay = relay(&server);
        for _ in 0..5 {
            relay.link_event(0, Event::Woke);
        }
        until_online(&relay).await;
        let first = relay.state.borrow().above[0].shared.peer();
        // Whatever came of the others has ended.
        clock::sleep(50).await;
        let (opened, ended) = *server.counts.borrow();
        assert_eq!(opened - ended, 1, "{opened} opened, {ended} ended");
        assert_eq!(relay.state.borrow().above[0].shared.peer(), first);
    });
}

#[test]
fn any_number_of_documents_is_left_as_the_link_has_room() {
    run(async {
        let server = Server::start().await;
        let relay = relay(&server);
        until_online(&relay).await;
        let count = 2 * limits::OUTBOX_MESSAGES_MAX;
        let outbox = Outbox::new();
        let ids: Vec<_> = (0..count).map(|n| DocumentId::new(&format!("{n}")).unwrap()).collect();
        relay.with(|state, relay| {
            state.connected(0, &outbox, Dialect::Own, None);
            for id in &ids {
                state.open(relay, id, Asked::default());
            }
            for id in &ids {
                state.drop_document(relay, id);
            }
            // One comes back before it was left.
            state.open(relay, &ids[7], Asked::default());
        });
        let (mut left, mut batch) = (Vec::new(), Vec::new());
        while relay.link_wants_room() {
            relay.with(|state, relay| state.link_room(relay, 0, 0));
            outbox.next_batch(&mut batch).await;
            outbox.written();
            left.extend(batch.drain(..).filter(|frame| frame.ends_with(&fellow::leave())));
        }
        assert_eq!(left.len(), count);
    });
}

#[test]
fn what_was_closed_is_opened_again_once_the_server_says_that_it_is() {
    run(async {
        let server = Server::start().await;
        let relay = relay_to(&server, Messages::Hocuspocus);
        until_online(&relay).await;
        let outbox = Outbox::new();
        let ids = named("d", 2);
        relay.with(|state, relay| {
            state.connected(0, &outbox, Dialect::Hocuspocus, None);
            for id in &ids {
                state.open(relay, id, Asked::default());
            }
            state.enter_anew(relay, &ids[0]);
            assert_eq!(state.documents[&ids[0]].upstream, None);
        });
        let mut frames = Vec::new();
        outbox.next_batch(&mut frames).await;
        let said = |frames: &[Bytes]| -> Vec<(String, Bytes)> {
            let parts = frames.iter().map(|frame| hocuspocus::split(frame).unwrap());
            let token = |parts: &hocuspocus::Parts<'_>| parts.message == hocuspocus::token("");
            let leave = |parts: &hocuspocus::Parts<'_>| parts.message == hocuspocus::leave();
            let parts = parts.filter(|parts| token(parts) || leave(parts));
            parts.map(|parts| (parts.name.to_owned(), parts.message)).collect()
        };
        let [token, leave] = [hocuspocus::token(""), hocuspocus::leave()];
        let message = |n: usize, what: &Bytes| (format!("d{n}"), what.clone());
        assert_eq!(said(&frames), [message(0, &token), message(1, &token), message(0, &leave)]);
        let peer = relay.state.borrow().above[0].shared.peer().unwrap();
        relay.link_frame(0, peer, &Bytes::from_static(b"\x02d0\x07\x12provider_initiated")).await;
        frames.clear();
        outbox.next_batch(&mut frames).await;
        assert_eq!(said(&frames), [message(0, &token)]);
        // Version 2 says nothing.
        relay.with(|state, relay| state.enter_anew(relay, &ids[0]));
        let is_attached = || relay.state.borrow().documents[&ids[0]].upstream.is_some();
        assert!(!is_attached());
        clock::sleep(limits::CLOSING_MS + 100).await;
        assert!(is_attached());
    });
}

#[test]
fn who_has_come_back_is_not_sent_away_by_the_answer_to_having_left() {
    run(async {
        let server = Server::start().await;
        let relay = relay_to(&server, Messages::Hocuspocus);
        until_online(&relay).await;
        let outbox = Outbox::new();
        let [first, second] = ["first", "second"].map(|name| DocumentId::new(name).unwrap());
        relay.with(|state, relay| {
            state.connected(0, &outbox, Dialect::Hocuspocus, None);
            state.open(relay, &first, Asked::default());
            state.open(relay, &second, Asked::default());
            state.drop_document(relay, &first);
            state.open(relay, &first, Asked::default());
            let mut hears = |message: &'static [u8]| {
                state.take_from_hocuspocus(relay, 0, &first, &Bytes::from_static(message));
                state.above[0].machine.parked_because(&first).is_some()
            };
            assert!(!hears(b"\x07\x12provider_initiated"));
            assert!(hears(b"\x07\x10Reset Connection"));
        });
    });
}

/// Servers keep whatever comes for a document that is not open, and would close it by that once it
/// is opened again.
#[test]
fn nobody_is_told_to_close_what_the_server_has_closed_itself() {
    run(async {
        let server = Server::start().await;
        let relay = relay_to(&server, Messages::Hocuspocus);
        until_online(&relay).await;
        let outbox = Outbox::new();
        let ids = named("d", 3);
        relay.with(|state, relay| {
            state.connected(0, &outbox, Dialect::Hocuspocus, None);
            for id in &ids {
                state.open(relay, id, Asked::default());
            }
            // This one was to be left already.
            state.drop_document(relay, &ids[1]);
            let closed = [hocuspocus::denied("no"), Bytes::from_static(b"\x07\x03Bye")];
            for (id, message) in ids.iter().zip(closed) {
                state.take_from_hocuspocus(relay, 0, id, &message);
                assert!(state.above[0].machine.parked_because(id).is_some());
            }
            assert!(!state.above[0].shared.is_leaving());
        });
    });
}

#[test]
fn who_is_closed_by_an_answer_that_nobody_asked_for_comes_back() {
    run(async {
        let server = Server::start().await;
        let relay = relay_to(&server, Messages::Hocuspocus);
        until_online(&relay).await;
        let id = &named("d", 1)[0];
        relay.with(|state, relay| {
            state.connected(0, &Outbox::new(), Dialect::Hocuspocus, None);
            state.open(relay, id, Asked::default());
            let left = Bytes::from_static(b"\x07\x12provider_initiated");
            state.take_from_hocuspocus(relay, 0, id, &left);
            assert!(state.above[0].machine.parked_because(id).is_some());
        });
    });
}

fn named(prefix: &str, count: usize) -> Vec<DocumentId> {
    (0..count).map(|n| DocumentId::new(&format!("{prefix}{n}")).unwrap()).collect()
}

#[test]
fn a_denial_of_a_document_that_has_left_memory_is_remembered() {
    run(async {
        let server = Server::start().await;
        let relay = relay_to(&server, Messages::Hocuspocus);
        until_online(&relay).await;
        let [id, other] = &named("d", 2)[..] else { panic!("two") };
        let connected = relay.with(|state, relay| {
            let connected = state.connected(0, &Outbox::new(), Dialect::Hocuspocus, None);
            for id in [id, other] {
                state.open(relay, id, Asked::default());
            }
            state.drop_document(relay, id);
            connected
        });
        let (peer, _) = connected.unwrap();
        let prefix = hocuspocus::prefix(&id.to_encoded());
        let frame = [&prefix[..], &hocuspocus::denied("no")].concat().into();
        relay.link_frame(0, peer, &frame).await;
        let state = relay.state.borrow();
        let link = &state.above[0];
        assert!(link.machine.parked_because(id).is_some() && link.shared.was_denied(id));
        assert_eq!(link.machine.parked_because(other), None);
    });
}

#[test]
fn what_leaves_memory_while_it_waits_to_be_let_in_is_offered_again() {
    run(async {
        let server = Server::start().await;
        for (speaks, is_offered) in [(Messages::Hocuspocus, true), (Messages::Elva, false)] {
            let relay = relay_to(&server, speaks);
            let id = &named("d", 1)[0];
            relay.with(|state, _| {
                state.offer_later(id, Some(0));
                let later = clock::now_ms() + yrelay_core::limits::LOAD_RETRY_MS;
                let next = state.above[0].offers.next(later, |_| true);
                assert_eq!(next.is_some(), is_offered);
            });
        }
    });
}

#[test]
fn who_leaves_before_it_is_let_in_makes_place_for_the_next() {
    run(async {
        let server = Server::start().await;
        let relay = relay_to(&server, Messages::Hocuspocus);
        until_online(&relay).await;
        let (first, next) = (named("a", limits::ENTRIES_AT_ONCE), named("b", 2));
        relay.with(|state, relay| {
            state.connected(0, &Outbox::new(), Dialect::Hocuspocus, None);
            for id in first.iter().chain(&next) {
                state.open(relay, id, Asked::default());
            }
            let are_let_in = |state: &State| {
                let is_let_in = |id: &DocumentId| state.documents[id].upstream.is_some();
                next.iter().map(is_let_in).collect::<Vec<_>>()
            };
            state.drop_document(relay, &first[0]);
            assert_eq!(are_let_in(state), [true, false]);
            // Who waits and comes back waits once.
            state.drop_document(relay, &next[1]);
            state.open(relay, &next[1], Asked::default());
            for id in &first[1..3] {
                state.drop_document(relay, id);
            }
            assert_eq!(are_let_in(state), [true, true]);
        });
    });
}
