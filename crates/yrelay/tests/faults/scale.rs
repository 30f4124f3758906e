//! How much of it there is to be.

use std::env;
use std::time::Duration;

/// The long form, for machines that have the time.
pub(crate) fn is_long() -> bool {
    env::var_os("YRELAY_LONG").is_some()
}

pub(crate) fn scaled<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

/// How long the soak is to last: half an hour, or `YRELAY_SOAK_MINUTES`.
pub(crate) fn soak() -> Duration {
    let minutes = env::var("YRELAY_SOAK_MINUTES").map_or(30, |minutes| minutes.parse().unwrap());
    scaled(Duration::from_secs(5), Duration::from_secs(60 * minutes))
}
