//! A running relay, seen from outside: one thread that owns everything.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{self, Runtime};
use tokio::sync::{Notify, oneshot};
use tokio::task::LocalSet;

use crate::acceptor::Acceptor;
use crate::config::Config;
use crate::http::Site;
use crate::listen::{self, ListenError, Listeners};
use crate::metrics::Metrics;
use crate::relay::{Opened, Relay, Shared};
use crate::{clock, limits};

/// Why a relay does not start, with the way out, in one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// It would be its own upstream.
    #[error(
        "the server {0} is this relay itself; give --server another address, or this relay \
         another port"
    )]
    OwnAddress(String),
    /// The place where documents are kept.
    #[error("cannot keep documents in {path}: {reason}; choose another place with --data-dir DIR")]
    DataDirectory {
        /// As given.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// The machine has run out of something.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

impl StartError {
    /// The directory cannot be used.
    pub fn data_directory(path: &Path, reason: &impl ToString) -> Self {
        Self::DataDirectory { path: path.display().to_string(), reason: reason.to_string() }
    }
}

/// The relay's thread died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the relay has failed; what it acknowledged is on disk: start it again")]
pub struct Failed;

/// A running relay. Dropping it stops the relay and waits for its end.
#[derive(Debug)]
pub struct Handle {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// `ws://HOST:PORT`, with the host as given and the real port.
    pub url: String,
    stop: Arc<Notify>,
    /// Its other end lives as long as the thread.
    ended: oneshot::Receiver<()>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Relay {
    /// Starts a relay: takes the port, opens the store, and is ready.
    pub fn start(config: Config) -> Result<Handle, StartError> {
        refuse_own(&config, &listen::addresses(&config.host, config.port)?)?;
        let listeners = Listeners::bind(&config.host, config.port)?;
        refuse_own(&config, &listeners.addresses)?;
        let opened = Self::open(&config)?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = Arc::new(Notify::new());
        let (alive, ended) = oneshot::channel();
        let addresses = listeners.addresses.clone();
        let url = listeners.url(&config.host);
        let stopping = stop.clone();
        let thread = thread::Builder::new().name("relay".into()).spawn(move || {
            let _alive = alive;
            run(runtime, &config, listeners, opened, &stopping)
        })?;
        Ok(Handle { addresses, url, stop, ended, thread: Some(thread) })
    }
}

impl Handle {
    /// Asks for an orderly stop, from any thread.
    pub fn stop(&self) {
        self.stop.notify_one();
    }

    /// Waits for the end of the relay, however it comes about.
    pub async fn ended(&mut self) -> Result<(), Failed> {
        let _ = (&mut self.ended).await;
        self.join()
    }

    /// Blocks until the end of the relay.
    pub fn wait(mut self) -> Result<(), Failed> {
        self.join()
    }

    fn join(&mut self) -> Result<(), Failed> {
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => {
                tracing::error!(%error, "the relay has failed");
                Err(Failed)
            }
            Some(Err(_)) => Err(Failed),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
        let _ = self.join();
    }
}

/// A relay that is its own upstream would pass every message to itself.
fn refuse_own(config: &Config, addresses: &[SocketAddr]) -> Result<(), StartError> {
    match &config.upstream {
        Some(target) if target.is_own(&config.host, addresses) => {
            Err(StartError::OwnAddress(target.to_string()))
        }
        _ => Ok(()),
    }
}

fn run(
    runtime: Runtime,
    config: &Config,
    listeners: Listeners,
    opened: Opened,
    stop: &Notify,
) -> io::Result<()> {
    let outcome = LocalSet::new().block_on(&runtime, serve(config, listeners, opened, stop));
    // Work on other threads may hang on a disk; what it would report has nobody to go to.
    runtime.shutdown_background();
    outcome
}

async fn serve(
    config: &Config,
    listeners: Listeners,
    opened: Opened,
    stop: &Notify,
) -> io::Result<()> {
    let metrics = Rc::new(Metrics::default());
    let relay = Relay::new(opened, config, metrics.clone());
    let routes = Rc::new(Shared(relay.clone()));
    let site = Rc::new(Site { routes, rules: config.rules.clone(), metrics });
    let acceptor = Acceptor::start(listeners.sockets, &site)?;
    stop.notified().await;
    drop(acceptor);
    if clock::timeout(limits::SHUTDOWN_MS, relay.stop()).await.is_none() {
        tracing::warn!("stopped before all was done; what was acknowledged is on disk");
    }
    Ok(())
}
