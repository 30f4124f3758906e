//! WebSockets. The only file that names the WebSocket library.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::{Sink, Stream as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_websockets::proto::ProtocolError;
use tokio_websockets::{
    ClientBuilder, CloseCode, Config, Error as LibraryError, Limits, Message, ServerBuilder,
    WebSocketStream,
};

use crate::limits;
use crate::socket::{Life, Socket, Stream};

/// RFC 6455 has servers hash the client's key together with this.
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A close frame holds 125 bytes, two of them the code.
const CLOSE_REASON_BYTES_MAX: usize = 123;

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

impl From<LibraryError> for Error {
    fn from(error: LibraryError) -> Self {
        match error {
            LibraryError::Io(error) => Self::lost(&error),
            LibraryError::AlreadyClosed => Self::Lost("ended".into()),
            LibraryError::PayloadTooLong { max_len, .. } => {
                Self::Fault(Close::new(1009, format!("message longer than {max_len} bytes")))
            }
            LibraryError::Protocol(ProtocolError::InvalidUtf8) => {
                Self::Fault(Close::new(1007, "invalid UTF-8"))
            }
            other => Self::Fault(Close::new(1002, other.to_string())),
        }
    }
}

type Shared = Rc<RefCell<WebSocketStream<Socket>>>;

/// The half that reads. Both halves belong to the same thread.
pub struct Reader {
    socket: Shared,
    life: Life,
    pongs_owed: usize,
}

/// The half that writes. What it is fed leaves with the next flush. Clones are the same half.
#[derive(Clone)]
pub struct Writer {
    socket: Shared,
}

/// The server's end of an upgraded connection, after the 101 was answered.
pub fn accept(upgraded: Upgraded, message_bytes_max: usize) -> (Reader, Writer) {
    let (config, bounds) = settings(message_bytes_max);
    halves(ServerBuilder::new().config(config).limits(bounds).serve(socket(upgraded)))
}

/// The client's end of an upgraded connection, after the 101 was checked.
pub(crate) fn join(upgraded: Upgraded, message_bytes_max: usize) -> (Reader, Writer) {
    let (config, bounds) = settings(message_bytes_max);
    halves(ClientBuilder::new().config(config).limits(bounds).take_over(socket(upgraded)))
}

/// The server's end of a pipe, without any handshake.
#[cfg(test)]
pub(crate) fn accept_pipe(pipe: tokio::io::DuplexStream) -> (Reader, Writer) {
    let (config, bounds) = settings(limits::MESSAGE_BYTES_MAX);
    let socket = Socket::new(Stream::Memory(pipe), Bytes::new());
    halves(ServerBuilder::new().config(config).limits(bounds).serve(socket))
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

fn settings(message_bytes_max: usize) -> (Config, Limits) {
    let bounds = Limits::default().max_payload_len(Some(message_bytes_max));
    // One frame per message: several servers do not put fragments together.
    (Config::default().frame_size(usize::MAX), bounds)
}

#[expect(clippy::expect_used, reason = "http.rs and connector.rs hand nothing else to hyper")]
fn socket(upgraded: Upgraded) -> Socket {
    let parts = upgraded.downcast::<TokioIo<Stream>>().expect("the stream that hyper was given");
    Socket::new(parts.io.into_inner(), parts.read_buf)
}

fn halves(stream: WebSocketStream<Socket>) -> (Reader, Writer) {
    let life = stream.get_ref().life();
    let socket = Rc::new(RefCell::new(stream));
    (Reader { socket: socket.clone(), life, pongs_owed: 0 }, Writer { socket })
}

impl Reader {
    /// The next message. Dropping the future loses nothing. Must be polled to answer pings.
    pub async fn next(&mut self) -> Result<Incoming, Error> {
        let message = poll_fn(|cx| Pin::new(&mut *self.socket.borrow_mut()).poll_next(cx)).await;
        match message {
            None => Err(Error::Lost("ended".into())),
            Some(Ok(message)) => self.sort(message),
            Some(Err(error)) => {
                let error = error.into();
                if let Error::Fault(close) = &error {
                    // Where the library has queued a close frame already, this one is refused.
                    let _ = send(&self.socket, close_message(close));
                }
                Err(error)
            }
        }
    }

    /// When the peer last gave a sign of life.
    pub fn life(&self) -> Life {
        self.life.clone()
    }

    fn sort(&mut self, message: Message) -> Result<Incoming, Error> {
        if message.is_binary() {
            // It is a part of the buffer it was read into, which may be larger by far, and would hold
            // all of that for as long as it waits somewhere.
            let payload = Bytes::copy_from_slice(message.as_payload());
            return Ok(Incoming::Frame(Frame::Binary(payload)));
        }
        if message.is_text() {
            return Ok(Incoming::Frame(Frame::Text(message.into_payload().into())));
        }
        if let Some((code, reason)) = message.as_close() {
            return Ok(Incoming::Closed(Close::new(code.into(), reason)));
        }
        if message.is_ping() {
            self.bound_pongs()?;
        }
        Ok(Incoming::Control)
    }

    /// The library queues an answer to every ping, read or not.
    fn bound_pongs(&mut self) -> Result<(), Error> {
        let blocked = self.socket.borrow().get_ref().blocked();
        self.pongs_owed = if blocked { self.pongs_owed + 1 } else { 0 };
        if self.pongs_owed > limits::PONGS_OWED_MAX {
            return Err(Error::Fault(Close::new(1008, "pings sent and no answer read")));
        }
        Ok(())
    }
}

impl Writer {
    /// Queues a message. The bytes are shared, not copied (masked copies on a client).
    pub fn feed(&mut self, frame: impl Into<Frame>) -> Result<(), Error> {
        let message = match frame.into() {
            Frame::Binary(bytes) => Message::binary(bytes),
            Frame::Text(bytes) => Message::text(bytes),
        };
        send(&self.socket, message)
    }

    /// Queues a ping.
    pub fn ping(&mut self) -> Result<(), Error> {
        send(&self.socket, Message::ping(Bytes::new()))
    }

    /// Queues a close frame: the last that can be queued.
    pub fn close(&mut self, close: &Close) -> Result<(), Error> {
        send(&self.socket, close_message(close))
    }

    /// Writes all that is queued, many messages at a time.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| Pin::new(&mut *self.socket.borrow_mut()).poll_flush(cx)).await?;
        Ok(())
    }
}

/// Writes what is queued, then reads to the end of the connection and throws it away: closing a
/// socket with unread input resets it, and the close frame before is lost.
pub(crate) async fn linger(reader: Reader, mut writer: Writer) {
    if writer.flush().await.is_err() {
        return;
    }
    drop(writer);
    let Some(socket) = Rc::into_inner(reader.socket) else { return };
    let mut socket = socket.into_inner().into_inner();
    let mut waste = vec![0; 16 << 10];
    if socket.shutdown().await.is_ok() {
        while matches!(socket.read(&mut waste).await, Ok(1..)) {}
    }
}

fn send(socket: &Shared, message: Message) -> Result<(), Error> {
    Pin::new(&mut *socket.borrow_mut()).start_send(message)?;
    Ok(())
}

fn close_message(close: &Close) -> Message {
    let code = CloseCode::try_from(close.code).ok().filter(|code| !code.is_reserved());
    let end = close.reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX);
    Message::close(code, &close.reason[..end])
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

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        let message = close_message(&Close::new(4400, "ä".repeat(100)));
        let (code, reason) = message.as_close().unwrap();
        assert_eq!((u16::from(code), reason.len()), (4400, 122));
    }

    #[test]
    fn codes_that_must_not_be_sent_become_a_frame_without_code() {
        for code in [0, 1005, 1006, 1015, 2000, 5000] {
            let message = close_message(&Close::new(code, "reason"));
            assert_eq!(message.as_close().map(|(code, _)| u16::from(code)), Some(1005));
        }
    }
}
