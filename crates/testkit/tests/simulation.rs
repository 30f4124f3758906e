//! Worlds of the simulation, some hundreds of each kind, and what an edit costs in them. More:
//! `cargo run -p yrelay-testkit --release -- simulate --seeds 10000`.

use std::ops::Range;
use std::path::Path;

use yrelay_core::event::Dialect;
use yrelay_testkit::{Foreign, Mode, Summary, simulate};

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

fn run_foreign(foreign: Foreign, seeds: Range<u64>, name: &str) {
    run(Some(Mode::Foreign(foreign)), seeds, name);
}

#[test]
fn behind_a_y_websocket_server() {
    run_foreign(Foreign::YWebsocket { slow: false }, 0..60, "y-websocket");
}

#[test]
fn behind_a_y_websocket_server_with_a_slow_store() {
    run_foreign(Foreign::YWebsocket { slow: true }, 0..60, "y-websocket, with a slow store");
}

#[test]
fn behind_a_pycrdt_server() {
    run_foreign(Foreign::Pycrdt, 0..50, "pycrdt");
}

#[test]
fn behind_a_y_sweet_server() {
    run_foreign(Foreign::YSweet, 0..40, "y-sweet");
}

#[test]
fn behind_a_newer_elva_that_keeps_documents() {
    run_foreign(Foreign::Elva37 { keeps: true }, 0..60, "ELVA 0.37, which keeps documents");
}

#[test]
fn behind_a_newer_elva_that_only_passes_on() {
    run_foreign(Foreign::Elva37 { keeps: false }, 0..50, "ELVA 0.37, which only passes on");
}

#[test]
fn behind_hocuspocus_2() {
    run_foreign(Foreign::Hocuspocus(2), 0..60, "Hocuspocus 2");
}

#[test]
fn behind_hocuspocus_3() {
    run_foreign(Foreign::Hocuspocus(3), 0..40, "Hocuspocus 3");
}

#[test]
fn behind_hocuspocus_4() {
    run_foreign(Foreign::Hocuspocus(4), 0..60, "Hocuspocus 4");
}

#[test]
fn without_a_server() {
    run(None, 0..200, "no server");
}

#[test]
fn a_seed_repeats_to_the_event() {
    let relay = Mode::Relay(Dialect::Own);
    let foreign = |foreign| Some(Mode::Foreign(foreign));
    let y_websocket = foreign(Foreign::YWebsocket { slow: true });
    let hocuspocus = foreign(Foreign::Hocuspocus(4));
    let elva = [Some(Mode::Persistent), Some(Mode::Broadcast)];
    for server in elva.into_iter().chain([Some(relay), y_websocket, hocuspocus, None]) {
        let first = simulate(server, 7).map(|summary| summary.events);
        assert_eq!(first, simulate(server, 7).map(|summary| summary.events));
    }
}
