//! What waits for the disk: one entry per document with something that is not in the database. Its
//! rows are saved once the log that they were written to is synced, or else when they are moved to
//! the database. No I/O happens here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use yrelay_core::id::DocumentId;

use super::pace::Pace;
use super::work::Work;
use super::{Outcome, Stats};

mod entry;
mod queue;

use entry::{Entry, Retry};
pub(super) use entry::{Group, Part, Synced};

/// All that waits, and what became of what did.
pub(super) struct Backlog {
    pace: Pace,
    now: fn() -> Instant,
    entries: HashMap<DocumentId, Entry>,
    /// When the first thing came that waits to be saved.
    unsaved_since: Option<Instant>,
    /// When the first thing came that waits to be moved.
    unmoved_since: Option<Instant>,
    /// Something waits that only the database can save.
    must_move: bool,
    /// How many moves have ended.
    moves: u64,
    /// Bytes that came since the last move.
    fresh: u64,
    bytes: u64,
    outcomes: HashMap<DocumentId, Outcome>,
    failing: HashSet<DocumentId>,
    commits: u64,
    commit_failures: u64,
    commit_time: Duration,
    syncs: u64,
    closing: bool,
    /// What is out was taken after closing began: whatever fails of it is not tried again.
    last_chance: bool,
    stopped: Option<Result<(), String>>,
}

impl Backlog {
    pub(super) fn new(pace: Pace, now: fn() -> Instant) -> Self {
        Self {
            pace,
            now,
            entries: HashMap::new(),
            unsaved_since: None,
            unmoved_since: None,
            must_move: false,
            moves: 0,
            fresh: 0,
            bytes: 0,
            outcomes: HashMap::new(),
            failing: HashSet::new(),
            commits: 0,
            commit_failures: 0,
            commit_time: Duration::ZERO,
            syncs: 0,
            closing: false,
            last_chance: false,
            stopped: None,
        }
    }

    /// All that is known of a document and not known to be in the database, what came first first.
    pub(super) fn waiting(&self, document: &DocumentId) -> Vec<Work> {
        let entry = self.entries.get(document);
        entry.into_iter().flat_map(Entry::works).cloned().collect()
    }

    /// When there is something to take; in the past when that is now. `has_log` says whether all that
    /// waits is in the log.
    pub(super) fn due(&self, has_log: bool) -> Option<Instant> {
        self.saves_at().into_iter().chain(self.moves_at(has_log)).min()
    }

    fn saves_at(&self) -> Option<Instant> {
        self.unsaved_since.map(|since| since + self.pace.interval)
    }

    fn moves_at(&self, has_log: bool) -> Option<Instant> {
        let wait = match self.closing || self.fresh >= self.pace.batch_bytes {
            true => Duration::ZERO,
            false if has_log && !self.must_move => self.pace.move_interval,
            false => self.pace.interval,
        };
        let group = self.unmoved_since.map(|since| since + wait);
        let retries = self.entries.values().filter_map(|entry| entry.retry.map(|retry| retry.at));
        group.into_iter().chain(retries).min()
    }

    /// All that waits is to be moved now. Once this many moves have ended, it has been tried.
    pub(super) fn hurry(&mut self) -> u64 {
        let waits = self.holds_back();
        if waits {
            self.must_move = true;
            self.unmoved_since.get_or_insert_with(self.now);
        }
        let is_moving = self.entries.values().any(|entry| entry.moving.is_some());
        self.moves + u64::from(waits) + u64::from(is_moving)
    }

    /// A move has ended.
    pub(super) fn end_move(&mut self) {
        self.moves += 1;
    }

    pub(super) fn moves(&self) -> u64 {
        self.moves
    }

    /// Hands out everything that is due.
    pub(super) fn take(&mut self, has_log: bool, now: Instant) -> Option<Group> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let moves = is_due(self.moves_at(has_log));
        if !moves && !is_due(self.saves_at()) {
            return None;
        }
        self.unsaved_since = None;
        Some(if moves { Group::Move(self.take_parts(now)) } else { Group::Sync(self.unsynced()) })
    }

    fn take_parts(&mut self, now: Instant) -> Vec<Part> {
        self.last_chance = self.closing;
        self.unmoved_since = None;
        self.must_move = false;
        self.fresh = 0;
        let due = |entry: &Entry| entry.retry.is_none_or(|retry| retry.at <= now);
        self.entries
            .iter_mut()
            .filter(|(_, entry)| !entry.work.is_empty() && due(entry))
            .map(|(document, entry)| {
                let work = Arc::new(std::mem::take(&mut entry.work));
                entry.moving = Some(work.clone());
                Part { document: document.clone(), work }
            })
            .collect()
    }

    /// What cannot be moved is not said to be saved either.
    fn unsynced(&self) -> Vec<Synced> {
        let of = |(document, entry): (&DocumentId, &Entry)| {
            let seq = entry.last.filter(|seq| *seq > entry.synced && entry.retry.is_none())?;
            Some(Synced { document: document.clone(), seq, life: entry.life })
        };
        self.entries.iter().filter_map(of).collect()
    }

    /// Whether something waits to be tried again, and was not handed out.
    pub(super) fn holds_back(&self) -> bool {
        self.entries.values().any(|entry| !entry.work.is_empty())
    }

    /// These are saved in the log.
    pub(super) fn synced(&mut self, synced: Vec<Synced>) {
        self.syncs += 1;
        for Synced { document, seq, life } in synced {
            let Some(entry) = self.entries.get_mut(&document) else { continue };
            if entry.life != life {
                continue;
            }
            entry.synced = seq;
            self.outcomes.entry(document).or_default().saved = Some(seq);
        }
    }

    /// The log could not be synced: what it was to save is moved.
    pub(super) fn not_synced(&mut self) {
        self.unsaved_since.get_or_insert_with(self.now);
        self.must_move = true;
    }

    /// The work is in the database.
    pub(super) fn moved(&mut self, part: &Part) {
        let Part { document, work } = part;
        let Some(entry) = self.entries.get_mut(document) else { return };
        let cost = work.cost();
        entry.moving = None;
        self.bytes -= cost;
        entry.retry = None;
        self.failing.remove(document);
        let superseded = entry.work.forgotten;
        if entry.work.is_empty() {
            self.entries.remove(document);
            if self.entries.is_empty() {
                // There may have been many.
                self.entries = HashMap::new();
            }
        } else {
            let now = (self.now)();
            self.unsaved_since.get_or_insert(now);
            self.unmoved_since.get_or_insert(now);
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
            outcome.saved = outcome.saved.max(Some(row.seq));
            outcome.failed = None;
        }
    }

    /// The work is not in the database: it goes back to the head of its queue.
    pub(super) fn failed(&mut self, part: &Part, reason: &str) {
        let Part { document, work } = part;
        let Some(entry) = self.entries.get_mut(document) else { return };
        entry.moving = None;
        let mut work = Work::clone(work);
        if entry.work.forgotten {
            // It was deleted meanwhile: what could not be written need not be.
            let cost = work.cost();
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
        entry.work.history = entry.work.history.take().or(work.history);
        let has_rows = !entry.work.rows.is_empty();
        if !has_rows && !entry.work.unconfirmed && !entry.work.forgotten {
            // A confirmation may be late: it goes with the next group.
            return;
        }
        let delay = entry.retry.map_or(self.pace.retry, |retry| retry.delay);
        let next = (delay * 2).min(self.pace.retry_max);
        // What was under way when the store began to close is tried once more, as all else is.
        let wait = if self.closing && !self.last_chance { Duration::ZERO } else { delay };
        entry.retry = Some(Retry { at: (self.now)() + wait, delay: next });
        if has_rows {
            self.outcomes.entry(document.clone()).or_default().failed = Some(reason.to_owned());
            self.failing.insert(document.clone());
        }
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
    pub(super) fn begin_close(&mut self) {
        if self.closing {
            return;
        }
        self.closing = true;
        for retry in self.entries.values_mut().filter_map(|entry| entry.retry.as_mut()) {
            retry.at = (self.now)();
        }
    }

    pub(super) fn closing(&self) -> bool {
        self.closing
    }

    /// The store thread is gone; `trouble` says what is not as it should be.
    pub(super) fn stop(&mut self, trouble: Option<String>) {
        let unsaved = self.entries.iter().filter(|(_, entry)| entry.unsaved_bytes() > 0);
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
        std::mem::take(&mut self.outcomes).into_iter().collect()
    }

    /// Cost of all that is not known to be in the database.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Cost of what is not saved of a document.
    pub(super) fn unsaved_bytes_of(&self, document: &DocumentId) -> u64 {
        self.entries.get(document).map_or(0, Entry::unsaved_bytes)
    }

    /// Cost of all that is not saved.
    pub(super) fn unsaved_bytes(&self) -> u64 {
        self.entries.values().map(Entry::unsaved_bytes).sum()
    }

    /// Whether the deletion of a document waits, or is under way.
    pub(super) fn forgets(&self, document: &DocumentId) -> bool {
        self.entries.get(document).is_some_and(Entry::forgets)
    }

    /// How many documents' last write failed.
    pub(super) fn failing(&self) -> usize {
        self.failing.len()
    }

    pub(super) fn stats(&self) -> Stats {
        let unsaved = || self.entries.values().map(Entry::unsaved_bytes).filter(|bytes| *bytes > 0);
        Stats {
            unsaved_bytes: unsaved().sum(),
            unsaved_documents: unsaved().count(),
            failing_documents: self.failing.len(),
            commits: self.commits,
            commit_failures: self.commit_failures,
            commit_time: self.commit_time,
            syncs: self.syncs,
        }
    }
}
