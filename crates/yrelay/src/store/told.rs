//! What the store tells its callers.

use std::time::Duration;

use bytes::Bytes;
use yrelay_core::history::History;
use yrelay_core::id::DocumentId;

/// One document that the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub identifier: DocumentId,
    /// Bytes of its updates and snapshots.
    pub bytes: u64,
    /// Whether it holds changes that the upstream has not confirmed.
    pub unconfirmed: bool,
    /// Whether it is encrypted: it has frames.
    pub opaque: bool,
    /// When it was last noted that somebody has it open: milliseconds since 1970.
    pub opened_ms: u64,
}

/// All that is stored of one document; of one that is unknown: nothing, and `seq` 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The snapshot in its pieces, then the updates since, in the order they were appended.
    pub updates: Vec<Bytes>,
    /// Frames, if it is encrypted, in the order they were appended, and whether they are local.
    pub frames: Vec<(Bytes, bool)>,
    /// The highest sequence number.
    pub seq: u64,
    /// Bytes of the snapshot.
    pub snapshot_bytes: u64,
    /// Bytes of the updates since.
    pub log_bytes: u64,
    /// How many updates since.
    pub log_updates: u64,
    /// Whether it holds changes that the upstream has not confirmed.
    pub unconfirmed: bool,
    /// What is remembered of its histories.
    pub history: History,
}

/// What became of a document's writes since the last [`super::Store::outcomes`]: the latest word only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Every update up to this one is on the disk.
    pub saved: Option<u64>,
    /// The last attempt failed, and why: updates above the highest `saved` are kept in memory
    /// and tried again. `None` beside a `saved`: all is well again.
    pub failed: Option<String>,
    /// A compaction ended: up to which update, or why the old rows stay.
    pub compacted: Option<Result<u64, String>>,
}

/// Figures for status and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes that wait for the disk, as [`super::Store::unsaved_bytes`] counts them.
    pub unsaved_bytes: u64,
    /// Documents with something waiting.
    pub unsaved_documents: usize,
    /// Documents whose last write failed.
    pub failing_documents: usize,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions that failed.
    pub commit_failures: u64,
    /// Time spent in committed transactions.
    pub commit_time: Duration,
    /// How often updates were saved in the log.
    pub syncs: u64,
}
