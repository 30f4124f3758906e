//! A connection for each document.

use super::*;

struct Script {
    upstream: Upstream,
    now: Millis,
}

impl Script {
    fn new() -> Self {
        Self { upstream: Upstream::new(0, 1, Connections::Separate), now: 0 }
    }

    fn handle(&mut self, event: Event) -> Vec<String> {
        handle(&mut self.upstream, self.now, event).into_iter().map(words).collect()
    }

    fn line(&mut self, document: &str, event: LineEvent) -> Vec<String> {
        self.handle(Event::Line { document: id(document), event })
    }

    fn failed(&mut self, document: &str, failure: Failure) -> Vec<String> {
        self.line(document, LineEvent::Failed { failure, reason: "why".into() })
    }

    fn closed(&mut self, document: &str, code: Option<u16>) -> Vec<String> {
        self.line(document, LineEvent::Closed { code, reason: "why".into() })
    }

    fn wanted(&mut self, documents: &[&str]) -> Vec<String> {
        documents.iter().flat_map(|document| self.line(document, LineEvent::Wanted)).collect()
    }

    /// Goes to when the server is to be tried again.
    fn next_try(&mut self) -> Vec<String> {
        let LinkState::Offline { next_try } = self.upstream.state() else {
            panic!("{:?}", self.upstream.state())
        };
        self.now = next_try;
        self.handle(Event::Tick)
    }

    /// Goes on by so long.
    fn wait(&mut self, ms: Millis) -> Vec<String> {
        self.now += ms;
        self.handle(Event::Tick)
    }
}

/// What is done, without when to look again.
fn words(action: Action) -> String {
    match action {
        Action::Line { document, action } => format!("{action:?} {document}"),
        Action::WakeAt { .. } => "wake".into(),
        Action::Park { document } => format!("Park {document}"),
        Action::Unpark { document } => format!("Unpark {document}"),
        other => panic!("{other:?}"),
    }
}

fn without_wakes(actions: Vec<String>) -> Vec<String> {
    actions.into_iter().filter(|action| action != "wake").collect()
}

#[test]
fn one_document_tries_the_server_and_the_others_follow_once_it_is_there() {
    let mut t = Script::new();
    assert_eq!(t.upstream.state(), LinkState::Idle);
    assert_eq!(t.wanted(&["a", "b", "c"]), ["Open a"]);
    assert_eq!(t.upstream.state(), LinkState::Connecting);
    assert_eq!(t.line("a", LineEvent::Opened), ["Attach a", "Open b", "Open c"]);
    assert_eq!(t.upstream.state(), LinkState::Online);
    assert_eq!(t.line("b", LineEvent::Opened), ["Attach b"]);
    assert_eq!(t.line("b", LineEvent::Unwanted), ["HangUp b"]);
    assert_eq!(t.line("c", LineEvent::Unwanted), ["HangUp c"]);
    assert_eq!(t.line("c", LineEvent::Opened), [] as [&str; 0], "it was dropped");
    assert_eq!(t.line("a", LineEvent::Unwanted), ["HangUp a"]);
    assert_eq!(t.upstream.state(), LinkState::Idle);
}

#[test]
fn a_server_that_is_down_costs_one_attempt_at_a_time_however_many_documents_there_are() {
    let mut t = Script::new();
    let names: Vec<String> = (0..100).map(|n| format!("{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut opened = t.wanted(&names);
    for _ in 0..20 {
        let [open] = &opened[..] else { panic!("{opened:?}") };
        let document = open.strip_prefix("Open ").unwrap().to_owned();
        assert_eq!(t.failed(&document, Failure::Unreachable), ["wake"]);
        assert_eq!(t.upstream.reason(), Some("why"));
        opened = t.next_try();
    }
    let document = opened[0].strip_prefix("Open ").unwrap().to_owned();
    let opened = t.line(&document, LineEvent::Opened);
    assert_eq!(opened.len(), 1 + limits::UPSTREAM_OPENING_MAX, "{opened:?}");
}

#[test]
fn when_the_server_goes_all_are_detached_and_one_tries() {
    let mut t = Script::new();
    t.wanted(&["a", "b", "c"]);
    for document in ["a", "b", "c"] {
        t.line(document, LineEvent::Opened);
    }
    t.now = limits::UPSTREAM_STABLE_MS;
    // The others stand: it is its own.
    assert_eq!(t.closed("a", None), ["Detach a", "wake", "wake"]);
    assert_eq!(t.upstream.state(), LinkState::Online);
    assert_eq!(without_wakes(t.closed("b", Some(1001))), ["Detach b"]);
    assert_eq!(without_wakes(t.closed("c", Some(1006))), ["Detach c"]);
    assert!(matches!(t.upstream.state(), LinkState::Offline { .. }));
    assert_eq!(t.wait(0).iter().filter(|action| *action != "wake").count(), 0);
    let opened = without_wakes(t.next_try());
    assert_eq!(opened.len(), 1, "{opened:?}");
}

#[test]
fn one_that_fails_while_others_stand_waits_by_itself_and_ever_longer() {
    let mut t = Script::new();
    t.wanted(&["a", "b"]);
    t.line("a", LineEvent::Opened);
    let mut waited = 0;
    while waited < 10 * limits::UPSTREAM_BACKOFF_MS_MAX {
        assert!(without_wakes(t.failed("b", Failure::Unreachable)).is_empty());
        let since = t.now;
        while without_wakes(t.wait(1)).is_empty() {}
        assert!(t.now - since <= limits::UPSTREAM_BACKOFF_MS_MAX + 1);
        waited += t.now - since;
    }
    assert_eq!(t.upstream.state(), LinkState::Online);
}

#[test]
fn a_server_that_is_busy_while_others_stand_is_asked_for_that_one_later() {
    let mut t = Script::new();
    t.wanted(&["a", "b"]);
    t.line("a", LineEvent::Opened);
    t.failed("b", Failure::Busy { retry_after_ms: 20_000 });
    assert_eq!(t.upstream.state(), LinkState::Online);
    assert!(without_wakes(t.wait(19_999)).is_empty());
    assert_eq!(without_wakes(t.wait(1 + limits::UPSTREAM_BACKOFF_MS)), ["Open b"]);
}

#[test]
fn what_the_server_does_not_take_is_parked_and_the_others_go_on() {
    let mut t = Script::new();
    t.wanted(&["a", "b", "c"]);
    assert_eq!(without_wakes(t.failed("a", Failure::Refused)), ["Park a", "Open b", "Open c"]);
    assert!(t.upstream.parked_because(&id("a")).unwrap().contains("why"));
    t.line("b", LineEvent::Opened);
    t.line("c", LineEvent::Opened);
    for (document, code) in [("b", 4404), ("c", 1009)] {
        let done = without_wakes(t.closed(document, Some(code)));
        assert_eq!(done, [format!("Detach {document}"), format!("Park {document}")]);
    }
    assert_eq!(t.wanted(&["b"]), [] as [&str; 0], "it is parked");
    // Another login may be let in.
    let mut unparked = t.handle(Event::LoginChanged);
    unparked.sort();
    assert_eq!(unparked, ["Unpark a", "Unpark b", "Unpark c"]);
    assert_eq!(t.wanted(&["b"]), ["Open b"]);
}

#[test]
fn a_login_that_is_withdrawn_is_fetched_anew_once_and_then_all_wait() {
    let mut t = Script::new();
    t.wanted(&["a", "b"]);
    t.line("a", LineEvent::Opened);
    t.line("b", LineEvent::Unwanted);
    assert_eq!(t.closed("a", Some(4401)), ["Detach a", "wake"]);
    assert_eq!(without_wakes(t.next_try()), ["Open a"]);
    t.line("a", LineEvent::Opened);
    assert_eq!(t.closed("a", Some(4401)), ["Detach a", "wake"]);
    assert!(matches!(t.upstream.state(), LinkState::Unauthorized { .. }));
    assert_eq!(t.wanted(&["b"]), [] as [&str; 0]);
    assert_eq!(t.handle(Event::LoginChanged).len(), 1);
}

#[test]
fn after_sleep_every_connection_is_dropped_and_one_tries() {
    let mut t = Script::new();
    t.wanted(&["a", "b", "c"]);
    t.line("a", LineEvent::Opened);
    let done = t.handle(Event::Woke);
    assert_eq!(done, ["HangUp a", "Detach a", "HangUp b", "HangUp c", "Open a"]);
}

#[test]
fn with_the_server_in_question_no_document_waits_for_its_own_sake() {
    let mut t = Script::new();
    t.wanted(&["a", "b"]);
    t.line("a", LineEvent::Opened);
    t.line("b", LineEvent::Opened);
    assert_eq!(without_wakes(t.closed("a", None)), ["Detach a"]);
    for _ in 0..6 {
        assert_eq!(without_wakes(t.wait(limits::UPSTREAM_BACKOFF_MS_MAX)), ["Open a"]);
        t.failed("a", Failure::Unreachable);
    }
    assert_eq!(without_wakes(t.closed("b", None)), ["Detach b"]);
    t.line("b", LineEvent::Unwanted);
    assert_eq!(without_wakes(t.next_try()), ["Open a"]);
    assert_eq!(t.upstream.state(), LinkState::Connecting);
}
