//! What one document has to write.

use bytes::Bytes;
use yrelay_core::history::History;

/// What an update costs in memory beside its bytes, so that the bounds hold for tiny ones too.
const ROW_OVERHEAD_BYTES: u64 = 64;

/// One update to store, or a frame of an encrypted document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) seq: u64,
    pub(super) update: Bytes,
    pub(super) local: bool,
    pub(super) is_frame: bool,
}

impl Row {
    pub(super) fn cost(&self) -> u64 {
        self.update.len() as u64 + ROW_OVERHEAD_BYTES
    }
}

/// A snapshot in place of everything up to a sequence number.
#[derive(Debug, Clone)]
pub(super) struct Compaction {
    pub(super) upto: u64,
    pub(super) snapshot: Vec<Bytes>,
}

impl Compaction {
    pub(super) fn bytes(&self) -> u64 {
        self.snapshot.iter().map(|piece| piece.len() as u64).sum()
    }
}

/// What one document has to write.
#[derive(Debug, Default, Clone)]
pub(super) struct Work {
    /// Ascending by `seq`.
    pub(super) rows: Vec<Row>,
    /// The highest confirmed `seq`. Rows above it keep the mark, so its order among them is
    /// of no account.
    pub(super) confirmed: Option<u64>,
    /// What was confirmed before is not any more.
    pub(super) unconfirmed: bool,
    pub(super) compaction: Option<Compaction>,
    /// Somebody has it open at this time.
    pub(super) opened_ms: Option<u64>,
    /// What is to be remembered of its histories.
    pub(super) history: Option<History>,
    /// All that was written of it before goes first.
    pub(super) forgotten: bool,
}

impl Work {
    /// What it takes in memory. A deletion counts as unsaved, too: nothing may be loaded before it.
    pub(super) fn cost(&self) -> u64 {
        self.cost_above(0)
    }

    /// The same, without the rows up to one.
    pub(super) fn cost_above(&self, seq: u64) -> u64 {
        let rows = self.rows.iter().filter(|row| row.seq > seq);
        let rows: u64 = rows.map(Row::cost).sum();
        rows + if self.forgotten { ROW_OVERHEAD_BYTES } else { 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.forgotten
            && self.rows.is_empty()
            && self.confirmed.is_none()
            && self.opened_ms.is_none()
            && self.history.is_none()
            && !self.unconfirmed
            && self.compaction.is_none()
    }
}
