//! Echoes on the WebSockets of yrelay.
//!
//! Autobahn wants its messages back, and a relay has other things to do with them. So an echo
//! stands where documents do, and nothing else is replaced: listener, HTTP, upgrade, framing,
//! bounds, pings, closing and the queue of what goes out are what `yrelay` runs with.

use std::net::SocketAddr;
use std::rc::Rc;
use std::{iter, thread};

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};
use yrelay::acceptor::Acceptor;
use yrelay::config::Strangers;
use yrelay::connector::Connector;
use yrelay::http::{Many, Routes, Site};
use yrelay::keeping::Asked;
use yrelay::limits;
use yrelay::listen::Listeners;
use yrelay::origin::Rules;
use yrelay::outbox::Outbox;
use yrelay::pump::pump;
use yrelay::seats::Seats;
use yrelay::status::{Room, Status};
use yrelay::target::Target;
use yrelay::ws::{Frame, Incoming, Reader, Writer};
use yrelay_core::id::DocumentId;

/// A relay's listener with echoes behind it.
pub(crate) struct EchoServer {
    port: u16,
    _stop: oneshot::Sender<()>,
}

impl EchoServer {
    pub(crate) fn start() -> EchoServer {
        let listeners = Listeners::bind("127.0.0.1", 0).expect("a port is free");
        let port = listeners.port;
        let (stop, stopping) = oneshot::channel::<()>();
        thread::spawn(move || {
            run(async {
                let site = Rc::new(Site {
                    routes: Rc::new(Echoes),
                    rules: Rules::default(),
                    guard: None,
                    metrics: Rc::default(),
                    message_bytes_max: limits::MESSAGE_BYTES_MAX,
                    admin: None,
                });
                let seats = Seats::new(1_024, Strangers::default());
                let _acceptor =
                    Acceptor::start(listeners.sockets, &site, &seats).expect("it listens");
                let _ = stopping.await;
            });
        });
        EchoServer { port, _stop: stop }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/echo", self.port)
    }
}

struct Echoes;

impl Routes for Echoes {
    fn attach(&self, _: DocumentId, _: Asked, _: SocketAddr, reader: Reader, writer: Writer) {
        spawn_local(echo(reader, writer));
    }

    fn status(&self) -> Status {
        unreachable!("Autobahn does not ask")
    }

    fn metrics(&self) -> String {
        unreachable!("Autobahn does not ask")
    }

    fn rooms(&self) -> Vec<Room> {
        unreachable!("Autobahn does not ask")
    }

    fn attach_many(&self, _: SocketAddr, _: Many, _: Reader, _: Writer) {
        unreachable!("it takes no links")
    }
}

/// Runs all cases of a server, as an upstream connects to it.
pub(crate) fn run_cases(server: &str) {
    run(async {
        let count = ask(&format!("{server}/getCaseCount")).await;
        let count: u32 = count.parse().expect("a count is a number");
        for case in 1..=count {
            let (reader, writer) =
                open(&format!("{server}/runCase?case={case}&agent=yrelay")).await;
            echo(reader, writer).await;
        }
        let (reader, writer) = open(&format!("{server}/updateReports?agent=yrelay")).await;
        echo(reader, writer).await;
    });
}

async fn open(url: &str) -> (Reader, Writer) {
    let target = Target::parse(url).expect("it is an address");
    let connector = Connector::new(target, iter::empty()).expect("there is no TLS");
    let opened = connector.connect(None).await.expect("Autobahn listens");
    (opened.reader, opened.writer)
}

/// The first message.
async fn ask(url: &str) -> String {
    let (mut reader, _writer) = open(url).await;
    match reader.next().await {
        Ok(Incoming::Frame(Frame::Text(answer))) => {
            String::from_utf8(answer.to_vec()).expect("text is UTF-8")
        }
        other => panic!("{other:?}"),
    }
}

/// Gives all messages back. A relay sends no text, so its queue has no place for it: text goes
/// round it.
async fn echo(reader: Reader, writer: Writer) {
    let outbox = Outbox::new();
    let queue = &outbox;
    let mut beside = writer.clone();
    // Moved in, so that nothing of the connection outlives the pump.
    let take = async move |frame| match frame {
        Frame::Binary(bytes) => {
            queue.room().await;
            queue.push(bytes).expect("there is room");
        }
        text @ Frame::Text(_) => {
            // Where it fails, the pump finds out.
            if beside.feed(text).is_ok() {
                let _ = beside.flush().await;
            }
        }
    };
    pump(reader, writer, queue, take).await;
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().expect("it runs");
    LocalSet::new().block_on(&runtime, work)
}
