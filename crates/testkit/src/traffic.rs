//! Counts of what arrives.

use bytes::Bytes;
use yrelay_core::fellow;
use yrelay_core::wire::{self, Message};

/// What arrived since this was last reset.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// Updates that hold anything.
    pub(crate) updates: usize,
    /// Questions for what is missing, of either kind.
    pub(crate) step_1s: usize,
    pub(crate) awareness: usize,
    /// Of these, what arrived at the server.
    pub(crate) up: Up,
    /// Times a document was woken.
    pub(crate) ticks: usize,
}

/// What arrived at the server: updates that hold anything, their bytes, questions.
#[derive(Debug, Default)]
pub(crate) struct Up {
    pub(crate) updates: usize,
    pub(crate) bytes: usize,
    pub(crate) step_1s: usize,
}

impl Traffic {
    /// At the server, too.
    pub(crate) fn count_up(&mut self, frame: &Bytes, body: &Bytes) {
        let (updates, step_1s) = (self.updates, self.step_1s);
        self.count(frame, body);
        if self.updates > updates {
            self.up.bytes += frame.len();
        }
        self.up.updates += self.updates - updates;
        self.up.step_1s += self.step_1s - step_1s;
    }

    /// `body`: the frame without the name of the document.
    pub(crate) fn count(&mut self, frame: &Bytes, body: &Bytes) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
        match wire::messages(body).next() {
            Some(Ok(Message::SyncStep1(_))) => self.step_1s += 1,
            Some(Ok(Message::SyncStep2(update) | Message::Update { update, .. })) => {
                self.updates += usize::from(update != wire::EMPTY_UPDATE);
            }
            Some(Ok(Message::Awareness(_))) => self.awareness += 1,
            Some(Ok(Message::Unknown(_))) => {
                let asks = matches!(fellow::decode(body), Ok(Some(fellow::Message::Have { .. })));
                self.step_1s += usize::from(asks);
            }
            _ => {}
        }
    }
}
