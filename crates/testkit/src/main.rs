//! Runs worlds: `yrelay-testkit simulate [--seed S] [--seeds N] [--hours H]` from their seeds, on all
//! cores, until N were run or H hours are over; `yrelay-testkit sweep [--stride N]` with every fault
//! at every packet of a link. `--server NAME`: behind those servers only whose name holds that.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use yrelay_core::event::Dialect;
use yrelay_testkit::{Foreign, Mode, Stride, Summary, simulate, sweep};

const SERVERS: [Option<Mode>; 14] = [
    Some(Mode::Persistent),
    Some(Mode::Broadcast),
    None,
    Some(Mode::Relay(Dialect::Elva)),
    Some(Mode::Relay(Dialect::Own)),
    Some(Mode::Foreign(Foreign::YWebsocket { slow: false })),
    Some(Mode::Foreign(Foreign::YWebsocket { slow: true })),
    Some(Mode::Foreign(Foreign::Pycrdt)),
    Some(Mode::Foreign(Foreign::YSweet)),
    Some(Mode::Foreign(Foreign::Elva37 { keeps: true })),
    Some(Mode::Foreign(Foreign::Elva37 { keeps: false })),
    Some(Mode::Foreign(Foreign::Hocuspocus(2))),
    Some(Mode::Foreign(Foreign::Hocuspocus(3))),
    Some(Mode::Foreign(Foreign::Hocuspocus(4))),
];

enum Command {
    /// The first seed, how many, and for how long.
    Simulate {
        first: u64,
        count: u64,
        time: Duration,
        servers: Vec<Option<Mode>>,
    },
    Sweep {
        stride: u64,
        servers: Vec<Option<Mode>>,
    },
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (total, failures) = match parse(&arguments) {
        Some(Command::Simulate { first, count, time, servers }) => {
            simulate_all(first, count, time, &servers)
        }
        Some(Command::Sweep { stride, servers }) => sweep_all(stride, &servers),
        None => {
            eprintln!("usage: yrelay-testkit simulate [--seed S] [--seeds N] [--hours H]");
            eprintln!("       yrelay-testkit sweep [--stride N]");
            eprintln!("both:  [--server NAME], as persistent, relay, hocuspocus, or a part of it");
            return ExitCode::from(2);
        }
    };
    let hours = total.virtual_ms as f64 / 3_600_000.0;
    println!("{} worlds, and {failures} failures", total.worlds);
    println!("{hours:.1} virtual hours, {} events in the good ones", total.events);
    println!("{} messages of servers were refused", total.refused);
    println!("{} edits; {}", total.edits, total.behaviour());
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn simulate_all(
    first: u64,
    count: u64,
    time: Duration,
    servers: &[Option<Mode>],
) -> (Summary, usize) {
    let start = clock();
    let next = AtomicU64::new(first);
    let total = Mutex::new(Summary::default());
    let failures = AtomicUsize::new(0);
    let work = || {
        while start.elapsed() < time {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed - first >= count {
                break;
            }
            for server in servers {
                match simulate(*server, seed) {
                    Ok(summary) => total.lock().expect("nobody panics with it").add(summary),
                    Err(failure) => {
                        failures.fetch_add(1, Ordering::Relaxed);
                        println!("{failure}");
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    (total.into_inner().expect("nobody panics with it"), failures.into_inner())
}

#[expect(clippy::disallowed_methods, reason = "how long to go on, not the time in a world")]
fn clock() -> Instant {
    Instant::now()
}

fn sweep_all(stride: u64, servers: &[Option<Mode>]) -> (Summary, usize) {
    let mut total = Summary::default();
    let mut count = 0;
    let elva = Some(Mode::Relay(Dialect::Elva));
    for server in servers.iter().filter(|server| **server != elva).filter_map(|server| *server) {
        for services in [2, 3] {
            let (summary, failures) = sweep(server, services, Stride { stride, phase: 0 });
            total.add(summary);
            count += failures.len();
            failures.iter().for_each(|failure| println!("{failure}"));
        }
    }
    (total, count)
}

fn parse(arguments: &[String]) -> Option<Command> {
    let (command, options) = arguments.split_first()?;
    let (mut seed, mut seeds, mut stride, mut hours) = (None, None, None, None::<f64>);
    let mut servers = SERVERS.to_vec();
    for pair in options.chunks(2) {
        match pair {
            [name, value] if name == "--seed" => seed = Some(value.parse().ok()?),
            [name, value] if name == "--seeds" => seeds = Some(value.parse().ok()?),
            [name, value] if name == "--hours" => hours = Some(value.parse().ok()?),
            [name, value] if name == "--stride" => stride = Some(value.parse().ok()?),
            [name, value] if name == "--server" => servers.retain(|server| {
                format!("{server:?}").to_lowercase().contains(&value.to_lowercase())
            }),
            _ => return None,
        }
    }
    match command.as_str() {
        "simulate" => {
            let count = seeds.unwrap_or(match (seed, hours) {
                (_, Some(_)) => u64::MAX,
                (Some(_), None) => 1,
                (None, None) => 1_000,
            });
            let time = hours.map_or(Some(Duration::MAX), |hours| {
                Duration::try_from_secs_f64(3_600.0 * hours).ok()
            })?;
            Some(Command::Simulate { first: seed.unwrap_or(0), count, time, servers })
        }
        "sweep" => Some(Command::Sweep { stride: stride.filter(|n| *n > 0).unwrap_or(1), servers }),
        _ => None,
    }
}
