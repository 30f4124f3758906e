//! Breaks the disk under a store, and mends it.

use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::ffi;

use super::*;

pub(super) fn io_error() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_FSYNC), None)
}

/// What fails is tried again at the end only.
pub(super) const ONE_TRY: Pace = Pace { retry: Duration::from_secs(3600), ..QUICK };

/// A fault that can be switched.
#[derive(Clone, Default)]
pub(super) struct Switch(Arc<AtomicBool>);

impl Switch {
    pub(super) fn on() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(super) fn set(&self, on: bool) {
        self.0.store(on, Ordering::SeqCst);
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Commits fail while it is on.
    pub(super) fn no_commit(&self) -> Probe {
        let switch = self.clone();
        Box::new(move |step, _| match step {
            Step::Commit if switch.is_on() => Err(io_error()),
            _ => Ok(()),
        })
    }
}
