//! Runs worlds: `yrelay-testkit simulate [--seeds N] [--seed S]` from their seeds,
//! `yrelay-testkit sweep [--stride N]` with every fault at every packet of a link.

use std::process::ExitCode;

use yrelay_core::event::Dialect;
use yrelay_testkit::{Mode, Stride, Summary, simulate, sweep};

const SERVERS: [Option<Mode>; 5] = [
    Some(Mode::Persistent),
    Some(Mode::Broadcast),
    None,
    Some(Mode::Relay(Dialect::Elva)),
    Some(Mode::Relay(Dialect::Own)),
];

enum Command {
    /// The first seed and how many.
    Simulate {
        first: u64,
        count: u64,
    },
    Sweep {
        stride: u64,
    },
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (total, failures) = match parse(&arguments) {
        Some(Command::Simulate { first, count }) => simulate_all(first, count),
        Some(Command::Sweep { stride }) => sweep_all(stride),
        None => {
            eprintln!("usage: yrelay-testkit simulate [--seeds N] [--seed S]");
            eprintln!("       yrelay-testkit sweep [--stride N]");
            return ExitCode::from(2);
        }
    };
    let hours = total.virtual_ms as f64 / 3_600_000.0;
    println!("{} worlds, and {failures} failures", total.worlds);
    println!("{hours:.1} virtual hours, {} events in the good ones", total.events);
    println!("{} messages of servers were refused", total.refused);
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn simulate_all(first: u64, count: u64) -> (Summary, usize) {
    let mut total = Summary::default();
    let mut failures = 0;
    for seed in first..first.saturating_add(count) {
        for server in SERVERS {
            match simulate(server, seed) {
                Ok(summary) => total.add(summary),
                Err(failure) => {
                    failures += 1;
                    println!("{failure}");
                }
            }
        }
    }
    (total, failures)
}

fn sweep_all(stride: u64) -> (Summary, usize) {
    let mut total = Summary::default();
    let mut count = 0;
    for server in [Mode::Persistent, Mode::Broadcast, Mode::Relay(Dialect::Own)] {
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
    let (mut seed, mut seeds, mut stride) = (None, None, None);
    for pair in options.chunks(2) {
        match pair {
            [name, value] if name == "--seed" => seed = Some(value.parse().ok()?),
            [name, value] if name == "--seeds" => seeds = Some(value.parse().ok()?),
            [name, value] if name == "--stride" => stride = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    match command.as_str() {
        "simulate" => {
            let count = seeds.unwrap_or(if seed.is_some() { 1 } else { 1_000 });
            Some(Command::Simulate { first: seed.unwrap_or(0), count })
        }
        "sweep" => Some(Command::Sweep { stride: stride.filter(|n| *n > 0).unwrap_or(1) }),
        _ => None,
    }
}
