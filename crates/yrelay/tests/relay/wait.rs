//! Waiting for conditions, never for time.

use std::time::{Duration, Instant};

/// Long enough for a busy machine, short enough to fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What cannot report by itself is looked at so often.
const PERIOD: Duration = Duration::from_millis(5);

/// Looks until there is something to see.
pub(crate) fn find<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    find_within(PATIENCE, what, look)
}

fn find_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::park_timeout(PERIOD);
    }
}

/// Looks until the condition holds, for so long.
#[allow(dead_code, reason = "few wait for what takes its time")]
pub(crate) fn within(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    find_within(patience, what, || condition().then_some(()));
}

/// Looks until the condition holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    find(what, || condition().then_some(()));
}

#[expect(clippy::disallowed_methods, reason = "deadlines of tests run in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
