//! What goes up next, when the link has room for a message.

use bytes::Bytes;

use super::{Asked, Receipt, Stage, Uplink};
use crate::awareness::Awareness;
use crate::document::Guard;
use crate::replica::{Replica, Want};
use crate::state_vector::StateVector;
use crate::{Millis, fellow, wire};

impl Uplink {
    /// Whether [`Uplink::pull`] has something to send.
    pub(crate) fn is_ready(&self) -> bool {
        if let Guard::Diverged { .. } = self.guard {
            return self.ask_all;
        }
        self.ask
            || self.shows
            || !self.awareness.is_empty()
            || !self.frames.is_empty()
            || (self.pushes() && (self.flow.is_ready() || self.asks_for_receipt()))
    }

    fn asks_for_receipt(&self) -> bool {
        self.is_fellow() && self.receipt == Receipt::Due
    }

    fn pushes(&self) -> bool {
        self.stage == Stage::Live && self.withheld().is_none() && !self.is_guarded()
    }

    /// The next message for the upstream: its link has room for one. `version`: what we have
    /// stored.
    pub(crate) fn pull(
        &mut self,
        now: Millis,
        bytes_max: usize,
        replica: &Replica,
        awareness: &mut Awareness,
        version: u64,
    ) -> Option<Bytes> {
        if let Guard::Diverged { .. } = self.guard {
            let asks = std::mem::take(&mut self.ask_all);
            return asks.then(|| wire::sync_step1(&StateVector::default().encode()));
        }
        if std::mem::take(&mut self.ask) {
            self.gap = false;
            if self.is_fellow() {
                self.proof.asked(now);
                return Some(fellow::have(&replica.state_vector(), replica.deletes()));
            }
            let question = self.question(replica);
            self.asked = Some(Asked {
                at: now,
                held: replica.state_vector(),
                shows_last: self.has_greeted(),
                theirs: None,
                answered: None,
                named: Want::default(),
                sent: Want::default(),
            });
            self.proof.asked(now);
            self.has_asked();
            return Some(wire::sync_step1(&question.encode()));
        }
        if std::mem::take(&mut self.shows) {
            return Some(Bytes::from_static(wire::QUERY));
        }
        while let Some(id) = self.awareness.pop_first() {
            if let Some(entries) = awareness.tell_above(now, id) {
                return Some(wire::awareness(&entries));
            }
        }
        if !self.pushes() {
            return None;
        }
        self.pull_update(bytes_max, replica).or_else(|| self.pull_question(version))
    }

    fn pull_question(&mut self, version: u64) -> Option<Bytes> {
        if !self.asks_for_receipt() {
            return None;
        }
        self.receipt = Receipt::Asked { version, more: false };
        Some(fellow::ask(version))
    }

    fn pull_update(&mut self, bytes_max: usize, replica: &Replica) -> Option<Bytes> {
        let (message, sent) = self.flow.pull(bytes_max, replica)?;
        if let Some(asked) = &mut self.asked {
            asked.sent.merge(&sent.want());
        }
        Some(message)
    }
}
