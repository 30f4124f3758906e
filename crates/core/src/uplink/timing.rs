//! When the conversation goes on by itself.

use super::{Asked, Stage, Uplink};
use crate::awareness::Awareness;
use crate::event::Dialect;
use crate::{Millis, limits};

impl Uplink {
    /// From when on another step 1 may go up. Two answers could not be told apart, so not while
    /// one may still come; of a server that only passes on, none counts.
    fn may_ask_from(&self) -> Option<Millis> {
        if self.stage != Stage::Live || self.ask {
            return None;
        }
        match &self.asked {
            Some(Asked { answered: Some(at), .. }) => Some(at + self.patience_ms() + 1),
            Some(_) if !self.broadcasts => None,
            _ => Some(0),
        }
    }

    pub(super) fn proof_due(&self) -> Option<Millis> {
        if self.is_fellow() || !self.proves() || !self.is_sent() {
            return None;
        }
        let due = self.proof.due().or_else(|| self.audit_due())?;
        Some(due.max(self.may_ask_from()?))
    }

    /// Servers lose what they had: they are asked now and then, though nothing has changed.
    fn audit_due(&self) -> Option<Millis> {
        (self.dialect != Dialect::Elva).then(|| self.proof.asked_at() + limits::AUDIT_MS)
    }

    pub(super) fn gap_due(&self) -> Option<Millis> {
        let due = self.proof.asked_at() + limits::GAP_ASK_MS;
        Some(due.max(self.may_ask_from()?)).filter(|_| self.gap)
    }

    /// Servers that send back what they take of awareness have done so by the answer to a question
    /// that was asked later.
    pub(crate) fn expects_awareness(&mut self, awareness: &Awareness) {
        let sends_back = match self.dialect {
            Dialect::Hocuspocus => true,
            Dialect::Yjs | Dialect::YSweet => awareness.comes_back() && self.has_greeted(),
            Dialect::Elva | Dialect::Own => false,
        };
        self.echo_due = awareness.next_unheard().filter(|_| sends_back);
    }

    /// Whether it tells of everybody who is there as it has them, in order. y-websocket's server
    /// and y-sweet do so at first; later there may be somebody who repeats what is over.
    pub(crate) fn knows_who_is_there(&self) -> bool {
        let is_first = matches!(self.stage, Stage::Greeting | Stage::PushAt(_));
        self.dialect == Dialect::Hocuspocus || (self.has_greeted() && is_first)
    }

    pub(super) fn echo_due(&self) -> Option<Millis> {
        let due = self.echo_due.filter(|due| *due > self.proof.asked_at())?;
        Some(due.max(self.may_ask_from()?))
    }

    /// A question is answered that was asked at this time, late enough for that.
    pub(crate) fn echo_missed_by(&self) -> Option<Millis> {
        self.echo_due.map(|_| self.proof.asked_at())
    }

    /// When [`Uplink::tick`] has something to do.
    pub(crate) fn next_tick(&self) -> Option<Millis> {
        let stage = match &self.stage {
            Stage::Greeting => self.greeting_ends(),
            Stage::PushAt(at) => Some(*at),
            Stage::Live => {
                let answered = self.asked.as_ref().and_then(|asked| asked.answered);
                answered.map(|at| at + self.patience_ms() + 1)
            }
            Stage::Dormant => None,
        };
        let joiner = self.joiner.as_ref().filter(|_| self.stage == Stage::Live).map(|(at, _)| *at);
        [stage, joiner, self.proof_due(), self.gap_due(), self.echo_due()]
            .into_iter()
            .flatten()
            .min()
    }
}
