//! Time: the one place that reads a clock or sets a timer.

use std::future::Future;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

static START: OnceLock<Instant> = OnceLock::new();

/// Milliseconds since the process first asked; never goes back.
pub fn now_ms() -> u64 {
    let now = Instant::now();
    let start = *START.get_or_init(|| now);
    // 2^64 ms are 584 million years.
    now.saturating_duration_since(start).as_millis() as u64
}

/// Milliseconds since 1970 by the wall clock, which may be set at any time: for people to read,
/// and to see that it has run ahead.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// Waits for so long.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub async fn sleep(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Waits until [`now_ms`] has reached `ms`.
pub async fn sleep_until(ms: u64) {
    sleep(ms.saturating_sub(now_ms())).await;
}

/// What `work` yields, or `None` where it takes longer than `ms`.
pub async fn timeout<T>(ms: u64, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(ms), work).await.ok()
}
