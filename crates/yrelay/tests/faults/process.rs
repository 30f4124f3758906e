//! What a process uses, as Linux counts it.

use std::fs;
use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Vitals {
    /// Resident memory, now and at most.
    pub(crate) kib: u64,
    pub(crate) peak_kib: u64,
    pub(crate) descriptors: usize,
}

impl Vitals {
    pub(crate) fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let number = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        Self { kib: number("VmRSS:"), peak_kib: number("VmHWM:"), descriptors }
    }
}

/// By how many KiB memory grows in an hour: the line that fits best.
pub(crate) fn slope(samples: &[(Duration, u64)]) -> f64 {
    let points = samples.iter().map(|(at, kib)| (at.as_secs_f64() / 3_600.0, *kib as f64));
    let count = samples.len() as f64;
    let (sum_x, sum_y) = points.clone().fold((0.0, 0.0), |(x, y), (at, kib)| (x + at, y + kib));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (over, under) = points.fold((0.0, 0.0), |(over, under), (at, kib)| {
        let distance = at - mean_x;
        (over + distance * (kib - mean_y), under + distance * distance)
    });
    over / under
}
