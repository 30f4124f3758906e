//! What waits for the disk: one entry per document with something unsaved. No I/O happens here.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use yrelay_core::id::DocumentId;

use super::work::{Compaction, Row, Work};
use super::{Outcome, Stats};

/// When to write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How long the first thing queued waits for company.
    pub(super) interval: Duration,
    /// With this many bytes queued there is company enough.
    pub(super) batch_bytes: u64,
    /// Delay after a first failure; doubles with each further one.
    pub(super) retry: Duration,
    /// Where doubling ends.
    pub(super) retry_max: Duration,
    /// With this many frames (pages) in the WAL it is folded into the file.
    pub(super) wal_frames: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(20),
            batch_bytes: 4 << 20,
            retry: Duration::from_secs(1),
            retry_max: Duration::from_secs(10),
            wal_frames: 1_000, // about 4 MiB
        }
    }
}

/// A document whose last write failed.
#[derive(Debug, Clone, Copy)]
struct Retry {
    at: Instant,
    /// What the next failure costs.
    delay: Duration,
}

#[derive(Debug, Default)]
struct Entry {
    work: Work,
    /// The highest `seq` given since this entry came to be.
    last: Option<u64>,
    /// Cost of all rows not known to be saved: queued, and in the writer's hands.
    bytes: u64,
    retry: Option<Retry>,
    /// A deletion waits, or is in the writer's hands.
    forgetting: bool,
}

/// All that waits, and what became of what did.
pub(super) struct Backlog {
    pace: Pace,
    entries: HashMap<DocumentId, Entry>,
    /// When the first thing came that waits for the next group.
    first: Option<Instant>,
    /// Bytes for the next group.
    fresh: u64,
    bytes: u64,
    outcomes: HashMap<DocumentId, Outcome>,
    failing: HashSet<DocumentId>,
    commits: u64,
    commit_failures: u64,
    commit_time: Duration,
    closing: bool,
    /// What is out was taken after closing began: whatever fails of it is not tried again.
    last_chance: bool,
    stopped: Option<Result<(), String>>,
}

impl Backlog {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            entries: HashMap::new(),
            first: None,
            fresh: 0,
            bytes: 0,
            outcomes: HashMap::new(),
            failing: HashSet::new(),
            commits: 0,
            commit_failures: 0,
            commit_time: Duration::ZERO,
            closing: false,
            last_chance: false,
            stopped: None,
        }
    }

    /// Queues a row; whether the writer must look again.
    pub(super) fn append(
        &mut self,
        document: &DocumentId,
        row: Row,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        let entry = self.entries.entry(document.clone()).or_default();
        assert!(
            entry.last.is_none_or(|last| last < row.seq),
            "sequence numbers of a document ascend"
        );
        let cost = row.cost();
        entry.last = Some(row.seq);
        entry.bytes += cost;
        entry.work.rows.push(row);
        let waits_for_retry = entry.retry.is_some();
        self.bytes += cost;
        !waits_for_retry && self.freshen(cost, now)
    }

    /// Queues a confirmation; whether the writer must look again.
    pub(super) fn confirm(
        &mut self,
        document: &DocumentId,
        seq: u64,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        let entry = self.entries.entry(document.clone()).or_default();
        entry.work.confirmed = entry.work.confirmed.max(Some(seq));
        let waits_for_retry = entry.retry.is_some();
        !waits_for_retry && self.freshen(0, now)
    }

    /// Takes back all confirmations; whether the writer must look again.
    pub(super) fn unconfirm(
        &mut self,
        document: &DocumentId,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        let entry = self.entries.entry(document.clone()).or_default();
        entry.work.unconfirmed = true;
        entry.work.confirmed = None;
        let waits_for_retry = entry.retry.is_some();
        !waits_for_retry && self.freshen(0, now)
    }

    /// Queues the time at which somebody has it open; whether the writer must look again.
    pub(super) fn note_opened(
        &mut self,
        document: &DocumentId,
        unix_ms: u64,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        let entry = self.entries.entry(document.clone()).or_default();
        entry.work.opened_ms = Some(unix_ms);
        let waits_for_retry = entry.retry.is_some();
        !waits_for_retry && self.freshen(0, now)
    }

    /// Queues a compaction, in place of one that still waits; whether the writer must look again.
    pub(super) fn compact(
        &mut self,
        document: &DocumentId,
        compaction: Compaction,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        let entry = self.entries.entry(document.clone()).or_default();
        entry.work.compaction = Some(compaction);
        let waits_for_retry = entry.retry.is_some();
        !waits_for_retry && self.freshen(0, now)
    }

    /// Queues the deletion of a document, in place of all that waits of it; whether the writer must
    /// look again.
    pub(super) fn forget(&mut self, document: &DocumentId, now: impl FnOnce() -> Instant) -> bool {
        let entry = self.entries.entry(document.clone()).or_default();
        let work = Work { forgotten: true, ..Work::default() };
        let (cost, dropped) = (work.cost(), entry.work.cost());
        entry.bytes = entry.bytes + cost - dropped;
        self.bytes = self.bytes + cost - dropped;
        entry.work = work;
        entry.last = None;
        entry.retry = None;
        entry.forgetting = true;
        self.failing.remove(document);
        self.outcomes.remove(document);
        self.freshen(cost, now)
    }

    /// The writer sleeps through everything but the first of a group and the one that fills it.
    fn freshen(&mut self, cost: u64, now: impl FnOnce() -> Instant) -> bool {
        let was_full = self.fresh >= self.pace.batch_bytes;
        self.fresh += cost;
        let is_first = self.first.is_none();
        self.first.get_or_insert_with(now);
        is_first || (!was_full && self.fresh >= self.pace.batch_bytes)
    }

    /// When there is something to take; in the past when that is now.
    pub(super) fn due(&self) -> Option<Instant> {
        let at_once = self.closing || self.fresh >= self.pace.batch_bytes;
        let wait = if at_once { Duration::ZERO } else { self.pace.interval };
        let group = self.first.map(|first| first + wait);
        let retries = self.entries.values().filter_map(|entry| entry.retry.map(|retry| retry.at));
        group.into_iter().chain(retries).min()
    }

    /// Hands out everything that is due. Each part must come back through [`Backlog::saved`] or
    /// [`Backlog::failed`] before the next call.
    pub(super) fn take(&mut self, now: Instant) -> Vec<(DocumentId, Work)> {
        self.last_chance = self.closing;
        self.first = None;
        self.fresh = 0;
        self.entries
            .iter_mut()
            .filter(|(_, entry)| !entry.work.is_empty())
            .filter(|(_, entry)| entry.retry.is_none_or(|retry| retry.at <= now))
            .map(|(document, entry)| (document.clone(), std::mem::take(&mut entry.work)))
            .collect()
    }

    /// Whether something waits to be tried again, and was not handed out.
    pub(super) fn holds_back(&self) -> bool {
        self.entries.values().any(|entry| !entry.work.is_empty())
    }

    /// The work is on the disk.
    pub(super) fn saved(&mut self, document: &DocumentId, work: &Work, now: Instant) {
        let Some(entry) = self.entries.get_mut(document) else { return };
        let cost = work.cost();
        entry.bytes -= cost;
        self.bytes -= cost;
        entry.retry = None;
        self.failing.remove(document);
        let superseded = entry.work.forgotten;
        entry.forgetting = superseded;
        if entry.work.is_empty() {
            self.entries.remove(document);
        } else {
            self.first.get_or_insert(now);
        }
        if superseded {
            return;
        }
        if work.forgotten {
            // Whoever waits for it looks.
            self.outcomes.entry(document.clone()).or_default();
        }
        if let Some(row) = work.rows.last() {
            let outcome = self.outcomes.entry(document.clone()).or_default();
            outcome.saved = Some(row.seq);
            outcome.failed = None;
        }
    }

    /// The work is not on the disk: it goes back to the head of its queue.
    pub(super) fn failed(
        &mut self,
        document: &DocumentId,
        mut work: Work,
        reason: &str,
        now: Instant,
    ) {
        let Some(entry) = self.entries.get_mut(document) else { return };
        if entry.work.forgotten {
            // It was deleted meanwhile: what could not be written need not be.
            let cost = work.cost();
            entry.bytes -= cost;
            self.bytes -= cost;
            work = Work::default();
        }
        entry.work.forgotten |= work.forgotten;
        work.rows.append(&mut entry.work.rows);
        entry.work.rows = work.rows;
        if !entry.work.unconfirmed {
            entry.work.confirmed = entry.work.confirmed.max(work.confirmed);
        }
        entry.work.unconfirmed |= work.unconfirmed;
        entry.work.opened_ms = entry.work.opened_ms.or(work.opened_ms);
        let all_saved = entry.work.rows.is_empty();
        if all_saved && !entry.work.unconfirmed && !entry.work.forgotten {
            // A confirmation may be late: it goes with the next group.
            return;
        }
        let delay = entry.retry.map_or(self.pace.retry, |retry| retry.delay);
        let next = (delay * 2).min(self.pace.retry_max);
        // What was under way when the store began to close is tried once more, as all else is.
        let wait = if self.closing && !self.last_chance { Duration::ZERO } else { delay };
        entry.retry = Some(Retry { at: now + wait, delay: next });
        if all_saved {
            return;
        }
        self.failing.insert(document.clone());
        let outcome = self.outcomes.entry(document.clone()).or_default();
        outcome.failed = Some(reason.to_owned());
    }

    /// A compaction ended.
    pub(super) fn compacted(&mut self, document: DocumentId, result: Result<u64, String>) {
        self.outcomes.entry(document).or_default().compacted = Some(result);
    }

    /// Counts one transaction.
    pub(super) fn count(&mut self, committed: Option<Duration>) {
        match committed {
            Some(time) => {
                self.commits += 1;
                self.commit_time += time;
            }
            None => self.commit_failures += 1,
        }
    }

    /// From here on nothing waits: what is due is everything, once.
    pub(super) fn begin_close(&mut self, now: Instant) {
        if self.closing {
            return;
        }
        self.closing = true;
        for retry in self.entries.values_mut().filter_map(|entry| entry.retry.as_mut()) {
            retry.at = now;
        }
    }

    pub(super) fn closing(&self) -> bool {
        self.closing
    }

    /// The store thread is gone; `trouble` says what is not as it should be.
    pub(super) fn stop(&mut self, trouble: Option<String>) {
        let unsaved = self.entries.iter().filter(|(_, entry)| entry.bytes > 0);
        for (document, _) in unsaved {
            let outcome = self.outcomes.entry(document.clone()).or_default();
            outcome.failed.get_or_insert_with(|| "the store has ended".to_owned());
        }
        self.stopped = Some(trouble.map_or(Ok(()), Err));
    }

    pub(super) fn stopped(&self) -> Option<&Result<(), String>> {
        self.stopped.as_ref()
    }

    pub(super) fn outcomes(&mut self) -> Vec<(DocumentId, Outcome)> {
        self.outcomes.drain().collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn document_bytes(&self, document: &DocumentId) -> u64 {
        self.entries.get(document).map_or(0, |entry| entry.bytes)
    }

    /// Whether the deletion of a document waits, or is under way.
    pub(super) fn forgets(&self, document: &DocumentId) -> bool {
        self.entries.get(document).is_some_and(|entry| entry.forgetting)
    }

    /// How many documents' last write failed.
    pub(super) fn failing(&self) -> usize {
        self.failing.len()
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            unsaved_bytes: self.bytes,
            unsaved_documents: self.entries.values().filter(|entry| entry.bytes > 0).count(),
            failing_documents: self.failing.len(),
            commits: self.commits,
            commit_failures: self.commit_failures,
            commit_time: self.commit_time,
        }
    }
}
