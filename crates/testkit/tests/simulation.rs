//! Worlds of the simulation, some hundreds of each kind, and what an edit costs in them. More:
//! `cargo run -p yrelay-testkit --release -- simulate --seeds 10000`.

use std::ops::Range;
use std::path::Path;

use yrelay_core::event::Dialect;
use yrelay_testkit::{Mode, Summary, simulate};

fn run(server: Option<Mode>, seeds: Range<u64>, name: &str) {
    let mut total = Summary::default();
    for seed in seeds {
        match simulate(server, seed) {
            Ok(summary) => total.add(summary),
            Err(failure) => panic!("{failure}"),
        }
    }
    let accepted = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/behaviour.txt");
    total.assert_accepted(name, &accepted);
}

#[test]
fn behind_a_server_that_keeps_documents() {
    run(Some(Mode::Persistent), 0..600, "a server that keeps documents");
}

#[test]
fn behind_a_server_that_only_passes_on() {
    run(Some(Mode::Broadcast), 0..450, "a server that only passes on");
}

#[test]
fn below_another_relay() {
    run(Some(Mode::Relay(Dialect::Own)), 0..400, "another relay");
}

#[test]
fn below_another_relay_in_the_dialect_of_elva() {
    run(Some(Mode::Relay(Dialect::Elva)), 0..200, "another relay, in the dialect of ELVA");
}

#[test]
fn without_a_server() {
    run(None, 0..200, "no server");
}

#[test]
fn a_seed_repeats_to_the_event() {
    let relay = Mode::Relay(Dialect::Own);
    for server in [Some(Mode::Persistent), Some(Mode::Broadcast), Some(relay), None] {
        let first = simulate(server, 7).map(|summary| summary.events);
        assert_eq!(first, simulate(server, 7).map(|summary| summary.events));
    }
}
