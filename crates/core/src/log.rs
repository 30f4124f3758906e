//! One document's side of the store: sequence numbers, acknowledgements, when to compact.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::id::PeerId;
use crate::limits;
use crate::update::Update;

/// What a document knows of its rows in the store.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Sequence number of the last append.
    last: u64,
    /// All up to here is saved.
    saved: u64,
    /// The store could not save at the last attempt.
    failing: bool,
    /// Appends that are not saved yet, in order.
    unsaved: VecDeque<(u64, Update)>,
    unsaved_bytes: usize,
    /// Frames of an encrypted document that are not saved yet, in order: their lengths.
    unsaved_frames: VecDeque<(u64, usize)>,
    /// What to send once all up to a sequence number is saved.
    acks: VecDeque<Ack>,
    acks_bytes: usize,
    /// Rows and bytes behind the snapshot, and the bytes of that.
    updates: usize,
    bytes: usize,
    snapshot_bytes: usize,
    /// Updates appended since the replica was frozen for a compaction under way.
    since_freeze: Option<Vec<Update>>,
    recent: Recent,
}

/// The last updates that were saved: an author whose connection broke may have missed that.
#[derive(Debug, Default)]
struct Recent {
    updates: VecDeque<Update>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, update: Update) {
        self.bytes += update.bytes().len();
        self.updates.push_back(update);
        while self.bytes > limits::RECENT_BYTES_MAX
            && let Some(oldest) = self.updates.pop_front()
        {
            self.bytes -= oldest.bytes().len();
        }
    }
}

/// What an entry of a queue takes beside its payload.
pub(crate) const ENTRY_BYTES: usize = 64;

/// A message that waits for its update to be saved.
#[derive(Debug)]
pub(crate) struct Ack {
    after: u64,
    pub(crate) peer: PeerId,
    pub(crate) message: Bytes,
}

/// What the store says of a document it has loaded.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LogSize {
    /// The highest sequence number in use.
    pub last_seq: u64,
    /// Bytes of the snapshot rows.
    pub snapshot_bytes: usize,
    /// Rows behind the snapshot.
    pub updates: usize,
    /// Bytes of these rows.
    pub bytes: usize,
}

impl Log {
    /// `tail`: the last rows, oldest first.
    pub(crate) fn loaded(size: LogSize, tail: Vec<Update>) -> Self {
        let mut recent = Recent::default();
        tail.into_iter().for_each(|update| recent.push(update));
        Self {
            recent,
            last: size.last_seq,
            saved: size.last_seq,
            updates: size.updates,
            bytes: size.bytes,
            snapshot_bytes: size.snapshot_bytes,
            ..Self::default()
        }
    }

    /// Takes the next sequence number for an update.
    pub(crate) fn append(&mut self, update: &Update) -> u64 {
        let bytes = update.bytes().len();
        self.last += 1;
        self.unsaved.push_back((self.last, update.clone()));
        self.unsaved_bytes += bytes + ENTRY_BYTES;
        self.updates += 1;
        self.bytes += bytes;
        if let Some(since) = &mut self.since_freeze {
            since.push(update.clone());
        }
        self.last
    }

    /// Takes the next sequence number for a frame of an encrypted document.
    pub(crate) fn append_frame(&mut self, bytes: usize) -> u64 {
        self.last += 1;
        self.unsaved_frames.push_back((self.last, bytes));
        self.unsaved_bytes += bytes + ENTRY_BYTES;
        self.last
    }

    /// Queues a message for the time when all that is appended so far is saved; hands it back
    /// if that is so already.
    pub(crate) fn acknowledge(&mut self, peer: PeerId, message: Bytes) -> Option<Bytes> {
        if self.is_saved() {
            return Some(message);
        }
        self.acks_bytes += message.len() + ENTRY_BYTES;
        self.acks.push_back(Ack { after: self.last, peer, message });
        None
    }

    pub(crate) fn forget_acks_of(&mut self, peer: PeerId) {
        self.acks.retain(|ack| ack.peer != peer);
        self.acks_bytes = self.acks.iter().map(|ack| ack.message.len() + ENTRY_BYTES).sum();
    }

    /// Moves the watermark; what may be acknowledged now is handed out in order.
    pub(crate) fn saved(&mut self, seq: u64) -> Vec<Ack> {
        assert!(seq <= self.last, "the store saved what was never appended");
        self.saved = self.saved.max(seq);
        self.failing = false;
        while let Some((_, update)) = self.unsaved.pop_front_if(|(seq, _)| *seq <= self.saved) {
            self.unsaved_bytes -= update.bytes().len() + ENTRY_BYTES;
            self.recent.push(update);
        }
        while let Some((_, bytes)) = self.unsaved_frames.pop_front_if(|(seq, _)| *seq <= self.saved)
        {
            self.unsaved_bytes -= bytes + ENTRY_BYTES;
        }
        let mut due = Vec::new();
        while let Some(ack) = self.acks.pop_front_if(|ack| ack.after <= self.saved) {
            self.acks_bytes -= ack.message.len() + ENTRY_BYTES;
            due.push(ack);
        }
        due
    }

    /// The last updates that were saved, oldest first.
    pub(crate) fn recent(&self) -> impl Iterator<Item = &Update> {
        self.recent.updates.iter()
    }

    pub(crate) fn failed(&mut self) {
        self.failing = true;
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.failing
    }

    pub(crate) fn is_saved(&self) -> bool {
        self.saved == self.last
    }

    /// Whether too much waits to be saved, or to be acknowledged after that.
    pub(crate) fn is_full(&self) -> bool {
        self.unsaved_bytes.max(self.acks_bytes) >= limits::UNSAVED_BYTES_PER_DOCUMENT_MAX
    }

    /// What it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.unsaved_bytes + self.acks_bytes + self.recent.bytes
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.last
    }

    /// Whether the rows behind the snapshot are worth a compaction.
    pub(crate) fn wants_compaction(&self) -> bool {
        self.since_freeze.is_none()
            && (self.updates > limits::LOG_UPDATES_MAX
                || self.bytes > limits::LOG_BYTES_MAX.max(2 * self.snapshot_bytes))
    }

    pub(crate) fn freeze(&mut self) {
        self.since_freeze = Some(Vec::new());
        self.updates = 0;
        self.bytes = 0;
    }

    pub(crate) fn is_compacting(&self) -> bool {
        self.since_freeze.is_some()
    }

    /// Ends a compaction and hands out what was appended meanwhile.
    pub(crate) fn thaw(&mut self, snapshot_bytes: usize) -> Vec<Update> {
        self.snapshot_bytes = snapshot_bytes;
        self.since_freeze.take().unwrap_or_default()
    }

    /// Ends a compaction that came to nothing. The rows stay; the next try comes with growth.
    pub(crate) fn abandon_compaction(&mut self) {
        self.since_freeze = None;
    }
}
