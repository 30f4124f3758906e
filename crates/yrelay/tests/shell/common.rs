//! What the tests share: a server whose relay just repeats, clients, raw requests.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};
use yrelay::acceptor::Acceptor;
use yrelay::accounts::AccountsFile;
use yrelay::config::Strangers;
use yrelay::connector::{ConnectError, Connector};
use yrelay::guard::Guard;
use yrelay::http::{Many, Routes, Site};
use yrelay::keeping::Asked;
use yrelay::limits;
use yrelay::listen::Listeners;
use yrelay::metrics::{Gauges, Metrics};
use yrelay::origin::Rules;
use yrelay::outbox::Outbox;
use yrelay::pump::{Ended, pump};
use yrelay::seats::Seats;
use yrelay::status::{Role, Room, Status, Upstream};
use yrelay::target::Target;
use yrelay::ws::{Close, Error, Frame, Incoming, Reader, Writer};
use yrelay_core::id::DocumentId;

/// Long enough for a busy machine, short enough to fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a [`Server`] reports.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Attached(String),
    Ended(Ended),
}

/// Says every frame to the others of the document.
struct Loudspeaker {
    clients: RefCell<BTreeMap<(DocumentId, u64), Outbox>>,
    next: Cell<u64>,
    events: mpsc::Sender<Event>,
}

struct Shared(Rc<Loudspeaker>);

impl Loudspeaker {
    fn say(&self, id: &DocumentId, author: u64, frame: Frame) {
        let (Frame::Binary(bytes) | Frame::Text(bytes)) = frame;
        for ((document, client), outbox) in &*self.clients.borrow() {
            if document == id && *client != author && outbox.push(bytes.clone()).is_err() {
                outbox.close(Close::new(1013, "reads too slowly"));
            }
        }
    }
}

impl Routes for Shared {
    fn status(&self) -> Status {
        let upstream = Upstream::none();
        Status {
            version: "1.2.3".into(),
            role: Role::Serve,
            upstream,
            routes: Vec::new(),
            store: None,
            documents: vec![],
        }
    }

    fn metrics(&self) -> String {
        Metrics::default().render(&Gauges::default())
    }

    fn rooms(&self) -> Vec<Room> {
        let room = |(id, _): &(DocumentId, u64)| Room {
            identifier: id.to_string(),
            clients: 1,
            persistent: true,
            permanent: false,
            secret: false,
        };
        self.0.clients.borrow().keys().map(room).collect()
    }

    fn attach_many(&self, _: SocketAddr, _: Many, _: Reader, _: Writer) {
        panic!("it takes no links");
    }

    fn attach(&self, id: DocumentId, _: Asked, _: SocketAddr, reader: Reader, writer: Writer) {
        let this = self.0.clone();
        let number = this.next.replace(this.next.get() + 1);
        let outbox = Outbox::new();
        this.clients.borrow_mut().insert((id.clone(), number), outbox.clone());
        spawn_local(async move {
            let _ = this.events.send(Event::Attached(id.to_string()));
            let take = async |frame| this.say(&id, number, frame);
            let ended = pump(reader, writer, &outbox, take).await;
            this.clients.borrow_mut().remove(&(id, number));
            let _ = this.events.send(Event::Ended(ended));
        });
    }
}

/// The shell around a [`Loudspeaker`], on a thread of its own.
pub(crate) struct Server {
    pub(crate) addresses: Vec<SocketAddr>,
    events: mpsc::Receiver<Event>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(Rules::default())
    }

    pub(crate) fn with(rules: Rules) -> Self {
        Self::guarded(rules, None)
    }

    /// One that asks for logins, perhaps.
    pub(crate) fn guarded(rules: Rules, accounts: Option<AccountsFile>) -> Self {
        Self::of_size(1_024, rules, accounts)
    }

    /// One with place for so many connections.
    pub(crate) fn of_size(
        connections: usize,
        rules: Rules,
        accounts: Option<AccountsFile>,
    ) -> Self {
        let listeners = Listeners::bind("localhost", 0).unwrap();
        let addresses = listeners.addresses.clone();
        let (sender, events) = mpsc::channel();
        let stop = Arc::new(Notify::new());
        let stopping = stop.clone();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, async {
                let routes = Rc::new(Shared(Rc::new(Loudspeaker {
                    clients: RefCell::default(),
                    next: Cell::default(),
                    events: sender,
                })));
                let message_bytes_max = limits::MESSAGE_BYTES_MAX;
                let guard = accounts.map(|file| Rc::new(Guard::new(file)));
                if let Some(guard) = &guard {
                    spawn_local(guard.clone().watch());
                }
                let site = Rc::new(Site {
                    routes,
                    rules,
                    guard,
                    metrics: Rc::default(),
                    message_bytes_max,
                    admin: None,
                });
                let seats = Seats::new(connections, Strangers::default());
                let _acceptor = Acceptor::start(listeners.sockets, &site, &seats).unwrap();
                stopping.notified().await;
            });
        });
        Self { addresses, events, stop, thread: Some(thread) }
    }

    /// Blocks until the next event.
    pub(crate) fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("nothing happens")
    }

    /// A client that the server has attached.
    pub(crate) async fn client(&self, path: &str) -> Client {
        let client = Client::connect(self.addresses[0], path).await.unwrap();
        assert!(matches!(self.event(), Event::Attached(_)));
        client
    }

    /// A client that speaks bytes, its handshake done.
    pub(crate) fn raw(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.addresses[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let request = request("GET", path, &[UPGRADE, &["Host: localhost"]].concat());
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(status(&head(&mut stream)), 101);
        assert!(matches!(self.event(), Event::Attached(_)));
        stream
    }

    /// Sends a raw request, reads the answer to its end.
    pub(crate) fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.addresses[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.notify_one();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Runs a test on one thread, with a deadline.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(PATIENCE, test).await.expect("the test takes too long");
    });
}

pub(crate) struct Client {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> Result<Self, ConnectError> {
        let target = Target::parse(&format!("ws://{address}{path}")).unwrap();
        let opened = Connector::new(target, []).unwrap().connect(None).await?;
        Ok(Self { reader: opened.reader, writer: opened.writer })
    }

    pub(crate) async fn send(&mut self, message: impl Into<Bytes>) {
        self.writer.feed(message.into()).unwrap();
        self.writer.flush().await.unwrap();
    }

    /// The next binary message.
    pub(crate) async fn receive(&mut self) -> Bytes {
        loop {
            match self.reader.next().await.unwrap() {
                Incoming::Frame(Frame::Binary(bytes)) => return bytes,
                Incoming::Control => {}
                other => panic!("{other:?} instead of a message"),
            }
        }
    }

    /// How the other side ends it.
    pub(crate) async fn closed(&mut self) -> Result<Close, Error> {
        loop {
            if let Incoming::Closed(close) = self.reader.next().await? {
                return Ok(close);
            }
        }
    }
}

pub(crate) fn request(method: &str, path: &str, headers: &[&str]) -> String {
    let mut request = format!("{method} {path} HTTP/1.1\r\n");
    for header in headers {
        request += &format!("{header}\r\n");
    }
    request + "\r\n"
}

/// The head of an answer or a request.
pub(crate) fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

pub(crate) const UPGRADE: &[&str] = &[
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];
