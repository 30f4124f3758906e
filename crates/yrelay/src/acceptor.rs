//! Takes connections and sees them through HTTP.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use tokio::net::TcpListener;
use tokio::task::{AbortHandle, spawn_local};

use crate::http::{self, Site};
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
#[derive(Default)]
struct Handshakes {
    tasks: RefCell<BTreeMap<u64, AbortHandle>>,
    next: Cell<u64>,
}

impl Acceptor {
    /// Starts accepting. Runs inside a `LocalSet`.
    pub fn start(
        sockets: impl IntoIterator<Item = std::net::TcpListener>,
        site: &Rc<Site>,
    ) -> io::Result<Self> {
        let handshakes = Rc::new(Handshakes::default());
        let mut acceptor = Self { loops: Vec::new(), handshakes };
        for socket in sockets {
            let listener = TcpListener::from_std(socket)?;
            let on_loopback = listener.local_addr()?.ip().is_loopback();
            let work = accept(listener, on_loopback, site.clone(), acceptor.handshakes.clone());
            acceptor.loops.push(spawn_local(work).abort_handle());
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

async fn accept(
    listener: TcpListener,
    on_loopback: bool,
    site: Rc<Site>,
    handshakes: Rc<Handshakes>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Without it small updates wait for the peer's delayed acknowledgements.
                let _ = stream.set_nodelay(true);
                let stream = Stream::Tcp(stream);
                handshakes.add(http::serve(site.clone(), stream, peer, on_loopback));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                clock::sleep(PAUSE_MS).await;
            }
        }
    }
}

impl Handshakes {
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
        if tasks.len() > limits::HANDSHAKES_MAX
            && let Some((_, oldest)) = tasks.pop_first()
        {
            oldest.abort();
        }
    }
}
