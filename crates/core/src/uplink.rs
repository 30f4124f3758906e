//! One document's conversation with the upstream: greet, push, follow, prove.
//!
//! Everything goes up on demand ([`Uplink::pull`]): the link asks when it has room. What waits is
//! a set of ids, so however long the link is slow or gone, the backlog is the net change.

mod answer;
mod doubt;
mod proof;
mod pull;
mod receipt;
mod timing;

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::awareness::Awareness;
use crate::backoff::Random;
use crate::document::Guard;
use crate::event::{Dialect, Habit, Withheld};
use crate::frames::Frames;
use crate::id::PeerId;
use crate::id_set::IdSet;
use crate::outflow::Outflow;
use crate::replica::{Applied, Replica, Want};
use crate::state_vector::StateVector;
use crate::{Millis, limits};

use proof::Proof;
use receipt::Receipt;

/// The upstream as one document sees it.
#[derive(Debug)]
pub(crate) struct Uplink {
    pub(crate) peer: PeerId,
    stage: Stage,
    /// A step 1 is to be sent.
    ask: bool,
    /// Something is missing before what they sent: they are to be asked for it.
    gap: bool,
    /// A step 1 of ours that is not wholly answered.
    asked: Option<Asked>,
    /// What the upstream lacks.
    flow: Outflow,
    /// What somebody behind a server that only passes on lacks, and when it is answered.
    joiner: Option<(Millis, Want)>,
    /// When awareness is to have come back that it takes; it is asked then whether it hears us.
    echo_due: Option<Millis>,
    /// Ids whose awareness is to be sent.
    awareness: BTreeSet<u64>,
    pub(crate) frames: Frames,
    /// What was known of it before.
    habit: Habit,
    /// It did not answer in time: it proves nothing, as far as we know.
    silent: bool,
    /// It passes on what others send: it proves nothing.
    broadcasts: bool,
    /// It answered as a server does that keeps documents, and was pushed what it lacked.
    trusted: bool,
    /// It keeps what it has in memory only: that proves nothing.
    pub(crate) is_volatile: bool,
    /// That trust was misplaced, and the document has not been told yet.
    doubted: bool,
    /// Whoever is behind it is to be shown that it passes on, if it does.
    shows: bool,
    /// How it speaks.
    dialect: Dialect,
    /// It has said something.
    heard: bool,
    /// It began with a step 1, as servers do that keep documents: so much it held then.
    greeting: Option<StateVector>,
    /// In our own dialect: it has sent all that it has.
    answered: bool,
    /// In our own dialect: when all is saved that was sent, is to be asked, or has been.
    receipt: Receipt,
    /// The document has such ids.
    wide: bool,
    /// It takes nothing from us.
    pub(crate) read_only: bool,
    /// Whether it has the same history.
    pub(crate) guard: Guard,
    /// All that it holds is to be asked for.
    ask_all: bool,
    proof: Proof,
}

#[derive(Debug, PartialEq)]
enum Stage {
    /// Nothing is known of the document yet; a step 1 would spoil an encrypted one.
    Dormant,
    /// Our step 1 is to be sent or answered.
    Greeting,
    /// At this time all but what they have named is pushed, unless their step 1 comes before.
    PushAt(Millis),
    /// They have all but what is wanted.
    Live,
}

#[derive(Debug)]
struct Asked {
    at: Millis,
    /// What we held then.
    held: StateVector,
    /// They were asked for the last clock of each client, too.
    shows_last: bool,
    /// What they hold, as their step 1 says: it may come before their step 2.
    theirs: Option<StateVector>,
    /// When their step 2 came.
    answered: Option<Millis>,
    /// What they have shown to hold since.
    named: Want,
    /// What was sent since, so that their step 1 may not know of it.
    sent: Want,
}

impl Uplink {
    /// `habit`: what is known of it already.
    pub(crate) fn new(peer: PeerId, habit: Habit, dialect: Dialect) -> Self {
        let habit = if dialect == Dialect::Own { Habit::Keeps } else { habit };
        Self {
            peer,
            stage: Stage::Dormant,
            ask: false,
            gap: false,
            asked: None,
            flow: Outflow::default(),
            joiner: None,
            echo_due: None,
            awareness: BTreeSet::new(),
            frames: Frames::default(),
            habit,
            silent: habit == Habit::Silent,
            broadcasts: false,
            trusted: false,
            is_volatile: false,
            doubted: false,
            shows: false,
            dialect,
            heard: false,
            greeting: None,
            answered: false,
            receipt: Receipt::Due,
            wide: false,
            read_only: false,
            guard: Guard::Passed,
            ask_all: false,
            proof: Proof::default(),
        }
    }

    /// The document has content, or a client has shown that it is plain Yjs: greet.
    pub(crate) fn wake(&mut self, awareness: &Awareness) {
        if self.stage == Stage::Dormant {
            self.stage = Stage::Greeting;
            self.ask = true;
            self.announce(awareness.living_not_from(self.peer));
        }
    }

    /// Whether its answer is worth waiting for before a client is told that there is nothing.
    pub(crate) fn may_answer(&self) -> bool {
        if self.withheld() == Some(Withheld::Diverged) {
            return false;
        }
        if self.is_fellow() {
            return !self.answered;
        }
        !self.silent && !self.broadcasts && matches!(self.stage, Stage::Dormant | Stage::Greeting)
    }

    /// Whether it is a yrelay, and says so.
    pub(crate) fn is_fellow(&self) -> bool {
        self.dialect == Dialect::Own
    }

    /// Whether it can prove what it holds.
    pub(crate) fn proves(&self) -> bool {
        !self.silent && !self.broadcasts && !self.is_volatile
    }

    /// The document came to hold these ids.
    pub(crate) fn note_ids(&mut self, ids: &IdSet) {
        self.wide |= ids.iter().any(|(client, _)| client > u64::from(u32::MAX));
    }

    /// Whether the document is kept from it. A server that only passes on reads no ids.
    pub(crate) fn withheld(&self) -> Option<Withheld> {
        if let Guard::Diverged { .. } = self.guard {
            Some(Withheld::Diverged)
        } else if self.read_only {
            Some(Withheld::ReadOnly)
        } else if self.wide && self.dialect.garbles_wide_ids() && self.proves() {
            Some(Withheld::WideIds)
        } else {
            None
        }
    }

    /// What it has shown to hold waits until it is clear of which history that is.
    pub(crate) fn is_guarded(&self) -> bool {
        !matches!(self.guard, Guard::Passed)
    }

    /// Whether it has not answered in time.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent
    }

    pub(crate) fn ask_for_all(&mut self) {
        self.ask_all = true;
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether a document is open there for no longer than it is attached: whoever was announced is
    /// withdrawn with it, and of some versions in no other way.
    pub(crate) fn withdraws_at_once(&self) -> bool {
        self.dialect == Dialect::Hocuspocus
    }

    /// Whether it passes frames on that it cannot read.
    pub(crate) fn carries_frames(&self) -> bool {
        self.dialect != Dialect::Hocuspocus && !self.has_greeted()
    }

    /// Whether a proof may still come.
    pub(crate) fn may_prove(&self) -> bool {
        self.proves() && self.withheld().is_none()
    }

    /// What was found out about it here.
    pub(crate) fn habit(&self) -> Option<Habit> {
        if self.trusted {
            Some(Habit::Keeps)
        } else if self.silent && self.habit != Habit::Silent {
            Some(Habit::Silent)
        } else {
            self.broadcasts.then_some(Habit::Unknown)
        }
    }

    /// Whether it has answered as a server does that keeps documents.
    pub(crate) fn has_answered(&self) -> bool {
        self.trusted
    }

    /// How long it may take to answer a step 1, and then between its step 2 and its step 1, which
    /// comes right behind: later that is somebody else's, passed on.
    fn patience_ms(&self) -> Millis {
        let keeps = self.habit == Habit::Keeps || self.trusted;
        if keeps && !self.broadcasts {
            limits::UPSTREAM_KEEPER_ANSWER_MS
        } else {
            limits::UPSTREAM_ANSWER_MS
        }
    }

    /// Whether all has been sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.stage == Stage::Live && self.flow.is_sent()
    }

    /// Local news. `message` is the whole of it as one message, if its author's bytes may be
    /// passed on.
    pub(crate) fn changed(&mut self, now: Millis, news: &Applied, message: Option<&Bytes>) {
        self.proof.changed(now);
        if self.stage != Stage::Live {
            return; // the push will carry it
        }
        self.flow.changed(news, message);
        self.receipt.is_outdated();
    }

    pub(crate) fn announce(&mut self, ids: impl IntoIterator<Item = u64>) {
        if self.stage != Stage::Dormant {
            self.awareness.extend(ids);
        }
    }

    /// Asks for what is missing before a gap, soon.
    pub(crate) fn ask(&mut self) {
        self.gap = true;
    }

    /// Something of their answer was not taken: it begins anew.
    pub(crate) fn ask_anew(&mut self) {
        self.asked = None;
        self.ask = true;
        self.silent = false;
        self.stage = Stage::Greeting;
    }

    /// Whether a step 1 of ours is not wholly answered: the answer is for nobody else.
    pub(crate) fn waits_for_answer(&self) -> bool {
        match self.dialect {
            Dialect::Own if self.stage == Stage::Dormant => false,
            Dialect::Own => !self.answered || !matches!(self.receipt, Receipt::Here(_)),
            _ => self.asked.is_some(),
        }
    }

    /// They have shown that they hold this.
    pub(crate) fn holds(&mut self, named: &Want) {
        self.heard = true;
        self.flow.holds(named);
        if let Some((_, want)) = &mut self.joiner {
            want.subtract(named);
        }
        if let Some(asked) = &mut self.asked {
            asked.named.merge(named);
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Millis, replica: &Replica, random: &mut Random) {
        match self.stage {
            Stage::Greeting if self.greeting_ends().is_some_and(|end| now >= end) => {
                self.silent = true;
                self.stage = Stage::PushAt(now + random.upto(limits::PUSH_JITTER_MS));
            }
            Stage::PushAt(at) if now >= at => self.push(replica),
            Stage::Live if self.is_half_answered(now) => {
                self.asked = None;
                self.doubt(now);
            }
            _ => {}
        }
        if self.stage == Stage::Live
            && let Some((_, want)) = self.joiner.take_if(|(at, _)| now >= *at)
            && !want.is_empty()
        {
            self.flow.add_to_answer(&want);
        }
        self.gap &= replica.is_incomplete();
        let due = |at: Option<Millis>| at.is_some_and(|at| now >= at);
        self.ask |= due(self.proof_due()) || due(self.gap_due()) || due(self.echo_due());
    }

    /// Until when the answer to the first step 1 is waited for.
    fn greeting_ends(&self) -> Option<Millis> {
        self.asked.as_ref().map(|asked| asked.at + self.patience_ms())
    }

    /// A step 2 came and no step 1 behind it: somebody else answered, over a server that passes on.
    fn is_half_answered(&self, now: Millis) -> bool {
        let late = |at| now > at + self.patience_ms();
        self.asked.as_ref().and_then(|asked| asked.answered).is_some_and(late)
    }

    fn push(&mut self, replica: &Replica) {
        self.silent = true;
        let mut want = Want::everything(replica);
        if let Some(greeting) = self.greeting.as_ref().filter(|_| !self.broadcasts) {
            want.structs = replica.missing_from(greeting);
        }
        if let Some(asked) = &self.asked {
            want.subtract(&asked.named);
        }
        let answer = !want.is_empty();
        self.flow.set(want, answer);
        self.stage = Stage::Live;
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Dormant | Stage::Live)
            && !self.is_ready()
            && self.joiner.is_none()
    }
}
