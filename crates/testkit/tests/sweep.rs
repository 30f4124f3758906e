//! Every fault at every packet, or nearly: some of the runs. All of them:
//! `cargo run -p yrelay-testkit --release -- sweep`.

use yrelay_core::event::Dialect;
use yrelay_testkit::{Mode, Stride, Summary, sweep};

fn run(server: Mode, services: usize, every: Stride) {
    let total = run_all(server, services, every);
    assert!(total.refused > 10, "garbage among others: {total:?}");
}

fn run_all(server: Mode, services: usize, every: Stride) -> Summary {
    let (total, failures) = sweep(server, services, every);
    if let Some(failure) = failures.first() {
        panic!("{} of the runs fail, the first:\n{failure}", failures.len());
    }
    assert!(total.worlds > 60, "{total:?}");
    total
}

#[test]
fn two_services_behind_a_server_that_keeps_documents() {
    run(Mode::Persistent, 2, Stride { stride: 13, phase: 0 });
}

#[test]
fn three_services_behind_a_server_that_keeps_documents() {
    run(Mode::Persistent, 3, Stride { stride: 13, phase: 5 });
}

#[test]
fn two_services_behind_a_server_that_only_passes_on() {
    run(Mode::Broadcast, 2, Stride { stride: 13, phase: 3 });
}

#[test]
fn three_services_behind_a_server_that_only_passes_on() {
    run(Mode::Broadcast, 3, Stride { stride: 13, phase: 8 });
}

#[test]
fn two_services_below_another_relay() {
    run_all(Mode::Relay(Dialect::Own), 2, Stride { stride: 11, phase: 2 });
}

#[test]
fn a_ring_of_relays() {
    run_all(Mode::Relay(Dialect::Own), 3, Stride { stride: 19, phase: 3 });
}
