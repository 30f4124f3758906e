//! How often the upstream is asked what it holds.

use yrelay_core::{Millis, limits};

use super::{edit, quick};
use crate::editor::Edit;
use crate::script::Script;
use crate::server::Mode;
use crate::traffic::Traffic;
use crate::world::World;

/// Questions that arrive at the server from one time to another.
fn asked(script: &Script, from: Millis, to: Millis) -> usize {
    let mut world = World::new(script, false);
    world.run_until(from);
    world.traffic = Traffic::default();
    world.run_until(to);
    world.traffic.up.step_1s
}

#[test]
fn one_change_and_quiet_is_one_question_two_seconds_later() {
    let typed_at = 20_000;
    let steps = vec![edit(typed_at, 0, Edit::Insert { at: 0, len: 1 })];
    let script = quick(Mode::Persistent, 1, steps, 300_000);
    let due = typed_at + limits::PROOF_QUIET_MS;
    assert_eq!(asked(&script, 10_000, due), 0);
    assert_eq!(asked(&script, 10_000, due + 500), 1);
    assert_eq!(asked(&script, 10_000, 300_000), 1);
}

#[test]
fn what_others_write_is_no_question() {
    let steps = vec![edit(20_000, 0, Edit::Insert { at: 0, len: 1 })];
    let script = quick(Mode::Persistent, 3, steps, 300_000);
    assert_eq!(asked(&script, 10_000, 300_000), 1, "by the one whose client wrote");
}

#[test]
fn while_people_write_it_is_one_in_half_a_minute() {
    let typed = (20_000..320_000).step_by(1_000);
    let steps = typed.map(|at| edit(at, 0, Edit::Insert { at: 0, len: 1 })).collect();
    let script = quick(Mode::Persistent, 1, steps, 400_000);
    let asked = asked(&script, 10_000, 320_000);
    assert!((9..=10).contains(&asked), "asked {asked} times in five minutes");
}

#[test]
fn a_server_that_only_passes_on_is_not_asked_again() {
    let steps = vec![edit(20_000, 0, Edit::Insert { at: 0, len: 1 })];
    let script = quick(Mode::Broadcast, 3, steps, 300_000);
    assert_eq!(asked(&script, 10_000, 300_000), 0);
}
