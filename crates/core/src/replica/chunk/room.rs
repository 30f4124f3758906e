//! How much still fits into an update.

use std::ops::Range;

use crate::decode::varuint_bytes;
use crate::limits;
use crate::replica::structs::Stored;

/// Bytes of a cut struct beyond those of the whole: two ids of 13 bytes, two halves of a pair.
const CUT_BYTES_MAX: usize = 32;

/// The count of structs of a section, or of ranges of a client.
const COUNT_BYTES: usize = 4;

/// Room in an update. The first struct or range passes whatever its size.
#[derive(Clone)]
pub(super) struct Room {
    bytes: usize,
    structs: usize,
    deletes: usize,
}

impl Room {
    pub(super) fn new(bytes_max: usize) -> Self {
        /// The counts of sections and of clients in the delete set.
        const FRAME_BYTES: usize = 8;
        // One large struct may come on top.
        let bytes_max = bytes_max.min(limits::UPDATE_BYTES_MAX / 2);
        Self {
            bytes: bytes_max.saturating_sub(FRAME_BYTES),
            structs: limits::STRUCTS_PER_UPDATE_MAX,
            deletes: limits::DELETES_PER_UPDATE_MAX,
        }
    }

    /// Whether nothing was put in yet.
    pub(super) fn is_empty(&self) -> bool {
        self.structs == limits::STRUCTS_PER_UPDATE_MAX
            && self.deletes == limits::DELETES_PER_UPDATE_MAX
    }

    /// Puts in what `range` takes of a struct; false if it does not fit.
    pub(super) fn put_struct(
        &mut self,
        client: u64,
        stored: &Stored<'_>,
        range: &Range<u32>,
        begins_section: bool,
    ) -> bool {
        let mut bytes = stored.raw.len();
        if begins_section {
            bytes += section_bytes(client) + varuint_bytes(u64::from(range.start));
        }
        if stored.clock < range.start || range.end < stored.end() {
            bytes += CUT_BYTES_MAX;
        }
        self.structs > 0 && self.put(bytes) && {
            self.structs -= 1;
            true
        }
    }

    /// Puts in a deletion; false if it does not fit.
    pub(super) fn put_delete(
        &mut self,
        client: u64,
        range: &Range<u32>,
        begins_section: bool,
    ) -> bool {
        let mut bytes = varuint_bytes(u64::from(range.start))
            + varuint_bytes(u64::from(range.end - range.start));
        if begins_section {
            bytes += section_bytes(client);
        }
        self.deletes > 0 && self.put(bytes) && {
            self.deletes -= 1;
            true
        }
    }

    fn put(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.bytes || self.is_empty();
        if fits {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        fits
    }
}

fn section_bytes(client: u64) -> usize {
    COUNT_BYTES + varuint_bytes(client)
}
