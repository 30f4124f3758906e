//! WebSockets (RFC 6455), after their handshake.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

mod connection;
mod frames;
mod masks;
mod output;

#[cfg(test)]
use crate::limits;
use crate::socket::{Life, Socket, Stream};

use connection::Connection;
use frames::{Opcode, Side};

/// RFC 6455 has servers hash the client's key together with this.
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How a WebSocket was closed: what a close frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The status code; 1005 where the frame named none.
    pub code: u16,
    /// A line for people; cut at 123 bytes when sent.
    pub reason: String,
}

impl Close {
    /// A code and its reason.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its words may be anything, and are to stay in one line.
        match self.reason.as_str() {
            "" => write!(f, "{}", self.code),
            reason => write!(f, "{}: {}", self.code, reason.escape_debug()),
        }
    }
}

/// One data message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A binary message, what Yjs speaks.
    Binary(Bytes),
    /// A text message; its bytes are valid UTF-8.
    Text(Bytes),
}

impl From<Bytes> for Frame {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

/// What a peer sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Data.
    Frame(Frame),
    /// A ping, answered here, or a pong.
    Control,
    /// The peer closes. Our answer leaves with the next flush.
    Closed(Close),
}

/// Why nothing more can be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection ended without a close frame.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The peer broke a rule. A close frame that says so leaves with the next flush.
    #[error("{}", .0.reason)]
    Fault(Close),
}

impl Error {
    fn lost(error: &io::Error) -> Self {
        Self::Lost(match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero => "ended".into(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset".into(),
            _ => error.to_string(),
        })
    }
}

type Shared = Rc<RefCell<Connection>>;

/// The half that reads. Both halves belong to the same thread.
pub struct Reader {
    connection: Shared,
    life: Life,
}

/// The half that writes. What it is fed leaves with the next flush. Clones are the same half.
#[derive(Clone)]
pub struct Writer {
    connection: Shared,
}

/// The server's end of an upgraded connection, after the 101 was answered.
pub fn accept(upgraded: Upgraded, message_bytes_max: usize) -> (Reader, Writer) {
    halves(Side::Server, upgraded, message_bytes_max)
}

/// The client's end of an upgraded connection, after the 101 was checked.
pub(crate) fn join(upgraded: Upgraded, message_bytes_max: usize) -> (Reader, Writer) {
    halves(Side::Client, upgraded, message_bytes_max)
}

/// The server's end of a pipe, without any handshake.
#[cfg(test)]
pub(crate) fn accept_pipe(pipe: tokio::io::DuplexStream) -> (Reader, Writer) {
    let socket = Socket::new(Stream::Memory(pipe));
    split(Connection::new(Side::Server, socket, Bytes::new(), limits::MESSAGE_BYTES_MAX))
}

/// The same of a socket.
#[cfg(test)]
pub(crate) fn accept_tcp(stream: tokio::net::TcpStream) -> (Reader, Writer) {
    let socket = Socket::new(Stream::Tcp(stream));
    split(Connection::new(Side::Server, socket, Bytes::new(), limits::MESSAGE_BYTES_MAX))
}

/// A new `Sec-WebSocket-Key`.
pub(crate) fn key() -> Result<String, getrandom::Error> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)?;
    Ok(BASE64.encode(nonce))
}

/// The `Sec-WebSocket-Accept` that answers a key.
pub(crate) fn accept_key(key: &[u8]) -> String {
    let mut hash = sha1_smol::Sha1::from(key);
    hash.update(ACCEPT_GUID.as_bytes());
    BASE64.encode(hash.digest().bytes())
}

#[expect(clippy::expect_used, reason = "http.rs and connector.rs hand nothing else to hyper")]
fn halves(side: Side, upgraded: Upgraded, message_bytes_max: usize) -> (Reader, Writer) {
    let parts = upgraded.downcast::<TokioIo<Stream>>().expect("the stream that hyper was given");
    let socket = Socket::new(parts.io.into_inner());
    split(Connection::new(side, socket, parts.read_buf, message_bytes_max))
}

fn split(connection: Connection) -> (Reader, Writer) {
    let life = connection.life();
    let connection = Rc::new(RefCell::new(connection));
    (Reader { connection: connection.clone(), life }, Writer { connection })
}

impl Reader {
    /// The next message. Dropping the future loses nothing. Must be polled to answer pings.
    pub async fn next(&mut self) -> Result<Incoming, Error> {
        poll_fn(|cx| self.connection.borrow_mut().poll_next(cx)).await
    }

    /// From the next message on so many bytes are taken.
    pub(crate) fn take_up_to(&mut self, message_bytes_max: usize) {
        self.connection.borrow_mut().take_up_to(message_bytes_max);
    }

    /// When the peer last gave a sign of life.
    pub fn life(&self) -> Life {
        self.life.clone()
    }
}

impl Writer {
    /// Queues a message. Large ones are shared, not copied (masked copies on a client).
    pub fn feed(&mut self, frame: impl Into<Frame>) -> Result<(), Error> {
        let (opcode, bytes) = match frame.into() {
            Frame::Binary(bytes) => (Opcode::Binary, bytes),
            Frame::Text(bytes) => (Opcode::Text, bytes),
        };
        self.connection.borrow_mut().queue(opcode, bytes)
    }

    /// Queues a ping.
    pub fn ping(&mut self) -> Result<(), Error> {
        self.connection.borrow_mut().queue(Opcode::Ping, Bytes::new())
    }

    /// Queues a close frame: the last that can be queued.
    pub fn close(&mut self, close: &Close) -> Result<(), Error> {
        self.connection.borrow_mut().queue_close(close)
    }

    /// Writes what is queued and can be written at once; whether that was all.
    pub(crate) fn try_flush(&mut self) -> Result<bool, Error> {
        self.connection.borrow_mut().try_flush()
    }

    /// Writes all that is queued, many messages at a time.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.connection.borrow_mut().poll_flush(cx)).await
    }
}

/// Writes what is queued, then reads to the end of the connection and throws it away: closing a
/// socket with unread input resets it, and the close frame before is lost.
pub(crate) async fn linger(reader: Reader, mut writer: Writer) {
    if writer.flush().await.is_err() {
        return;
    }
    drop(writer);
    let Some(connection) = Rc::into_inner(reader.connection) else { return };
    let mut socket = connection.into_inner().into_socket();
    let mut waste = vec![0; 16 << 10];
    if socket.shutdown().await.is_ok() {
        while matches!(socket.read(&mut waste).await, Ok(1..)) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_is_that_of_the_standard() {
        // RFC 6455, section 1.3
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_sixteen_bytes_and_differ() {
        let (a, b) = (key().unwrap(), key().unwrap());
        assert_eq!(BASE64.decode(&a).unwrap().len(), 16);
        assert_ne!(a, b);
    }
}
