//! A connection for each document, to one server: which are opened, and what one's failure means
//! for the others.
//!
//! While none stands, the server itself is in question: one document tries, and whatever fails then
//! counts for all. While another stands, the server is there, and a failure is the document's own.

use std::collections::{BTreeMap, VecDeque};

use super::{Action, Failure, LinkState, Upstream};
use crate::backoff::Backoff;
use crate::id::DocumentId;
use crate::{Millis, limits};

/// What happens to one document's connection.
#[derive(Debug)]
pub enum LineEvent {
    /// It is needed: the document is here.
    Wanted,
    /// It is needed no more.
    Unwanted,
    /// It stands.
    Opened,
    /// It could not be opened.
    Failed {
        /// Which kind of failure.
        failure: Failure,
        /// In words.
        reason: String,
    },
    /// It has ended.
    Closed {
        /// The close code that the server sent, if it sent one.
        code: Option<u16>,
        /// In words.
        reason: String,
    },
}

/// What is to be done with one document's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineAction {
    /// Open it.
    Open,
    /// Drop it, or the attempt to open it.
    HangUp,
    /// It stands: attach the document.
    Attach,
    /// It stands no more: detach the document.
    Detach,
}

/// All connections to one server.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: BTreeMap<DocumentId, Line>,
    /// Those that wait to be opened, the first first.
    waiting: VecDeque<DocumentId>,
    opening: usize,
    open: usize,
}

#[derive(Debug)]
struct Line {
    stage: Stage,
    backoff: Backoff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// It failed while others stood.
    Delayed {
        until: Millis,
    },
    Opening,
    Open {
        since: Millis,
    },
}

impl Lines {
    /// Puts a line in this stage.
    fn set(&mut self, document: &DocumentId, stage: Stage) {
        let Some(line) = self.lines.get_mut(document) else { return };
        let before = std::mem::replace(&mut line.stage, stage);
        self.count(before, stage);
        if stage == Stage::Waiting && before != Stage::Waiting {
            self.waiting.push_back(document.clone());
        }
    }

    fn count(&mut self, before: Stage, after: Stage) {
        let is_open = |stage| matches!(stage, Stage::Open { .. });
        self.opening -= usize::from(before == Stage::Opening);
        self.open -= usize::from(is_open(before));
        self.opening += usize::from(after == Stage::Opening);
        self.open += usize::from(is_open(after));
    }

    fn add(&mut self, document: DocumentId) {
        if !self.lines.contains_key(&document) {
            let backoff =
                Backoff::new(limits::UPSTREAM_BACKOFF_MS, limits::UPSTREAM_BACKOFF_MS_MAX);
            self.waiting.push_back(document.clone());
            self.lines.insert(document, Line { stage: Stage::Waiting, backoff });
        }
    }

    fn remove(&mut self, document: &DocumentId) -> Option<Stage> {
        let stage = self.lines.remove(document)?.stage;
        self.count(stage, Stage::Waiting);
        self.waiting.retain(|waiting| waiting != document);
        Some(stage)
    }

    fn stage(&self, document: &DocumentId) -> Option<Stage> {
        self.lines.get(document).map(|line| line.stage)
    }

    /// Those whose delay is over wait again. Returns when the next one's is.
    pub(super) fn end_delays(&mut self, now: Millis) -> Option<Millis> {
        let mut next = None;
        let mut due = Vec::new();
        for (document, line) in &self.lines {
            match line.stage {
                Stage::Delayed { until } if until <= now => due.push(document.clone()),
                Stage::Delayed { until } => next = next.into_iter().chain([until]).min(),
                _ => {}
            }
        }
        due.iter().for_each(|document| self.set(document, Stage::Waiting));
        next
    }
}

impl Upstream {
    pub(super) fn line_event(
        &mut self,
        now: Millis,
        document: DocumentId,
        event: LineEvent,
        actions: &mut Vec<Action>,
    ) {
        let Some(lines) = &mut self.lines else { return };
        match event {
            LineEvent::Wanted if self.parking.reason(&document).is_none() => lines.add(document),
            LineEvent::Wanted => {}
            LineEvent::Unwanted => self.drop_line(&document, actions),
            LineEvent::Opened => {
                if lines.stage(&document) == Some(Stage::Opening) {
                    lines.set(&document, Stage::Open { since: now });
                    self.retry.connected(now);
                    self.answers = false;
                    actions.push(Action::Line { document, action: LineAction::Attach });
                }
            }
            LineEvent::Failed { failure, reason } => {
                if lines.stage(&document) == Some(Stage::Opening) {
                    self.line_failed(now, document, failure, reason, actions);
                }
            }
            LineEvent::Closed { code, reason } => {
                if let Some(Stage::Open { since }) = lines.stage(&document) {
                    self.line_closed(now, document, since, code, reason, actions);
                }
            }
        }
        self.open_lines(now, actions);
    }

    /// The document needs none any more, or may not have any.
    fn drop_line(&mut self, document: &DocumentId, actions: &mut Vec<Action>) {
        let Some(lines) = &mut self.lines else { return };
        if matches!(lines.remove(document), Some(Stage::Opening | Stage::Open { .. })) {
            let action = LineAction::HangUp;
            actions.push(Action::Line { document: document.clone(), action });
        }
        // With nobody left to try it, nothing is known of the server.
        if lines.lines.is_empty() && !matches!(self.retry.state, LinkState::Unauthorized { .. }) {
            self.retry.state = LinkState::Idle;
            self.retry.reason = None;
        }
    }

    pub(super) fn line_parked(
        &mut self,
        now: Millis,
        document: &DocumentId,
        actions: &mut Vec<Action>,
    ) {
        self.drop_line(document, actions);
        self.open_lines(now, actions);
    }

    fn line_failed(
        &mut self,
        now: Millis,
        document: DocumentId,
        failure: Failure,
        reason: String,
        actions: &mut Vec<Action>,
    ) {
        let Some(lines) = &mut self.lines else { return };
        match failure {
            Failure::Refused => {
                // It has answered: whatever it thinks of this one, the others may be tried.
                self.retry.connected(now);
                self.refuse_line(now, document, &reason, actions);
            }
            Failure::Unreachable | Failure::Unauthorized | Failure::Busy { .. }
                if lines.open > 0 =>
            {
                let Some(line) = lines.lines.get_mut(&document) else { return };
                let asked = match failure {
                    Failure::Busy { retry_after_ms } => retry_after_ms,
                    _ => 0,
                };
                let asked = asked.min(limits::UPSTREAM_BUSY_MS_MAX);
                let until = now + asked + self.retry.delay_of(&mut line.backoff);
                lines.set(&document, Stage::Delayed { until });
                actions.push(Action::WakeAt { at: until });
            }
            Failure::Unreachable | Failure::Unauthorized | Failure::Busy { .. } => {
                lines.set(&document, Stage::Waiting);
                // Those that were begun at the same time: one word of it is enough.
                if matches!(self.retry.state, LinkState::Connecting | LinkState::Online) {
                    self.retry.failed(now, failure, reason, actions);
                }
            }
        }
    }

    fn line_closed(
        &mut self,
        now: Millis,
        document: DocumentId,
        since: Millis,
        code: Option<u16>,
        reason: String,
        actions: &mut Vec<Action>,
    ) {
        let Some(lines) = &mut self.lines else { return };
        actions.push(Action::Line { document: document.clone(), action: LineAction::Detach });
        if now >= since + limits::UPSTREAM_STABLE_MS
            && let Some(line) = lines.lines.get_mut(&document)
        {
            line.backoff.reset();
        }
        // What comes of it is the same as of one that was not opened.
        lines.set(&document, Stage::Opening);
        let too_big = code == Some(1009);
        let failure = match self.retry.ended(now, since, code) {
            _ if too_big => Failure::Refused,
            Failure::Unauthorized if lines.open > 0 => Failure::Refused,
            failure => failure,
        };
        self.line_failed(now, document, failure, reason, actions);
    }

    fn refuse_line(
        &mut self,
        now: Millis,
        document: DocumentId,
        reason: &str,
        actions: &mut Vec<Action>,
    ) {
        let until = self.parking.refuse(now, &document, reason);
        if let Some(lines) = &mut self.lines {
            lines.remove(&document);
        }
        actions.push(Action::Park { document });
        actions.push(Action::WakeAt { at: until });
    }

    /// Opens those that wait, some at once; one only, while nobody knows whether the server is
    /// there.
    pub(super) fn open_lines(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let Some(lines) = &mut self.lines else { return };
        if let Some(at) = lines.end_delays(now) {
            actions.push(Action::WakeAt { at });
        }
        let most = match self.retry.state {
            LinkState::Online => limits::UPSTREAM_OPENING_MAX,
            LinkState::Idle | LinkState::Connecting => 1,
            LinkState::Offline { .. } | LinkState::Unauthorized { .. } => 0,
        };
        while lines.opening < most
            && let Some(document) = lines.waiting.pop_front()
        {
            lines.set(&document, Stage::Opening);
            if self.retry.state == LinkState::Idle {
                self.retry.tries(now);
            }
            actions.push(Action::Line { document, action: LineAction::Open });
        }
        if lines.lines.is_empty() && matches!(self.retry.state, LinkState::Connecting) {
            self.retry.state = LinkState::Idle;
        }
    }

    /// The network has forgotten all of them.
    pub(super) fn renew_lines(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let Some(lines) = &mut self.lines else { return };
        let standing: Vec<_> =
            lines.lines.iter().map(|(id, line)| (id.clone(), line.stage)).collect();
        for (document, stage) in standing {
            lines.set(&document, Stage::Waiting);
            let line = |action| Action::Line { document: document.clone(), action };
            match stage {
                Stage::Open { .. } => {
                    actions.extend([line(LineAction::HangUp), line(LineAction::Detach)]);
                }
                Stage::Opening => actions.push(line(LineAction::HangUp)),
                Stage::Waiting | Stage::Delayed { .. } => {}
            }
        }
        self.retry.state = LinkState::Idle;
        self.open_lines(now, actions);
    }
}
