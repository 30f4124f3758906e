//! The state machine of the upstream link: when to connect, whose turn it is to send, and which
//! document is kept off the link because the server closes it over that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::backoff::{Backoff, Random};
use crate::id::DocumentId;
use crate::{Millis, limits};

/// What happens to the link.
#[derive(Debug)]
pub enum Event {
    /// The time that was asked for has come (or the process starts).
    Tick,
    /// A client has come to a document: if the upstream is away, now is a time to try.
    ClientCame,
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
    /// Open a connection.
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

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nobody there, or it hangs up: worth another try soon.
    Unreachable,
    /// It wants a login, or refuses ours: not before something changes, or 5 minutes.
    Unauthorized,
}

/// How the link stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// A connection is being opened.
    Connecting,
    /// The connection stands.
    Online,
    /// No connection.
    Offline {
        /// Why.
        reason: String,
        /// When the next attempt is due.
        next_try: Millis,
    },
    /// The server does not let us in.
    Unauthorized {
        /// Why.
        reason: String,
        /// When the next attempt is due.
        next_try: Millis,
    },
}

/// The upstream link.
#[derive(Debug)]
pub struct Upstream {
    state: LinkState,
    backoff: Backoff,
    random: Random,
    tried_at: Millis,
    online_at: Millis,
    /// Documents with something to send: those that are open here, and the others.
    open: VecDeque<DocumentId>,
    idle: VecDeque<DocumentId>,
    /// Pulls since an idle document had its turn.
    open_turns: u32,
    /// When each document was last sent for, on this connection.
    sent: BTreeMap<DocumentId, Millis>,
    /// The server closed the link soon after these were sent for: they go one at a time.
    suspects: BTreeSet<DocumentId>,
    /// The suspect whose turn it is, and since when.
    trial: Option<(DocumentId, Millis)>,
    parked: BTreeMap<DocumentId, Millis>,
}

#[derive(Debug, Clone, Copy)]
enum Queue {
    Open,
    Idle,
}

fn may_send(
    document: &DocumentId,
    suspects: &BTreeSet<DocumentId>,
    trial: &Option<(DocumentId, Millis)>,
) -> bool {
    match trial {
        Some((on_trial, _)) => on_trial == document || !suspects.contains(document),
        None => true,
    }
}

/// Open documents go first, but of so many turns one is for the others.
const TURNS: u32 = 8;

impl Upstream {
    /// A link that has not been tried yet: a [`Event::Tick`] starts it.
    pub fn new(now: Millis, seed: u64) -> Self {
        let reason = String::from("not tried yet");
        Self {
            state: LinkState::Offline { reason, next_try: now },
            backoff: Backoff::new(limits::UPSTREAM_BACKOFF_MS, limits::UPSTREAM_BACKOFF_MS_MAX),
            random: Random::new(seed),
            tried_at: now,
            online_at: now,
            open: VecDeque::new(),
            idle: VecDeque::new(),
            open_turns: 0,
            sent: BTreeMap::new(),
            suspects: BTreeSet::new(),
            trial: None,
            parked: BTreeMap::new(),
        }
    }

    /// How it stands.
    pub fn state(&self) -> &LinkState {
        &self.state
    }

    /// Whether this document is kept off the link.
    pub fn is_parked(&self, document: &DocumentId) -> bool {
        self.parked.contains_key(document)
    }

    /// The one entry point.
    pub fn handle(&mut self, now: Millis, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => self.tick(now, actions),
            Event::ClientCame => self.hurry(now, actions),
            Event::Connected => {
                self.state = LinkState::Online;
                self.online_at = now;
                actions.push(Action::Attach);
            }
            Event::Failed { failure, reason } => {
                let next_try = self.next_try(now, failure);
                self.state = match failure {
                    Failure::Unreachable => LinkState::Offline { reason, next_try },
                    Failure::Unauthorized => LinkState::Unauthorized { reason, next_try },
                };
                actions.push(Action::WakeAt { at: next_try });
            }
            Event::Closed { code, reason } => self.closed(now, code, reason, actions),
            Event::Ready { document, open } => {
                let queue = if open { &mut self.open } else { &mut self.idle };
                queue.push_back(document);
            }
            Event::Room => self.room(now, actions),
        }
    }

    /// Somebody waits: now is a time to try, unless it was tried just now.
    fn hurry(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let LinkState::Offline { next_try, .. } = &mut self.state else { return };
        let soon = self.tried_at + limits::UPSTREAM_HURRY_MS;
        if now >= soon {
            self.connect(now, actions);
        } else if soon < *next_try {
            *next_try = soon;
            actions.push(Action::WakeAt { at: soon });
        }
    }

    fn tick(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let due: Vec<DocumentId> = self
            .parked
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(document, _)| document.clone())
            .collect();
        for document in due {
            self.parked.remove(&document);
            actions.push(Action::Unpark { document });
        }
        match self.state {
            LinkState::Offline { next_try, .. } | LinkState::Unauthorized { next_try, .. } => {
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

    fn next_try(&mut self, now: Millis, failure: Failure) -> Millis {
        match failure {
            Failure::Unreachable => now + self.backoff.delay(&mut self.random),
            Failure::Unauthorized => now + limits::UPSTREAM_UNAUTHORIZED_MS,
        }
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
        self.open.clear();
        self.idle.clear();
        actions.push(Action::Detach);
        self.blame(now, code, actions);
        let next_try = self.next_try(now, Failure::Unreachable);
        self.state = LinkState::Offline { reason, next_try };
        actions.push(Action::WakeAt { at: next_try });
    }

    /// A close frame soon after a document's message may mean that document: those are suspects,
    /// and on the next connection each has its trial. A connection that merely breaks (no close
    /// frame, or "going away") says nothing about what was sent.
    fn blame(&mut self, now: Millis, code: Option<u16>, actions: &mut Vec<Action>) {
        let sent = std::mem::take(&mut self.sent);
        let trial = self.trial.take();
        if code.is_none_or(|code| matches!(code, 1001 | 1005 | 1006 | 1012)) {
            self.suspects.clear();
            return;
        }
        if let Some((document, _)) = trial {
            self.suspects.remove(&document);
            let until = now + limits::PARK_MS;
            self.parked.insert(document.clone(), until);
            actions.push(Action::Park { document });
            actions.push(Action::WakeAt { at: until });
            return;
        }
        let lately = |at: Millis| now < at + limits::PARK_BLAME_MS;
        self.suspects =
            sent.into_iter().filter(|(_, at)| lately(*at)).map(|(document, _)| document).collect();
    }

    fn room(&mut self, now: Millis, actions: &mut Vec<Action>) {
        self.end_trial(now);
        let idle_turn = self.open_turns >= TURNS || self.open.is_empty();
        let document = if idle_turn { self.take(Queue::Idle) } else { None };
        self.open_turns = if document.is_some() { 0 } else { self.open_turns + 1 };
        let document =
            document.or_else(|| self.take(Queue::Open)).or_else(|| self.take(Queue::Idle));
        let Some(document) = document else { return };
        if self.suspects.contains(&document) && self.trial.is_none() {
            self.trial = Some((document.clone(), now));
            actions.push(Action::WakeAt { at: now + limits::TRIAL_MS });
        }
        self.sent.insert(document.clone(), now);
        actions.push(Action::Pull { document });
    }

    /// A suspect that the server has put up with for a while is none.
    fn end_trial(&mut self, now: Millis) {
        if let Some((document, _)) =
            self.trial.take_if(|(_, since)| now >= *since + limits::TRIAL_MS)
        {
            self.suspects.remove(&document);
        }
    }

    /// The first of a queue that may be sent for: no suspect during another's trial.
    fn take(&mut self, queue: Queue) -> Option<DocumentId> {
        let may = |document: &DocumentId| may_send(document, &self.suspects, &self.trial);
        let queue = match queue {
            Queue::Open => &mut self.open,
            Queue::Idle => &mut self.idle,
        };
        let place = queue.iter().position(may)?;
        queue.remove(place)
    }

    /// The documents that are kept off the link.
    pub fn parked(&self) -> impl Iterator<Item = &DocumentId> {
        self.parked.keys()
    }

    /// Whether somebody waits for room who may have it.
    pub fn wants_room(&self, now: Millis) -> bool {
        let over = self.trial.as_ref().is_some_and(|(_, since)| now >= since + limits::TRIAL_MS);
        let mut waiting = self.open.iter().chain(&self.idle);
        waiting.any(|document| over || may_send(document, &self.suspects, &self.trial))
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
        assert!(upstream.is_parked(&id("big")));
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
        for round in 0..6 {
            let code = if round % 2 == 0 { None } else { Some(1001) };
            close_after(&mut upstream, round * 60_000, &["big"], code);
        }
        assert!(!upstream.is_parked(&id("big")));
    }
}
