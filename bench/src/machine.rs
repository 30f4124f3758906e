//! The machine: which processor works for whom, and how many files there may be.

use std::{fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Servers have this processor.
const SERVERS: usize = 0;
/// The clients have this one.
const CLIENTS: usize = 1;

/// Lets this process, and those that it starts, open as many files as it may. Returns how many.
pub fn raise_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it cannot be raised, it is what it was, and runs that need more say so.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Whether servers and clients can have a processor each.
pub fn can_pin() -> bool {
    sched_getaffinity(None).is_ok_and(|cpus| cpus.is_set(SERVERS) && cpus.is_set(CLIENTS))
}

/// What this thread starts from now on runs where servers run.
pub fn as_server(pins: bool) -> io::Result<()> {
    if pins { pin(SERVERS) } else { Ok(()) }
}

/// This thread runs where clients run.
pub fn as_client(pins: bool) -> io::Result<()> {
    if pins { pin(CLIENTS) } else { Ok(()) }
}

fn pin(cpu: usize) -> io::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    Ok(sched_setaffinity(None, &cpus)?)
}

/// What a reader of figures wants to know of it.
pub fn description() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{count} × {model}, Linux {}", kernel.trim())
}
