//! Every fault at every packet: one small story is told again and again, and each time one fault
//! strikes the link at the next packet.

use yrelay_core::Millis;
use yrelay_core::event::Dialect;
use yrelay_core::upstream::Failure;

use crate::client::Style;
use crate::editor::Edit;
use crate::fault::{Fault, Meanwhile, Way};
use crate::garbage::Garbage;
use crate::script::{Person, Script, Step, Strikes, Trap};
use crate::server::{Mode, Return};
use crate::simulation::{self, Summary};

/// Of all runs, every `stride`-th from `phase` on.
#[derive(Debug, Clone, Copy)]
pub struct Stride {
    /// 1 runs all.
    pub stride: u64,
    /// The first.
    pub phase: u64,
}

/// Runs the story without a fault, and then with each fault at each packet. Returns what that
/// came to, and the failures in words.
pub fn sweep(server: Mode, services: usize, every: Stride) -> (Summary, Vec<String>) {
    let story = story(server, services);
    let mut total = Summary::default();
    let packets = match simulation::play(&story) {
        Ok(summary) => summary.packets,
        Err(failure) => return (total, vec![failure]),
    };
    assert!(packets > 20, "the story is told over links: {packets} packets");
    let faults = faults(server);
    // At each packet other faults, so that each fault has its turn.
    let is_chosen = |packet: u64, nth: u64| (packet + nth) % every.stride == every.phase;
    let traps = (0..packets).flat_map(|packet| {
        let faults = (0..).zip(&faults).filter(move |(nth, _)| is_chosen(packet, *nth));
        faults.map(move |(_, (strikes, fault))| Trap { packet, strikes: *strikes, fault: *fault })
    });
    let mut failures = Vec::new();
    for trap in traps {
        match simulation::play(&Script { trap: Some(trap), ..story.clone() }) {
            Ok(summary) => total.add(summary),
            Err(failure) => failures.push(failure),
        }
    }
    (total, failures)
}

/// Two or three services; where the server is a relay, one more, above them, and three stand in a
/// ring with it. One is offline for a while; of two documents nobody has one open when
/// that ends, and somebody has brought what was written in the other to the next service.
fn story(server: Mode, services: usize) -> Script {
    // The first of them.
    let first = usize::from(server.is_relay());
    let person = |nth, document, style| {
        let id = 1_000 + 10 * nth as u64 + document as u64;
        Person { id, service: first + nth, document, style, late: false }
    };
    let mut people = vec![
        person(0, 0, Style::Js),
        person(1, 0, Style::Js),
        person(0, 1, Style::Python),
        Person { id: 1_900, ..person(0, 0, Style::Python) },
    ];
    people.extend((2..services).map(|service| person(service, 0, Style::Js)));
    let edit = |at: Millis, client, edit| (at, Step::Edit { client, edit });
    let offline = Fault::Refuse { failure: Failure::Unreachable, ms: 20_000 };
    let mut steps = vec![
        edit(300, 0, Edit::Insert { at: 0, len: 7 }),
        edit(700, 1, Edit::Insert { at: 3, len: 5 }),
        edit(900, 1, Edit::Delete { at: 2, len: 3 }),
        edit(1_000, 0, Edit::Set { key: 1, value: 1 }),
        edit(1_100, 2, Edit::Insert { at: 0, len: 3 }),
        edit(1_200, people.len() - 1, Edit::Nest { key: 1 }),
        (5_000, Step::Link { service: first, fault: offline }),
        edit(6_000, 0, Edit::Delete { at: 0, len: 2 }),
        edit(6_100, 0, Edit::Insert { at: 1, len: 2 }),
        edit(6_200, 2, Edit::Insert { at: 0, len: 4 }),
        edit(6_300, 2, Edit::Delete { at: 2, len: 1 }),
        edit(6_400, 3, Edit::Insert { at: 3, len: 6 }),
        (7_000, Step::Leave { client: 2 }),
        (8_000, Step::Move { client: 3, service: first + 1 }),
        edit(7_100, 1, Edit::Set { key: 1, value: 2 }),
        edit(7_200, 1, Edit::Delete { at: 4, len: 1 }),
        edit(32_000, 0, Edit::Insert { at: 5, len: 1 }),
    ];
    steps.sort_by_key(|(at, _)| *at);
    Script {
        seed: if first + services > 3 { 4 } else { 1 },
        server: Some(server),
        services: first + services,
        documents: 2,
        people,
        steps,
        calm_at: 40_000,
        latency_ms_max: Some(30),
        trap: None,
    }
}

/// A relay is no server that can be killed as one; and it sends no garbage.
fn befalls(server: Mode, fault: Fault) -> bool {
    match fault {
        Fault::KillServer { .. } | Fault::Litter(_) | Fault::Suspend { .. } => !server.is_relay(),
        Fault::Lose { .. } => server == Mode::Relay(Dialect::Own),
        _ => true,
    }
}

fn faults(server: Mode) -> Vec<(Strikes, Fault)> {
    let refuse = |failure| Fault::Refuse { failure, ms: 5_000 };
    let kill = |back| Fault::KillServer { down_ms: 1_000, late_ms: 500, back };
    let suspend = |ms, meanwhile| Fault::Suspend { ms, meanwhile };
    let cut = Meanwhile::Cut { late_ms: 1_000 };
    let mut before = vec![
        Fault::Cut { late_ms: 0 },
        Fault::HalfOpen { ours_ms: 35_000, theirs_ms: 0 },
        Fault::HalfOpen { ours_ms: 0, theirs_ms: 35_000 },
        Fault::Freeze { way: Way::Up, ms: 5_000 },
        Fault::Freeze { way: Way::Down, ms: 5_000 },
        Fault::Freeze { way: Way::Both, ms: 29_000 },
        Fault::Trickle { slow_ms: 2_000, ms: 20_000 },
        Fault::Lose { way: Way::Up },
        Fault::Lose { way: Way::Down },
        kill(Return::Kept),
        kill(Return::Empty),
        refuse(Failure::Unreachable),
        refuse(Failure::Busy { retry_after_ms: 4_000 }),
        refuse(Failure::Unauthorized),
        Fault::Login { ms: 5_000 },
        suspend(3_000, Meanwhile::Kept),
        suspend(3_000, cut),
        suspend(40_000, Meanwhile::Kept),
        suspend(40_000, cut),
    ];
    before.extend([1000, 1001, 1009, 1013, 4401].map(|code| Fault::Close { code }));
    before.extend(Garbage::of(Some(server)).into_iter().map(Fault::Litter));
    let after = [
        Fault::Cut { late_ms: 0 },
        kill(Return::Kept),
        kill(Return::Empty),
        suspend(40_000, cut),
        Fault::Close { code: 1000 },
    ];
    let before = before.into_iter().map(|fault| (Strikes::Before, fault));
    let all = before.chain(after.map(|fault| (Strikes::After, fault)));
    all.filter(|(_, fault)| befalls(server, *fault)).collect()
}
