//! How a program of ELVA opens an encrypted document.
//!
//! Its first three frames on a connection are who is there, what it asks for (its step 1), and all
//! that it has (its step 2), within milliseconds. So the first two need not be kept: whoever is
//! sent a step 1 later answers it, and what was once presence is none any more. That is seen by
//! the order, the times that the tokens carry, and the lengths: no state is longer than what it is
//! the state of. Where anything is otherwise, all is kept.
//!
//! Until it has said all three it is told nothing. What it is told it repeats, and if that came
//! between its question and its state, which of them is the state could not be seen; but that has to
//! be kept. (It may as well write in between: then more than three frames come before it is told
//! anything, and all are kept.)
//!
//! Then it is told all that is kept, and says each change that is news to it once more, encrypted
//! anew. To keep that would let the log grow by itself with each who joins. So what it says by then
//! waits, and once it is quiet it is sent its own question again: the answer holds all that it has
//! got or written since it came, in one frame. That is kept instead. It is asked twice, and what it
//! says is taken for the answers only if that is one frame each time, at once, and of one length: it
//! may have been no question. Otherwise all is kept.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{Millis, fernet, limits};

/// The first frames of a client.
#[derive(Debug)]
pub(crate) struct Opening {
    stage: Stage,
    /// What has waited so far, and how long it is.
    held: Vec<Bytes>,
    bytes: usize,
    /// What it asked for when it came.
    question: Option<Bytes>,
    /// What others have said meanwhile that is not kept. It may be asked something, and its answer
    /// would look like a part of its opening.
    missed: VecDeque<Bytes>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Nothing has come since it came.
    Begins(Millis),
    /// Its first frames come. What is held has been passed on, here and in the next stage.
    BegunAt(Millis),
    /// All three have come, it seems.
    SaidAt(Millis),
    /// It is told what is kept. What is held has not been passed on.
    Told {
        since: Millis,
        /// When it last said something.
        said_at: Millis,
    },
    /// It was asked its question again.
    Asked {
        at: Millis,
        /// What it has said since: how many frames, when the last one, and how long that was.
        said: (usize, Millis, usize),
        /// It was asked before, and this was the length of its answer.
        before: Option<usize>,
    },
    Over,
}

/// What to do with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Pass it on. Whether it is kept shows later.
    Pass,
    /// Neither pass it on nor keep it, for now.
    Wait,
    /// These are to be kept before it.
    Keep(Held),
}

/// What was held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) frames: Vec<Bytes>,
    /// It has been passed on.
    pub(crate) is_passed: bool,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// At this time, as far as is known.
    At(Millis),
    /// What was held is to be kept.
    Keep(Held),
    /// This is to be sent to the client.
    Ask(Bytes),
}

impl Opening {
    pub(crate) fn new(now: Millis) -> Self {
        let (held, missed) = (Vec::new(), VecDeque::new());
        Self { stage: Stage::Begins(now), held, bytes: 0, question: None, missed }
    }

    /// It is told this once it may be told anything.
    pub(crate) fn misses(&mut self, frame: Bytes) {
        self.missed.push_back(frame);
        if self.missed.len() > limits::PASSED_FRAMES_MAX {
            self.missed.pop_front();
        }
    }

    /// What it has missed.
    pub(crate) fn catch_up(&mut self) -> VecDeque<Bytes> {
        std::mem::take(&mut self.missed)
    }

    /// `is_told`: there is something that it is told, or may be.
    pub(crate) fn take(&mut self, now: Millis, frame: &Bytes, is_told: bool) -> Next {
        match &mut self.stage {
            Stage::Begins(_) | Stage::BegunAt(_) => self.begin(now, frame, is_told),
            Stage::SaidAt(_) => {
                self.question = None;
                Next::Keep(self.end())
            }
            Stage::Told { said_at, .. } => {
                *said_at = now;
                self.bytes += frame.len();
                self.held.push(frame.clone());
                let is_much = self.bytes > limits::HELD_BYTES_MAX
                    || self.held.len() > limits::ARCHIVE_FRAMES_MAX;
                if !is_much {
                    return Next::Wait;
                }
                self.held.pop();
                Next::Keep(self.end())
            }
            Stage::Asked { said, .. } => {
                *said = (said.0 + 1, now, frame.len());
                Next::Keep(Held::default())
            }
            Stage::Over => Next::Keep(Held::default()),
        }
    }

    fn begin(&mut self, now: Millis, frame: &Bytes, is_told: bool) -> Next {
        let first = self.held.first().unwrap_or(frame);
        let goes_on = match (fernet::made_at(first), fernet::made_at(frame)) {
            (Some(first), Some(this)) => this.abs_diff(first) <= 1 && !self.is_late(now),
            _ => false,
        };
        if goes_on && self.held.len() < 2 {
            if self.held.is_empty() {
                self.stage = Stage::BegunAt(now);
            }
            self.held.push(frame.clone());
            return Next::Pass;
        }
        match &self.held[..] {
            [_, question] if goes_on && question.len() <= frame.len() => {
                self.question = Some(question.clone());
                self.stage = Stage::SaidAt(now);
                if !is_told {
                    self.end();
                }
                Next::Keep(Held::default())
            }
            _ => Next::Keep(self.end()),
        }
    }

    fn is_late(&self, now: Millis) -> bool {
        matches!(self.stage, Stage::BegunAt(at) if now >= at + limits::OPENING_MS)
    }

    /// What is due now, or when; nothing if it is over. `told_at`: when it was last sent something;
    /// `has_all`: that was the last of what is kept.
    pub(crate) fn due(&mut self, now: Millis, told_at: Millis, has_all: bool) -> Option<Due> {
        match &mut self.stage {
            Stage::Over => None,
            Stage::Begins(at) => {
                let end = *at + limits::SILENT_MS;
                if now < end {
                    return Some(Due::At(end));
                }
                self.stage = Stage::Over;
                None
            }
            Stage::SaidAt(at) => {
                let end = *at + limits::SETTLE_MS;
                if now < end {
                    return Some(Due::At(end));
                }
                self.held.clear();
                self.stage = Stage::Told { since: now, said_at: now };
                Some(Due::At(now + limits::QUIET_MS))
            }
            Stage::BegunAt(at) => {
                let end = *at + limits::OPENING_MS;
                Some(if now >= end { Due::Keep(self.end()) } else { Due::At(end) })
            }
            Stage::Told { since, .. } if !has_all => {
                *since = now;
                Some(Due::At(now + limits::QUIET_MS))
            }
            Stage::Told { since, said_at } => {
                let quiet = told_at.max(*said_at) + limits::QUIET_MS;
                let end = quiet.min(*since + limits::TOLD_MS);
                if now < end {
                    return Some(Due::At(end));
                }
                if self.held.is_empty() {
                    self.stage = Stage::Over;
                    return None;
                }
                self.ask(now, None)
            }
            Stage::Asked { at, .. } if now < *at + limits::QUIET_MS => {
                Some(Due::At(*at + limits::QUIET_MS))
            }
            Stage::Asked { at, said: (1, answered_at, length), before }
                if *answered_at <= *at + limits::ANSWER_MS
                    && before.is_none_or(|before| before == *length) =>
            {
                if before.is_none() {
                    let length = *length;
                    return self.ask(now, Some(length));
                }
                // The answers hold it all.
                self.end();
                None
            }
            Stage::Asked { .. } => Some(Due::Keep(self.end())),
        }
    }

    fn ask(&mut self, now: Millis, before: Option<usize>) -> Option<Due> {
        self.stage = Stage::Asked { at: now, said: (0, now, 0), before };
        self.question.clone().map(Due::Ask)
    }

    /// Whether it may be told what is kept.
    pub(crate) fn may_be_told(&self) -> bool {
        matches!(self.stage, Stage::Told { .. } | Stage::Asked { .. } | Stage::Over)
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Whether something waits that others do not have yet.
    pub(crate) fn holds_back(&self) -> bool {
        !self.held.is_empty()
    }

    /// It ends: what was held is to be kept.
    pub(crate) fn end(&mut self) -> Held {
        let is_passed = !self.may_be_told();
        self.stage = Stage::Over;
        self.bytes = 0;
        Held { frames: std::mem::take(&mut self.held), is_passed }
    }

    /// What somebody who was not there is to be told of it: what it has said so far of its opening,
    /// and later what it asked for. Nothing if that is not known.
    pub(crate) fn said(&self) -> Option<&[Bytes]> {
        if self.may_be_told() {
            return self.question.as_ref().map(std::slice::from_ref);
        }
        Some(&self.held)
    }
}
