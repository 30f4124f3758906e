//! Writing an update.

use std::ops::Range;

use super::Picked;
use crate::decode::put_varuint;
use crate::id_set::IdSet;
use crate::replica::Replica;
use crate::replica::parts::Parts;
use crate::replica::structs::Stored;
use crate::update::Id;

impl Replica {
    /// Sections in descending order of clients, as Yjs writes them, each without a gap: about
    /// `bytes` in all.
    pub(super) fn encode(&self, picked: &Picked, deletes: &IdSet, bytes: usize) -> Vec<u8> {
        /// The counts of sections and of clients in the delete set.
        const FRAME_BYTES: usize = 8;
        let mut out = Vec::with_capacity(bytes + FRAME_BYTES);
        put_varuint(&mut out, picked.len() as u64);
        for (&client, range) in picked.iter().rev() {
            let count = self.over(client, range.clone()).count();
            put_varuint(&mut out, count as u64);
            put_varuint(&mut out, client);
            put_varuint(&mut out, u64::from(range.start));
            for stored in self.over(client, range.clone()) {
                put_part(client, &stored, range, &mut out);
            }
        }
        put_varuint(&mut out, deletes.clients().count() as u64);
        for client in deletes.clients().rev() {
            put_varuint(&mut out, client);
            put_varuint(&mut out, deletes.ranges(client).count() as u64);
            for range in deletes.ranges(client) {
                put_varuint(&mut out, u64::from(range.start));
                put_varuint(&mut out, u64::from(range.end - range.start));
            }
        }
        out
    }
}

/// Writes what `range` takes of a struct.
fn put_part(client: u64, stored: &Stored<'_>, range: &Range<u32>, out: &mut Vec<u8>) {
    let start = range.start.max(stored.clock);
    let end = range.end.min(stored.end());
    if start == stored.clock && end == stored.end() {
        out.extend_from_slice(stored.raw);
        return;
    }
    let id = Id { client, clock: stored.clock };
    Parts::new(id, stored.item()).put(&(start - stored.clock..end - stored.clock), out);
}
