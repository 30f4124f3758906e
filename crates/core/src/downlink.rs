//! One document's conversation with a link below: a relay with programs behind it, in the dialect
//! of ELVA.
//!
//! Behind such a link is a crowd, not a replica: each step 1 is another program's, and an answer
//! goes to all of them. So each is answered with all that it lacks, and with a step 1 of ours, as
//! ELVA's server does; and nothing that somebody there holds is taken for held by all, but what
//! they say themselves, since the relay below passes that on among them. They are never told that
//! something is saved: they know no such word.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::awareness::Awareness;
use crate::frames::Frames;
use crate::outflow::Outflow;
use crate::replica::{Applied, Replica, Want};
use crate::state_vector::StateVector;
use crate::update::Update;
use crate::{Millis, limits, wire};

/// A link below, as one document sees it.
#[derive(Debug, Default)]
pub(crate) struct Downlink {
    flow: Outflow,
    /// A step 1 is to be sent, behind the answer to theirs.
    ask: bool,
    /// When they were last asked to close a gap.
    asked_at: Option<Millis>,
    /// Ids whose awareness is to be sent.
    awareness: BTreeSet<u64>,
    frames: Frames,
    /// It has been announced as ready and not yet given room.
    pub(crate) is_announced: bool,
}

impl Downlink {
    /// Somebody there has a document open.
    pub(crate) fn step_1(&mut self, theirs: &StateVector, replica: &Replica) {
        let structs = replica.missing_from(theirs);
        self.flow.add_to_answer(&Want { structs, deletes: replica.deletes().clone() });
        self.ask = true;
    }

    /// They have said this themselves: all of them hold it.
    pub(crate) fn said(&mut self, update: &Update) {
        self.flow.holds(&Want::of(update));
    }

    /// News from elsewhere. `message` is the whole of it as one message, if its author's bytes may
    /// be passed on.
    pub(crate) fn changed(&mut self, news: &Applied, message: Option<&Bytes>) {
        self.flow.changed(news, message);
    }

    /// These are to hear how these ids stand.
    pub(crate) fn announce(&mut self, ids: impl IntoIterator<Item = u64>) {
        self.awareness.extend(ids);
    }

    /// A frame of an opaque document; refused if too many wait.
    pub(crate) fn forward(&mut self, frame: Bytes) -> bool {
        self.frames.push(frame)
    }

    /// Asks for what is missing before a gap, unless that was asked just now.
    pub(crate) fn ask_for_gap(&mut self, now: Millis) {
        if self.asked_at.is_none_or(|at| now >= at + limits::GAP_ASK_MS) {
            self.asked_at = Some(now);
            self.ask = true;
        }
    }

    /// Whether [`Downlink::pull`] has something to send.
    pub(crate) fn is_ready(&self) -> bool {
        self.flow.is_ready() || self.ask || !self.awareness.is_empty() || !self.frames.is_empty()
    }

    /// The next message: its link has room for one.
    pub(crate) fn pull(
        &mut self,
        bytes_max: usize,
        replica: &Replica,
        awareness: &Awareness,
    ) -> Option<Bytes> {
        self.is_announced = false;
        if let Some(frame) = self.frames.pop() {
            return Some(frame);
        }
        while let Some(id) = self.awareness.pop_first() {
            if let Some(entries) = awareness.encode([id]) {
                return Some(wire::awareness(&entries));
            }
        }
        if let Some((message, _)) = self.flow.pull(bytes_max, replica) {
            return Some(message);
        }
        std::mem::take(&mut self.ask).then(|| wire::sync_step1(&replica.state_vector().encode()))
    }
}
