//! One document's conversation with the upstream: greet, push, follow, prove.
//!
//! Everything goes up on demand ([`Uplink::pull`]): the link asks when it has room. What waits is
//! a set of ids, so however long the link is slow or gone, the backlog is the net change.

mod proof;

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::awareness::Awareness;
use crate::backoff::Random;
use crate::id::PeerId;
use crate::id_set::IdSet;
use crate::replica::{Applied, Replica, Want};
use crate::state_vector::StateVector;
use crate::update::Update;
use crate::{Millis, limits, wire};

use proof::Proof;

/// The upstream as one document sees it.
#[derive(Debug)]
pub(crate) struct Uplink {
    pub(crate) peer: PeerId,
    stage: Stage,
    /// A step 1 is to be sent.
    ask: bool,
    /// A step 1 of ours that is not wholly answered.
    asked: Option<Asked>,
    /// Their step 1 is to be answered, with whatever is wanted.
    answer: bool,
    /// What the upstream lacks.
    want: Want,
    /// What somebody behind a server that only passes on lacks, and when it is answered.
    joiner: Option<(Millis, Want)>,
    /// The one message that holds all of `want`, as its author wrote it.
    fresh: Option<Bytes>,
    /// Ids whose awareness is to be sent.
    awareness: BTreeSet<u64>,
    /// Frames of an opaque document.
    frames: VecDeque<Bytes>,
    frames_bytes: usize,
    /// It did not answer in time: it proves nothing, as far as we know.
    silent: bool,
    /// It passes on what others send: it proves nothing.
    broadcasts: bool,
    /// It answered as a server does that keeps documents, and was pushed what it lacked.
    trusted: bool,
    proof: Proof,
}

#[derive(Debug, PartialEq)]
enum Stage {
    /// Nothing is known of the document yet; a step 1 would spoil an encrypted one.
    Dormant,
    /// Our step 1 is to be sent or answered.
    Greeting,
    /// Their step 2 is here; their step 1 should follow.
    Named { until: Millis, named: Want },
    /// Nothing answers: everything is pushed at this time.
    PushAt(Millis),
    /// They have all but what is wanted.
    Live,
}

#[derive(Debug)]
struct Asked {
    at: Millis,
    /// When their step 2 came, and the deletions in it.
    answered: Option<(Millis, IdSet)>,
    /// What was sent since, so that their step 1 may not know of it.
    sent: Want,
}

impl Asked {
    /// Until when the next part of the answer is waited for.
    fn patience(&self) -> Millis {
        let since = self.answered.as_ref().map_or(self.at, |(at, _)| *at);
        since.saturating_add(limits::UPSTREAM_ANSWER_MS)
    }
}

impl Uplink {
    /// `silent`: the upstream is known to answer nothing.
    pub(crate) fn new(peer: PeerId, silent: bool) -> Self {
        Self {
            peer,
            stage: Stage::Dormant,
            ask: false,
            asked: None,
            answer: false,
            want: Want::default(),
            joiner: None,
            fresh: None,
            awareness: BTreeSet::new(),
            frames: VecDeque::new(),
            frames_bytes: 0,
            silent,
            broadcasts: false,
            trusted: false,
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
        !self.silent && !self.broadcasts && matches!(self.stage, Stage::Dormant | Stage::Greeting)
    }

    /// Whether it can prove what it holds.
    pub(crate) fn proves(&self) -> bool {
        !self.silent && !self.broadcasts
    }

    /// Whether a step 1 of ours is not wholly answered: the answer is for nobody else.
    pub(crate) fn waits_for_answer(&self) -> bool {
        self.asked.is_some()
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Whether all has been sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.stage == Stage::Live && self.want.is_empty()
    }

    /// Local news. `message` is the whole of it as one message, if its author's bytes may be
    /// passed on.
    pub(crate) fn changed(&mut self, now: Millis, news: &Applied, message: Option<&Bytes>) {
        self.proof.changed(now);
        if self.stage != Stage::Live {
            return; // the push will carry it
        }
        let alone = self.want.is_empty() && !self.answer;
        self.fresh =
            message.filter(|message| alone && message.len() <= limits::CHUNK_BYTES_MAX).cloned();
        self.want.structs.merge(&news.structs);
        self.want.deletes.merge(&news.deletes);
    }

    pub(crate) fn announce(&mut self, ids: impl IntoIterator<Item = u64>) {
        if self.stage != Stage::Dormant {
            self.awareness.extend(ids);
        }
    }

    /// A frame of an opaque document; refused if too many wait.
    pub(crate) fn forward(&mut self, frame: Bytes) -> bool {
        let bytes = self.frames_bytes + frame.len();
        let fits =
            bytes <= limits::OPAQUE_BYTES_MAX && self.frames.len() < limits::OPAQUE_FRAMES_MAX;
        if fits || self.frames.is_empty() {
            self.frames_bytes = bytes;
            self.frames.push_back(frame);
            return true;
        }
        false
    }

    /// Asks for what is missing before a gap; nothing happens while an answer is due anyway.
    pub(crate) fn ask(&mut self, now: Millis) {
        let lately = now < self.proof.asked_at + limits::GAP_ASK_MS;
        self.ask |= self.asked.is_none() && self.stage == Stage::Live && !lately;
    }

    /// Their awareness: only a server that passes on what others send has any.
    pub(crate) fn passes_on(&mut self, now: Millis) {
        self.doubt(now);
    }

    /// It proves nothing. If something was pushed by what it seemed to lack, that was said by
    /// somebody else behind it: the others may lack more.
    fn doubt(&mut self, now: Millis) {
        self.broadcasts = true;
        if std::mem::take(&mut self.trusted) && self.stage == Stage::Live {
            self.stage = Stage::PushAt(now);
        }
    }

    /// Their step 2 was applied, `whole` being all it held.
    pub(crate) fn step_2(&mut self, now: Millis, update: &Update) {
        let named = Want::of(update);
        self.holds(&named);
        match &mut self.asked {
            Some(asked) if asked.answered.is_none() => {
                asked.answered = Some((now, named.deletes.clone()));
            }
            _ => self.doubt(now),
        }
        if self.stage == Stage::Greeting || matches!(self.stage, Stage::PushAt(_)) {
            let until = now + limits::UPSTREAM_ANSWER_MS;
            self.stage = Stage::Named { until, named };
        }
    }

    /// They have shown that they hold this.
    pub(crate) fn holds(&mut self, named: &Want) {
        self.fresh = None;
        self.want.subtract(named);
        if let Some((_, want)) = &mut self.joiner {
            want.subtract(named);
        }
    }

    /// Their step 1. Returns whether it proves that they hold all that we hold.
    pub(crate) fn step_1(
        &mut self,
        now: Millis,
        theirs: &StateVector,
        replica: &Replica,
        random: &mut Random,
    ) -> bool {
        let missing = replica.missing_from(theirs);
        // It comes behind their step 2 where they answer ours; later it is somebody else's.
        let in_time = |asked: &mut Asked| asked.answered.is_some() && now <= asked.patience();
        let Some(Asked { answered: Some((_, deleted)), sent, .. }) = self.asked.take_if(in_time)
        else {
            self.joined(now, &missing, replica, random);
            return false;
        };
        let deletes_held = replica.missing_deletes(&deleted).is_empty();
        let held = missing.is_empty() && deletes_held;
        self.fresh = None;
        self.want.structs = missing;
        self.want.deletes = if deletes_held { IdSet::default() } else { replica.deletes().clone() };
        self.want.subtract(&sent);
        self.answer = true;
        self.silent = false;
        self.trusted = true;
        self.stage = Stage::Live;
        let proven = held && !replica.is_incomplete() && !self.broadcasts;
        self.proof.judge(now, proven);
        proven
    }

    /// Somebody else joined, over a server that only passes on. Others may answer, too.
    fn joined(&mut self, now: Millis, missing: &IdSet, replica: &Replica, random: &mut Random) {
        self.doubt(now);
        let (_, want) = self
            .joiner
            .get_or_insert_with(|| (now + random.upto(limits::PUSH_JITTER_MS), Want::default()));
        want.structs.merge(missing);
        want.deletes.merge(replica.deletes());
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Millis, replica: &Replica, random: &mut Random) {
        let overdue = self.asked.as_ref().is_some_and(|asked| now >= asked.patience());
        self.silent |= overdue;
        if overdue
            && self.stage == Stage::Live
            && self.asked.take_if(|a| a.answered.is_some()).is_some()
        {
            self.doubt(now);
        }
        match &mut self.stage {
            Stage::Greeting if overdue => {
                self.stage = Stage::PushAt(now + random.upto(limits::PUSH_JITTER_MS));
            }
            Stage::Named { until, named } if now >= *until => {
                let named = std::mem::take(named);
                self.want = Want::everything(replica);
                self.want.subtract(&named);
                self.push();
            }
            Stage::PushAt(at) if now >= *at => {
                self.want = Want::everything(replica);
                self.push();
            }
            _ => {}
        }
        if let Some((_, want)) = self.joiner.take_if(|(at, _)| now >= *at)
            && self.stage == Stage::Live
        {
            self.fresh = None;
            self.want.merge(&want);
            self.answer |= !want.is_empty();
        }
        if self.proof_due().is_some_and(|due| now >= due) {
            self.ask = true;
        }
    }

    fn push(&mut self) {
        self.fresh = None;
        self.answer = !self.want.is_empty();
        self.stage = Stage::Live;
    }

    fn proof_due(&self) -> Option<Millis> {
        let waits = self.ask || self.asked.is_some() || self.answer;
        if !self.proves() || !self.is_sent() || waits {
            return None;
        }
        self.proof.due()
    }

    /// When [`Uplink::tick`] has something to do.
    pub(crate) fn next_tick(&self) -> Option<Millis> {
        let stage = match &self.stage {
            Stage::Named { until, .. } => Some(*until),
            Stage::PushAt(at) => Some(*at),
            Stage::Dormant | Stage::Greeting | Stage::Live => None,
        };
        let waits = self.stage == Stage::Greeting || !self.silent;
        let asked = self.asked.as_ref().filter(|_| waits).map(Asked::patience);
        let joiner = self.joiner.as_ref().map(|(at, _)| *at);
        [stage, asked, joiner, self.proof_due()].into_iter().flatten().min()
    }

    /// Whether [`Uplink::pull`] has something to send.
    pub(crate) fn is_ready(&self) -> bool {
        self.ask
            || !self.awareness.is_empty()
            || !self.frames.is_empty()
            || (self.stage == Stage::Live && (self.answer || !self.want.is_empty()))
    }

    /// The next message for the upstream: its link has room for one.
    pub(crate) fn pull(
        &mut self,
        now: Millis,
        replica: &Replica,
        awareness: &Awareness,
    ) -> Option<Bytes> {
        if let Some(frame) = self.frames.pop_front() {
            self.frames_bytes -= frame.len();
            return Some(frame);
        }
        if std::mem::take(&mut self.ask) {
            self.asked = Some(Asked { at: now, answered: None, sent: Want::default() });
            self.proof.asked(now);
            return Some(wire::sync_step1(&replica.state_vector().encode()));
        }
        while let Some(id) = self.awareness.pop_first() {
            if let Some(entries) = awareness.encode([id]) {
                return Some(wire::awareness(&entries));
            }
        }
        if self.stage != Stage::Live {
            return None;
        }
        self.pull_update(replica)
    }

    fn pull_update(&mut self, replica: &Replica) -> Option<Bytes> {
        if let Some(message) = self.fresh.take() {
            let sent = std::mem::take(&mut self.want);
            self.note_sent(|| sent);
            return Some(message);
        }
        let answer = std::mem::take(&mut self.answer);
        match replica.take_chunk(&mut self.want, limits::CHUNK_BYTES_MAX) {
            Some(chunk) => {
                self.note_sent(|| Want::of(&chunk.update));
                let bytes = chunk.update.bytes();
                Some(if answer { wire::sync_step2(bytes) } else { wire::update(bytes) })
            }
            None if answer => Some(wire::sync_step2(wire::EMPTY_UPDATE)),
            None => None,
        }
    }

    fn note_sent(&mut self, sent: impl FnOnce() -> Want) {
        if let Some(asked) = &mut self.asked {
            asked.sent.merge(&sent());
        }
    }
}
