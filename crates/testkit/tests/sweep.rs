//! Every fault at every packet, or nearly: some of the runs. All of them:
//! `cargo run -p yrelay-testkit --release -- sweep`.

use yrelay_core::event::Dialect;
use yrelay_testkit::{Foreign, Mode, Stride, Summary, sweep};

fn run(server: Mode, services: usize, every: Stride) {
    let total = run_all(server, services, every, 60);
    assert!(total.refused > 10, "garbage among others: {total:?}");
}

fn run_all(server: Mode, services: usize, every: Stride, worlds: u64) -> Summary {
    let (total, failures) = sweep(server, services, every);
    if let Some(failure) = failures.first() {
        panic!("{} of the runs fail, the first:\n{failure}", failures.len());
    }
    assert!(total.worlds > worlds, "{total:?}");
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
    run_all(Mode::Relay(Dialect::Own), 2, Stride { stride: 11, phase: 2 }, 60);
}

#[test]
fn a_ring_of_relays() {
    run_all(Mode::Relay(Dialect::Own), 3, Stride { stride: 19, phase: 3 }, 60);
}

fn run_foreign(servers: &[(Foreign, usize)]) {
    let mut total = Summary::default();
    for (phase, (server, services)) in (0..).zip(servers) {
        let every = Stride { stride: 97, phase: 7 + 20 * phase };
        total.add(run_all(Mode::Foreign(*server), *services, every, 10));
    }
    assert!(total.refused > 0, "garbage among others: {total:?}");
}

#[test]
fn behind_servers_of_plain_yjs() {
    run_foreign(&[
        (Foreign::YWebsocket { slow: false }, 2),
        (Foreign::YWebsocket { slow: true }, 3),
        (Foreign::Pycrdt, 2),
        (Foreign::YSweet, 2),
    ]);
}

#[test]
fn behind_newer_servers_of_elva() {
    run_foreign(&[(Foreign::Elva37 { keeps: true }, 3), (Foreign::Elva37 { keeps: false }, 3)]);
}

#[test]
fn behind_hocuspocus() {
    let version = Foreign::Hocuspocus;
    run_foreign(&[(version(2), 3), (version(3), 2), (version(4), 3)]);
}
