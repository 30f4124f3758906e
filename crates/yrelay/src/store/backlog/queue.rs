//! What is given to the store waits here.

use yrelay_core::history::History;
use yrelay_core::id::DocumentId;

use super::Backlog;
use super::entry::Entry;
use crate::store::work::{Compaction, Row, Work};

/// What something that is queued waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// To be saved.
    Saved,
    /// To be saved, which the log cannot.
    Moved,
    /// Nothing: it may be lost.
    Whenever,
}

impl Backlog {
    /// Queues a row; whether the writer must look again.
    pub(in crate::store) fn append(&mut self, document: &DocumentId, row: Row) -> bool {
        let cost = row.cost();
        self.bytes += cost;
        self.queue(document, cost, Wish::Saved, |entry| {
            assert!(
                entry.last.is_none_or(|last| last < row.seq),
                "sequence numbers of a document ascend"
            );
            entry.last = Some(row.seq);
            entry.work.rows.push(row);
        })
    }

    /// Queues a confirmation; whether the writer must look again.
    pub(in crate::store) fn confirm(&mut self, document: &DocumentId, seq: u64) -> bool {
        self.queue(document, 0, Wish::Whenever, |entry| {
            entry.work.confirmed = entry.work.confirmed.max(Some(seq));
        })
    }

    /// Takes back all confirmations; whether the writer must look again.
    pub(in crate::store) fn unconfirm(&mut self, document: &DocumentId) -> bool {
        self.queue(document, 0, Wish::Moved, |entry| {
            entry.work.unconfirmed = true;
            entry.work.confirmed = None;
        })
    }

    /// Queues the time at which somebody has it open; whether the writer must look again.
    pub(in crate::store) fn note_opened(&mut self, document: &DocumentId, unix_ms: u64) -> bool {
        self.queue(document, 0, Wish::Whenever, |entry| {
            entry.work.opened_ms = Some(unix_ms);
        })
    }

    /// Queues what is to be remembered of a document's histories; whether the writer must look again.
    pub(in crate::store) fn note_history(
        &mut self,
        document: &DocumentId,
        history: History,
    ) -> bool {
        self.queue(document, 0, Wish::Moved, |entry| entry.work.history = Some(history))
    }

    /// Queues a compaction, in place of one that still waits; whether the writer must look again.
    pub(in crate::store) fn compact(
        &mut self,
        document: &DocumentId,
        compaction: Compaction,
    ) -> bool {
        // Until it is there, a start takes in one by one what it holds.
        self.queue(document, compaction.bytes(), Wish::Moved, |entry| {
            entry.work.compaction = Some(compaction);
        })
    }

    /// Queues the deletion of a document, in place of all that waits of it; whether the writer must
    /// look again.
    pub(in crate::store) fn forget(&mut self, document: &DocumentId) -> bool {
        let work = Work { forgotten: true, ..Work::default() };
        let cost = work.cost();
        let dropped = self.entries.get(document).map_or(0, |entry| entry.work.cost());
        self.bytes = self.bytes + cost - dropped;
        self.failing.remove(document);
        self.outcomes.remove(document);
        self.queue(document, cost, Wish::Moved, |entry| {
            entry.work = work;
            entry.last = None;
            entry.synced = 0;
            entry.retry = None;
            entry.life += 1;
        })
    }

    /// The writer sleeps through everything but the first of a group and the one that fills it.
    fn queue(
        &mut self,
        document: &DocumentId,
        cost: u64,
        wish: Wish,
        change: impl FnOnce(&mut Entry),
    ) -> bool {
        let entry = match self.entries.get_mut(document) {
            Some(entry) => entry,
            None => self.entries.entry(document.clone()).or_default(),
        };
        change(entry);
        if entry.retry.is_some() {
            return false;
        }
        let is_full = |fresh| fresh >= self.pace.batch_bytes;
        let was_full = is_full(self.fresh);
        self.fresh += cost;
        let is_first = match wish {
            Wish::Whenever => self.unmoved_since.is_none(),
            Wish::Saved | Wish::Moved => self.unsaved_since.is_none(),
        };
        if is_first {
            let now = (self.now)();
            self.unmoved_since.get_or_insert(now);
            if wish != Wish::Whenever {
                self.unsaved_since = Some(now);
            }
        }
        self.must_move |= wish == Wish::Moved;
        is_first || (!was_full && is_full(self.fresh))
    }
}
