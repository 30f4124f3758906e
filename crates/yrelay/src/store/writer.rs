//! The store thread: takes what is due, syncs the log or commits to the database, and says what
//! became of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::thread;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use yrelay_core::id::DocumentId;

use super::backlog::{Group, Part, Synced};
use super::place::Held;
use super::rows::{self, Fault};
use super::tail::{self, Syncing};
use super::work::Compaction;
use super::{Queue, Shared, Slot, StoreError, lock, now};

/// Where tests reach into an open transaction, to fail it or to spoil what it did.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// The rows of a document are about to be written.
    Write(#[cfg_attr(not(test), expect(dead_code, reason = "for tests"))] &'a DocumentId),
    /// A snapshot is written and about to be read back.
    ReadBack,
    /// The transaction is about to be committed.
    Commit,
}

/// Called at each [`Step`]; outside tests it does nothing.
pub(super) type Probe = Box<dyn FnMut(Step<'_>, &Connection) -> rusqlite::Result<()> + Send>;

/// What is to be done, and what of the log belongs to it.
enum Task {
    Sync(Vec<Synced>, Syncing),
    Move(Batch),
}

/// What is moved to the database.
struct Batch {
    parts: Vec<Part>,
    /// It is all that waited.
    is_all: bool,
    /// What comes later is in the log under this turn.
    next_turn: u64,
    /// Notes of deletions up to this turn can go.
    purge: Option<u64>,
}

/// Owns everything that writes.
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Empty after a failure: what failed once is not trusted again but opened anew.
    slot: Slot,
    held: Option<Held>,
    wake: Box<dyn Fn() + Send>,
    probe: Probe,
    /// As in [`Pace`](super::pace::Pace).
    wal_frames: i64,
    /// Whether the last checkpoint failed, so as to say it once.
    stuck: bool,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        slot: Slot,
        held: Option<Held>,
        wake: Box<dyn Fn() + Send>,
        probe: Probe,
        wal_frames: i64,
    ) -> Self {
        Self { shared, slot, held, wake, probe, wal_frames, stuck: false }
    }

    pub(super) fn spawn(mut self) -> Result<(), StoreError> {
        let spawned = thread::Builder::new().name("store".to_owned()).spawn(move || {
            let end = catch_unwind(AssertUnwindSafe(|| self.run()));
            let end = end.unwrap_or_else(|_| Err("the store thread has panicked".to_owned()));
            self.stop(end);
        });
        spawned.map(drop).map_err(|error| StoreError::Unopened {
            path: Path::new("the store thread").to_owned(),
            reason: error.to_string(),
        })
    }

    /// Until the store closes; then what is unsaved for good.
    fn run(&mut self) -> Result<(), String> {
        let mut trouble = None;
        while let Some(task) = self.next() {
            match task {
                Task::Sync(group, syncing) => self.sync(group, &syncing),
                Task::Move(batch) => {
                    self.save(&batch, &mut trouble);
                    self.checkpoint();
                }
            }
        }
        match trouble {
            Some(reason) if self.shared.queue().backlog.unsaved_bytes() > 0 => Err(reason),
            _ => Ok(()),
        }
    }

    /// Waits for what is due. `None` when the store closes and everything has had its chance.
    fn next(&self) -> Option<Task> {
        let mut queue = self.shared.queue();
        loop {
            let now = now();
            let has_log = queue.has_log();
            match queue.backlog.take(has_log, now) {
                Some(Group::Sync(group)) => {
                    if let Some(tail) = &mut queue.tail {
                        return Some(Task::Sync(group, tail.begin_sync()));
                    }
                }
                Some(Group::Move(parts)) if !parts.is_empty() => {
                    let is_all = !queue.backlog.holds_back();
                    let tail = queue.tail.as_mut();
                    let (next_turn, purge) = tail.map_or_else(
                        || (tail::fresh_turn(), None),
                        |tail| (tail.turn(), tail.purges()),
                    );
                    return Some(Task::Move(Batch { parts, is_all, next_turn, purge }));
                }
                Some(Group::Move(_)) => {
                    queue.backlog.end_move();
                    self.shared.changed.notify_all();
                }
                None if queue.backlog.closing() => return None,
                None => {
                    let changed = &self.shared.changed;
                    queue = match queue.backlog.due(has_log) {
                        Some(due) => {
                            let wait = due.saturating_duration_since(now);
                            let woken = changed.wait_timeout(queue, wait);
                            woken.unwrap_or_else(PoisonError::into_inner).0
                        }
                        None => changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                    };
                }
            }
        }
    }

    /// Saves by the log alone. What that cannot save is moved at once.
    fn sync(&self, group: Vec<Synced>, syncing: &Syncing) {
        let results = syncing.sync();
        let mut queue = self.shared.queue();
        let is_synced = queue.tail.as_mut().is_some_and(|tail| tail.end_sync(syncing, results));
        match is_synced && queue.has_log() {
            true => queue.backlog.synced(group),
            false => queue.backlog.not_synced(),
        }
        drop(queue);
        (self.wake)();
    }

    /// Commits the batch as one group or, if that fails, document by document, with the compactions
    /// that follow, and reports.
    fn save(&mut self, batch: &Batch, trouble: &mut Option<String>) {
        let results = self.commit_group(batch);
        let mut queue = self.shared.queue();
        if let Some(tail) = &mut queue.tail {
            if batch.is_all && results.iter().all(Result::is_ok) {
                tail.moved();
            }
            if batch.parts.iter().any(|part| part.work.forgotten) {
                tail.noted(batch.next_turn);
            }
        }
        let failing_before = queue.backlog.failing();
        let mut compactions = Vec::new();
        for (part, result) in batch.parts.iter().zip(results) {
            match result {
                Ok(()) => {
                    queue.backlog.moved(part);
                    if let Some(compaction) = &part.work.compaction {
                        compactions.push((&part.document, compaction));
                    }
                }
                Err(reason) => {
                    queue.backlog.failed(part, &reason);
                    if part.work.compaction.is_some() {
                        let why = format!("its updates are not saved: {reason}");
                        queue.backlog.compacted(part.document.clone(), Err(why));
                    }
                    *trouble = Some(reason);
                }
            }
        }
        let failing = queue.backlog.failing();
        queue.backlog.end_move();
        drop(queue);
        self.shared.changed.notify_all();
        match (failing_before, failing) {
            (0, 1..) => {
                let reason = trouble.as_deref().unwrap_or_default();
                tracing::error!(
                    documents = failing,
                    reason,
                    "cannot save; keeping changes in memory"
                );
            }
            (1.., 0) => tracing::info!("everything is saved again"),
            _ => {}
        }
        (self.wake)();
        for (document, compaction) in compactions {
            let result = self.compact(document, compaction);
            self.shared.queue().backlog.compacted(document.clone(), result);
            (self.wake)();
        }
    }

    fn commit_group(&mut self, batch: &Batch) -> Vec<Result<(), String>> {
        let parts = &batch.parts;
        let fault = match self.commit(parts, batch) {
            Ok(()) => return parts.iter().map(|_| Ok(())).collect(),
            Err(fault) => fault,
        };
        if parts.len() == 1 || fault.is_everywhere() {
            return parts.iter().map(|_| Err(fault.to_string())).collect();
        }
        let alone = |part| {
            let committed = self.commit(std::slice::from_ref(part), batch);
            committed.map_err(|fault| fault.to_string())
        };
        parts.iter().map(alone).collect()
    }

    /// One transaction over these documents.
    fn commit(&mut self, parts: &[Part], batch: &Batch) -> Result<(), Fault> {
        self.transact(|tx, probe| {
            if let Some(turn) = batch.purge {
                tail::purge(tx, turn)?;
            }
            for Part { document, work } in parts {
                probe(Step::Write(document), tx)?;
                rows::write(tx, document, work)?;
                if work.forgotten {
                    tail::note(tx, document, batch.next_turn)?;
                }
            }
            Ok(())
        })
    }

    fn compact(&mut self, document: &DocumentId, compaction: &Compaction) -> Result<u64, String> {
        self.transact(|tx, probe| rows::compact(tx, document, compaction, probe))
            .map(|()| compaction.upto)
            .map_err(|fault| fault.to_string())
    }

    /// All or nothing, on the disk when it returns.
    fn transact(
        &mut self,
        change: impl FnOnce(&Transaction<'_>, &mut Probe) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let start = now();
        let database = &self.shared.database;
        let mut slot = lock(&self.slot);
        let result = match slot.as_mut() {
            _ if database.is_gone() => Err(Fault::Gone),
            Some(connection) => transact(connection, &mut self.probe, change),
            None => database
                .connect()
                .map_err(Fault::from)
                .and_then(|connection| transact(slot.insert(connection), &mut self.probe, change)),
        };
        if result.is_err() && database.reopens() {
            *slot = None;
        }
        drop(slot);
        if let Err(fault) = &result
            && fault.is_damage()
        {
            self.shared.note_damage(&fault.to_string());
        }
        let time = now() - start;
        self.shared.queue().backlog.count(result.is_ok().then_some(time));
        result
    }

    /// Moves the WAL into the file when it has grown. What is committed is safe either way.
    fn checkpoint(&mut self) {
        let mut slot = lock(&self.slot);
        let Some(connection) = slot.as_ref() else { return };
        let result = waiting_frames(connection).and_then(|frames| {
            if frames < self.wal_frames {
                return Ok(());
            }
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        });
        match result {
            Ok(()) => self.stuck = false,
            Err(error) => {
                if !self.stuck {
                    tracing::warn!(%error, "the write-ahead log cannot be folded into the store");
                }
                self.stuck = true;
                if self.shared.database.reopens() {
                    *slot = None;
                }
            }
        }
    }

    /// Whoever closes last folds the WAL into the file: that must be a connection that writes.
    fn stop(self, end: Result<(), String>) {
        let reader = lock(&self.shared.reader).take();
        drop(reader);
        let writer = lock(&self.slot).take();
        if end.is_ok()
            && let Queue { backlog, tail: Some(tail) } = &*self.shared.queue()
            && backlog.bytes() == 0
            && tail.remove()
            && let Some(writer) = &writer
            && let Err(error) = tail::purge(writer, u64::MAX)
        {
            tracing::info!(%error, "the notes of deletions are left for the next start");
        }
        drop(writer);
        drop(self.held);
        self.shared.queue().backlog.stop(end.err());
        self.shared.changed.notify_all();
        (self.wake)();
    }
}

fn transact(
    connection: &mut Connection,
    probe: &mut Probe,
    change: impl FnOnce(&Transaction<'_>, &mut Probe) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    change(&tx, probe)?;
    probe(Step::Commit, &tx)?;
    tx.commit()?;
    Ok(())
}

/// Frames that are committed and not yet in the main file.
fn waiting_frames(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
        Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?)
    })
}
