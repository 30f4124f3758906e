//! The frames of WebSockets (RFC 6455): bytes in, messages out, and the heads of our own. Pure.
//!
//! What has been read of a message is kept in memory of its own size; between messages nothing is
//! kept at all, so that idle connections cost nothing here.

use bytes::Bytes;

use super::Close;

/// A control frame holds no more.
pub(super) const CONTROL_BYTES_MAX: usize = 125;

/// Payloads from here on have their length in two more bytes, ...
const LENGTH_16: u8 = 126;
/// ... or in eight.
const LENGTH_64: u8 = 127;

/// What a close frame without a code is said to have.
pub(super) const NO_CODE: u16 = 1005;
/// So much is reserved for what a length promises.
const PROMISED_BYTES: usize = 4 << 10;

/// What a frame is, as its first byte says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn of(bits: u8) -> Result<Self, Fault> {
        Ok(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return Err(Fault::Opcode(bits)),
        })
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    /// Its frames are masked.
    Client,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Binary(Bytes),
    /// Valid UTF-8.
    Text(Bytes),
    Ping(Bytes),
    Pong,
    /// The code, 1005 where there is none, and the reason.
    Close(Close),
}

/// The peer broke a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("reserved bits are set")]
    Reserved,
    #[error("opcode {0} has no meaning")]
    Opcode(u8),
    #[error("a control frame is in fragments or longer than 125 bytes")]
    Control,
    #[error("a client's frames are masked, a server's are not")]
    Mask,
    #[error("a fragment continues nothing, or something else begins before the last one")]
    Fragment,
    #[error("a length beyond 63 bits")]
    Length,
    #[error("message longer than {0} bytes")]
    TooLong(usize),
    #[error("invalid UTF-8")]
    Utf8,
    #[error("a close frame with a code that none may have")]
    CloseCode,
}

impl Fault {
    /// How the peer is told.
    pub(super) fn close(self) -> Close {
        let code = match self {
            Self::TooLong(_) => 1009,
            Self::Utf8 => 1007,
            _ => 1002,
        };
        Close::new(code, self.to_string())
    }
}

/// The head of a frame that is being read.
#[derive(Debug, Clone, Copy)]
struct Head {
    is_last: bool,
    opcode: Opcode,
    /// Zero where there is none, which changes nothing.
    mask: [u8; 4],
    /// What is still to come of the payload.
    remaining: usize,
}

/// Reads frames.
#[derive(Debug)]
pub(super) struct Decoder {
    side: Side,
    message_bytes_max: usize,
    /// The beginning of a head.
    part: Vec<u8>,
    head: Option<Head>,
    /// What a message that has begun is.
    kind: Option<Opcode>,
    message: Vec<u8>,
    /// Of a text, so much is known to be valid.
    valid: usize,
    control: Vec<u8>,
}

impl Decoder {
    pub(super) fn new(side: Side, message_bytes_max: usize) -> Self {
        Self {
            side,
            message_bytes_max,
            part: Vec::new(),
            head: None,
            kind: None,
            message: Vec::new(),
            valid: 0,
            control: Vec::new(),
        }
    }

    /// Between two messages.
    pub(super) fn take_up_to(&mut self, message_bytes_max: usize) {
        self.message_bytes_max = message_bytes_max;
    }

    /// Takes bytes up to the end of a message, which it returns, or all of them. After a fault
    /// nothing that follows means anything.
    pub(super) fn take(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Fault> {
        loop {
            if self.head.is_none() && !self.take_head(input)? {
                return Ok(None);
            }
            let Some(head) = &mut self.head else { return Ok(None) };
            let (payload, rest) = input.split_at(head.remaining.min(input.len()));
            *input = rest;
            let is_control = head.opcode.is_control();
            let to = if is_control { &mut self.control } else { &mut self.message };
            head.append(payload, to);
            let Head { is_last, opcode, remaining, .. } = *head;
            if self.kind == Some(Opcode::Text) && !is_control {
                self.check_text(is_last && remaining == 0)?;
            }
            if remaining > 0 {
                return Ok(None);
            }
            self.head = None;
            if is_control {
                return control(opcode, std::mem::take(&mut self.control)).map(Some);
            }
            if is_last {
                return Ok(Some(self.whole()));
            }
        }
    }

    /// Whether all of a head has come.
    fn take_head(&mut self, input: &mut &[u8]) -> Result<bool, Fault> {
        // Most come in one piece.
        let mut found = None;
        if self.part.is_empty() {
            found = self.parse(input)?;
            let length = found.map_or(0, |(_, length)| length);
            *input = &input[length..];
        }
        while found.is_none()
            && let Some((byte, rest)) = input.split_first()
        {
            self.part.push(*byte);
            *input = rest;
            found = self.parse(&self.part)?;
        }
        let Some((head, _)) = found else { return Ok(false) };
        self.part = Vec::new();
        if matches!(head.opcode, Opcode::Text | Opcode::Binary) {
            self.kind = Some(head.opcode);
        }
        self.head = Some(head);
        Ok(true)
    }

    /// The head at the beginning and its length, once all of it is there. What is wrong is said as
    /// soon as it shows.
    fn parse(&self, bytes: &[u8]) -> Result<Option<(Head, usize)>, Fault> {
        let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
        let (is_last, opcode) = (first & 0x80 != 0, Opcode::of(first & 0x0f)?);
        if first & 0x70 != 0 {
            return Err(Fault::Reserved);
        }
        match opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong if !is_last => return Err(Fault::Control),
            Opcode::Continuation if self.kind.is_none() => return Err(Fault::Fragment),
            Opcode::Text | Opcode::Binary if self.kind.is_some() => return Err(Fault::Fragment),
            _ => {}
        }
        let Some((second, rest)) = rest.split_first() else { return Ok(None) };
        if (second & 0x80 != 0) != (self.side == Side::Server) {
            return Err(Fault::Mask);
        }
        let short = second & 0x7f;
        if opcode.is_control() && short >= LENGTH_16 {
            return Err(Fault::Control);
        }
        let (length, rest) = match short {
            LENGTH_16 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            LENGTH_64 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from_be_bytes(*length), rest)
            }
            short => (u64::from(short), rest),
        };
        if length > i64::MAX.cast_unsigned() {
            return Err(Fault::Length);
        }
        let room = self.message_bytes_max - self.message.len();
        let remaining = usize::try_from(length).unwrap_or(usize::MAX);
        if !opcode.is_control() && remaining > room {
            return Err(Fault::TooLong(self.message_bytes_max));
        }
        let (mask, rest) = match self.side {
            Side::Client => ([0; 4], rest),
            Side::Server => {
                let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (*mask, rest)
            }
        };
        let head = Head { is_last, opcode, mask, remaining };
        Ok(Some((head, bytes.len() - rest.len())))
    }

    /// As soon as it shows, even within a frame.
    fn check_text(&mut self, is_all: bool) -> Result<(), Fault> {
        match std::str::from_utf8(&self.message[self.valid..]) {
            Ok(text) => self.valid += text.len(),
            Err(error) if is_all || error.error_len().is_some() => return Err(Fault::Utf8),
            // A character is not whole yet.
            Err(error) => self.valid += error.valid_up_to(),
        }
        Ok(())
    }

    fn whole(&mut self) -> Message {
        let mut bytes = std::mem::take(&mut self.message);
        bytes.shrink_to_fit();
        self.valid = 0;
        match self.kind.take() {
            Some(Opcode::Text) => Message::Text(bytes.into()),
            _ => Message::Binary(bytes.into()),
        }
    }
}

impl Head {
    /// Adds a part of the payload to what there is of the message.
    fn append(&mut self, payload: &[u8], to: &mut Vec<u8>) {
        // As much as has come is sure to come again; a length alone is a promise.
        let more = payload.len().max(self.remaining.min(to.len().max(PROMISED_BYTES)));
        match self.is_last && self.opcode != Opcode::Continuation {
            true => to.reserve_exact(more),
            // There may be a great many fragments.
            false => to.reserve(more),
        }
        let begin = to.len();
        to.extend_from_slice(payload);
        mask(&mut to[begin..], self.mask);
        self.mask.rotate_left(payload.len() % 4);
        self.remaining -= payload.len();
    }
}

fn control(opcode: Opcode, payload: Vec<u8>) -> Result<Message, Fault> {
    Ok(match opcode {
        Opcode::Ping => Message::Ping(payload.into()),
        Opcode::Pong => Message::Pong,
        _ => match payload.split_first_chunk() {
            None if payload.is_empty() => Message::Close(Close::new(NO_CODE, "")),
            None => return Err(Fault::CloseCode),
            Some((code, reason)) => {
                let code = u16::from_be_bytes(*code);
                if !is_sendable(code) {
                    return Err(Fault::CloseCode);
                }
                let reason = std::str::from_utf8(reason).map_err(|_| Fault::Utf8)?;
                Message::Close(Close::new(code, reason))
            }
        },
    })
}

/// Whether a close frame may have this code.
pub(super) fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Masking and unmasking are one.
pub(super) fn mask(bytes: &mut [u8], mask: [u8; 4]) {
    if mask == [0; 4] {
        return;
    }
    let wide: [u8; 16] = std::array::from_fn(|at| mask[at % 4]);
    let mut chunks = bytes.chunks_exact_mut(wide.len());
    for chunk in &mut chunks {
        chunk.iter_mut().zip(wide).for_each(|(byte, mask)| *byte ^= mask);
    }
    chunks.into_remainder().iter_mut().zip(wide).for_each(|(byte, mask)| *byte ^= mask);
}

/// Adds the head of a frame that is a whole message.
pub(super) fn put_head(to: &mut Vec<u8>, opcode: Opcode, length: usize, mask: Option<[u8; 4]>) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    to.push(0x80 | opcode as u8);
    match length {
        0..=CONTROL_BYTES_MAX => to.push(masked | length as u8),
        _ if let Ok(length) = u16::try_from(length) => {
            to.push(masked | LENGTH_16);
            to.extend(length.to_be_bytes());
        }
        _ => {
            to.push(masked | LENGTH_64);
            to.extend((length as u64).to_be_bytes());
        }
    }
    to.extend(mask.iter().flatten());
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    const MAX: usize = 1 << 20;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_head(&mut bytes, Opcode::Binary, payload.len(), Some(KEY));
        bytes[0] = first;
        let begin = bytes.len();
        bytes.extend_from_slice(payload);
        mask(&mut bytes[begin..], KEY);
        bytes
    }

    /// What a server makes of it, so many bytes at a time.
    fn read(bytes: &[u8], most: usize) -> (Vec<Message>, Option<Fault>) {
        let mut decoder = Decoder::new(Side::Server, MAX);
        let mut messages = Vec::new();
        for mut piece in bytes.chunks(most) {
            loop {
                match decoder.take(&mut piece) {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break assert_eq!(piece, [0; 0], "all is taken"),
                    Err(fault) => return (messages, Some(fault)),
                }
            }
        }
        (messages, None)
    }

    fn fault(bytes: &[u8]) -> Fault {
        let faults = [1, bytes.len()].map(|most| read(bytes, most).1.expect("a fault"));
        assert_eq!(faults[0], faults[1]);
        faults[0]
    }

    fn text(words: &str) -> Message {
        Message::Text(Bytes::copy_from_slice(words.as_bytes()))
    }

    #[test]
    fn the_examples_of_the_standard() {
        // RFC 6455, section 5.7
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(read(&masked, 100), (vec![text("Hello")], None));
        let mut client = Decoder::new(Side::Client, MAX);
        let mut fragments = &[0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f][..];
        assert_eq!(client.take(&mut fragments), Ok(Some(text("Hello"))));
        let mut head = Vec::new();
        put_head(&mut head, Opcode::Binary, 256, None);
        assert_eq!(head, [0x82, 0x7e, 0x01, 0x00]);
        head.clear();
        put_head(&mut head, Opcode::Binary, 65_536, None);
        assert_eq!(head, [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let long = "ä€😀".repeat(20_000);
        let mut bytes = frame(0x82, &[7; 300]);
        // A ping stands between two fragments.
        let (begin, end) = long.as_bytes().split_at(100_001);
        bytes.extend(frame(0x01, begin));
        bytes.extend(frame(0x89, b"ping"));
        bytes.extend(frame(0x80, end));
        bytes.extend(frame(0x82, b""));
        bytes.extend(frame(0x8a, b"pong"));
        bytes.extend(frame(0x88, b"\x03\xe8bye"));
        let expected = [
            Message::Binary(vec![7; 300].into()),
            Message::Ping(Bytes::from_static(b"ping")),
            text(&long),
            Message::Binary(Bytes::new()),
            Message::Pong,
            Message::Close(Close::new(1000, "bye")),
        ];
        for most in [1, 2, 3, 5, 8, 1_000, 65_536, usize::MAX] {
            assert_eq!(read(&bytes, most), (Vec::from_iter(expected.iter().map(copy)), None));
        }
    }

    fn copy(message: &Message) -> Message {
        match message {
            Message::Binary(bytes) => Message::Binary(bytes.clone()),
            Message::Text(bytes) => Message::Text(bytes.clone()),
            Message::Ping(bytes) => Message::Ping(bytes.clone()),
            Message::Pong => Message::Pong,
            Message::Close(close) => Message::Close(close.clone()),
        }
    }

    #[test]
    fn what_breaks_a_rule_is_named_as_soon_as_it_shows() {
        assert_eq!(fault(&[0xc2]), Fault::Reserved);
        assert_eq!(fault(&[0x83]), Fault::Opcode(3));
        assert_eq!(fault(&[0x8b]), Fault::Opcode(11));
        assert_eq!(fault(&[0x09]), Fault::Control);
        assert_eq!(fault(&[0x89, 0xfe]), Fault::Control);
        assert_eq!(fault(&[0x82, 0x01]), Fault::Mask);
        assert_eq!(fault(&[0x80]), Fault::Fragment);
        assert_eq!(fault(&[&frame(0x02, b"a")[..], &[0x82]].concat()), Fault::Fragment);
        assert_eq!(fault(&[&[0x82, 0xff][..], &[0xff; 8]].concat()), Fault::Length);
        let length = (MAX as u64 + 1).to_be_bytes();
        assert_eq!(fault(&[&[0x82, 0xff][..], &length].concat()), Fault::TooLong(MAX));
        assert_eq!(fault(&frame(0x88, b"x")), Fault::CloseCode);
        assert_eq!(fault(&frame(0x88, &1005_u16.to_be_bytes())), Fault::CloseCode);
        assert_eq!(fault(&frame(0x88, b"\x03\xe8\xff")), Fault::Utf8);
        assert_eq!(fault(&frame(0x81, b"\xc3")), Fault::Utf8);
        // Within a frame that is not whole.
        assert_eq!(fault(&frame(0x81, b"\xff and more")[..7]), Fault::Utf8);
        let mut client = Decoder::new(Side::Client, MAX);
        assert_eq!(client.take(&mut &[0x82, 0x80][..]), Err(Fault::Mask));
    }

    #[test]
    fn fragments_count_together() {
        let half = vec![0; MAX / 2];
        let mut bytes = frame(0x02, &half);
        bytes.extend(frame(0x00, &half));
        assert_eq!(read(&[&bytes[..], &frame(0x80, b"")].concat(), MAX).1, None);
        let beyond = frame(0x80, b"x");
        assert_eq!(fault(&[&bytes[..], &beyond].concat()), Fault::TooLong(MAX));
    }

    #[test]
    fn a_length_is_a_promise_and_a_message_takes_its_own_size() {
        let bytes = frame(0x82, &vec![1; MAX]);
        let mut decoder = Decoder::new(Side::Server, MAX);
        let (begin, mut end) = bytes.split_at(1_000);
        assert_eq!(decoder.take(&mut &begin[..]), Ok(None));
        assert!(decoder.message.capacity() <= 4 << 10);
        let mut sizes = Vec::new();
        while !end.is_empty() {
            let (mut piece, rest) = end.split_at(end.len().min(60_000));
            end = rest;
            let whole = decoder.take(&mut piece).unwrap();
            sizes.push(decoder.message.capacity());
            assert_eq!(whole.is_some(), end.is_empty());
        }
        assert!(sizes.iter().all(|size| *size <= MAX), "{sizes:?}");
        assert_eq!(decoder.message.capacity() + decoder.part.capacity(), 0);
    }

    #[test]
    fn masks_go_on_over_pieces() {
        let mut head = Head { is_last: true, opcode: Opcode::Binary, mask: KEY, remaining: 100 };
        let mut masked: Vec<u8> = (0..100).collect();
        mask(&mut masked, KEY);
        let mut message = Vec::new();
        for piece in masked.chunks(7) {
            head.append(piece, &mut message);
        }
        assert_eq!(message, Vec::from_iter(0..100));
    }
}
