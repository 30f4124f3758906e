//! Many relays on a server that only passes on: a joiner is answered, but not by everybody.

use yrelay_core::Millis;
use yrelay_core::upstream::Failure;

use super::{edit, quick};
use crate::editor::Edit;
use crate::fault::Fault;
use crate::script::{Script, Step};
use crate::server::{Mode, Return};
use crate::traffic::{Traffic, Up};
use crate::world::World;

const SERVICES: usize = 8;
const JOINS_AT: Millis = 60_000;
const RESTARTS_AT: Millis = 120_000;

/// Each has written some; the last one joins late; then the server is restarted.
fn crowd(seed: u64) -> Script {
    let write = |client| edit(1_000 + 100 * client as u64, client, Edit::Paste { kib: 4 });
    let delete = |client| edit(15_000, client, Edit::Delete { at: 100 * client as u32, len: 5 });
    let mut steps: Vec<_> = (0..SERVICES - 1).flat_map(|n| [write(n), delete(n)]).collect();
    let late = Fault::Refuse { failure: Failure::Unreachable, ms: JOINS_AT };
    steps.push((0, Step::Link { service: SERVICES - 1, fault: late }));
    let restart = Fault::KillServer { down_ms: 2_000, late_ms: 500, back: Return::Kept };
    steps.push((RESTARTS_AT, Step::Link { service: 0, fault: restart }));
    Script { seed, ..quick(Mode::Broadcast, SERVICES, steps, 180_000) }
}

/// What goes up in that time, but for presence.
fn during(world: &mut World, until: Millis) -> Up {
    world.traffic = Traffic::default();
    world.run_until(until);
    std::mem::take(&mut world.traffic.up)
}

#[test]
fn a_joiner_is_answered_by_few_and_a_restart_is_no_storm() {
    const SEEDS: u64 = 12;
    let mut answers = 0;
    for seed in 0..SEEDS {
        let script = crowd(seed);
        let mut world = World::new(&script, false);
        world.run_until(JOINS_AT);
        let rows = world.services[0].disk.updates(&world.documents[0]);
        let bytes: usize = rows.map(<[u8]>::len).sum();
        assert!(bytes > 4_096 * (SERVICES - 1), "all have written: {bytes}");
        let join = during(&mut world, RESTARTS_AT);
        assert_eq!(join.step_1s, 1, "seed {seed}: {join:?}");
        let answered = (1..SERVICES).contains(&join.updates) && join.bytes <= 4 * bytes;
        answers += join.updates;
        assert!(answered, "seed {seed}: {bytes} bytes, and on joining {join:?}");
        // Nobody knows what the others hold now: somebody has to show it.
        let restart = during(&mut world, RESTARTS_AT + 60_000);
        assert_eq!(restart.step_1s, SERVICES, "seed {seed}: {restart:?}");
        let pushed = (1..=SERVICES).contains(&restart.updates) && restart.bytes <= 4 * bytes;
        assert!(pushed, "seed {seed}: {bytes} bytes, and on the restart {restart:?}");
        assert_nothing_is_confirmed(&world);
    }
    // Of one time chance decides.
    assert!(answers <= 3 * SEEDS as usize, "{answers} answers to {SEEDS} joiners");
}

#[test]
fn a_crowd_comes_to_rest() {
    World::new(&crowd(1), false).run();
}

fn assert_nothing_is_confirmed(world: &World) {
    for service in &world.services {
        let memory = service.memory.as_ref().expect("it runs");
        let standing = memory.documents[&world.documents[0]].document.standing();
        assert_eq!(standing.confirmed, None, "service {}: nobody can know", service.number);
    }
}
