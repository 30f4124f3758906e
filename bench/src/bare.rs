//! The bare limit: what passing bytes on costs on this runtime with this WebSocket library, when
//! nothing is parsed, checked, stored or acknowledged.
//!
//! Done as one would: one thread, no delay on small writes, bytes shared by all who receive them,
//! a bounded queue for each, and one write for all that has queued up. A step 1 is answered with
//! an empty step 2, so that clients count as synced. With an upstream, everything also goes over
//! one WebSocket, behind the document's name.

mod hub;

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio_websockets::{ClientBuilder, Message, ServerBuilder, WebSocketStream};

use self::hub::{Hub, Member};

/// Messages that may wait for a client: beyond this it is sent away.
const QUEUE_MAX: usize = 4096;
/// The same for a link, which carries many documents.
const LINK_QUEUE_MAX: usize = 65_536;

type Shared = Rc<RefCell<Hub>>;

/// Serves until the process ends.
pub fn run(port: u16, upstream: Option<&str>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(port, upstream))
}

async fn serve(port: u16, upstream: Option<&str>) -> Result<()> {
    let hub = Shared::default();
    if let Some(url) = upstream {
        let host = url.strip_prefix("ws://").context("an upstream is ws://HOST:PORT/")?;
        let stream = TcpStream::connect(host.trim_end_matches('/')).await?;
        stream.set_nodelay(true)?;
        let (socket, _) = ClientBuilder::new().uri(url)?.connect_on(stream).await?;
        let (queue, waiting) = mpsc::channel(LINK_QUEUE_MAX);
        hub.borrow_mut().upstream = Some(queue.clone());
        let link = link(socket, queue, waiting, hub.clone());
        spawn_local(async move {
            link.await;
            eprintln!("the upstream is gone");
            std::process::exit(1);
        });
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on ws://127.0.0.1:{port}");
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        spawn_local(welcome(stream, hub.clone()));
    }
}

async fn welcome(stream: TcpStream, hub: Shared) {
    let Ok((request, socket)) = ServerBuilder::new().accept(stream).await else { return };
    let name = request.uri().path().trim_start_matches('/');
    if name.is_empty() {
        let (queue, waiting) = mpsc::channel(LINK_QUEUE_MAX);
        link(socket, queue, waiting, hub).await;
    } else {
        client(socket, name, hub).await;
    }
}

/// A client of one document.
async fn client(mut socket: WebSocketStream<TcpStream>, name: &str, hub: Shared) {
    let (queue, mut waiting) = mpsc::channel(QUEUE_MAX);
    let id = hub.borrow_mut().join(name, |id| Member { id, queue, prefix: None });
    loop {
        tokio::select! {
            message = waiting.recv() => {
                let Some(message) = message else { break };
                if write(&mut socket, message, &mut waiting).await.is_err() { break }
            }
            message = socket.next() => {
                let Some(Ok(message)) = message else { break };
                if !message.is_binary() { continue }
                let bytes: Bytes = message.into_payload().into();
                match hub::kind(&bytes) {
                    hub::Kind::Step1 => {
                        let answer = Message::binary(Bytes::from_static(hub::EMPTY_STEP_2));
                        if socket.send(answer).await.is_err() { break }
                    }
                    hub::Kind::Step2 => {}
                    hub::Kind::Other => hub.borrow_mut().pass_on(name, id, &bytes),
                }
            }
        }
    }
    hub.borrow_mut().leave(name, id);
}

/// A connection with many documents: from below, or up.
async fn link<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<S>,
    queue: mpsc::Sender<Bytes>,
    mut waiting: mpsc::Receiver<Bytes>,
    hub: Shared,
) {
    loop {
        tokio::select! {
            Some(message) = waiting.recv() => {
                if write(&mut socket, message, &mut waiting).await.is_err() { break }
            }
            message = socket.next() => {
                let Some(Ok(message)) = message else { break };
                if !message.is_binary() { continue }
                let frame: Bytes = message.into_payload().into();
                let Ok((name, prefix)) = hub::split(&frame) else { break };
                let bytes = frame.slice(prefix.len()..);
                let mut hub = hub.borrow_mut();
                let id = hub.join_link(name, &queue, prefix);
                match hub::kind(&bytes) {
                    hub::Kind::Step1 => {
                        let answer = [prefix, hub::EMPTY_STEP_2].concat();
                        if queue.try_send(answer.into()).is_err() { break }
                    }
                    hub::Kind::Step2 => {}
                    hub::Kind::Other => hub.pass_on(name, id, &bytes),
                }
            }
        }
    }
    hub.borrow_mut().leave_all(&queue);
}

/// Writes a message, and all that wait behind it, at once.
async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    first: Bytes,
    waiting: &mut mpsc::Receiver<Bytes>,
) -> Result<()> {
    socket.feed(Message::binary(first)).await?;
    while let Ok(message) = waiting.try_recv() {
        socket.feed(Message::binary(message)).await?;
    }
    socket.flush().await.map_err(|error| anyhow!(error))
}
