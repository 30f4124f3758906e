//! What the server says of what it holds, and what that proves.
//!
//! A server that keeps documents answers our step 1 in one of three ways: with a step 2 and then a
//! step 1 (ELVA), with a step 1 and then a step 2 (Hocuspocus), or with a step 2 only. Of the last
//! kind are those that began with a step 1, when the connection was opened: since then they have
//! not said how far they are. They are asked for a little more than we lack, the last clock of each
//! client: what they send of that shows whether they hold it, and all before it.
//!
//! A server that only passes on says nothing itself. What comes over it was said by somebody behind
//! it, and is told from the above by its order.

use super::{Asked, Stage, Uplink};
use crate::backoff::Random;
use crate::event::Dialect;
use crate::id_set::IdSet;
use crate::replica::{Replica, Want};
use crate::state_vector::StateVector;
use crate::update::Update;
use crate::{Millis, limits};

impl Uplink {
    /// Whether it began with a step 1, and is no server that only passes on.
    pub(super) fn has_greeted(&self) -> bool {
        self.greeting.is_some() && !self.broadcasts
    }

    /// What our step 1 says that we hold.
    pub(super) fn question(&self, replica: &Replica) -> StateVector {
        let held = replica.state_vector();
        match self.has_greeted() {
            true => held.iter().map(|(client, clock)| (client, clock - 1)).collect(),
            false => held,
        }
    }

    /// Their step 2 was applied. Where that is all of their answer, returns whether it proves that
    /// they hold all that we hold.
    pub(crate) fn step_2(
        &mut self,
        now: Millis,
        update: &Update,
        replica: &Replica,
    ) -> Option<bool> {
        self.heard = true;
        let named = Want::of(update);
        self.holds(&named);
        if self.is_fellow() {
            self.answered = true;
            return None;
        }
        if self.dialect.answers_with_step_1() && !self.is_named() {
            // It was asked before the document was closed for a while, and keeps that question.
            return None;
        }
        let patience_ms = self.patience_ms();
        let Some(asked) = self.asked.as_mut().filter(|asked| asked.answered.is_none()) else {
            // Who greets and is greeted may bring all it has at once, unasked.
            if !self.has_greeted() {
                self.doubt(now);
            }
            return None;
        };
        asked.answered = Some(now);
        if let Some(theirs) = asked.theirs.take() {
            return self.conclude(now, replica.missing_from(&theirs), replica);
        }
        if let Some(missing) = self.missing_by_answer(replica) {
            return self.conclude(now, missing, replica);
        }
        if self.stage != Stage::Live {
            self.stage = Stage::PushAt(now + patience_ms);
        }
        None
    }

    /// It has begun its answer with what it holds.
    fn is_named(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.theirs.is_some())
    }

    /// What of our structs a server lacks that answers with a step 2 only.
    fn missing_by_answer(&self, replica: &Replica) -> Option<IdSet> {
        let greeting = self.greeting.as_ref().filter(|_| !self.broadcasts)?;
        let asked = self.asked.as_ref()?;
        let mut missing = replica.missing_from(&asked.held);
        for (client, clock) in asked.held.iter() {
            let greeted = greeting.get(client);
            let is_held = match asked.shows_last {
                true => asked.named.structs.contains(client, clock - 1),
                false => greeted >= clock,
            };
            if !is_held {
                // One that has lost what it began with may have lost it all.
                let since = if greeted < clock { greeted } else { 0 };
                missing.insert(client, since..clock);
            }
        }
        Some(missing)
    }

    /// Their step 1. Where it is their answer, returns whether it proves that they hold all that
    /// we hold.
    pub(crate) fn step_1(
        &mut self,
        now: Millis,
        theirs: StateVector,
        replica: &Replica,
        random: &mut Random,
    ) -> Option<bool> {
        let is_first = !std::mem::replace(&mut self.heard, true);
        if is_first && self.dialect.may_greet() {
            if self.stage == Stage::Live {
                // So late it may be of somebody who has just joined, and waits for an answer.
                self.answer_joiner(now, &replica.missing_from(&theirs), replica, random);
            }
            self.greeting = Some(theirs);
            return None;
        }
        if self.dialect.answers_with_step_1() {
            if let Some(asked) = &mut self.asked {
                asked.theirs = Some(theirs);
            }
            return None;
        }
        let structs = replica.missing_from(&theirs);
        let greeted = self.has_greeted();
        let (broadcasts, patience_ms) = (self.broadcasts, self.patience_ms());
        let is_answer = |asked: &Asked| {
            !broadcasts && !greeted && asked.answered.is_some_and(|at| now <= at + patience_ms)
        };
        if !self.asked.as_ref().is_some_and(is_answer) {
            self.joined(now, &structs, replica, random);
            return None;
        }
        self.conclude(now, structs, replica)
    }

    /// Their answer is complete: they lack these of our structs.
    fn conclude(&mut self, now: Millis, mut structs: IdSet, replica: &Replica) -> Option<bool> {
        let asked = self.asked.take()?;
        structs.subtract(&asked.named.structs);
        let deletes_held = replica.missing_deletes(&asked.named.deletes).is_empty();
        let proven = structs.is_empty() && deletes_held && !replica.is_incomplete();
        let mut want = Want { structs, deletes: replica.deletes().clone() };
        want.subtract(&asked.named);
        want.subtract(&asked.sent);
        // Servers of ELVA send even an empty answer round; without one they would wait.
        let answer = self.dialect == Dialect::Elva || !want.is_empty();
        self.flow.set(want, answer);
        self.silent = false;
        self.trusted = true;
        self.stage = Stage::Live;
        self.proof.judge(now, proven);
        Some(proven)
    }

    /// Somebody else joined, over a server that only passes on. Others may answer, too.
    fn joined(&mut self, now: Millis, missing: &IdSet, replica: &Replica, random: &mut Random) {
        self.doubt(now);
        self.answer_joiner(now, missing, replica, random);
    }

    fn answer_joiner(
        &mut self,
        now: Millis,
        missing: &IdSet,
        replica: &Replica,
        random: &mut Random,
    ) {
        let (_, want) = self
            .joiner
            .get_or_insert_with(|| (now + random.upto(limits::PUSH_JITTER_MS), Want::default()));
        want.structs.merge(missing);
        want.deletes.merge(replica.deletes());
    }
}
