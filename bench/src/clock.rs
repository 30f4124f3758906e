//! Time: the one place that reads a clock or waits for one.
#![expect(clippy::disallowed_methods, reason = "this is the one place")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static START: OnceLock<Instant> = OnceLock::new();

/// Nanoseconds since the process first asked; never goes back.
pub fn now_ns() -> u64 {
    let now = Instant::now();
    let start = *START.get_or_init(|| now);
    // 2^64 ns are 584 years.
    now.saturating_duration_since(start).as_nanos() as u64
}

/// So many nanoseconds.
pub fn ns(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// Does nothing for so long.
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Looks until something is found; `None` after `patience`.
pub fn wait_for<T>(
    patience: Duration,
    period: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    let deadline = now_ns() + ns(patience);
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if now_ns() >= deadline {
            return None;
        }
        pause(period);
    }
}
