//! The bytes below a WebSocket, in either direction, and the signs of life they give.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
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

/// Pieces up to this size are gathered, larger ones go to the system as they are.
const PIECE_BYTES_MAX: usize = 4 << 10;
/// So much is gathered before it is written; a flush writes it in any case.
const GATHER_BYTES_MAX: usize = 64 << 10;

/// A stream after its upgrade. Any byte that comes in is a sign of life, and so is a full send
/// buffer that finds space again: only what the peer has acknowledged leaves it. A write into a
/// buffer with space proves nothing.
pub(crate) struct Socket {
    stream: Stream,
    /// Read along with the handshake.
    early: Bytes,
    /// Gathered small pieces: the system is asked once for many frames.
    gathered: BytesMut,
    life: Life,
    blocked: bool,
}

impl Socket {
    pub(crate) fn new(stream: Stream, early: Bytes) -> Self {
        Self { stream, early, gathered: BytesMut::new(), life: Life::new(), blocked: false }
    }

    pub(crate) fn life(&self) -> Life {
        self.life.clone()
    }

    /// The peer does not take what we send.
    pub(crate) fn blocked(&self) -> bool {
        self.blocked
    }

    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let outcome = Pin::new(&mut self.stream).poll_write(cx, &self.gathered);
            match ready!(self.wrote(outcome))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.gathered.advance(written),
            }
        }
        // Idle connections keep no buffer.
        self.gathered = BytesMut::new();
        Poll::Ready(Ok(()))
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
        if !this.early.is_empty() {
            let taken = this.early.len().min(buf.remaining());
            buf.put_slice(&this.early[..taken]);
            this.early.advance(taken);
            return Poll::Ready(Ok(()));
        }
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
        let length: usize = bufs.iter().map(|buf| buf.len()).sum();
        let small = bufs.iter().all(|buf| buf.len() <= PIECE_BYTES_MAX);
        if !small || this.gathered.len() + length > GATHER_BYTES_MAX {
            ready!(this.poll_gathered(cx))?;
        }
        if small {
            bufs.iter().for_each(|buf| this.gathered.extend_from_slice(buf));
            return Poll::Ready(Ok(length));
        }
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_gathered(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_gathered(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn small_pieces_wait_for_the_flush_and_large_ones_keep_their_place() {
        let (mut peer, ours) = duplex(1 << 20);
        let mut socket = Socket::new(Stream::Memory(ours), Bytes::new());
        socket.write_all(b"one ").await.unwrap();
        socket.write_all(b"two ").await.unwrap();
        let mut seen = [0; 8];
        let early = poll_fn(|cx| {
            let mut buf = ReadBuf::new(&mut seen);
            Poll::Ready(Pin::new(&mut peer).poll_read(cx, &mut buf).is_ready())
        });
        assert!(!early.await, "written before the flush");
        let large = vec![b'x'; PIECE_BYTES_MAX + 1];
        socket.write_all(&large).await.unwrap();
        socket.write_all(b"three").await.unwrap();
        socket.flush().await.unwrap();
        drop(socket);
        let mut all = Vec::new();
        peer.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [&b"one two "[..], &large, b"three"].concat());
    }

    #[tokio::test]
    async fn gathering_is_bounded() {
        let (mut peer, ours) = duplex(1);
        let mut socket = Socket::new(Stream::Memory(ours), Bytes::new());
        let piece = [0; PIECE_BYTES_MAX];
        for _ in 0..GATHER_BYTES_MAX / PIECE_BYTES_MAX {
            socket.write_all(&piece).await.unwrap();
        }
        assert!(!socket.blocked());
        let more =
            poll_fn(|cx| Poll::Ready(Pin::new(&mut socket).poll_write(cx, &piece).is_ready()));
        assert!(!more.await);
        assert!(socket.blocked());
        // The peer takes what came through, which is a sign of life.
        peer.read_u8().await.unwrap();
        let _ = poll_fn(|cx| Poll::Ready(Pin::new(&mut socket).poll_flush(cx))).await;
        peer.read_u8().await.unwrap();
    }
}
