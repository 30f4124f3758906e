//! How much still fits into an update.

use std::ops::Range;

use crate::decode::varuint_bytes;
use crate::limits;
use crate::replica::parts::Parts;
use crate::replica::structs::Stored;
use crate::update::Id;

/// Bytes of a cut struct beyond those of the whole: two ids of 13 bytes, two halves of a pair.
const CUT_BYTES_MAX: usize = 32;

/// The count of structs of a section, or of ranges of a client.
const COUNT_BYTES: usize = 4;

/// Room in an update. Where not even the first struct fits, a part of it passes that cannot be
/// cut smaller.
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

    /// The bytes that still fit.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing was put in yet.
    pub(super) fn is_empty(&self) -> bool {
        self.structs == limits::STRUCTS_PER_UPDATE_MAX
            && self.deletes == limits::DELETES_PER_UPDATE_MAX
    }

    /// Puts in what `range` takes of a struct, or where that is too much for any update as much
    /// as fits; gives the clock where that ends, or nothing.
    pub(super) fn put_struct(
        &mut self,
        client: u64,
        stored: &Stored<'_>,
        range: &Range<u32>,
        begins_section: bool,
    ) -> Option<u32> {
        let (start, end) = (range.start.max(stored.clock), range.end.min(stored.end()));
        let part = start - stored.clock..end - stored.clock;
        let parts = || Parts::new(Id { client, clock: stored.clock }, stored.item());
        let mut section = 0;
        if begins_section {
            section = section_bytes(client) + varuint_bytes(u64::from(start));
        }
        let mut bytes = section + stored.raw.len();
        if part.end - part.start < stored.len {
            bytes = section + CUT_BYTES_MAX + parts().content_bytes(&part);
        }
        let mut fits = end;
        if bytes > self.bytes && self.is_empty() && part.end - part.start > 1 {
            let header = CUT_BYTES_MAX + stored.item().header_bytes;
            let room = self.bytes.saturating_sub(section + header);
            fits = stored.clock + parts().fit(part.start, part.end, room);
        }
        if self.structs == 0 || !self.put(bytes) {
            return None;
        }
        self.structs -= 1;
        Some(fits)
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

    /// Puts in deletions by client and clock; false if they do not all fit.
    pub(super) fn put_deletes(
        &mut self,
        mut ranges: impl Iterator<Item = (u64, Range<u32>)>,
    ) -> bool {
        let mut previous = None;
        ranges.all(|(client, range)| {
            self.put_delete(client, &range, previous.replace(client) != Some(client))
        })
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
