//! One WebSocket at work, whichever end of it we are: frames from and to a socket.

use std::cell::RefCell;
use std::io::{ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::frames::{self, Decoder, Fault, Message, Opcode, Side};
use super::masks::Masks;
use super::output::{Output, PIECES};
use super::{Close, Error, Frame, Incoming};
use crate::limits;
use crate::socket::{Life, Socket};

/// A close frame holds the code in two bytes, and this.
const CLOSE_REASON_BYTES_MAX: usize = frames::CONTROL_BYTES_MAX - 2;
/// So much is read at once: a large paste, too, seldom comes in parts.
const READ_BYTES: usize = 256 << 10;

thread_local! {
    /// All connections of a thread read into one buffer, so that idle ones need none.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

pub(super) struct Connection {
    socket: Socket,
    decoder: Decoder,
    /// Read, and not decoded yet.
    input: Bytes,
    output: Output,
    /// Where we are the client.
    masks: Option<Masks>,
    /// A close frame of ours is the last of the output.
    closing: bool,
    /// Nothing that may still come counts.
    ended: bool,
    /// Answers to pings wait in the output, and nobody else may flush it.
    owes_pongs: bool,
    pongs_owed: usize,
}

impl Connection {
    /// `early` was read along with the handshake.
    pub(super) fn new(side: Side, socket: Socket, early: Bytes, message_bytes_max: usize) -> Self {
        Self {
            socket,
            decoder: Decoder::new(side, message_bytes_max),
            input: early,
            output: Output::default(),
            masks: (side == Side::Client).then(Masks::default),
            closing: false,
            ended: false,
            owes_pongs: false,
            pongs_owed: 0,
        }
    }

    pub(super) fn life(&self) -> Life {
        self.socket.life()
    }

    pub(super) fn take_up_to(&mut self, message_bytes_max: usize) {
        self.decoder.take_up_to(message_bytes_max);
    }

    pub(super) fn into_socket(self) -> Socket {
        self.socket
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        if self.owes_pongs && self.poll_flush(cx)?.is_ready() {
            self.owes_pongs = false;
        }
        if self.ended {
            return Poll::Ready(Err(Error::Lost("ended".into())));
        }
        let next = ready!(self.poll_message(cx)).and_then(|message| self.sort(message));
        if matches!(next, Err(_) | Ok(Incoming::Closed(_))) {
            self.ended = true;
        }
        Poll::Ready(next)
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        loop {
            let mut input = &self.input[..];
            let message = self.decoder.take(&mut input);
            let left = input.len();
            self.input.advance(self.input.len() - left);
            if left == 0 {
                // It may be a part of more.
                self.input = Bytes::new();
            }
            if let Some(message) = message.map_err(|fault| self.refuse(fault))? {
                return Poll::Ready(Ok(message));
            }
            let message = ready!(self.poll_read(cx))?;
            if let Some(message) = message {
                return Poll::Ready(Ok(message));
            }
        }
    }

    /// Reads, and decodes the first message of what comes.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))
                .map_err(|error| Error::lost(&error))?;
            let mut input = read.filled();
            if input.is_empty() {
                return Poll::Ready(Err(Error::Lost("ended".into())));
            }
            let message = self.decoder.take(&mut input);
            self.input = Bytes::copy_from_slice(input);
            Poll::Ready(message.map_err(|fault| self.refuse(fault)))
        })
    }

    fn sort(&mut self, message: Message) -> Result<Incoming, Error> {
        match message {
            Message::Binary(bytes) => return Ok(Incoming::Frame(Frame::Binary(bytes))),
            Message::Text(bytes) => return Ok(Incoming::Frame(Frame::Text(bytes))),
            Message::Pong => {}
            Message::Ping(payload) => {
                self.pongs_owed = if self.socket.blocked() { self.pongs_owed + 1 } else { 0 };
                if self.pongs_owed > limits::PONGS_OWED_MAX {
                    return Err(Error::Fault(Close::new(1008, "pings sent and no answer read")));
                }
                if !self.closing {
                    self.queue(Opcode::Pong, payload)?;
                    self.owes_pongs = true;
                }
            }
            Message::Close(close) => {
                if !self.closing {
                    self.queue_close(&Close::new(close.code, ""))?;
                }
                return Ok(Incoming::Closed(close));
            }
        }
        Ok(Incoming::Control)
    }

    /// Tells the peer what it did wrong, unless it has been told something else.
    fn refuse(&mut self, fault: Fault) -> Error {
        let close = fault.close();
        let _ = self.queue_close(&close);
        Error::Fault(close)
    }

    pub(super) fn queue(&mut self, opcode: Opcode, payload: Bytes) -> Result<(), Error> {
        if self.closing {
            return Err(Error::Lost("ended".into()));
        }
        let key = self.masks.as_mut().map(Masks::next).transpose();
        let key = key.map_err(|error| Error::Lost(error.to_string()))?;
        self.output.push(opcode, payload, key);
        Ok(())
    }

    pub(super) fn queue_close(&mut self, close: &Close) -> Result<(), Error> {
        self.queue(Opcode::Close, close_payload(close))?;
        self.closing = true;
        Ok(())
    }

    /// As far as that goes at once; whether that was all.
    pub(super) fn try_flush(&mut self) -> Result<bool, Error> {
        while !self.output.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = self.output.slices(&mut slices);
            match self.socket.try_write(&slices[..count]) {
                Ok(0) => return Err(Error::lost(&ErrorKind::WriteZero.into())),
                Ok(written) => self.output.written(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Error::lost(&error)),
            }
        }
        Ok(true)
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let lost = |error| Error::lost(&error);
        while !self.output.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = self.output.slices(&mut slices);
            let socket = Pin::new(&mut self.socket);
            let written = ready!(socket.poll_write_vectored(cx, &slices[..count])).map_err(lost)?;
            if written == 0 {
                return Poll::Ready(Err(lost(ErrorKind::WriteZero.into())));
            }
            self.output.written(written);
        }
        Pin::new(&mut self.socket).poll_flush(cx).map_err(lost)
    }
}

/// Codes that must not be sent are left out.
fn close_payload(close: &Close) -> Bytes {
    if !frames::is_sendable(close.code) {
        return Bytes::new();
    }
    let end = close.reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX);
    [&close.code.to_be_bytes()[..], &close.reason.as_bytes()[..end]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        let payload = close_payload(&Close::new(4400, "ä".repeat(100)));
        assert_eq!((&payload[..2], payload.len()), (&4400_u16.to_be_bytes()[..], 124));
    }

    #[test]
    fn codes_that_must_not_be_sent_become_a_frame_without_code() {
        for code in [0, 1005, 1006, 1015, 2000, 5000] {
            assert_eq!(close_payload(&Close::new(code, "reason")), Bytes::new());
        }
    }
}
