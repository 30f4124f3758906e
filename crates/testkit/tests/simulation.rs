//! Worlds of the simulation, some hundreds of each kind. More of them:
//! `cargo run -p yrelay-testkit --release -- simulate --seeds 10000`.

use yrelay_core::event::Dialect;
use yrelay_testkit::{Mode, simulate};

fn run(server: Option<Mode>, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        if let Err(failure) = simulate(server, seed) {
            panic!("{failure}");
        }
    }
}

#[test]
fn behind_a_server_that_keeps_documents() {
    run(Some(Mode::Persistent), 0..600);
}

#[test]
fn behind_a_server_that_only_passes_on() {
    run(Some(Mode::Broadcast), 0..450);
}

#[test]
fn below_another_relay() {
    run(Some(Mode::Relay(Dialect::Own)), 0..400);
}

#[test]
fn below_another_relay_in_the_dialect_of_elva() {
    run(Some(Mode::Relay(Dialect::Elva)), 0..200);
}

#[test]
fn without_a_server() {
    run(None, 0..200);
}

#[test]
fn a_seed_repeats_to_the_event() {
    let relay = Mode::Relay(Dialect::Own);
    for server in [Some(Mode::Persistent), Some(Mode::Broadcast), Some(relay), None] {
        let first = simulate(server, 7).map(|summary| summary.events);
        assert_eq!(first, simulate(server, 7).map(|summary| summary.events));
    }
}
