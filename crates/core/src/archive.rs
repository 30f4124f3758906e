//! The frames of an encrypted document that are kept, in the order in which they came.
//!
//! Nobody here can read them, so nothing in it is merged, and what is in it stays. Who joins is sent
//! them all. At its bound it ends: what comes then is passed on only, and the document says so.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::fellow::Digest;
use crate::fnv::Fnv;
use crate::id::PeerId;
use crate::wire::{self, Message};
use crate::{fernet, limits};

/// Which frames are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Takes {
    /// None.
    Nothing,
    /// Those that may hold content: all but questions and presence in plain text.
    #[default]
    Content,
    /// All.
    All,
}

/// A frame that is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) bytes: Bytes,
    /// Who sent it; nobody who is still here, if it was loaded.
    pub(crate) from: Option<PeerId>,
    /// It came from below.
    pub(crate) is_local: bool,
    /// Of all up to this one.
    digest: u128,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is the last now.
    New,
    /// It is there already.
    Known,
    /// It is not kept. `ends`: it is the first of those for which there is no place.
    Not { ends: bool },
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    takes: Takes,
    frames: Vec<Kept>,
    bytes: usize,
    known: BTreeSet<u128>,
    /// The last tokens that were passed on and not kept: in a ring of relays they come back.
    passed: VecDeque<u128>,
    /// Something was left out: it ends there.
    has_ended: bool,
}

impl Archive {
    pub(crate) fn new(takes: Takes) -> Self {
        Self { takes, ..Self::default() }
    }

    /// What is stored. An empty frame at the end says that it has ended.
    pub(crate) fn load(&mut self, frames: Vec<(Bytes, bool)>) {
        for (bytes, is_local) in frames {
            if bytes.is_empty() {
                self.has_ended = true;
            } else {
                self.put(Fnv::of(&bytes), bytes, None, is_local);
            }
        }
    }

    /// Keeps a frame, unless it is known or there is no place.
    pub(crate) fn take(&mut self, frame: &Bytes, from: PeerId, is_local: bool) -> Taken {
        if self.takes == Takes::Nothing {
            return Taken::Not { ends: false };
        }
        let hash = Fnv::of(frame);
        if self.known.contains(&hash) {
            return Taken::Known;
        }
        let fits = self.frames.len() < limits::ARCHIVE_FRAMES_MAX
            && self.bytes + frame.len() <= limits::ARCHIVE_BYTES_MAX;
        if !fits || self.has_ended || frame.is_empty() {
            let ends = !fits && !self.has_ended;
            self.has_ended |= ends;
            return Taken::Not { ends };
        }
        self.put(hash, frame.clone(), Some(from), is_local);
        Taken::New
    }

    fn put(&mut self, hash: u128, bytes: Bytes, from: Option<PeerId>, is_local: bool) {
        if self.known.insert(hash) {
            self.bytes += bytes.len();
            let digest = self.digest() ^ hash;
            self.frames.push(Kept { bytes, from, is_local, digest });
        }
    }

    /// Whether a frame says nothing of the content, which shows where it is in plain text.
    pub(crate) fn is_idle_talk(&self, frame: &Bytes) -> bool {
        let talks = |message| {
            use Message::{Awareness, QueryAwareness, SyncStep1};
            matches!(message, Ok(SyncStep1(_) | Awareness(_) | QueryAwareness))
        };
        self.takes == Takes::Content && !fernet::is_token(frame) && wire::messages(frame).all(talks)
    }

    /// Whether a frame that is not kept came before, lately. No two tokens are the same, and what
    /// is in plain text may well come twice.
    pub(crate) fn passes_again(&mut self, frame: &[u8]) -> bool {
        if !fernet::is_token(frame) {
            return false;
        }
        let hash = Fnv::of(frame);
        if self.passed.contains(&hash) {
            return true;
        }
        self.passed.push_back(hash);
        if self.passed.len() > limits::PASSED_FRAMES_MAX {
            self.passed.pop_front();
        }
        false
    }

    /// The frame at a place.
    pub(crate) fn get(&self, at: usize) -> Option<&Kept> {
        self.frames.get(at)
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether nothing more is kept.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether all frames are kept that come.
    pub(crate) fn takes_all(&self) -> bool {
        self.takes != Takes::Nothing && !self.has_ended
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes + self.frames.len() * limits::ARCHIVE_FRAME_BYTES
    }

    fn digest(&self) -> u128 {
        self.frames.last().map_or(0, |last| last.digest)
    }

    /// How it is told to another relay.
    pub(crate) fn summary(&self) -> (u64, Digest) {
        (self.frames.len() as u64, self.digest().to_le_bytes())
    }

    /// Whether these are our first frames, and how many.
    pub(crate) fn begins_with(&self, count: u64, digest: &Digest) -> Option<usize> {
        let count = usize::try_from(count).ok()?;
        let digest_of_first = match count.checked_sub(1) {
            Some(last) => self.frames.get(last)?.digest,
            None => 0,
        };
        (digest_of_first.to_le_bytes() == *digest).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: PeerId = PeerId(1);

    fn of(frames: &[&'static str]) -> Archive {
        let mut archive = Archive::default();
        for frame in frames {
            archive.take(&Bytes::from_static(frame.as_bytes()), FROM, true);
        }
        archive
    }

    #[test]
    fn another_relay_is_sent_what_follows_what_it_has() {
        let archive = of(&["a", "b", "c"]);
        for (held, from) in [
            (&[][..], Some(0)),
            (&["a"], Some(1)),
            (&["b", "a"], Some(2)),
            (&["a", "b", "c"], Some(3)),
            (&["a", "c"], None),
            (&["a", "b", "d"], None),
            (&["a", "b", "c", "d"], None),
        ] {
            let (count, digest) = of(held).summary();
            assert_eq!(archive.begins_with(count, &digest), from, "{held:?}");
        }
        assert_eq!(archive.begins_with(u64::MAX, &[0; 16]), None);
    }

    #[test]
    fn what_has_ended_stays_so() {
        let mut archive = of(&["a"]);
        archive.load(vec![("b".into(), false), (Bytes::new(), true)]);
        assert!(archive.has_ended() && archive.len() == 2);
        assert_eq!(archive.take(&"c".into(), FROM, true), Taken::Not { ends: false });
        assert_eq!(archive.take(&"b".into(), FROM, true), Taken::Known);
    }

    #[test]
    fn it_is_bounded_in_bytes() {
        let mut archive = Archive::default();
        let frame =
            |first: u8, bytes: usize| Bytes::from([vec![first], vec![0; bytes - 1]].concat());
        assert_eq!(archive.take(&frame(1, limits::ARCHIVE_BYTES_MAX), FROM, true), Taken::New);
        assert_eq!(archive.take(&frame(2, 1), FROM, true), Taken::Not { ends: true });
        assert_eq!(archive.take(&frame(3, 1), FROM, true), Taken::Not { ends: false });
        assert!(archive.has_ended() && archive.len() == 1);
    }
}
