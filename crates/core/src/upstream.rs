//! The state machine of the upstream link: when to connect, whose turn it is to send, and which
//! document is kept off the link because the server closes it over that.

mod parking;

use std::collections::VecDeque;

use crate::backoff::{Backoff, Random};
use crate::event::Habit;
use crate::id::DocumentId;
use crate::{Millis, limits};

use parking::Parking;

/// What happens to the link.
#[derive(Debug)]
pub enum Event {
    /// The time that was asked for has come (or the process starts).
    Tick,
    /// A client has come to a document: if the upstream is away, now is a time to try.
    ClientCame,
    /// The machine has slept: whatever connection there was, the network has forgotten it.
    Woke,
    /// Another login is there: if the last one was refused, now is a time to try.
    LoginChanged,
    /// The connection stands.
    Connected,
    /// An attempt to connect failed.
    Failed {
        /// Which kind of failure.
        failure: Failure,
        /// In words.
        reason: String,
    },
    /// The connection ended.
    Closed {
        /// The close code that the server sent, if it sent one.
        code: Option<u16>,
        /// In words.
        reason: String,
    },
    /// A document has found out how the server treats a step 1.
    Habit(Habit),
    /// A document has something to send.
    Ready {
        /// Which.
        document: DocumentId,
        /// Somebody here has it open.
        open: bool,
    },
    /// The connection can take one more message.
    Room,
}

/// What the link wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection. One that stands, and an attempt under way, are dropped.
    Connect,
    /// The link is up: attach the documents.
    Attach,
    /// The link is down: detach the documents.
    Detach,
    /// Let this document send its next message.
    Pull {
        /// Which.
        document: DocumentId,
    },
    /// Keep this document off the link.
    Park {
        /// Which.
        document: DocumentId,
    },
    /// This one may try again.
    Unpark {
        /// Which.
        document: DocumentId,
    },
    /// Tick at this time. An earlier or superfluous one does no harm.
    WakeAt {
        /// When.
        at: Millis,
    },
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nobody there, or it hangs up: worth another try soon.
    Unreachable,
    /// It is busy and says when to come back.
    Busy {
        /// After so long, or a little later.
        retry_after_ms: Millis,
    },
    /// It wants a login, or refuses ours: not before something changes, or 5 minutes.
    Unauthorized,
}

/// How the link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// A connection is being opened.
    Connecting,
    /// The connection stands.
    Online,
    /// No connection.
    Offline {
        /// When the next attempt is due.
        next_try: Millis,
    },
    /// The server does not let us in.
    Unauthorized {
        /// When the next attempt is due.
        next_try: Millis,
    },
}

/// The upstream link.
#[derive(Debug)]
pub struct Upstream {
    state: LinkState,
    /// Why it is not online.
    reason: Option<String>,
    backoff: Backoff,
    random: Random,
    tried_at: Millis,
    /// The server has asked not to be tried before.
    not_before: Millis,
    online_at: Millis,
    /// Documents with something to send: those that are open here, and the others.
    open: VecDeque<DocumentId>,
    idle: VecDeque<DocumentId>,
    /// Pulls since an idle document had its turn.
    open_turns: u32,
    parking: Parking,
    /// How the server treats a step 1, as far as documents have found out.
    habit: Habit,
    /// One of them was answered on this connection.
    answers: bool,
}

#[derive(Debug, Clone, Copy)]
enum Queue {
    Open,
    Idle,
}

/// Open documents go first, but of so many turns one is for the others.
const TURNS: u32 = 8;

impl Upstream {
    /// A link that has not been tried yet: a [`Event::Tick`] starts it.
    pub fn new(now: Millis, seed: u64) -> Self {
        Self {
            state: LinkState::Offline { next_try: now },
            reason: None,
            backoff: Backoff::new(limits::UPSTREAM_BACKOFF_MS, limits::UPSTREAM_BACKOFF_MS_MAX),
            random: Random::new(seed),
            tried_at: now,
            not_before: now,
            online_at: now,
            open: VecDeque::new(),
            idle: VecDeque::new(),
            open_turns: 0,
            parking: Parking::default(),
            habit: Habit::Unknown,
            answers: false,
        }
    }

    /// How it stands.
    pub fn state(&self) -> LinkState {
        self.state
    }

    /// Why it is not online; nothing before the first attempt has ended.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// How the server treats a step 1, for documents that are attached now.
    pub fn habit(&self) -> Habit {
        self.habit
    }

    /// Why this document is kept off the link, if it is.
    pub fn parked_because(&self, document: &DocumentId) -> Option<&str> {
        self.parking.reason(document)
    }

    /// The documents that are kept off the link.
    pub fn parked(&self) -> impl Iterator<Item = &DocumentId> {
        self.parking.parked()
    }

    /// The one entry point.
    pub fn handle(&mut self, now: Millis, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => self.tick(now, actions),
            Event::ClientCame => self.hurry(now, actions),
            Event::Woke => self.renew(now, actions),
            Event::LoginChanged => {
                if matches!(self.state, LinkState::Unauthorized { .. }) {
                    self.connect(now, actions);
                }
            }
            Event::Connected => self.connected(now, actions),
            Event::Failed { failure, reason } => self.failed(now, failure, reason, actions),
            Event::Closed { code, reason } => self.closed(now, code, reason, actions),
            Event::Habit(habit) => self.learn(habit),
            Event::Ready { document, open } => {
                let queue = if open { &mut self.open } else { &mut self.idle };
                queue.push_back(document);
            }
            Event::Room => self.room(now, actions),
        }
    }

    /// Somebody waits: now is a time to try, unless it was tried just now.
    fn hurry(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let LinkState::Offline { next_try } = &mut self.state else { return };
        let soon = self.not_before.max(self.tried_at + limits::UPSTREAM_HURRY_MS);
        if now >= soon {
            self.connect(now, actions);
        } else if soon < *next_try {
            *next_try = soon;
            actions.push(Action::WakeAt { at: soon });
        }
    }

    /// Begins anew, whatever there was. The network may need some moments to be there again.
    fn renew(&mut self, now: Millis, actions: &mut Vec<Action>) {
        if self.state == LinkState::Online {
            self.reason = Some("the machine has slept".into());
            self.end(now, None, actions);
        }
        self.backoff.reset();
        self.connect(now, actions);
    }

    fn tick(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let due = self.parking.take_due(now).into_iter();
        actions.extend(due.map(|document| Action::Unpark { document }));
        match self.state {
            LinkState::Offline { next_try } | LinkState::Unauthorized { next_try } => {
                if next_try <= now {
                    self.connect(now, actions);
                } else {
                    actions.push(Action::WakeAt { at: next_try });
                }
            }
            LinkState::Connecting | LinkState::Online => {}
        }
    }

    fn connect(&mut self, now: Millis, actions: &mut Vec<Action>) {
        self.tried_at = now;
        self.state = LinkState::Connecting;
        actions.push(Action::Connect);
    }

    fn connected(&mut self, now: Millis, actions: &mut Vec<Action>) {
        self.state = LinkState::Online;
        self.reason = None;
        self.online_at = now;
        self.not_before = now;
        self.answers = false;
        // Whoever was silent may have been away.
        if self.habit == Habit::Silent {
            self.habit = Habit::Unknown;
        }
        actions.push(Action::Attach);
    }

    /// One document may wait in vain where others are answered: that says nothing of the server.
    fn learn(&mut self, habit: Habit) {
        if habit == Habit::Silent && self.answers {
            return;
        }
        self.answers = habit == Habit::Keeps;
        self.habit = habit;
    }

    fn failed(&mut self, now: Millis, failure: Failure, reason: String, actions: &mut Vec<Action>) {
        self.reason = Some(reason);
        let at = match failure {
            Failure::Unreachable => now + self.backoff.delay(&mut self.random),
            Failure::Busy { retry_after_ms } => {
                let wait = retry_after_ms.min(limits::UPSTREAM_BUSY_MS_MAX);
                self.not_before = now + wait;
                self.not_before + self.backoff.delay(&mut self.random)
            }
            Failure::Unauthorized => now + limits::UPSTREAM_UNAUTHORIZED_MS,
        };
        self.state = match failure {
            Failure::Unreachable | Failure::Busy { .. } => LinkState::Offline { next_try: at },
            Failure::Unauthorized => LinkState::Unauthorized { next_try: at },
        };
        actions.push(Action::WakeAt { at });
    }

    fn closed(
        &mut self,
        now: Millis,
        code: Option<u16>,
        reason: String,
        actions: &mut Vec<Action>,
    ) {
        // A server that lets in and hangs up at once is not to be hurried.
        if now >= self.online_at + limits::UPSTREAM_STABLE_MS {
            self.backoff.reset();
        }
        let failure = match code {
            Some(4401 | 4403) => Failure::Unauthorized,
            _ => Failure::Unreachable,
        };
        self.reason = Some(reason.clone());
        self.end(now, code, actions);
        self.failed(now, failure, reason, actions);
    }

    /// The connection is no more.
    fn end(&mut self, now: Millis, code: Option<u16>, actions: &mut Vec<Action>) {
        self.open.clear();
        self.idle.clear();
        actions.push(Action::Detach);
        let reason = self.reason.as_deref().unwrap_or_default();
        if let Some((document, until)) = self.parking.blame(now, code, reason) {
            actions.push(Action::Park { document });
            actions.push(Action::WakeAt { at: until });
        }
    }

    fn room(&mut self, now: Millis, actions: &mut Vec<Action>) {
        self.parking.end_trial(now);
        let idle_turn = self.open_turns >= TURNS || self.open.is_empty();
        let document = if idle_turn { self.take(now, Queue::Idle) } else { None };
        self.open_turns = if document.is_some() { 0 } else { self.open_turns + 1 };
        let document = document
            .or_else(|| self.take(now, Queue::Open))
            .or_else(|| self.take(now, Queue::Idle));
        let Some(document) = document else { return };
        if let Some(at) = self.parking.sends(now, &document) {
            actions.push(Action::WakeAt { at });
        }
        actions.push(Action::Pull { document });
    }

    /// The first of a queue that may be sent for.
    fn take(&mut self, now: Millis, queue: Queue) -> Option<DocumentId> {
        let queue = match queue {
            Queue::Open => &mut self.open,
            Queue::Idle => &mut self.idle,
        };
        let place = queue.iter().position(|document| self.parking.may_send(now, document))?;
        queue.remove(place)
    }

    /// Whether somebody waits for room who may have it.
    pub fn wants_room(&self, now: Millis) -> bool {
        let mut waiting = self.open.iter().chain(&self.idle);
        waiting.any(|document| self.parking.may_send(now, document))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> DocumentId {
        DocumentId::new(name).unwrap()
    }

    fn handle(upstream: &mut Upstream, now: Millis, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        upstream.handle(now, event, &mut actions);
        actions
    }

    fn online(now: Millis) -> Upstream {
        let mut upstream = Upstream::new(now, 1);
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
    fn backs_off_up_to_thirty_seconds_and_a_client_hurries_it() {
        let mut upstream = Upstream::new(0, 1);
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
        let mut upstream = Upstream::new(0, 1);
        handle(&mut upstream, 0, Event::Tick);
        let event = Event::Failed { failure: Failure::Unauthorized, reason: "401".into() };
        assert_eq!(handle(&mut upstream, 0, event), [Action::WakeAt { at: 300_000 }]);
        assert_eq!(handle(&mut upstream, 10, Event::ClientCame), []);
        assert_eq!(handle(&mut upstream, 300_000, Event::Tick), [Action::Connect]);
    }

    #[test]
    fn another_login_is_tried_at_once_but_only_after_a_refusal() {
        let mut upstream = Upstream::new(0, 1);
        handle(&mut upstream, 0, Event::Tick);
        fail(&mut upstream, 0);
        assert_eq!(handle(&mut upstream, 1, Event::LoginChanged), [], "that was not the reason");
        let mut upstream = online(0);
        assert_eq!(handle(&mut upstream, 1, Event::LoginChanged), []);
        // A server may withdraw a login while the link stands.
        let closed = Event::Closed { code: Some(4401), reason: "expired".into() };
        let until = 2 + limits::UPSTREAM_UNAUTHORIZED_MS;
        assert!(handle(&mut upstream, 2, closed).contains(&Action::WakeAt { at: until }));
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
            let mut upstream = Upstream::new(0, 1);
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
            let mut upstream = Upstream::new(now, 1);
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
        let mut upstream = Upstream::new(0, 1);
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
        assert_eq!(upstream.parked_because(&id("big")), Some("gone"));
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
}
