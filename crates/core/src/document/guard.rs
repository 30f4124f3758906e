//! Nothing of an upstream is merged before it has shown that it has the same history.
//!
//! What it sends until then waits. A step 1 shows it, in whatever dialect; if that is empty, what
//! follows within a moment shows it, since some servers are asked before they have loaded. One that
//! shows nothing keeps nothing, and has no history.

use bytes::Bytes;

use super::Document;
use crate::event::{Dialect, Output};
use crate::fellow;
use crate::id::PeerId;
use crate::replica::Want;
use crate::state_vector::StateVector;
use crate::update::Update;
use crate::wire::{self, Message};
use crate::{Millis, limits};

/// How it stands with that.
#[derive(Debug, Default)]
pub(crate) enum Guard {
    /// It has the same history, or none of which we know.
    #[default]
    Passed,
    /// It has not shown it yet.
    Waits(Waiting),
    /// It has another one. Nothing goes either way before somebody decides.
    Diverged {
        /// All that it has was asked for.
        asked: bool,
    },
}

/// What it has sent meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    frames: Vec<Bytes>,
    bytes: usize,
    /// Bytes of the largest of them.
    largest: usize,
    /// More was sent than may wait: what is lacking is asked for.
    overflowed: bool,
    /// From when on it counts as having shown all.
    until: Option<Millis>,
    /// It says that it has nothing.
    is_empty: bool,
}

impl Waiting {
    /// There is place for one of any size, which may be the answer, beside the bound for others.
    fn hold(&mut self, frame: &Bytes) {
        let largest = self.largest.max(frame.len());
        if self.bytes + frame.len() - largest > limits::HELD_BYTES_MAX {
            self.overflowed = true;
            return;
        }
        self.largest = largest;
        self.bytes += frame.len();
        self.frames.push(frame.clone());
    }

    /// Clients of what it has sent.
    fn shown(&self) -> StateVector {
        let messages = self.frames.iter().flat_map(wire::messages).filter_map(Result::ok);
        let updates = messages.filter_map(content).filter_map(|bytes| Update::parse(bytes).ok());
        let wants: Vec<Want> = updates.map(|update| Want::of(&update)).collect();
        let ranges = wants.iter().flat_map(|want| want.structs.iter());
        ranges.map(|(client, range)| (client, range.end)).collect()
    }
}

/// The update in a message.
fn content(message: Message) -> Option<Bytes> {
    match message {
        Message::SyncStep2(update) | Message::Update { update, .. } => Some(update),
        _ => None,
    }
}

impl Document {
    /// What the upstream says goes on to the document, unless it has to wait.
    pub(super) fn guards(&mut self, now: Millis, peer: PeerId, frame: &Bytes) -> bool {
        let Some(uplink) = &mut self.uplink else { return false };
        match &mut uplink.guard {
            Guard::Passed => return false,
            Guard::Diverged { asked } => {
                let mut messages = wire::messages(frame).filter_map(Result::ok);
                let theirs = messages.find_map(|message| match message {
                    Message::SyncStep2(update) => Some(update),
                    _ => None,
                });
                if let Some(update) = theirs.filter(|_| std::mem::take(asked)) {
                    self.out.push(Output::Theirs { update });
                }
                return true;
            }
            Guard::Waits(_) => {}
        }
        let dialect = uplink.dialect();
        if let Some(theirs) = vector_of(frame, dialect) {
            return self.is_told(now, peer, &theirs, dialect);
        }
        let Guard::Waits(waiting) = &mut uplink.guard else { return false };
        if !wire::messages(frame).filter_map(Result::ok).any(|it| content(it).is_some()) {
            return false;
        }
        waiting.hold(frame);
        let until = *waiting.until.get_or_insert(now + limits::UPSTREAM_ANSWER_MS);
        self.schedule(until);
        true
    }

    /// It says what it holds. Returns whether that is not to be told to the document.
    fn is_told(
        &mut self,
        now: Millis,
        peer: PeerId,
        theirs: &StateVector,
        dialect: Dialect,
    ) -> bool {
        if self.history.is_foreign(theirs) {
            self.diverge();
            return true;
        }
        let Some(uplink) = &mut self.uplink else { return false };
        // Behind a step 2 it is no greeting but the rest of an answer.
        if let Guard::Waits(waiting) = &mut uplink.guard
            && theirs.is_empty()
            && dialect.may_greet()
            && waiting.frames.is_empty()
        {
            waiting.is_empty = true;
            let until = now + limits::EMPTY_GRACE_MS;
            waiting.until = Some(until);
            self.schedule(until);
            return false;
        }
        self.let_pass(now, peer)
    }

    /// It has shown no other history. Returns whether it is asked anew, since not all that it has
    /// sent could wait: what it says to the question before counts no more.
    fn let_pass(&mut self, now: Millis, peer: PeerId) -> bool {
        let Some(uplink) = &mut self.uplink else { return false };
        let Guard::Waits(waiting) = std::mem::take(&mut uplink.guard) else { return false };
        for frame in waiting.frames {
            self.frame(now, peer, &frame);
        }
        if let Some(uplink) = self.uplink.as_mut().filter(|_| waiting.overflowed) {
            uplink.ask_anew();
        }
        waiting.overflowed
    }

    fn diverge(&mut self) {
        if let Some(uplink) = &mut self.uplink {
            uplink.guard = Guard::Diverged { asked: false };
        }
        self.unconfirm();
        self.above = false;
        self.out.push(Output::Diverged);
    }

    /// Time has passed: whoever was to show more has had the time. Returns when that will be.
    pub(super) fn tick_guard(&mut self, now: Millis) -> Option<Millis> {
        let uplink = self.uplink.as_ref()?;
        let Guard::Waits(waiting) = &uplink.guard else { return None };
        match waiting.until {
            Some(until) if now < until => return Some(until),
            None if !uplink.is_silent() => return None,
            _ => {}
        }
        if waiting.is_empty && self.history.is_foreign(&waiting.shown()) {
            self.diverge();
        } else {
            let peer = uplink.peer;
            self.let_pass(now, peer);
        }
        None
    }

    /// All that an upstream with another history has is to be told, once.
    pub(super) fn ask_for_theirs(&mut self) {
        if let Some(uplink) = &mut self.uplink
            && let Guard::Diverged { asked } = &mut uplink.guard
        {
            *asked = true;
            uplink.ask_for_all();
        }
    }
}

/// What somebody says to hold.
fn vector_of(frame: &Bytes, dialect: Dialect) -> Option<StateVector> {
    if dialect == Dialect::Own
        && let Ok(Some(fellow::Message::Have { vector, .. })) = fellow::decode(frame)
    {
        return Some(vector);
    }
    wire::messages(frame).filter_map(Result::ok).find_map(|message| match message {
        Message::SyncStep1(body) => StateVector::decode(&body).ok(),
        _ => None,
    })
}
