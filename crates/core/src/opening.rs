//! How a program of ELVA opens an encrypted document.
//!
//! Its first three frames on a connection are who is there, what it asks for (its step 1), and all
//! that it has (its step 2), within milliseconds. So the first two need not be kept: whoever is
//! sent a step 1 later answers it, and what was once presence is none any more. That is seen by
//! the order, the times that the tokens carry, and the lengths: no state is longer than what it is
//! the state of. Where anything is otherwise, all is kept.

use bytes::Bytes;

use crate::{Millis, fernet, limits};

/// The first frames of a client.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// It is not kept yet: it may be a question.
    held: Vec<Bytes>,
    since: Millis,
    /// It has ended, and this was the question.
    question: Option<Bytes>,
    is_over: bool,
}

/// What to do with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Not to be kept, or not yet.
    Wait,
    /// These are to be kept before it.
    Keep(Vec<Bytes>),
}

impl Opening {
    pub(crate) fn take(&mut self, now: Millis, frame: &Bytes) -> Next {
        if self.is_over {
            return Next::Keep(Vec::new());
        }
        let made_at = fernet::made_at(frame);
        let first = self.held.first().unwrap_or(frame);
        let goes_on = match (fernet::made_at(first), made_at) {
            (Some(first), Some(this)) => this.abs_diff(first) <= 1 && !self.is_due(now),
            _ => false,
        };
        if goes_on && self.held.len() < 2 {
            if self.held.is_empty() {
                self.since = now;
            }
            self.held.push(frame.clone());
            return Next::Wait;
        }
        let held = self.end();
        match &held[..] {
            [_, question] if goes_on && question.len() <= frame.len() => {
                self.question = Some(question.clone());
                Next::Keep(Vec::new())
            }
            _ => Next::Keep(held),
        }
    }

    /// By when it ends, if it has begun.
    pub(crate) fn due(&self) -> Option<Millis> {
        (!self.held.is_empty()).then_some(self.since + limits::OPENING_MS)
    }

    fn is_due(&self, now: Millis) -> bool {
        self.due().is_some_and(|due| now >= due)
    }

    /// It ends: what was held back is to be kept.
    pub(crate) fn end(&mut self) -> Vec<Bytes> {
        self.is_over = true;
        std::mem::take(&mut self.held)
    }

    /// What the client asked for when it came.
    pub(crate) fn question(&self) -> Option<&Bytes> {
        self.question.as_ref()
    }
}
