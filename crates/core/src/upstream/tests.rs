//! The link as a script of events.

mod lines;

use super::*;
use crate::limits;

fn id(name: &str) -> DocumentId {
    DocumentId::new(name).unwrap()
}

fn handle(upstream: &mut Upstream, now: Millis, event: Event) -> Vec<Action> {
    let mut actions = Vec::new();
    upstream.handle(now, event, &mut actions);
    actions
}

fn shared(now: Millis) -> Upstream {
    Upstream::new(now, 1, Connections::Shared)
}

fn online(now: Millis) -> Upstream {
    let mut upstream = shared(now);
    assert_eq!(handle(&mut upstream, now, Event::Tick), [Action::Connect]);
    assert_eq!(handle(&mut upstream, now, Event::Connected), [Action::Attach]);
    upstream
}

fn fail(upstream: &mut Upstream, now: Millis) -> Millis {
    let event = Event::Failed { failure: Failure::Unreachable, reason: "refused".into() };
    match handle(upstream, now, event).as_slice() {
        [Action::WakeAt { at }] => *at,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_connection_that_nobody_needed_is_opened_again_for_the_next_document() {
    let mut upstream = online(0);
    assert_eq!(handle(&mut upstream, 30_000, Event::Wanted), [], "one stands");
    assert_eq!(handle(&mut upstream, 30_000, Event::Unneeded), [Action::Detach]);
    assert_eq!((upstream.state(), upstream.reason()), (LinkState::Idle, None));
    assert_eq!(handle(&mut upstream, 40_000, Event::Tick), []);
    assert_eq!(handle(&mut upstream, 40_000, Event::Wanted), [Action::Connect]);
    assert_eq!(handle(&mut upstream, 40_000, Event::Wanted), []);
}

#[test]
fn nor_does_a_document_that_may_try_again_wait_for_others() {
    let mut upstream = online(0);
    let refused = Event::Refused { document: id("d"), reason: "no".into() };
    let until = match handle(&mut upstream, 0, refused).as_slice() {
        [Action::Park { .. }, Action::WakeAt { at }] => *at,
        other => panic!("{other:?}"),
    };
    handle(&mut upstream, 60_000, Event::Unneeded);
    let unpark = Action::Unpark { document: id("d") };
    assert_eq!(handle(&mut upstream, until, Event::Tick), [Action::Connect, unpark]);
}

#[test]
fn backs_off_up_to_thirty_seconds_and_a_client_hurries_it() {
    let mut upstream = shared(0);
    let mut now = 0;
    let mut longest = 0;
    for _ in 0..40 {
        assert_eq!(handle(&mut upstream, now, Event::Tick), [Action::Connect]);
        let at = fail(&mut upstream, now);
        longest = longest.max(at - now);
        now = at;
    }
    assert!(longest > 10_000 && longest <= 30_000, "{longest}");
    handle(&mut upstream, now, Event::Tick);
    let at = fail(&mut upstream, now);
    assert!(at > now);
    let soon = now + limits::UPSTREAM_HURRY_MS;
    let hurried = handle(&mut upstream, now, Event::ClientCame);
    assert!(!hurried.contains(&Action::Connect), "it was tried just now");
    assert!(at <= soon || hurried == [Action::WakeAt { at: soon }]);
    let now = soon;
    assert_eq!(handle(&mut upstream, now, Event::ClientCame), [Action::Connect]);
    assert_eq!(handle(&mut upstream, now, Event::ClientCame), [], "one attempt at a time");
}

#[test]
fn refused_logins_wait_five_minutes_whoever_comes() {
    let mut upstream = shared(0);
    handle(&mut upstream, 0, Event::Tick);
    let event = Event::Failed { failure: Failure::Unauthorized, reason: "401".into() };
    assert_eq!(handle(&mut upstream, 0, event), [Action::WakeAt { at: 300_000 }]);
    assert_eq!(handle(&mut upstream, 10, Event::ClientCame), []);
    assert_eq!(handle(&mut upstream, 300_000, Event::Tick), [Action::Connect]);
}

#[test]
fn another_login_is_tried_at_once_but_only_after_a_refusal() {
    let mut upstream = shared(0);
    handle(&mut upstream, 0, Event::Tick);
    fail(&mut upstream, 0);
    assert_eq!(handle(&mut upstream, 1, Event::LoginChanged), [], "that was not the reason");
    let mut upstream = online(0);
    assert_eq!(handle(&mut upstream, 1, Event::LoginChanged), []);
    // A server may withdraw a login while the link stands: a fresh one is tried, once.
    let closed = || Event::Closed { code: Some(4401), reason: "expired".into() };
    handle(&mut upstream, 2, closed());
    let LinkState::Offline { next_try } = upstream.state() else { panic!("{upstream:?}") };
    assert_eq!(handle(&mut upstream, next_try, Event::Tick), [Action::Connect]);
    handle(&mut upstream, next_try, Event::Connected);
    let until = 2 + limits::UPSTREAM_UNAUTHORIZED_MS;
    assert!(handle(&mut upstream, 2, closed()).contains(&Action::WakeAt { at: until }));
    assert_eq!(upstream.state(), LinkState::Unauthorized { next_try: until });
    assert_eq!(upstream.reason(), Some("expired"));
    assert_eq!(handle(&mut upstream, 3, Event::LoginChanged), [Action::Connect]);
    assert_eq!(handle(&mut upstream, 4, Event::LoginChanged), [], "one attempt at a time");
    handle(&mut upstream, 5, Event::Connected);
    assert_eq!((upstream.state(), upstream.reason()), (LinkState::Online, None));
}

#[test]
fn a_busy_server_is_left_alone_for_as_long_as_it_asks_whoever_comes() {
    for (asked, obeyed) in [(20_000, 20_000), (u64::MAX, limits::UPSTREAM_BUSY_MS_MAX)] {
        let mut upstream = shared(0);
        handle(&mut upstream, 0, Event::Tick);
        let failure = Failure::Busy { retry_after_ms: asked };
        let failed = Event::Failed { failure, reason: "503".into() };
        let actions = handle(&mut upstream, 0, failed);
        let [Action::WakeAt { at }] = actions[..] else { panic!("{actions:?}") };
        assert!((obeyed..=obeyed + limits::UPSTREAM_BACKOFF_MS).contains(&at), "{at}");
        let early = handle(&mut upstream, obeyed - 1, Event::ClientCame);
        assert!(!early.contains(&Action::Connect));
        assert_eq!(handle(&mut upstream, obeyed, Event::ClientCame), [Action::Connect]);
    }
}

#[test]
fn after_sleep_everything_begins_anew_at_once() {
    let mut asleep = online(0);
    assert_eq!(handle(&mut asleep, 9, Event::Woke), [Action::Detach, Action::Connect]);
    assert_eq!(asleep.reason(), Some("the machine has slept"));
    assert_eq!(handle(&mut asleep, 9, Event::Woke), [Action::Connect], "in vain so far");
    // Long away before, and refused: that may be the old network's fault.
    for failure in [Failure::Unreachable, Failure::Unauthorized] {
        let mut now = 0;
        let mut upstream = shared(now);
        for _ in 0..20 {
            handle(&mut upstream, now, Event::Tick);
            let failed = Event::Failed { failure, reason: "no".into() };
            let actions = handle(&mut upstream, now, failed);
            let [Action::WakeAt { at }] = actions[..] else { panic!("{actions:?}") };
            now = at;
        }
        handle(&mut upstream, now, Event::Tick);
        assert_eq!(handle(&mut upstream, now, Event::Woke), [Action::Connect]);
        let next = fail(&mut upstream, now) - now;
        assert!(next <= limits::UPSTREAM_BACKOFF_MS, "the network may need a moment: {next}");
    }
}

#[test]
fn a_server_that_was_busy_may_be_hurried_again_once_it_has_let_in() {
    let mut upstream = shared(0);
    handle(&mut upstream, 0, Event::Tick);
    let failure = Failure::Busy { retry_after_ms: 200_000 };
    handle(&mut upstream, 0, Event::Failed { failure, reason: "503".into() });
    handle(&mut upstream, 10, Event::Woke);
    handle(&mut upstream, 20, Event::Connected);
    handle(&mut upstream, 30, Event::Closed { code: None, reason: "gone".into() });
    let soon = 10 + limits::UPSTREAM_HURRY_MS;
    assert_eq!(handle(&mut upstream, soon, Event::ClientCame), [Action::Connect]);
}

#[test]
fn what_is_known_of_a_server_outlives_a_connection_and_one_document_that_waits_in_vain() {
    let mut upstream = online(0);
    let reconnect = |upstream: &mut Upstream| {
        handle(upstream, 9, Event::Closed { code: None, reason: "gone".into() });
        handle(upstream, 9, Event::Woke);
        handle(upstream, 9, Event::Connected);
    };
    handle(&mut upstream, 1, Event::Habit(Habit::Silent));
    assert_eq!(upstream.habit(), Habit::Silent);
    reconnect(&mut upstream);
    assert_eq!(upstream.habit(), Habit::Unknown, "it may have been away");
    handle(&mut upstream, 1, Event::Habit(Habit::Keeps));
    handle(&mut upstream, 2, Event::Habit(Habit::Silent));
    assert_eq!(upstream.habit(), Habit::Keeps, "others were answered");
    reconnect(&mut upstream);
    assert_eq!(upstream.habit(), Habit::Keeps);
    handle(&mut upstream, 1, Event::Habit(Habit::Silent));
    assert_eq!(upstream.habit(), Habit::Silent, "nobody is answered any more");
    handle(&mut upstream, 1, Event::Habit(Habit::Keeps));
    handle(&mut upstream, 1, Event::Habit(Habit::Unknown));
    assert_eq!(upstream.habit(), Habit::Unknown, "it passes on what others say");
}

#[test]
fn open_documents_go_first_in_turn_but_the_others_are_not_starved() {
    let mut upstream = online(0);
    let mut pulled = Vec::new();
    for name in ["quiet", "a", "b"] {
        let event = Event::Ready { document: id(name), open: name != "quiet" };
        handle(&mut upstream, 0, event);
    }
    for _ in 0..12 {
        for action in handle(&mut upstream, 0, Event::Room) {
            let Action::Pull { document } = action else { panic!("{action:?}") };
            pulled.push(document.as_str().to_owned());
            let open = document.as_str() != "quiet";
            handle(&mut upstream, 0, Event::Ready { document, open });
        }
    }
    assert_eq!(pulled[..4], ["a", "b", "a", "b"]);
    assert!(pulled.iter().any(|name| name == "quiet"), "{pulled:?}");
}

/// All send, the server closes the link, it is up again.
fn close_after(
    upstream: &mut Upstream,
    now: Millis,
    names: &[&str],
    code: Option<u16>,
) -> Vec<Action> {
    for name in names {
        handle(upstream, now, Event::Ready { document: id(name), open: true });
        handle(upstream, now, Event::Room);
    }
    let actions = handle(upstream, now + 100, Event::Closed { code, reason: "gone".into() });
    handle(upstream, now + 60_000, Event::Tick);
    handle(upstream, now + 60_000, Event::Connected);
    actions
}

fn parks(actions: &[Action], name: &str) -> bool {
    actions.contains(&Action::Park { document: id(name) })
}

#[test]
fn a_document_that_closes_the_link_twice_is_parked_for_a_while() {
    let mut upstream = online(0);
    assert!(!parks(&close_after(&mut upstream, 0, &["big"], Some(1009)), "big"));
    assert!(parks(&close_after(&mut upstream, 60_000, &["big"], Some(1009)), "big"));
    let because = "the upstream ends the connection over it (gone)";
    assert_eq!(upstream.parked_because(&id("big")), Some(because));
    let later = 60_100 + limits::PARK_MS;
    let unpark = Action::Unpark { document: id("big") };
    assert!(handle(&mut upstream, later, Event::Tick).contains(&unpark));
}

#[test]
fn suspects_go_one_at_a_time_and_the_right_one_is_parked() {
    let mut upstream = online(0);
    close_after(&mut upstream, 0, &["a", "bad", "c"], Some(1000));
    let mut now = 60_000;
    for name in ["a", "bad", "c", "new"] {
        handle(&mut upstream, now, Event::Ready { document: id(name), open: true });
    }
    let pull = |name: &str| Action::Pull { document: id(name) };
    assert!(handle(&mut upstream, now, Event::Room).contains(&pull("a")));
    assert_eq!(handle(&mut upstream, now, Event::Room), [pull("new")]);
    assert!(!upstream.wants_room(now), "the others wait for the end of the trial");
    now += limits::TRIAL_MS;
    assert!(upstream.wants_room(now));
    assert!(handle(&mut upstream, now, Event::Room).contains(&pull("bad")));
    let closed = Event::Closed { code: Some(1000), reason: "gone".into() };
    let actions = handle(&mut upstream, now + 100, closed);
    assert!(parks(&actions, "bad") && !parks(&actions, "a"));
}

#[test]
fn a_server_that_is_restarted_now_and_then_parks_nothing() {
    let mut upstream = online(0);
    for round in 1..5 {
        let now = round * 120_000;
        handle(&mut upstream, now, Event::Ready { document: id("a"), open: true });
        handle(&mut upstream, now, Event::Room);
        handle(&mut upstream, now + limits::TRIAL_MS, Event::Room);
        let actions = close_after(&mut upstream, now + 10_000, &["a"], Some(1000));
        assert!(!parks(&actions, "a"), "{round}");
    }
}

#[test]
fn a_link_that_breaks_is_nobodys_fault() {
    let mut upstream = online(0);
    for (round, code) in [None, Some(1001), Some(1013), Some(4401), None].iter().enumerate() {
        close_after(&mut upstream, round as u64 * 60_000, &["big"], *code);
        close_after(&mut upstream, round as u64 * 60_000 + 30_000, &["big"], *code);
    }
    assert_eq!(upstream.parked_because(&id("big")), None);
}

#[test]
fn a_document_that_the_server_refuses_is_parked_at_once_and_the_link_goes_on() {
    let mut upstream = online(0);
    handle(&mut upstream, 1, Event::Ready { document: id("big"), open: true });
    let refused = Event::Refused { document: id("big"), reason: "too large".into() };
    let actions = handle(&mut upstream, 2, refused);
    assert!(parks(&actions, "big") && !upstream.wants_room(3));
    let because = "the upstream does not take it (too large)";
    assert_eq!(upstream.parked_because(&id("big")), Some(because));
    let unpark = Action::Unpark { document: id("big") };
    assert!(handle(&mut upstream, 2 + limits::PARK_MS, Event::Tick).contains(&unpark));
}
