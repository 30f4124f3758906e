//! What processes cost, as the system counts it.

use std::fs;
use std::ops::Sub;

use rustix::param::clock_ticks_per_second;

/// What some processes have cost since they were started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Seconds of processor time, user and system, threads that have ended included.
    pub cpu_s: f64,
    /// How often a thread has gone to sleep.
    pub switches: u64,
    /// Memory now.
    pub rss_kib: u64,
    /// Memory at most.
    pub peak_kib: u64,
}

impl Usage {
    /// Of these processes and their children.
    pub fn of(processes: impl IntoIterator<Item = u32>) -> Self {
        let mut total = Self::default();
        let mut queue: Vec<u32> = processes.into_iter().collect();
        while let Some(process) = queue.pop() {
            queue.extend(children(process));
            total.add(process);
        }
        total
    }

    /// Of one process without its children.
    pub fn of_one(process: u32) -> Self {
        let mut usage = Self::default();
        usage.add(process);
        usage
    }

    fn add(&mut self, process: u32) {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The second field is a name, which may hold anything.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let ticks: u64 =
            fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        self.cpu_s += ticks as f64 / clock_ticks_per_second() as f64;
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        self.rss_kib += field(&status, "VmRSS:");
        self.peak_kib += field(&status, "VmHWM:");
        for thread in directory(&format!("/proc/{process}/task")) {
            let path = format!("/proc/{process}/task/{thread}/status");
            let status = fs::read_to_string(path).unwrap_or_default();
            self.switches += field(&status, "voluntary_ctxt_switches:");
        }
    }
}

/// Between two moments: costs are the difference, memory is that of the later one.
impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            cpu_s: self.cpu_s - before.cpu_s,
            switches: self.switches.saturating_sub(before.switches),
            ..self
        }
    }
}

fn children(process: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for thread in directory(&format!("/proc/{process}/task")) {
        let path = format!("/proc/{process}/task/{thread}/children");
        let listed = fs::read_to_string(path).unwrap_or_default();
        children.extend(listed.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    children
}

fn directory(path: &str) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_something() {
        let before = Usage::of([std::process::id()]);
        let mut sum = 0u64;
        while (Usage::of([std::process::id()]) - before).cpu_s < 0.02 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(before.rss_kib > 100 && before.peak_kib >= before.rss_kib);
    }
}
