//! What is known of one document that has something waiting, and what is handed out of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use yrelay_core::id::DocumentId;

use crate::store::work::Work;

/// A document whose last write failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) at: Instant,
    /// What the next failure costs.
    pub(super) delay: Duration,
}

/// What is known of a document.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) work: Work,
    /// What is in the writer's hands.
    pub(super) moving: Option<Arc<Work>>,
    /// The highest `seq` given since this entry came to be.
    pub(super) last: Option<u64>,
    /// Rows up to this one are saved in the log.
    pub(super) synced: u64,
    pub(super) retry: Option<Retry>,
    /// How often it was deleted: what is said of an earlier life is not of this one.
    pub(super) life: u32,
}

impl Entry {
    /// Work that was given earlier comes first.
    pub(super) fn works(&self) -> impl Iterator<Item = &Work> {
        self.moving.as_deref().into_iter().chain([&self.work])
    }

    /// Cost of what is not saved.
    pub(super) fn unsaved_bytes(&self) -> u64 {
        self.works().map(|work| work.cost_above(self.synced)).sum()
    }

    pub(super) fn forgets(&self) -> bool {
        self.works().any(|work| work.forgotten)
    }
}

/// What the writer is to do next.
#[derive(Debug)]
pub(in crate::store) enum Group {
    /// Sync the log: that saves these.
    Sync(Vec<Synced>),
    /// Move all this to the database, which saves it, too. Each part must come back through
    /// [`Backlog::moved`](super::Backlog::moved) or [`Backlog::failed`](super::Backlog::failed) before the next group is taken.
    Move(Vec<Part>),
}

/// A document's rows up to one, and its life.
#[derive(Debug)]
pub(in crate::store) struct Synced {
    pub(super) document: DocumentId,
    pub(super) seq: u64,
    pub(super) life: u32,
}

/// What a document has for the database.
#[derive(Debug)]
pub(in crate::store) struct Part {
    pub(in crate::store) document: DocumentId,
    pub(in crate::store) work: Arc<Work>,
}
