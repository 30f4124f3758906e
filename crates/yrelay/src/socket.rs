//! The bytes below a WebSocket, in either direction, and the signs of life they give.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::clock;
use crate::seats::Seat;

/// A connection, plain or encrypted.
pub enum Stream {
    /// Plain.
    Tcp(TcpStream),
    /// Plain, and one of so many.
    Accepted(TcpStream, Seat),
    /// Encrypted, to an upstream.
    Tls(Box<TlsStream<TcpStream>>),
    /// A pipe in memory.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

macro_rules! on_stream {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self {
            Stream::Tcp($stream) | Stream::Accepted($stream, _) => $call,
            Stream::Tls($stream) => $call,
            #[cfg(test)]
            Stream::Memory($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_stream!(self.get_mut(), s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self.get_mut(), s => Pin::new(s).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self.get_mut(), s => Pin::new(s).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        on_stream!(self, s => s.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self.get_mut(), s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self.get_mut(), s => Pin::new(s).poll_shutdown(cx))
    }
}

/// When a peer last showed that it is there. Shared by a socket and whoever watches it.
#[derive(Clone)]
pub struct Life(Rc<Cell<u64>>);

impl Life {
    fn new() -> Self {
        Self(Rc::new(Cell::new(clock::now_ms())))
    }

    /// The last sign, in milliseconds of [`clock::now_ms`].
    pub fn heard_ms(&self) -> u64 {
        self.0.get()
    }

    /// Takes this moment for a sign.
    pub fn touch(&self) {
        self.0.set(clock::now_ms());
    }
}

/// A stream after its upgrade. Any byte that comes in is a sign of life, and so is a full send
/// buffer that finds space again: only what the peer has acknowledged leaves it. A write into a
/// buffer with space proves nothing.
pub(crate) struct Socket {
    stream: Stream,
    life: Life,
    blocked: bool,
}

impl Socket {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, life: Life::new(), blocked: false }
    }

    pub(crate) fn life(&self) -> Life {
        self.life.clone()
    }

    /// The peer does not take what we send.
    pub(crate) fn blocked(&self) -> bool {
        self.blocked
    }

    /// Writes what the system takes at once. What is encrypted has to be polled.
    pub(crate) fn try_write(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let (Stream::Tcp(stream) | Stream::Accepted(stream, _)) = &self.stream else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let written = match bufs {
            [buf] => stream.try_write(buf),
            bufs => stream.try_write_vectored(bufs),
        };
        let outcome = match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            written => Poll::Ready(written),
        };
        match self.wrote(outcome) {
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(written) => written,
        }
    }

    fn wrote(&mut self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &outcome {
            Poll::Pending => self.blocked = true,
            Poll::Ready(Ok(1..)) if self.blocked => {
                self.blocked = false;
                self.life.touch();
            }
            Poll::Ready(_) => {}
        }
        outcome
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.life.touch();
        }
        outcome
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
