//! The way to a server, whatever befalls it in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use yrelay_core::event::Habit;
use yrelay_core::id::DocumentId;
use yrelay_core::limits;
use yrelay_core::upstream::{
    Action, Connections, Event, Failure, LineAction, LineEvent, LinkState, Upstream,
};

use crate::tape::Tape;

pub(crate) fn run(bytes: &[u8]) {
    let mut tape = Tape(bytes);
    if tape.flag() { shared(tape) } else { separate(tape) }
}

fn shared(mut tape: Tape<'_>) {
    let mut now = 1_000_000;
    let mut upstream = Upstream::new(now, 1, Connections::Shared);
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
                Action::Line { .. } => panic!("all share one connection"),
            }
        }
        assert_eq!(attached, upstream.state() == LinkState::Online);
        assert!(upstream.parked().all(|document| parked.contains(document)));
    }
}

/// Something that can happen as the link stands.
fn event(tape: &mut Tape<'_>, state: LinkState) -> Event {
    let document = document(tape);
    let reason = String::new();
    match (state, tape.below(10)) {
        (LinkState::Connecting, 0..3) => Event::Connected,
        (LinkState::Connecting, 3..6) => Event::Failed { failure: failure(tape), reason },
        (LinkState::Online, 0) => Event::Closed { code: code(tape), reason },
        (LinkState::Online, 1..4) => Event::Ready { document, open: tape.flag() },
        (LinkState::Online, 4..6) => Event::Room,
        (LinkState::Online, 6) => Event::Refused { document, reason },
        (LinkState::Online, 7) => {
            Event::Habit([Habit::Unknown, Habit::Keeps, Habit::Silent][tape.below(3)])
        }
        (_, 8) => anytime(tape),
        _ => Event::Tick,
    }
}

fn document(tape: &mut Tape<'_>) -> DocumentId {
    DocumentId::new(["a", "b", "c"][tape.below(3)]).expect("a good name")
}

fn failure(tape: &mut Tape<'_>) -> Failure {
    match tape.below(4) {
        0 => Failure::Unreachable,
        1 => Failure::Busy { retry_after_ms: 1_000 * u64::from(tape.byte()) },
        2 => Failure::Refused,
        _ => Failure::Unauthorized,
    }
}

fn code(tape: &mut Tape<'_>) -> Option<u16> {
    [None, Some(1000), Some(1006), Some(1007), Some(1009), Some(1011), Some(4401), Some(4404)]
        [tape.below(8)]
}

fn anytime(tape: &mut Tape<'_>) -> Event {
    let events = [Event::ClientCame, Event::Woke, Event::LoginChanged, Event::Tick];
    events.into_iter().nth(tape.below(4)).expect("one of four")
}

/// How the connection of a document that needs one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Closed,
    Opening,
    Open,
}

/// A connection for each document.
fn separate(mut tape: Tape<'_>) {
    let mut now = 1_000_000;
    let mut upstream = Upstream::new(now, 1, Connections::Separate);
    let mut lines: BTreeMap<DocumentId, Line> = BTreeMap::new();
    let mut parked = BTreeSet::new();
    while !tape.has_ended() {
        let event = line_event(&mut tape, &mut lines, &parked);
        now += 50 * u64::from(tape.byte());
        let mut actions = Vec::new();
        upstream.handle(now, event, &mut actions);
        for action in actions {
            match action {
                Action::Line { document, action } => act(&mut lines, &parked, document, action),
                Action::Park { document } => {
                    lines.remove(&document);
                    parked.insert(document);
                }
                Action::Unpark { document } => assert!(parked.remove(&document)),
                Action::WakeAt { at } => assert!(at >= now, "not in the past"),
                other => panic!("there is no connection for all: {other:?}"),
            }
        }
        let count = |stage| lines.values().filter(|line| **line == stage).count();
        assert!(count(Line::Opening) <= limits::UPSTREAM_OPENING_MAX);
        assert!(count(Line::Open) == 0 || upstream.state() == LinkState::Online);
        // Somebody tries, or it is known when.
        let waits = matches!(
            upstream.state(),
            LinkState::Offline { .. } | LinkState::Unauthorized { .. } | LinkState::Online
        );
        assert!(lines.is_empty() || waits || count(Line::Opening) > 0, "{:?}", upstream.state());
        assert!(upstream.parked().all(|document| parked.contains(document)));
    }
}

fn act(
    lines: &mut BTreeMap<DocumentId, Line>,
    parked: &BTreeSet<DocumentId>,
    document: DocumentId,
    action: LineAction,
) {
    assert!(!parked.contains(&document), "{document} is parked: {action:?}");
    match action {
        LineAction::Open => assert_eq!(lines.insert(document, Line::Opening), Some(Line::Closed)),
        LineAction::Attach => assert_eq!(lines.get(&document), Some(&Line::Open)),
        // What its closing has told already, or what hanging up leaves to be told.
        LineAction::Detach => assert_eq!(lines.get(&document), Some(&Line::Closed)),
        LineAction::HangUp => {
            if let Some(line) = lines.get_mut(&document) {
                assert_ne!(std::mem::replace(line, Line::Closed), Line::Closed);
            }
        }
    }
}

/// Something that can happen as the connections stand, and what it makes of them.
fn line_event(
    tape: &mut Tape<'_>,
    lines: &mut BTreeMap<DocumentId, Line>,
    parked: &BTreeSet<DocumentId>,
) -> Event {
    let document = document(tape);
    let (reason, line) = (String::new(), lines.get(&document).copied());
    let event = match (line, tape.below(6)) {
        (None, 0..4) if !parked.contains(&document) => {
            lines.insert(document.clone(), Line::Closed);
            LineEvent::Wanted
        }
        (Some(_), 0) => {
            lines.remove(&document);
            LineEvent::Unwanted
        }
        (Some(Line::Opening), 1..3) => {
            lines.insert(document.clone(), Line::Open);
            LineEvent::Opened
        }
        (Some(Line::Opening), 3..5) => {
            lines.insert(document.clone(), Line::Closed);
            LineEvent::Failed { failure: failure(tape), reason }
        }
        (Some(Line::Open), 1..3) => {
            lines.insert(document.clone(), Line::Closed);
            LineEvent::Closed { code: code(tape), reason }
        }
        (Some(Line::Open), 3) => return Event::Refused { document, reason },
        _ => return anytime(tape),
    };
    Event::Line { document, event }
}
