//! Each scenario in small: whether everything arrives, and all figures come out. Never how fast.
#![cfg(target_os = "linux")]

use std::path::PathBuf;

use yrelay_bench::contender::{self, Contender};
use yrelay_bench::results::Session;
use yrelay_bench::scenario;
use yrelay_bench::stage::{self, Cast, Options};
use yrelay_bench::{machine, table};

/// Without a processor each: tests run beside others.
fn options() -> Options {
    machine::raise_files();
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    Options { seconds: 0.5, pins: false, place, clients_max: 100 }
}

fn all_in_small(contender: &dyn Contender, left_out: &[&str]) {
    let mut session = Session::default();
    let mut skipped = Vec::new();
    for scenario in scenario::ALL {
        if stage::left_out(scenario, contender.abilities()).is_some() {
            skipped.push(scenario.name);
            continue;
        }
        let scenario = scenario.small();
        let outcome = stage::run(&scenario, contender, &options(), &mut Cast::default());
        let name = scenario.name;
        assert!(outcome.faults.is_empty(), "{name}: {}", outcome.faults.join("; "));
        for (figure, value) in &outcome.figures.0 {
            assert!(value.is_finite() && *value >= 0.0, "{name}: {figure} is {value}");
        }
        session.outcomes.push(outcome);
    }
    assert_eq!(skipped, left_out);
    let table = table::of(&session);
    for outcome in &session.outcomes {
        assert!(table.contains(&format!("### {}\n", outcome.scenario)), "{table}");
    }
}

#[test]
fn the_bare_limit_passes_everything_on() {
    let bare = contender::find("bare").unwrap();
    let left_out = ["join", "reconnect", "outage-link", "outage-relay", "outage-both"];
    all_in_small(&*bare, &left_out);
}

#[test]
fn yrelay_passes_everything_on_and_loses_nothing() {
    let yrelay = contender::find("yrelay").unwrap();
    all_in_small(&*yrelay, &[]);
}
