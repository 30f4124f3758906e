//! The durable replica of every document: one SQLite file, a log before it, one writer thread.
//!
//! What a caller appends is written to the log (`tail`) at once and waits in memory (`backlog`).
//! The store thread (`writer`) syncs the log, once for all documents, and it is saved: that comes
//! back as an [`Outcome`]. More seldom the thread moves what waits to the database, in one
//! transaction. Nothing but [`Store::open`], [`Store::load`] and [`Store::close`] waits for the
//! disk on the caller's thread. SQLite is named here and below, nowhere else.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::Connection;
use yrelay_core::history::History;
use yrelay_core::id::DocumentId;

mod backlog;
mod backup;
mod cells;
pub mod elva_file;
mod error;
#[cfg(not(test))]
mod log_file;
mod pace;
mod pages;
mod place;
mod renew;
mod rows;
mod salvage;
mod schema;
mod tail;
#[cfg(test)]
mod tests;
mod told;
mod work;
mod writer;

use backlog::Backlog;
pub use error::{LoadError, StoreError};
use pace::Pace;
pub use place::exists;
use schema::Database;
use tail::Tail;
pub use told::{Loaded, Outcome, Stats, Stored};
use work::{Compaction, Row};
use writer::{Probe, Writer};

/// Above this many bytes that are not in the database, [`Store::has_room`] says no and readers wait:
/// what a small machine can hold in memory while its disk is away.
const WAITING_BYTES_MAX: u64 = 256 << 20;

/// Where the store keeps its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A data directory of our own: `yrelay.db` and the lock file beside it.
    Directory(PathBuf),
    /// Nothing outlives the process (`--ephemeral`).
    Memory,
}

/// Where changes go while the store is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow<'a> {
    /// To this upstream, or nowhere.
    Upstream(Option<&'a str>),
    /// It is opened to look after it: what it says of an upstream stays.
    AsBefore,
}

/// An opened store and what it holds.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Every document in it, in order of their identifiers.
    pub documents: Vec<Stored>,
    /// Where their changes go, or went last.
    pub upstream: Option<String>,
}

/// A handle to the store; clones share it. When the last one is dropped the store saves what is
/// queued and ends by itself; [`Store::close`] says whether that went well.
#[derive(Clone, Debug)]
pub struct Store {
    owner: Arc<Owner>,
}

/// Lives as long as any handle does.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.begin_close();
    }
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.database)
    }
}

/// A connection, while there is one.
type Slot = Arc<Mutex<Option<Connection>>>;

/// What handles and the store thread have in common.
struct Shared {
    database: Database,
    queue: Mutex<Queue>,
    /// The backlog has become due, is closing, or has stopped.
    changed: Condvar,
    /// For loads. In memory it is the writer's own, as the data lives in it. On disk it stays
    /// open while the writer reopens: so the WAL's index outlives a failed commit, and what was
    /// never synced is overwritten, not recovered from the page cache.
    reader: Slot,
    /// There was a store once, and at the start there was none.
    was_gone: bool,
    /// It is not what was written.
    damaged: AtomicBool,
}

/// What waits, and the log in which it is, if there is one.
struct Queue {
    backlog: Backlog,
    tail: Option<Tail>,
}

impl Queue {
    /// Whether a sync of the log saves all that waits.
    fn has_log(&self) -> bool {
        self.tail.as_ref().is_some_and(Tail::is_sound)
    }
}

impl Shared {
    /// The next start looks after it.
    fn note_damage(&self, detail: &str) {
        let Database::File(path) = &self.database else { return };
        if !self.damaged.swap(true, Ordering::Relaxed) {
            salvage::note(path);
            tracing::error!(
                detail,
                "the store is damaged: restart yrelay to have what can be read of it salvaged"
            );
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    fn begin_close(&self) {
        self.queue().backlog.begin_close();
        self.changed.notify_all();
    }
}

impl Store {
    /// Opens or creates the store. `upstream` says where changes go (without credentials) and is
    /// kept: if it is another than at the last start, every document is marked unconfirmed.
    /// `wake` is called on the store thread whenever [`Store::outcomes`] has news.
    pub fn open(
        place: Place,
        upstream: Option<&str>,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Opened, StoreError> {
        Self::open_following(place, Follow::Upstream(upstream), wake)
    }

    /// The same, with a choice of what becomes of the upstream that was kept.
    pub fn open_following(
        place: Place,
        follow: Follow<'_>,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Opened, StoreError> {
        Self::open_with(place, follow, Box::new(wake), Pace::default(), Box::new(|_, _| Ok(())))
    }

    fn open_with(
        place: Place,
        follow: Follow<'_>,
        wake: Box<dyn Fn() + Send>,
        pace: Pace,
        probe: Probe,
    ) -> Result<Opened, StoreError> {
        let (database, mut held) = place::take(place)?;
        let was_gone =
            held.as_ref().is_some_and(place::Held::had_store) && salvage::is_gone(&database);
        let opened = salvage::open(&database, follow)?;
        if was_gone {
            tracing::error!(
                store = %database,
                "the store is gone: its documents come back from upstream and editors"
            );
        }
        if let Some(held) = &mut held {
            held.has_store();
        }
        let writer: Slot = Arc::new(Mutex::new(Some(opened.writer)));
        let reader = match opened.reader {
            Some(reader) => Arc::new(Mutex::new(Some(reader))),
            None => Arc::clone(&writer),
        };
        let shared = Arc::new(Shared {
            database,
            queue: Mutex::new(Queue { backlog: Backlog::new(pace, now), tail: opened.tail }),
            changed: Condvar::new(),
            reader,
            was_gone,
            damaged: AtomicBool::new(false),
        });
        Writer::new(Arc::clone(&shared), writer, held, wake, probe, pace.wal_frames).spawn()?;
        let store = Self { owner: Arc::new(Owner(shared)) };
        Ok(Opened { store, documents: opened.documents, upstream: opened.upstream })
    }

    /// Queues an update. `seq` is above every earlier one of the document; `local` marks the document
    /// unconfirmed.
    pub fn append(&self, document: &DocumentId, seq: u64, update: Bytes, local: bool) {
        self.append_row(document, Row { seq, update, local, is_frame: false });
    }

    /// Queues a frame of an encrypted document. It is one thereby, for as long as it is stored.
    pub fn append_frame(&self, document: &DocumentId, seq: u64, frame: Bytes, local: bool) {
        self.append_row(document, Row { seq, update: frame, local, is_frame: true });
    }

    fn append_row(&self, document: &DocumentId, row: Row) {
        self.queue(|Queue { backlog, tail }| {
            if let Some(tail) = tail {
                tail.append(document, &row);
            }
            backlog.append(document, row)
        });
    }

    /// Writes what was appended where it survives the end of this process, though not a power cut.
    /// To be called before anybody else gets to see it.
    pub fn write(&self) {
        if let Some(tail) = &mut self.shared().queue().tail {
            tail.write();
        }
    }

    /// Clears the mark that says unconfirmed, unless the mark is for an update above `seq`.
    pub fn confirm(&self, document: &DocumentId, seq: u64) {
        self.queue(|queue| queue.backlog.confirm(document, seq));
    }

    /// Sets the mark that says unconfirmed, whatever was confirmed before.
    pub fn unconfirm(&self, document: &DocumentId) {
        self.queue(|queue| queue.backlog.unconfirm(document));
    }

    /// Notes that somebody has the document open at this time: milliseconds since 1970.
    pub fn note_opened(&self, document: &DocumentId, unix_ms: u64) {
        self.queue(|queue| queue.backlog.note_opened(document, unix_ms));
    }

    /// Remembers this of a document's histories, whatever is stored of it.
    pub fn note_history(&self, document: &DocumentId, history: History) {
        self.queue(|queue| queue.backlog.note_history(document, history));
    }

    /// Deletes all that is stored of a document, and what is queued of it. Its next sequence number
    /// may be 1 again.
    pub fn forget(&self, document: &DocumentId) {
        self.queue(|Queue { backlog, tail }| {
            if let Some(tail) = tail {
                tail.forget(document);
            }
            backlog.forget(document)
        });
    }

    /// Whether a deletion of the document is not on the disk yet.
    pub fn forgets(&self, document: &DocumentId) -> bool {
        self.shared().queue().backlog.forgets(document)
    }

    /// Replaces everything up to `upto_seq` by `snapshot`, after what is queued of the document
    /// is saved. On any failure the old rows stay; it is not tried again.
    pub fn compact(&self, document: &DocumentId, upto_seq: u64, snapshot: Vec<Bytes>) {
        let compaction = Compaction { upto: upto_seq, snapshot };
        self.queue(|queue| queue.backlog.compact(document, compaction));
    }

    fn queue(&self, push: impl FnOnce(&mut Queue) -> bool) {
        let became_due = push(&mut self.shared().queue());
        if became_due {
            self.shared().changed.notify_all();
        }
    }

    /// Reads all that was appended of a document, checking every row. Blocks on the disk.
    pub fn load(&self, document: &DocumentId) -> Result<Loaded, LoadError> {
        let shared = self.shared();
        // What is moved meanwhile is found twice, not lost.
        let waiting = shared.queue().backlog.waiting(document);
        if waiting.iter().any(|work| work.forgotten) {
            return Ok(rows::add(Default::default(), waiting));
        }
        let mut slot = lock(&shared.reader);
        let Some(connection) = slot.as_mut() else {
            return Err(LoadError::closed(document));
        };
        let loaded = rows::load(connection, document);
        match &loaded {
            Err(LoadError::Unreadable { .. }) => {
                if let Ok(Some(reader)) = shared.database.reader() {
                    *slot = Some(reader);
                }
            }
            Err(error @ LoadError::Damaged { .. }) => shared.note_damage(&error.to_string()),
            Ok(_) => {}
        }
        loaded.map(|loaded| rows::add(loaded, waiting))
    }

    /// What is wrong with the store as a whole, in words for whoever must mend it.
    pub fn trouble(&self) -> Option<String> {
        let Database::File(path) = &self.shared().database else { return None };
        if self.shared().damaged.load(Ordering::Relaxed) {
            return Some(format!("{} is damaged: restart yrelay to salvage it", path.display()));
        }
        if self.shared().was_gone {
            return Some(format!(
                "{} was gone at the start: documents come back from upstream and editors",
                path.display()
            ));
        }
        let file = salvage::set_aside(path).pop()?;
        Some(format!(
            "the store was damaged, and lies in {}: remove that once nothing is missing",
            file.display()
        ))
    }

    /// What became of the writes, since this was last asked.
    pub fn outcomes(&self) -> Vec<(DocumentId, Outcome)> {
        self.shared().queue().backlog.outcomes()
    }

    /// Whether the store takes more: false while 256 MiB are not in the database, and once it has
    /// ended.
    pub fn has_room(&self) -> bool {
        let backlog = &self.shared().queue().backlog;
        backlog.bytes() < WAITING_BYTES_MAX && backlog.stopped().is_none()
    }

    /// Bytes of a document that are not on the disk yet, with 64 more for each update.
    pub fn unsaved_bytes(&self, document: &DocumentId) -> u64 {
        self.shared().queue().backlog.unsaved_bytes_of(document)
    }

    /// The figures of this moment.
    pub fn stats(&self) -> Stats {
        self.shared().queue().backlog.stats()
    }

    /// Saves all that is queued (one more attempt for what failed), folds the WAL into the file
    /// and gives up the lock. Handles that are left find an ended store.
    pub fn close(self, deadline: Duration) -> Result<(), StoreError> {
        let shared = self.shared();
        shared.begin_close();
        let (queue, _) = shared
            .changed
            .wait_timeout_while(shared.queue(), deadline, |it| it.backlog.stopped().is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let reason = match queue.backlog.stopped() {
            Some(Ok(())) => return Ok(()),
            Some(Err(reason)) => reason.clone(),
            None => format!("the disk did not answer within {} s", deadline.as_secs_f32()),
        };
        Err(StoreError::Unsaved { bytes: queue.backlog.unsaved_bytes(), reason })
    }

    fn shared(&self) -> &Shared {
        &self.owner.0
    }
}

/// A panic under one of our locks leaves nothing half done: backlog changes do not fail midway,
/// and an open transaction rolls back when it is dropped.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "commit intervals and retries happen below the core")]
fn now() -> Instant {
    Instant::now()
}
