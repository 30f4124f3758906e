//! The state machine of the upstream link: when to connect, whose turn it is to send, and which
//! document is kept off the link because the server closes it over that.

mod parking;
#[cfg(test)]
mod tests;

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
    /// The server does not take a document.
    Refused {
        /// Which.
        document: DocumentId,
        /// Why, in words.
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
            Event::Refused { document, reason } => {
                let until = self.parking.refuse(now, &document, &reason);
                self.open.retain(|waiting| *waiting != document);
                self.idle.retain(|waiting| *waiting != document);
                actions.push(Action::Park { document });
                actions.push(Action::WakeAt { at: until });
            }
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
