//! The state machine of the way to one server: when to connect, whose turn it is to send, and which
//! document is kept off because the server does not take it.
//!
//! All documents go over one connection, or each has one of its own ([`Connections`]). Either way a
//! server that is away is tried by one of them.

mod event;
mod lines;
mod parking;
mod retry;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::Millis;
use crate::event::Habit;
use crate::id::DocumentId;

pub use event::{Action, Event, Failure, LinkState};
pub use lines::{LineAction, LineEvent};

use lines::Lines;
use parking::Parking;
use retry::Retry;

/// What goes over one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// All documents.
    Shared,
    /// One document: each has a connection of its own.
    Separate,
}

/// The way to one server.
#[derive(Debug)]
pub struct Upstream {
    retry: Retry,
    /// Where each document has a connection of its own: those.
    lines: Option<Lines>,
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
    /// One that has not been tried yet: a [`Event::Tick`] starts it, or the first document.
    pub fn new(now: Millis, seed: u64, connections: Connections) -> Self {
        let (state, lines) = match connections {
            Connections::Shared => (LinkState::Offline { next_try: now }, None),
            Connections::Separate => (LinkState::Idle, Some(Lines::default())),
        };
        Self {
            retry: Retry::new(now, state, seed),
            lines,
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
        self.retry.state
    }

    /// Why it is not online; nothing before the first attempt has ended.
    pub fn reason(&self) -> Option<&str> {
        self.retry.reason.as_deref()
    }

    /// Whether documents may be offered to it: it is there, or not known to be away.
    pub fn takes_offers(&self) -> bool {
        match self.retry.state {
            LinkState::Online => true,
            LinkState::Idle | LinkState::Connecting => self.lines.is_some(),
            LinkState::Offline { .. } | LinkState::Unauthorized { .. } => false,
        }
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
            Event::ClientCame => {
                if self.retry.hurry(now, actions) {
                    self.connect(now, actions);
                }
            }
            Event::Woke => self.renew(now, actions),
            Event::LoginChanged => self.login_changed(now, actions),
            Event::Connected => self.connected(now, actions),
            Event::Failed { failure, reason } => self.retry.failed(now, failure, reason, actions),
            Event::Closed { code, reason } => self.closed(now, code, reason, actions),
            Event::Unneeded => {
                self.retry.unneeded();
                self.open.clear();
                self.idle.clear();
                actions.push(Action::Detach);
            }
            Event::Wanted => self.wanted(now, actions),
            Event::Habit(habit) => self.learn(habit),
            Event::Refused { document, reason } => {
                let until = self.parking.refuse(now, &document, &reason);
                self.keep_off(now, document, until, actions);
            }
            Event::LetGo { document, reason } => {
                let until = self.parking.let_go(now, &document, &reason);
                self.keep_off(now, document, until, actions);
            }
            Event::Ready { document, open } => {
                let queue = if open { &mut self.open } else { &mut self.idle };
                queue.push_back(document);
            }
            Event::Room => self.room(now, actions),
            Event::Line { document, event } => self.line_event(now, document, event, actions),
        }
    }

    fn keep_off(
        &mut self,
        now: Millis,
        document: DocumentId,
        until: Millis,
        actions: &mut Vec<Action>,
    ) {
        self.open.retain(|waiting| *waiting != document);
        self.idle.retain(|waiting| *waiting != document);
        self.line_parked(now, &document, actions);
        actions.push(Action::Park { document });
        actions.push(Action::WakeAt { at: until });
    }

    fn unpark(&mut self, now: Millis, documents: Vec<DocumentId>, actions: &mut Vec<Action>) {
        if !documents.is_empty() {
            self.wanted(now, actions);
        }
        actions.extend(documents.into_iter().map(|document| Action::Unpark { document }));
    }

    fn wanted(&mut self, now: Millis, actions: &mut Vec<Action>) {
        if self.retry.state == LinkState::Idle && self.lines.is_none() {
            self.connect(now, actions);
        }
    }

    /// Begins anew, whatever there was. The network may need some moments to be there again.
    fn renew(&mut self, now: Millis, actions: &mut Vec<Action>) {
        self.retry.renew();
        if self.lines.is_some() {
            self.renew_lines(now, actions);
            return;
        }
        if self.retry.state == LinkState::Online {
            self.retry.reason = Some("the machine has slept".into());
            self.end(now, None, actions);
        }
        self.connect(now, actions);
    }

    /// What was refused under another login may be taken now.
    fn login_changed(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let refused = self.parking.take_refused();
        self.unpark(now, refused, actions);
        if matches!(self.retry.state, LinkState::Unauthorized { .. }) {
            self.connect(now, actions);
        }
    }

    fn tick(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let due = self.parking.take_due(now);
        self.unpark(now, due, actions);
        if self.retry.is_due(now, actions) {
            self.connect(now, actions);
        }
        self.open_lines(now, actions);
    }

    fn connect(&mut self, now: Millis, actions: &mut Vec<Action>) {
        self.retry.tries(now);
        if let Some(lines) = &mut self.lines {
            // The server itself is in question: what single documents waited for counts no more.
            lines.end_delays(Millis::MAX);
            self.open_lines(now, actions);
        } else {
            actions.push(Action::Connect);
        }
    }

    fn connected(&mut self, now: Millis, actions: &mut Vec<Action>) {
        self.retry.connected(now);
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

    fn closed(
        &mut self,
        now: Millis,
        code: Option<u16>,
        reason: String,
        actions: &mut Vec<Action>,
    ) {
        let failure = self.retry.ended(now, self.retry.online_at(), code);
        self.retry.reason = Some(reason.clone());
        self.end(now, code, actions);
        self.retry.failed(now, failure, reason, actions);
    }

    /// The connection is no more.
    fn end(&mut self, now: Millis, code: Option<u16>, actions: &mut Vec<Action>) {
        self.open.clear();
        self.idle.clear();
        actions.push(Action::Detach);
        let reason = self.retry.reason.as_deref().unwrap_or_default();
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
