//! The link to the upstream, whatever befalls it in whatever order.

use std::collections::BTreeSet;

use yrelay_core::event::Habit;
use yrelay_core::id::DocumentId;
use yrelay_core::upstream::{Action, Event, Failure, LinkState, Upstream};

use crate::tape::Tape;

pub(crate) fn run(bytes: &[u8]) {
    let mut tape = Tape(bytes);
    let mut now = 1_000_000;
    let mut upstream = Upstream::new(now, 1);
    let mut attached = false;
    let mut parked = BTreeSet::new();
    while !tape.has_ended() {
        let event = match event(&mut tape, upstream.state()) {
            // What is kept off the link is not attached to it.
            Event::Ready { document, .. } if parked.contains(&document) => Event::Tick,
            event => event,
        };
        now += 50 * u64::from(tape.byte());
        let mut actions = Vec::new();
        upstream.handle(now, event, &mut actions);
        for action in actions {
            match action {
                Action::Connect => assert!(!attached, "one connection at a time"),
                Action::Attach => assert!(!std::mem::replace(&mut attached, true)),
                Action::Detach => assert!(std::mem::replace(&mut attached, false)),
                Action::Pull { document } => {
                    assert!(attached && !parked.contains(&document), "{document} may send");
                }
                Action::Park { document } => drop(parked.insert(document)),
                Action::Unpark { document } => assert!(parked.remove(&document)),
                Action::WakeAt { at } => assert!(at >= now, "not in the past"),
            }
        }
        assert_eq!(attached, upstream.state() == LinkState::Online);
        assert!(upstream.parked().all(|document| parked.contains(document)));
    }
}

/// Something that can happen as the link stands.
fn event(tape: &mut Tape<'_>, state: LinkState) -> Event {
    let document = DocumentId::new(["a", "b", "c"][tape.below(3)]).expect("a good name");
    let reason = String::new();
    match (state, tape.below(10)) {
        (LinkState::Connecting, 0..3) => Event::Connected,
        (LinkState::Connecting, 3..6) => {
            let failure = match tape.below(3) {
                0 => Failure::Unreachable,
                1 => Failure::Busy { retry_after_ms: 1_000 * u64::from(tape.byte()) },
                _ => Failure::Unauthorized,
            };
            Event::Failed { failure, reason }
        }
        (LinkState::Online, 0) => {
            let codes =
                [None, Some(1000), Some(1006), Some(1007), Some(1009), Some(1011), Some(4401)];
            Event::Closed { code: codes[tape.below(7)], reason }
        }
        (LinkState::Online, 1..4) => Event::Ready { document, open: tape.flag() },
        (LinkState::Online, 4..6) => Event::Room,
        (LinkState::Online, 6) => Event::Refused { document, reason },
        (LinkState::Online, 7) => {
            Event::Habit([Habit::Unknown, Habit::Keeps, Habit::Silent][tape.below(3)])
        }
        (_, 8) => [Event::ClientCame, Event::Woke, Event::LoginChanged, Event::Tick]
            .into_iter()
            .nth(tape.below(4))
            .expect("one of four"),
        _ => Event::Tick,
    }
}
