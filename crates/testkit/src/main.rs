//! `yrelay-testkit simulate [--seeds N] [--seed S]`: runs worlds from their seeds.

use std::process::ExitCode;

use yrelay_testkit::{Mode, Summary, simulate};

const SERVERS: [Option<Mode>; 3] = [Some(Mode::Persistent), Some(Mode::Broadcast), None];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((first, count)) = parse(&arguments) else {
        eprintln!("usage: yrelay-testkit simulate [--seeds N] [--seed S]");
        return ExitCode::from(2);
    };
    let mut total = Summary::default();
    let mut failures = 0;
    for seed in first..first.saturating_add(count) {
        for server in SERVERS {
            match simulate(server, seed) {
                Ok(summary) => {
                    total.virtual_ms += summary.virtual_ms;
                    total.events += summary.events;
                }
                Err(failure) => {
                    failures += 1;
                    println!("{failure}");
                }
            }
        }
    }
    let hours = total.virtual_ms as f64 / 3_600_000.0;
    println!("{count} seeds x {}: {failures} failures", SERVERS.len());
    println!("{hours:.1} virtual hours, {} events in the good ones", total.events);
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The first seed and how many.
fn parse(arguments: &[String]) -> Option<(u64, u64)> {
    let (command, options) = arguments.split_first()?;
    let (mut first, mut count) = (0, None);
    for pair in options.chunks(2) {
        match pair {
            [name, value] if name == "--seed" => first = value.parse().ok()?,
            [name, value] if name == "--seeds" => count = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    let alone = arguments.iter().any(|argument| argument == "--seed");
    (command == "simulate").then(|| (first, count.unwrap_or(if alone { 1 } else { 1_000 })))
}
