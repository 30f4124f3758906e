//! `yrelay.1`: what two yrelays say to each other on a link, beside the messages of Yjs.
//!
//! Frames are as in [`crate::link`]; those that concern no document have an empty name. The
//! document docs/protocol.md has it all, for others to implement.

use bytes::Bytes;

use crate::close::CloseReason;
use crate::decode::{DecodeError, Fault, Reader, put_var_bytes, put_varuint};
use crate::fnv::Fnv;
use crate::id_set::IdSet;
use crate::limits;
use crate::link;
use crate::state_vector::StateVector;

/// The WebSocket subprotocol. Some servers grant whatever is offered: it counts only with [`hello`].
pub const SUBPROTOCOL: &str = "yrelay.1";

const HELLO: u64 = 100;
const HAVE: u64 = 101;
const SAVED: u64 = 102;
const LEAVE: u64 = 103;
const REFUSED: u64 = 104;
const COUNT: u64 = 105;
const OPAQUE: u64 = 106;
const ASIDE: u64 = 107;
const ARCHIVE: u64 = 108;

const TOP: u64 = 1;
const MEMORY: u64 = 2;

/// A digest of a set: equal for equal sets.
pub type Digest = [u8; 16];

/// A message about one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What the sender holds. It is answered with what it lacks, and once with the same.
    Have {
        /// Structs.
        vector: StateVector,
        /// Deletions.
        digest: Digest,
    },
    /// From below: "tell me when all up to here is saved". The number is the sender's own.
    Ask {
        /// Goes back as it is.
        version: u64,
    },
    /// From above: all that came before the question is kept.
    Saved {
        /// As it was asked.
        version: u64,
        /// How well.
        kept: Kept,
    },
    /// A frame of an encrypted document, as its program wrote it. (What those begin with is
    /// nobody's business.)
    Opaque(Bytes),
    /// One that need not be kept: what a program asks when it comes, for all that its relay can tell.
    Aside(Bytes),
    /// Which frames of an encrypted document the sender keeps. It is answered with those that it
    /// lacks, and by the side above first with the same.
    Archive {
        /// How many.
        count: u64,
        /// Of all of them, in any order.
        digest: Digest,
        /// All that the other side has said it keeps is among them. The side below does not know
        /// when it speaks first; if it is not answered with this, it says so next.
        covers: bool,
    },
    /// From below: nobody there has the document open any more.
    Leave,
    /// From above: the document is not taken.
    Refused {
        /// See [`Refusal`].
        code: u64,
        /// In words.
        reason: String,
    },
}

/// How well a document is kept by a relay and those above it, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// In memory only: nothing is promised.
    Memory,
    /// On a disk.
    Disk,
    /// On the disks of all above it, to the top, as well.
    Top,
}

/// Why a document is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No login, or not for this one.
    Unauthorized,
    /// It may be read only.
    ReadOnly,
    /// It is larger than what is taken.
    TooLarge,
    /// No document can have that name.
    BadIdentifier,
    /// Not now.
    TryLater,
    /// What was said of it is no update.
    Unsound,
}

impl From<CloseReason> for Refusal {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::TooBig => Self::TooLarge,
            CloseReason::Malformed(_) => Self::Unsound,
            _ => Self::TryLater,
        }
    }
}

impl Refusal {
    /// As it travels.
    pub fn code(self) -> u64 {
        match self {
            Self::Unauthorized => 1,
            Self::ReadOnly => 2,
            Self::TooLarge => 3,
            Self::BadIdentifier => 4,
            Self::TryLater => 5,
            Self::Unsound => 6,
        }
    }
}

/// The first frame of either side.
pub fn hello() -> Bytes {
    let mut out = link::prefix("").to_vec();
    put_varuint(&mut out, HELLO);
    put_var_bytes(&mut out, b"yrelay");
    put_varuint(&mut out, 1);
    out.into()
}

/// Whether a frame is a hello. What a later version puts behind it does not matter.
pub fn is_hello(frame: &[u8]) -> bool {
    frame.starts_with(&hello())
}

/// What the sender holds.
pub fn have(vector: &StateVector, deletes: &IdSet) -> Bytes {
    let mut out = vec![HAVE as u8];
    put_var_bytes(&mut out, &vector.encode());
    put_var_bytes(&mut out, &digest(deletes));
    out.into()
}

/// See [`Message::Ask`].
pub fn ask(version: u64) -> Bytes {
    let mut body = Vec::new();
    put_varuint(&mut body, version);
    bodied(SAVED, &body)
}

/// Whether a message is such a question.
pub fn is_ask(message: &[u8]) -> bool {
    message.first() == Some(&(SAVED as u8))
}

/// See [`Message::Saved`].
pub fn saved(version: u64, kept: Kept) -> Bytes {
    let mut body = Vec::new();
    put_varuint(&mut body, version);
    let kept = match kept {
        Kept::Disk => 0,
        Kept::Top => TOP,
        Kept::Memory => MEMORY,
    };
    put_varuint(&mut body, kept);
    bodied(SAVED, &body)
}

/// See [`Message::Opaque`].
pub fn opaque(frame: &[u8]) -> Bytes {
    [&[OPAQUE as u8], frame].concat().into()
}

/// See [`Message::Aside`].
pub fn aside(frame: &[u8]) -> Bytes {
    [&[ASIDE as u8], frame].concat().into()
}

/// See [`Message::Archive`].
pub fn archive(count: u64, digest: &Digest, covers: bool) -> Bytes {
    let mut out = vec![ARCHIVE as u8];
    put_varuint(&mut out, count);
    put_var_bytes(&mut out, digest);
    put_varuint(&mut out, covers.into());
    out.into()
}

/// See [`Message::Leave`].
pub fn leave() -> Bytes {
    Bytes::from_static(&[LEAVE as u8])
}

/// Whether a message is a leave.
pub fn is_leave(message: &[u8]) -> bool {
    message == [LEAVE as u8]
}

/// See [`Message::Refused`].
pub fn refused(refusal: Refusal, reason: &str) -> Bytes {
    let mut out = vec![REFUSED as u8];
    put_varuint(&mut out, refusal.code());
    put_var_bytes(&mut out, reason.as_bytes());
    out.into()
}

fn bodied(kind: u64, body: &[u8]) -> Bytes {
    let mut out = vec![kind as u8];
    put_var_bytes(&mut out, body);
    out.into()
}

/// Reads a message of ours; `None` if it is one of Yjs.
pub fn decode(frame: &Bytes) -> Result<Option<Message>, DecodeError> {
    let mut reader = Reader::new(frame);
    let message = match reader.varuint()? {
        HAVE => {
            let vector = StateVector::decode(reader.var_bytes()?)?;
            Message::Have { vector, digest: take_digest(&mut reader)? }
        }
        SAVED => {
            let mut body = Reader::new(reader.var_bytes()?);
            let version = body.varuint()?;
            match body.is_empty() {
                true => Message::Ask { version },
                false => {
                    let kept = match body.varuint()? {
                        TOP => Kept::Top,
                        MEMORY => Kept::Memory,
                        _ => Kept::Disk,
                    };
                    Message::Saved { version, kept }
                }
            }
        }
        OPAQUE => Message::Opaque(frame.slice(reader.offset()..)),
        ASIDE => Message::Aside(frame.slice(reader.offset()..)),
        ARCHIVE => {
            let count = reader.varuint()?;
            let digest = take_digest(&mut reader)?;
            Message::Archive { count, digest, covers: reader.varuint()? == 1 }
        }
        LEAVE => Message::Leave,
        REFUSED => {
            let code = reader.varuint()?;
            let reason = reader.var_str()?.chars().take(limits::REASON_CHARS_MAX).collect();
            Message::Refused { code, reason }
        }
        _ => return Ok(None),
    };
    Ok(Some(message))
}

fn take_digest(reader: &mut Reader<'_>) -> Result<Digest, DecodeError> {
    let digest = reader.var_bytes()?;
    digest.try_into().map_err(|_| reader.fault(Fault::EndOfInput))
}

/// A digest of a delete set.
pub fn digest(deletes: &IdSet) -> Digest {
    let mut fnv = Fnv::new();
    for (client, range) in deletes.iter() {
        fnv.feed(&client.to_le_bytes());
        fnv.feed(&range.start.to_le_bytes());
        fnv.feed(&range.end.to_le_bytes());
    }
    fnv.digest().to_le_bytes()
}

/// Counts the frames of a link in both directions, so that none is lost unnoticed: not even by
/// whatever stands between the two ends. A hello does not count.
#[derive(Debug, Default)]
pub struct Counts {
    sent: u64,
    /// How many had been sent when that was last told.
    told: u64,
    received: u64,
}

/// Frames were lost: only a new connection, on which each side says what it holds, mends that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("frames were lost on the way: {received} arrived of {sent}")]
pub struct Lost {
    /// How many the other side has sent.
    pub sent: u64,
    /// How many have come.
    pub received: u64,
}

impl Counts {
    /// A frame goes out.
    pub fn sent(&mut self) {
        self.sent += 1;
    }

    /// A frame that tells how many have gone out before it; none if that is known. It is to go
    /// out at once.
    pub fn tell(&mut self) -> Option<Bytes> {
        if self.sent == self.told {
            return None;
        }
        let mut out = link::prefix("").to_vec();
        put_varuint(&mut out, COUNT);
        put_varuint(&mut out, self.sent);
        self.sent += 1;
        self.told = self.sent;
        Some(out.into())
    }

    /// A frame has come. Returns whether it was for this count only.
    pub fn received(&mut self, frame: &[u8]) -> Result<bool, Lost> {
        let received = self.received;
        self.received += 1;
        let Some(sent) = counted(frame) else { return Ok(false) };
        if sent == received { Ok(true) } else { Err(Lost { sent, received }) }
    }
}

fn counted(frame: &[u8]) -> Option<u64> {
    let rest = frame.strip_prefix(&*link::prefix(""))?;
    let mut reader = Reader::new(rest);
    (reader.varuint().ok()? == COUNT).then(|| reader.varuint().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_are_written() {
        let mut deletes = IdSet::new();
        deletes.insert(7, 1..3);
        let vector: StateVector = [(1, 5), (7, 9)].into_iter().collect();
        for (bytes, message) in [
            (have(&vector, &deletes), Message::Have { vector, digest: digest(&deletes) }),
            (ask(300), Message::Ask { version: 300 }),
            (saved(300, Kept::Disk), Message::Saved { version: 300, kept: Kept::Disk }),
            (saved(0, Kept::Top), Message::Saved { version: 0, kept: Kept::Top }),
            (saved(9, Kept::Memory), Message::Saved { version: 9, kept: Kept::Memory }),
            (leave(), Message::Leave),
            (opaque(b"gAAAA"), Message::Opaque(b"gAAAA".as_slice().into())),
            (aside(b"gAAAA"), Message::Aside(b"gAAAA".as_slice().into())),
            (
                archive(300, &[7; 16], true),
                Message::Archive { count: 300, digest: [7; 16], covers: true },
            ),
            (
                refused(Refusal::TooLarge, "too large"),
                Message::Refused { code: 3, reason: "too large".into() },
            ),
        ] {
            assert_eq!(decode(&bytes), Ok(Some(message)));
            let is_unread = bytes.ends_with(b"gAAAA");
            let ends = if is_unread { 0..1 } else { 0..bytes.len() };
            assert!(ends.into_iter().all(|end| decode(&bytes.slice(..end)).is_err()));
        }
        assert_eq!(decode(&Bytes::from_static(&[0, 0, 1, 0])), Ok(None));
        let long = refused(Refusal::TryLater, &"x".repeat(2 * limits::REASON_CHARS_MAX));
        let reason = "x".repeat(limits::REASON_CHARS_MAX);
        assert_eq!(decode(&long), Ok(Some(Message::Refused { code: 5, reason })));
        assert!(is_ask(&ask(1)) && is_leave(&leave()) && !is_leave(&ask(1)));
    }

    #[test]
    fn a_digest_tells_sets_apart() {
        let set = |ranges: &[(u64, std::ops::Range<u32>)]| {
            let mut set = IdSet::new();
            ranges.iter().for_each(|(client, range)| set.insert(*client, range.clone()));
            digest(&set)
        };
        assert_eq!(set(&[(1, 0..2), (1, 2..4)]), set(&[(1, 0..4)]));
        let all = [set(&[]), set(&[(1, 0..4)]), set(&[(1, 0..3)]), set(&[(2, 0..4)])];
        assert!((0..all.len()).all(|at| !all[at + 1..].contains(&all[at])));
    }

    #[test]
    fn a_hello_is_told_from_frames_of_documents() {
        assert_eq!(hello(), Bytes::from_static(b"\x02\x00\x00\x64\x06yrelay\x01"));
        assert!(is_hello(&hello()) && is_hello(&[&hello()[..], b"more"].concat()));
        assert!(!is_hello(&link::prefix("")) && !is_hello(&link::prefix("notes")));
    }

    #[test]
    fn a_lost_frame_is_noticed_at_the_next_count() {
        let (mut one, mut other) = (Counts::default(), Counts::default());
        let frame = link::prefix("notes");
        assert_eq!(one.tell(), None);
        for _ in 0..3 {
            one.sent();
            assert_eq!(other.received(&frame), Ok(false));
        }
        let count = one.tell().unwrap();
        assert_eq!(one.tell(), None);
        assert_eq!(other.received(&count), Ok(true));
        one.sent(); // and it is lost
        let count = one.tell().unwrap();
        assert_eq!(other.received(&count), Err(Lost { sent: 5, received: 4 }));
    }
}
