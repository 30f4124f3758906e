//! The Yjs protocol (y-protocols): sync, awareness, query, and y-sweet's sync status.
//!
//! A frame holds one or more messages. Reading is bounded and shares the frame's bytes, where
//! nothing much else is in it.

use std::ops::Range;

use bytes::Bytes;

use crate::decode::{DecodeError, Fault, Reader, put_var_bytes};
use crate::limits;

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const QUERY_AWARENESS: u64 = 3;
const SYNC_STATUS: u64 = 102;

const STEP_1: u64 = 0;
const STEP_2: u64 = 1;
const UPDATE: u64 = 2;

/// Awareness of nobody. Sent to a client that heard nothing for a while: y-websocket up to 3
/// gives up a connection that brings no message for 30 s, and pings do not count.
pub const KEEP_ALIVE: &[u8] = &[1, 1, 0];

/// "Who is present?", and behind it an awareness of nobody, which hardly anybody reads: the server
/// of ELVA 0.37 ends a connection over a frame of one byte.
pub const QUERY: &[u8] = &[3, 1, 1, 0];

/// The update that holds nothing.
pub const EMPTY_UPDATE: &[u8] = &[0, 0];

/// One message of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A state vector: "send me what I lack".
    SyncStep1(Bytes),
    /// An update: the answer to a step 1.
    SyncStep2(Bytes),
    /// An update: what was just written.
    Update {
        /// The update itself.
        update: Bytes,
        /// The whole message around it, to pass on as it came.
        message: Bytes,
    },
    /// Who is present: awareness entries.
    Awareness(Bytes),
    /// A question for all awareness entries.
    QueryAwareness,
    /// y-sweet's sync status: to be sent back once all before it is saved.
    SyncStatus(Bytes),
    /// Well framed, but of a type that is not ours; ends its frame.
    Unknown(u64),
}

/// The messages of one frame, in order. Ends after the first error or unknown message.
pub fn messages(frame: &Bytes) -> Messages<'_> {
    Messages { frame, reader: Reader::new(frame), count: 0, ended: false }
}

/// See [`messages`].
#[derive(Debug)]
pub struct Messages<'a> {
    frame: &'a Bytes,
    reader: Reader<'a>,
    count: usize,
    ended: bool,
}

impl Messages<'_> {
    fn message(&mut self) -> Result<Message, DecodeError> {
        let start = self.reader.offset();
        self.count += 1;
        if self.count > limits::MESSAGES_PER_FRAME_MAX {
            return Err(self.reader.fault(Fault::TooManyMessages));
        }
        Ok(match self.reader.varuint()? {
            SYNC => {
                let step = self.reader.varuint()?;
                let body = self.body()?;
                match step {
                    STEP_1 => Message::SyncStep1(self.part(body)),
                    STEP_2 => Message::SyncStep2(self.part(body)),
                    UPDATE => {
                        let message = self.part(start..body.end);
                        let update = message.slice(message.len() - body.len()..);
                        Message::Update { update, message }
                    }
                    _ => return Err(self.reader.fault(Fault::UnknownSync)),
                }
            }
            AWARENESS => {
                let body = self.body()?;
                Message::Awareness(self.part(body))
            }
            QUERY_AWARENESS => Message::QueryAwareness,
            SYNC_STATUS => {
                let body = self.body()?;
                Message::SyncStatus(self.part(body))
            }
            other => {
                self.ended = true;
                Message::Unknown(other)
            }
        })
    }

    /// Where its body is.
    fn body(&mut self) -> Result<Range<usize>, DecodeError> {
        let length = self.reader.var_bytes()?.len();
        let end = self.reader.offset();
        Ok(end - length..end)
    }

    /// A part of the frame. One that is much smaller is copied: it would hold all of the frame for
    /// as long as it waits somewhere.
    fn part(&self, range: Range<usize>) -> Bytes {
        let part = self.frame.slice(range);
        if part.len() < self.frame.len() / 2 { Bytes::copy_from_slice(&part) } else { part }
    }
}

impl Iterator for Messages<'_> {
    type Item = Result<Message, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || (self.reader.is_empty() && self.count > 0) {
            return None;
        }
        let message = self.message();
        self.ended |= message.is_err();
        Some(message)
    }
}

fn sync(step: u8, body: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(body.len() + 7);
    out.extend([0, step]);
    put_var_bytes(&mut out, body);
    out.into()
}

/// "Send me what this state vector lacks."
pub fn sync_step1(state_vector: &[u8]) -> Bytes {
    sync(0, state_vector)
}

/// An answer to a step 1.
pub fn sync_step2(update: &[u8]) -> Bytes {
    sync(1, update)
}

/// An update by itself.
pub fn update(update: &[u8]) -> Bytes {
    sync(2, update)
}

/// Awareness entries, already encoded.
pub fn awareness(entries: &[u8]) -> Bytes {
    body_of(1, entries)
}

/// The echo of a sync status.
pub fn sync_status(payload: &[u8]) -> Bytes {
    body_of(102, payload)
}

/// Whether a message is a sync status, or the echo of one.
pub fn is_sync_status(message: &[u8]) -> bool {
    message.first() == Some(&(SYNC_STATUS as u8))
}

fn body_of(kind: u8, body: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(body.len() + 6);
    out.push(kind);
    put_var_bytes(&mut out, body);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(frame: &[u8]) -> Vec<Result<Message, Fault>> {
        let frame = Bytes::copy_from_slice(frame);
        messages(&frame).map(|m| m.map_err(|e| e.fault)).collect()
    }

    fn bytes(b: &[u8]) -> Bytes {
        Bytes::copy_from_slice(b)
    }

    #[test]
    fn golden_messages_of_y_protocols() {
        // A document with "a" inserted into text "t" by client 1, written by yjs 13.6 and y-protocols 1.0.
        let update = [1, 1, 1, 0, 4, 1, 1, 0x74, 1, 0x61, 0];
        let mut frame = vec![0, 2, 11];
        frame.extend(update);
        assert_eq!(
            decode(&frame),
            [Ok(Message::Update { update: bytes(&update), message: bytes(&frame) })]
        );
        assert_eq!(super::update(&update), frame);
        assert_eq!(decode(&[0, 0, 1, 0]), [Ok(Message::SyncStep1(bytes(&[0])))]);
        assert_eq!(sync_step1(&[0]), [0, 0, 1, 0].as_slice());
        assert_eq!(decode(&[0, 1, 2, 0, 0]), [Ok(Message::SyncStep2(bytes(&[0, 0])))]);
        assert_eq!(decode(KEEP_ALIVE), [Ok(Message::Awareness(bytes(&[0])))]);
        assert_eq!(decode(&[3]), [Ok(Message::QueryAwareness)]);
        let nobody = Message::Awareness(bytes(&[0]));
        assert_eq!(decode(QUERY), [Ok(Message::QueryAwareness), Ok(nobody)]);
        assert_eq!(decode(&[0x66, 1, 7]), [Ok(Message::SyncStatus(bytes(&[7])))]);
        assert_eq!(sync_status(&[7]), [0x66, 1, 7].as_slice());
    }

    #[test]
    fn several_messages_in_one_frame() {
        let frame = [0, 0, 1, 0, 1, 1, 0, 3];
        assert_eq!(
            decode(&frame),
            [
                Ok(Message::SyncStep1(bytes(&[0]))),
                Ok(Message::Awareness(bytes(&[0]))),
                Ok(Message::QueryAwareness)
            ]
        );
    }

    #[test]
    fn a_small_message_does_not_hold_a_large_frame() {
        let message = update(&[7; 10]);
        for (junk, is_shared) in [(0, true), (message.len(), true), (message.len() + 1, false)] {
            let frame = Bytes::from([&message[..], &[9], &vec![0; junk]].concat());
            let Some(Ok(Message::Update { update, message })) = messages(&frame).next() else {
                panic!("no update");
            };
            let frame = frame.as_ptr_range();
            for part in [update, message] {
                assert_eq!(frame.contains(&part.as_ptr()), is_shared, "{junk}");
            }
        }
    }

    #[test]
    fn an_unknown_type_ends_its_frame() {
        assert_eq!(decode(&[9, 0xff, 0xff]), [Ok(Message::Unknown(9))]);
        assert_eq!(decode(&[3, 2, 0, 0]), [Ok(Message::QueryAwareness), Ok(Message::Unknown(2))]);
    }

    #[test]
    fn faults_are_named_and_end_the_frame() {
        assert_eq!(decode(&[]), [Err(Fault::EndOfInput)]);
        assert_eq!(decode(&[0, 2, 5, 1]), [Err(Fault::EndOfInput)]);
        assert_eq!(decode(&[0, 3, 0, 3]), [Err(Fault::UnknownSync)]);
        let flood = [3u8; limits::MESSAGES_PER_FRAME_MAX + 1];
        assert_eq!(decode(&flood).last(), Some(&Err(Fault::TooManyMessages)));
        assert!(decode(&flood[1..]).iter().all(Result::is_ok));
    }
}
