//! A server that only passes on, taken for one that keeps.
//!
//! In plain Yjs the step 1 of somebody behind it looks like a greeting, or like the rest of an
//! answer. Ours is followed by a question for awareness, which no server asks: whoever was deceived
//! by the one is undeceived by the other. And whoever is undeceived asks again, for those who came
//! since and were deceived by what it said before. (Servers ignore it, or answer with awareness.)

use super::{Stage, Uplink};
use crate::Millis;

impl Uplink {
    /// Their awareness: of some dialects only a server that passes on what others send has any.
    pub(crate) fn passes_on(&mut self, now: Millis) {
        self.heard = true;
        if self.dialect.keepers_drop_awareness() {
            self.doubt(now);
        }
    }

    /// Somebody asks who is present.
    pub(crate) fn asks_for_awareness(&mut self, now: Millis) {
        if self.dialect.passes_on_alike() {
            self.doubt(now);
        }
    }

    /// It proves nothing. If something was pushed by what it seemed to lack, that was said by
    /// somebody else behind it: the others may lack more, and what was proven is not.
    pub(super) fn doubt(&mut self, now: Millis) {
        if !std::mem::replace(&mut self.broadcasts, true) && self.stage != Stage::Dormant {
            self.shows = self.dialect.passes_on_alike();
        }
        if std::mem::take(&mut self.trusted) {
            self.doubted = true;
            self.stage = Stage::PushAt(now);
        }
    }

    /// A step 1 has gone up.
    pub(super) fn has_asked(&mut self) {
        self.shows = self.dialect.passes_on_alike() && !self.trusted;
    }

    /// Whether trust in it was found to be misplaced since this was last asked.
    pub(crate) fn take_doubt(&mut self) -> bool {
        std::mem::take(&mut self.doubted)
    }
}
