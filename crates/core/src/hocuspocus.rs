//! Hocuspocus' protocol, as of version 2: all documents over one connection, each message behind
//! the name of its document.
//!
//! Sync and awareness are as Yjs has them; the rest is about letting in and leaving. Read in the
//! sources of versions 2.15, 3.4 and 4.7.

use bytes::Bytes;

use crate::decode::{DecodeError, Fault, Reader, put_var_bytes, put_varuint};
use crate::wire;

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;
/// As [`SYNC`]; between servers, which then do not ask back.
const SYNC_REPLY: u64 = 4;
const STATELESS: u64 = 5;
const CLOSE: u64 = 7;
const SYNC_STATUS: u64 = 8;

const TOKEN: u64 = 0;
const DENIED: u64 = 1;
const GRANTED: u64 = 2;

/// What versions 3 and 4 answer to [`leave`]; version 2 answers nothing.
const LEFT: &str = "provider_initiated";

/// Version 4's ping and pong: frames of one byte, without a name.
const PING: &[u8] = &[9];
const PONG: &[u8] = &[10];

/// What a frame says of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Sync, awareness or a question for awareness, as Yjs has it.
    Yjs(Bytes),
    /// From a client: let me in. From a server: show your token (again).
    Token(String),
    /// From a server: you may come in.
    Granted {
        /// But not write.
        read_only: bool,
    },
    /// From a server: you may not.
    Denied {
        /// In words.
        reason: String,
    },
    /// Something for programs, which Hocuspocus passes on.
    Stateless(Bytes),
    /// The document is left, or closed by the server.
    Closed {
        /// In words; clients give none.
        reason: String,
    },
    /// From a server: what was sent is taken in, or not.
    SyncStatus(bool),
    /// Well framed, but of a type that is not ours.
    Unknown(u64),
}

/// A frame in its parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// All before the message: how the other side frames this document.
    pub prefix: Bytes,
    /// The name of the document, as the other side writes it.
    pub name: &'a str,
    /// The message.
    pub message: Bytes,
}

/// Whether a frame is a ping of version 4, which has no name.
pub fn is_ping(frame: &[u8]) -> bool {
    frame == PING
}

/// Whether it is the answer to one.
pub fn is_pong(frame: &[u8]) -> bool {
    frame == PONG
}

/// The answer to a ping.
pub fn pong() -> Bytes {
    Bytes::from_static(PONG)
}

/// Splits a frame into its parts.
pub fn split(frame: &Bytes) -> Result<Parts<'_>, DecodeError> {
    let mut reader = Reader::new(frame);
    let name = reader.var_str()?;
    let at = reader.offset();
    Ok(Parts { prefix: frame.slice(..at), name, message: frame.slice(at..) })
}

/// The prefix of every frame of one document.
pub fn prefix(name: &str) -> Bytes {
    let mut out = Vec::with_capacity(name.len() + 2);
    put_var_bytes(&mut out, name.as_bytes());
    out.into()
}

/// What a message says.
pub fn decode(message: &Bytes) -> Result<Message, DecodeError> {
    let mut reader = Reader::new(message);
    Ok(match reader.varuint()? {
        SYNC | AWARENESS | QUERY_AWARENESS => Message::Yjs(message.clone()),
        SYNC_REPLY => {
            Message::Yjs([&[SYNC as u8][..], &message.slice(reader.offset()..)].concat().into())
        }
        AUTH => match reader.varuint()? {
            // Version 4 says behind it which version it is.
            TOKEN if reader.is_empty() => Message::Token(String::new()),
            TOKEN => Message::Token(reader.var_str()?.to_owned()),
            DENIED => Message::Denied { reason: words(&mut reader)? },
            GRANTED => Message::Granted { read_only: reader.var_str()? == "readonly" },
            _ => return Err(reader.fault(Fault::UnknownSync)),
        },
        STATELESS => Message::Stateless(Bytes::copy_from_slice(reader.var_str()?.as_bytes())),
        CLOSE => Message::Closed { reason: words(&mut reader)? },
        SYNC_STATUS => Message::SyncStatus(reader.varuint()? == 1),
        other => Message::Unknown(other),
    })
}

/// A text that may be missing.
fn words(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    if reader.is_empty() { Ok(String::new()) } else { Ok(reader.var_str()?.to_owned()) }
}

/// "Let me in", with an empty token where there is none.
pub fn token(token: &str) -> Bytes {
    auth(TOKEN, token)
}

/// "You may come in."
pub fn granted(read_only: bool) -> Bytes {
    auth(GRANTED, if read_only { "readonly" } else { "read-write" })
}

/// "You may not."
pub fn denied(reason: &str) -> Bytes {
    auth(DENIED, reason)
}

fn auth(kind: u64, text: &str) -> Bytes {
    let mut out = Vec::with_capacity(text.len() + 6);
    put_varuint(&mut out, AUTH);
    put_varuint(&mut out, kind);
    put_var_bytes(&mut out, text.as_bytes());
    out.into()
}

/// A question for awareness. Servers answer nothing, but it is a sign of life.
pub fn query_awareness() -> Bytes {
    Bytes::from_static(&[QUERY_AWARENESS as u8])
}

/// Something for programs.
pub fn stateless(payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(payload.len() + 6);
    put_varuint(&mut out, STATELESS);
    put_var_bytes(&mut out, payload);
    out.into()
}

/// "I leave this document", as its programs say it.
pub fn leave() -> Bytes {
    Bytes::from_static(&[CLOSE as u8])
}

/// Whether a server says no more than that it has heard [`leave`]. Whoever has come back since has
/// not been sent away by that.
pub fn says_left(message: &Message) -> bool {
    matches!(message, Message::Closed { reason } if reason == LEFT)
}

/// "What you sent is saved", or "it is not taken".
pub fn sync_status(taken: bool) -> Bytes {
    Bytes::from_static(if taken { &[SYNC_STATUS as u8, 1] } else { &[SYNC_STATUS as u8, 0] })
}

/// What a message of a document is for a client of Hocuspocus: the same, but for the word that all
/// is saved, which it has in its own form. Whatever else there may be it does not know, and some
/// versions end over it.
pub fn for_client(message: &Bytes) -> Option<Bytes> {
    match u64::from(*message.first()?) {
        SYNC | AWARENESS => Some(message.clone()),
        _ if wire::is_sync_status(message) => Some(sync_status(true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Message, Fault> {
        decode(&Bytes::copy_from_slice(message)).map_err(|error| error.fault)
    }

    #[test]
    fn a_frame_is_a_name_and_a_message() {
        let frame = Bytes::from_static(b"\x06n\xc3\xb6te\xc3\x00\x00\x01\x00");
        assert!(split(&frame).is_err(), "half a letter");
        let frame = Bytes::from_static(b"\x05n\xc3\xb6te\x00\x00\x01\x00");
        let parts = split(&frame).unwrap();
        assert_eq!((parts.name, &parts.message[..]), ("n\u{f6}te", &[0, 0, 1, 0][..]));
        assert_eq!(parts.prefix, prefix("n\u{f6}te"));
    }

    #[test]
    fn messages_are_read_as_they_are_written() {
        for (message, meaning) in [
            (token("secret"), Message::Token("secret".into())),
            (granted(true), Message::Granted { read_only: true }),
            (granted(false), Message::Granted { read_only: false }),
            (denied("no"), Message::Denied { reason: "no".into() }),
            (stateless(b"{}"), Message::Stateless(Bytes::from_static(b"{}"))),
            (leave(), Message::Closed { reason: String::new() }),
            (sync_status(true), Message::SyncStatus(true)),
            (sync_status(false), Message::SyncStatus(false)),
            (query_awareness(), Message::Yjs(query_awareness())),
            (wire::sync_step1(&[0]), Message::Yjs(wire::sync_step1(&[0]))),
        ] {
            assert_eq!(read(&message), Ok(meaning));
        }
        assert_eq!(read(&[4, 1, 2, 0, 0]), Ok(Message::Yjs(wire::sync_step2(&[0, 0]))));
        assert_eq!(read(b"\x07\x04gone"), Ok(Message::Closed { reason: "gone".into() }));
        assert_eq!(read(&[2, 0]), Ok(Message::Token(String::new())));
        assert_eq!(read(&[6, 1, 0]), Ok(Message::Unknown(6)));
        for broken in [&[][..], &[2], &[2, 3], &[5], &[2, 0, 5, b'a'], &[8]] {
            assert!(read(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn an_answer_to_having_left_is_told_from_being_sent_away() {
        assert!(says_left(&read(b"\x07\x12provider_initiated").unwrap()));
        for other in [&b"\x07"[..], b"\x07\x10Reset Connection", b"\x08\x01"] {
            assert!(!says_left(&read(other).unwrap()), "{other:?}");
        }
    }

    #[test]
    fn that_all_is_saved_is_told_in_its_own_form() {
        assert_eq!(for_client(&wire::sync_status(&[])), Some(sync_status(true)));
        let update = wire::update(&[0, 0]);
        assert_eq!(for_client(&update), Some(update));
        assert_eq!(for_client(&Bytes::from_static(b"gAAAA")), None);
    }
}
