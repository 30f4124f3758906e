//! One document's conversation with a link below: a relay with programs behind it.
//!
//! Behind a link in ELVA's dialect is a crowd, not a replica: each step 1 is another program's, and an answer
//! goes to all of them. So each is answered with all that it lacks, and with a step 1 of ours, as
//! ELVA's server does; and nothing that somebody there holds is taken for held by all, but what
//! they say themselves, since the relay below passes that on among them. They are never told that
//! something is saved: they know no such word. Behind one of our own is a replica, which says what
//! it holds, is told what it lacks, and may ask when all is saved.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::awareness::Awareness;
use crate::event::Dialect;
use crate::fellow::{Digest, Kept};
use crate::frames::Frames;
use crate::outflow::Outflow;
use crate::replica::{Applied, Replica, Want};
use crate::state_vector::StateVector;
use crate::update::Update;
use crate::{Millis, fellow, limits, wire};

/// A link below, as one document sees it.
#[derive(Debug)]
pub(crate) struct Downlink {
    dialect: Dialect,
    flow: Outflow,
    /// What we hold is to be said: behind the answer to an ELVA, before it to one of ours.
    ask: bool,
    /// It was said on this link.
    asked: bool,
    /// They have said what they hold.
    pub(crate) greeted: bool,
    /// When they were last asked to close a gap.
    asked_at: Option<Millis>,
    /// What they hold, until they are answered, and how long that waits at most.
    waiting: Option<(Millis, StateVector, Digest)>,
    /// Their last question, and what must be saved before it is answered.
    question: Option<(u64, u64)>,
    receipt: Receipt,
    /// Ids whose awareness is to be sent.
    awareness: BTreeSet<u64>,
    pub(crate) frames: Frames,
    /// It has been announced as ready and not yet given room.
    pub(crate) is_announced: bool,
}

/// The word that all is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receipt {
    None,
    /// To be sent.
    Due(u64),
    /// It was sent, and said this.
    Sent(u64, Kept),
}

impl Downlink {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            flow: Outflow::default(),
            ask: false,
            asked: false,
            greeted: false,
            asked_at: None,
            waiting: None,
            question: None,
            receipt: Receipt::None,
            awareness: BTreeSet::new(),
            frames: Frames::default(),
            is_announced: false,
        }
    }

    /// Whether it is a yrelay, and says so.
    pub(crate) fn is_fellow(&self) -> bool {
        self.dialect == Dialect::Own
    }

    /// Somebody there has a document open.
    pub(crate) fn step_1(&mut self, theirs: &StateVector, replica: &Replica) {
        let structs = replica.missing_from(theirs);
        self.flow.add_to_answer(&Want { structs, deletes: replica.deletes().clone() });
        self.ask = true;
    }

    /// A yrelay says what it holds; it is answered by then.
    pub(crate) fn has(&mut self, until: Millis, vector: StateVector, digest: Digest) {
        self.greeted = true;
        self.waiting = Some((until, vector, digest));
    }

    /// By when what a yrelay has said is to be answered.
    pub(crate) fn answer_due(&self) -> Option<Millis> {
        self.waiting.as_ref().map(|(until, ..)| *until)
    }

    /// A yrelay is answered, which has said what it holds.
    pub(crate) fn answer(&mut self, replica: &Replica) {
        if let Some((_, vector, digest)) = self.waiting.take() {
            self.flow.set(Want::lacking(&vector, &digest, replica), true);
            self.ask |= !self.asked;
        }
    }

    /// They ask when all so far is saved, which is so once this sequence number is.
    pub(crate) fn question(&mut self, version: u64, after: u64) {
        self.hail();
        self.question = self.greeted.then_some((version, after));
    }

    /// A yrelay that goes on with a document which has been dropped here does not know that: it
    /// is told what is held now, and says what it holds in turn.
    fn hail(&mut self) {
        self.ask |= self.is_fellow() && !self.greeted && !self.asked;
    }

    /// The same of an encrypted document.
    pub(crate) fn hail_unread(&mut self) {
        if self.is_fellow() && !self.greeted && !std::mem::replace(&mut self.asked, true) {
            self.frames.tell_summary(false);
        }
    }

    /// All up to here is saved.
    pub(crate) fn saved(&mut self, seq: u64) {
        if let Some((version, _)) = self.question.take_if(|(_, after)| *after <= seq) {
            self.receipt = Receipt::Due(version);
        }
    }

    /// How well it is kept by now: who was told less is told again.
    pub(crate) fn kept(&mut self, kept: Kept) {
        if let Receipt::Sent(version, told) = self.receipt
            && told < kept
        {
            self.receipt = Receipt::Due(version);
        }
    }

    /// They have said this themselves: all of them hold it.
    pub(crate) fn said(&mut self, update: &Update) {
        self.hail();
        self.flow.holds(&Want::of(update));
    }

    /// News from elsewhere. `message` is the whole of it as one message, if its author's bytes may
    /// be passed on.
    pub(crate) fn changed(&mut self, news: &Applied, message: Option<&Bytes>) {
        // One of ours is answered first: that will hold it.
        if !self.is_fellow() || self.asked || self.ask {
            self.flow.changed(news, message);
        }
    }

    /// These are to hear how these ids stand.
    pub(crate) fn announce(&mut self, ids: impl IntoIterator<Item = u64>) {
        self.awareness.extend(ids);
    }

    /// Asks for what is missing before a gap, unless that was asked just now.
    pub(crate) fn ask_for_gap(&mut self, now: Millis) {
        if self.asked_at.is_none_or(|at| now >= at + limits::GAP_ASK_MS) {
            self.ask(now);
        }
    }

    /// Asks for all that is missing.
    pub(crate) fn ask(&mut self, now: Millis) {
        self.asked_at = Some(now);
        self.ask = true;
    }

    /// Whether [`Downlink::pull`] has something to send.
    pub(crate) fn is_ready(&self) -> bool {
        self.flow.is_ready()
            || self.ask
            || matches!(self.receipt, Receipt::Due(_))
            || !self.awareness.is_empty()
            || !self.frames.is_empty()
    }

    /// Whether nothing is under way, and what is known of it may be forgotten. (One of ours leaves
    /// when nobody there has the document open any more.)
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_ready() && !self.is_fellow()
    }

    /// The next message: its link has room for one. `kept`: how well what is saved is kept.
    pub(crate) fn pull(
        &mut self,
        bytes_max: usize,
        replica: &Replica,
        awareness: &Awareness,
        kept: Kept,
    ) -> Option<Bytes> {
        self.is_announced = false;
        if self.is_fellow() && std::mem::take(&mut self.ask) {
            self.asked = true;
            return Some(fellow::have(&replica.state_vector(), replica.deletes()));
        }
        while let Some(id) = self.awareness.pop_first() {
            if let Some(entries) = awareness.encode([id]) {
                return Some(wire::awareness(&entries));
            }
        }
        if let Some((message, _)) = self.flow.pull(bytes_max, replica) {
            return Some(message);
        }
        if let Receipt::Due(version) = self.receipt {
            self.receipt = Receipt::Sent(version, kept);
            return Some(fellow::saved(version, kept));
        }
        std::mem::take(&mut self.ask).then(|| wire::sync_step1(&replica.state_vector().encode()))
    }
}
