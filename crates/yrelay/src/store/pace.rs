//! When to write.

use std::time::Duration;

/// When to write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How long the first thing queued waits for company before it is saved.
    pub(super) interval: Duration,
    /// How long what is saved in the log waits for company before it is moved to the database.
    pub(super) move_interval: Duration,
    /// With this many bytes queued there is company enough for both.
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
            interval: Duration::from_millis(30),
            move_interval: Duration::from_secs(2),
            batch_bytes: 4 << 20,
            retry: Duration::from_secs(1),
            retry_max: Duration::from_secs(10),
            wal_frames: 256, // 1 MiB
        }
    }
}
