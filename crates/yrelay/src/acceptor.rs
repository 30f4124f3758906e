//! Takes connections and sees them through HTTP.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, spawn_local};

use crate::http::{self, Site, Visitor};
use crate::seats::Seats;
use crate::socket::Stream;
use crate::{clock, limits};

/// Out of file descriptors: connections end meanwhile, so that trying again helps.
const PAUSE_MS: u64 = 100;

/// Accepts connections until it is dropped. WebSockets that the relay took over live on.
pub struct Acceptor {
    loops: Vec<AbortHandle>,
    handshakes: Rc<Handshakes>,
}

/// Connections that have not become WebSockets, oldest first.
struct Handshakes {
    max: usize,
    tasks: RefCell<BTreeMap<u64, AbortHandle>>,
    next: Cell<u64>,
}

impl Acceptor {
    /// Starts accepting. Runs inside a `LocalSet`.
    pub fn start(
        sockets: impl IntoIterator<Item = std::net::TcpListener>,
        site: &Rc<Site>,
        seats: &Seats,
    ) -> io::Result<Self> {
        let handshakes = Rc::new(Handshakes::at_most(limits::HANDSHAKES_MAX.min(seats.max() / 2)));
        let mut acceptor = Self { loops: Vec::new(), handshakes };
        for socket in sockets {
            let listener = TcpListener::from_std(socket)?;
            let on_loopback = listener.local_addr()?.ip().is_loopback();
            let entrance = Entrance {
                listener,
                on_loopback,
                site: site.clone(),
                seats: seats.clone(),
                handshakes: acceptor.handshakes.clone(),
            };
            acceptor.loops.push(spawn_local(entrance.accept()).abort_handle());
        }
        Ok(acceptor)
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        for task in &self.loops {
            task.abort();
        }
        for task in self.handshakes.tasks.take().values() {
            task.abort();
        }
    }
}

/// One listener.
struct Entrance {
    listener: TcpListener,
    on_loopback: bool,
    site: Rc<Site>,
    seats: Seats,
    handshakes: Rc<Handshakes>,
}

impl Entrance {
    async fn accept(self) {
        let mut told = Told::default();
        loop {
            if !self.seats.has_one() {
                if told.is_worth_it() {
                    tracing::warn!(
                        connections = self.seats.max(),
                        "others wait: with more, file descriptors would run out (ulimit -n)"
                    );
                }
                self.seats.free().await;
            }
            match self.listener.accept().await {
                Ok((stream, peer)) => self.let_in(stream, peer),
                Err(error) => {
                    if told.is_worth_it() {
                        tracing::warn!(%error, "cannot accept a connection");
                    }
                    clock::sleep(PAUSE_MS).await;
                }
            }
        }
    }

    fn let_in(&self, stream: TcpStream, peer: SocketAddr) {
        // Without it small updates wait for the peer's delayed acknowledgements.
        let _ = stream.set_nodelay(true);
        let (seat, crowded) = self.seats.take(peer.ip());
        let visitor = Visitor { peer, on_loopback: self.on_loopback, crowded };
        let stream = Stream::Accepted(stream, seat);
        self.handshakes.add(http::serve(self.site.clone(), stream, visitor));
    }
}

/// When something was last logged that would be logged for each connection.
#[derive(Default)]
struct Told(Option<u64>);

impl Told {
    fn is_worth_it(&mut self) -> bool {
        let now = clock::now_ms();
        let is_due = self.0.is_none_or(|at| now >= at + limits::CROWDED_TOLD_MS);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

impl Handshakes {
    fn at_most(max: usize) -> Self {
        Self { max: max.max(1), tasks: RefCell::default(), next: Cell::default() }
    }

    fn add(self: &Rc<Self>, work: impl Future<Output = ()> + 'static) {
        let number = self.next.get();
        self.next.set(number + 1);
        let this = self.clone();
        let task = spawn_local(async move {
            work.await;
            this.tasks.borrow_mut().remove(&number);
        });
        let mut tasks = self.tasks.borrow_mut();
        tasks.insert(number, task.abort_handle());
        if tasks.len() > self.max
            && let Some((_, oldest)) = tasks.pop_first()
        {
            oldest.abort();
        }
    }
}
