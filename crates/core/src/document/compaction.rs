//! Compactions: when one is worth it, and what comes of it.

use super::{Document, Kind};
use crate::event::Output;
use crate::replica::Replica;

impl Document {
    pub(super) fn compact_if_worth(&mut self) {
        if self.log.wants_compaction() && self.kind != Kind::Opaque {
            self.log.freeze();
            let frozen = Box::new(self.replica.clone());
            self.out.push(Output::Compact { frozen, upto_seq: self.log.last_seq() });
        }
    }

    pub(super) fn compacted(&mut self, result: Option<(Box<Replica>, usize)>) {
        assert!(self.log.is_compacting(), "what ends a compaction was asked for");
        let Some((replica, snapshot_bytes)) = result else {
            self.log.abandon_compaction();
            return;
        };
        self.replica = *replica;
        for update in self.log.thaw(snapshot_bytes) {
            self.replica.apply(&update);
        }
        // As much may have come meanwhile; it may be the last for long.
        self.compact_if_worth();
    }
}
