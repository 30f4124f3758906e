//! What an outage costs once it is over: the net difference.

use yrelay_core::Millis;
use yrelay_core::upstream::Failure;

use super::{edit, quick};
use crate::editor::Edit;
use crate::fault::{Fault, Meanwhile};
use crate::script::{Script, Step};
use crate::server::Mode;
use crate::traffic::Traffic;
use crate::world::World;

const BREAKS_AT: Millis = 30_000;

/// A document of 256 KiB, known everywhere, and then this.
fn story(server: Mode, fault: Fault, offline: Vec<(Millis, Step)>) -> Script {
    let mut steps = vec![
        edit(1_000, 0, Edit::Paste { kib: 200 }),
        edit(2_000, 1, Edit::Paste { kib: 56 }),
        edit(8_000, 0, Edit::Delete { at: 1_000, len: 500 }),
        (BREAKS_AT, Step::Link { service: 0, fault }),
    ];
    steps.extend(offline);
    quick(server, 3, steps, 1_000_000)
}

/// What arrives anywhere after the break.
fn after_break(script: &Script, until: Millis) -> Traffic {
    let mut world = World::new(script, false);
    world.run_until(BREAKS_AT - 1);
    world.traffic = Traffic::default();
    world.run_until(until);
    world.traffic
}

#[test]
fn where_nothing_was_written_nothing_travels() {
    let sleep = |meanwhile| Fault::Suspend { ms: 600_000, meanwhile };
    let cut = Meanwhile::Cut { late_ms: 500 };
    for fault in [Fault::Cut { late_ms: 1_000 }, sleep(Meanwhile::Kept), sleep(cut)] {
        let script = story(Mode::Persistent, fault, Vec::new());
        let traffic = after_break(&script, 700_000);
        // The server passes on what goes up, and nothing else.
        assert_eq!(traffic.up.updates, 0, "{fault:?}: {traffic:?}");
        // After ten minutes the clients of a machine that slept connect again, too.
        assert!((1..=2).contains(&traffic.up.step_1s), "{fault:?}: {traffic:?}");
    }
}

#[test]
fn what_was_written_meanwhile_travels_once_to_each() {
    let offline = vec![
        edit(BREAKS_AT + 500, 0, Edit::Insert { at: 50, len: 7 }),
        edit(BREAKS_AT + 600, 0, Edit::Delete { at: 10, len: 3 }),
        edit(BREAKS_AT + 700, 1, Edit::Insert { at: 9, len: 4 }),
    ];
    let fault = Fault::HalfOpen { ours_ms: 20_000, theirs_ms: 0 };
    let script = story(Mode::Persistent, fault, offline);
    let traffic = after_break(&script, 300_000);
    // To the server and to both other services; there, and back to their authors, to the clients.
    assert!((2..=4).contains(&traffic.up.updates), "{traffic:?}");
    assert!(traffic.up.bytes < 400, "{traffic:?}");
    assert!((8..=24).contains(&traffic.updates), "{traffic:?}");
}

#[test]
fn whoever_wakes_makes_no_storm_of_presence() {
    let awake = after_break(&story(Mode::Broadcast, Fault::Cut { late_ms: 0 }, Vec::new()), 90_000);
    let meanwhile = Meanwhile::Cut { late_ms: 500 };
    let fault = Fault::Suspend { ms: 600_000, meanwhile };
    let script = story(Mode::Broadcast, fault, Vec::new());
    let mut world = World::new(&script, false);
    world.run_until(BREAKS_AT + 600_000 - 1);
    world.traffic = Traffic::default();
    world.run_until(BREAKS_AT + 660_000);
    let woken = &world.traffic;
    assert!(woken.awareness > 0 && awake.awareness > 0, "{woken:?}");
    assert!(woken.awareness <= 2 * awake.awareness, "after waking {woken:?}, else {awake:?}");
}

#[test]
fn who_is_here_is_seen_as_soon_as_the_link_is_back() {
    let fault = Fault::Refuse { failure: Failure::Unreachable, ms: 37_000 };
    let script = story(Mode::Broadcast, fault, Vec::new());
    let mut world = World::new(&script, false);
    let sees = |world: &World| world.clients[1].presence.present().contains(&100);
    world.run_until(BREAKS_AT);
    assert!(sees(&world), "before the outage");
    world.run_until(BREAKS_AT + 36_000);
    assert!(!sees(&world), "half a minute later");
    while world.services[0].link().is_none() {
        world.run_until(world.net.now + 100);
    }
    world.run_until(world.net.now + 500);
    assert!(sees(&world), "at once, and not when it is renewed: {}", world.net.now);
}
