//! The signals that end the program in order.

use std::fs;

/// SIGHUP is one of them only where these tests are to notice it themselves, which Linux tells:
/// what they start ignores it where they do, as under `nohup`.
pub(crate) fn signals() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let hang_up = ignored.filter(|mask| mask & 1 == 0).map(|_| "HUP");
    ["TERM", "INT"].into_iter().chain(hang_up).collect()
}
