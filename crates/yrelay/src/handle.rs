//! A running relay, seen from outside: one thread that owns everything.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{self, Runtime};
use tokio::sync::{Notify, oneshot};
use tokio::task::{LocalSet, spawn_local};

use crate::acceptor::Acceptor;
use crate::admin::Admin;
use crate::config::{self, Config, Storage};
use crate::connector::Connector;
use crate::guard::Guard;
use crate::http::Site;
use crate::listen::{self, ListenError, Listeners};
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::report::Front;
use crate::run_file::{Run, Token, Written};
use crate::seats::Seats;
use crate::store::{Opened, Place, Store, StoreError};
use crate::upstream::Link;
use crate::{descriptors, shutdown};

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
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No secure connection can be made from here.
    #[error("cannot use this machine's trusted certificates: {0}")]
    Tls(#[from] rustls::Error),
    /// The machine has run out of something.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Why a relay did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Its thread died.
    #[error("the relay has failed; what it acknowledged is on disk: start it again")]
    Died,
    /// It cannot go on, or could not begin.
    #[error("the relay has failed: {0}")]
    System(#[from] io::Error),
    /// It stopped in order, but the disk did not take everything. None of that was acknowledged.
    #[error("stopped, but {0}; whoever wrote them still has them")]
    Unsaved(#[from] StoreError),
}

/// A running relay. Dropping it stops the relay and waits for its end.
#[derive(Debug)]
pub struct Handle {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// `ws://HOST:PORT`, with the host as given and the real port.
    pub url: String,
    /// How many documents it has found stored.
    pub stored: usize,
    stop: Arc<Notify>,
    /// Its other end lives as long as the thread.
    ended: oneshot::Receiver<()>,
    thread: Option<JoinHandle<Result<(), Failed>>>,
}

/// What is opened before anybody is told that the relay is there.
struct Parts {
    listeners: Listeners,
    opened: Opened,
    store_news: Arc<Notify>,
    connector: Option<Connector>,
    token: Token,
    run_file: Option<Written>,
}

/// Starts a relay: takes the port, opens the store, and is ready.
pub fn start(config: Config) -> Result<Handle, StartError> {
    refuse_own(&config, &listen::addresses(&config.host, config.port)?)?;
    let listeners = Listeners::bind(&config.host, config.port)?;
    refuse_own(&config, &listeners.addresses)?;
    let store_news = Arc::new(Notify::new());
    let opened = open_store(&config, store_news.clone())?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = Arc::new(Notify::new());
    let (alive, ended) = oneshot::channel();
    let addresses = listeners.addresses.clone();
    let url = listeners.url(&config.host);
    let stored = opened.documents.len();
    let stopping = stop.clone();
    let connector = config.upstream.as_ref().map(connector).transpose()?;
    let token = Token::new()?;
    let run_file = write_run_file(&config, &addresses, &token);
    let parts = Parts { listeners, opened, store_news, connector, token, run_file };
    let thread = thread::Builder::new().name("relay".into()).spawn(move || {
        let _alive = alive;
        run(runtime, &config, parts, &stopping)
    })?;
    Ok(Handle { addresses, url, stored, stop, ended, thread: Some(thread) })
}

/// Tells commands where we are. Without it they find nobody; all else goes on.
fn write_run_file(config: &Config, addresses: &[SocketAddr], token: &Token) -> Option<Written> {
    let Storage::Directory(directory) = &config.storage else { return None };
    let written = Run::here(addresses, token.clone())?.write(directory);
    written.inspect_err(|error| tracing::warn!(%error, "commands will not find this relay")).ok()
}

fn connector(upstream: &config::Upstream) -> Result<Connector, rustls::Error> {
    Connector::new(upstream.target.clone(), upstream.authorities.iter().cloned())
}

fn open_store(config: &Config, news: Arc<Notify>) -> Result<Opened, StoreError> {
    let place = match &config.storage {
        Storage::Directory(path) => Place::Directory(path.clone()),
        Storage::Ephemeral => Place::Memory,
    };
    let upstream = config.upstream.as_ref().map(|upstream| upstream.target.to_string());
    Store::open(place, upstream.as_deref(), move || news.notify_one())
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
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(Failed::Died),
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
    let mut targets = config.upstreams().map(|upstream| &upstream.target);
    match targets.find(|target| target.is_own(&config.host, addresses)) {
        Some(target) => Err(StartError::OwnAddress(target.to_string())),
        None => Ok(()),
    }
}

fn run(runtime: Runtime, config: &Config, parts: Parts, stop: &Notify) -> Result<(), Failed> {
    let outcome = LocalSet::new().block_on(&runtime, serve(config, parts, stop));
    // Work on other threads may hang on a disk; what it would report has nobody to go to.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: &Config, parts: Parts, stop: &Notify) -> Result<(), Failed> {
    let metrics = Rc::new(Metrics::default());
    let link = config.upstream.as_ref().zip(parts.connector).map(|(u, c)| Link::new(u, c));
    let relay = Relay::new(config, parts.opened, parts.store_news, link, metrics.clone());
    relay.start();
    let routes = Rc::new(Front(relay.clone()));
    let message_bytes_max = config.bounds.message_bytes_max;
    let rules = config.rules.clone();
    let admin = Some(Admin::new(relay.clone(), parts.token));
    let guard = config.accounts.clone().map(|file| Rc::new(Guard::new(file)));
    if let Some(guard) = &guard {
        spawn_local(guard.clone().watch());
    }
    let seats = Seats::new(descriptors::connections_max(), config.bounds.strangers);
    let site = Rc::new(Site { routes, rules, guard, metrics, message_bytes_max, admin });
    let acceptor = Acceptor::start(parts.listeners.sockets, &site, &seats)?;
    stop.notified().await;
    drop(acceptor);
    drop(parts.run_file);
    shutdown::stop(&relay)
        .await
        .inspect_err(|error| tracing::error!(%error, "not all is saved"))?;
    Ok(())
}
