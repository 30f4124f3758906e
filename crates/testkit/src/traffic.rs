//! Counts of what arrives.

use bytes::Bytes;
use yrelay_core::link;
use yrelay_core::wire::{self, Message};

/// What arrived since this was last reset.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Updates that hold anything.
    pub(crate) updates: usize,
    pub(crate) step_1s: usize,
    pub(crate) awareness: usize,
    /// Times a document was woken.
    pub(crate) ticks: usize,
}

impl Traffic {
    pub(crate) fn count(&mut self, frame: &Bytes) {
        let body = link::decode(frame).map_or_else(|_| frame.clone(), |(_, body)| body);
        match wire::messages(&body).next() {
            Some(Ok(Message::SyncStep1(_))) => self.step_1s += 1,
            Some(Ok(Message::SyncStep2(update) | Message::Update { update, .. })) => {
                self.updates += usize::from(update != wire::EMPTY_UPDATE);
            }
            Some(Ok(Message::Awareness(_))) => self.awareness += 1,
            _ => {}
        }
    }
}
