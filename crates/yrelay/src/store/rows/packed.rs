//! What stands in a row: one update, several, a piece of a snapshot, frames.

use bytes::Bytes;

use crate::store::work::{Row, Work};

/// `updates.kind`: an update as it was appended.
pub(super) const LOG: u8 = 0;
/// `updates.kind`: a piece of the snapshot.
pub(super) const SNAPSHOT: u8 = 1;
/// `updates.kind`: updates of consecutive numbers that were moved together, the length of each before
/// it as four bytes, little-endian. `seq` is that of the last.
pub(super) const GROUP: u8 = 2;

/// `updates.kind`: frames of an encrypted document, each behind its length as in a group and a byte
/// that says whether it is local. A compaction never touches them.
pub(super) const FRAMES: u8 = 3;

/// Updates share a row while it is no longer than this: a row costs as much as some hundred bytes,
/// and is lost as a whole.
const GROUP_BYTES: usize = 1 << 15;

/// The rows to be written, their kinds, and of each the number of its last update.
pub(super) fn groups(work: &Work) -> Vec<(u64, u8, Bytes)> {
    let mut groups = Vec::new();
    let mut rest = &work.rows[..];
    while let Some(first) = rest.first() {
        let mut bytes = 0;
        let follows = |(row, seq): &(&Row, u64)| {
            bytes += 4 + row.update.len();
            bytes <= GROUP_BYTES && row.seq == *seq && row.is_frame == first.is_frame
        };
        let count = rest.iter().zip(first.seq..).take_while(follows).count().max(1);
        let (group, others) = rest.split_at(count);
        groups.push(match group {
            _ if first.is_frame => (first.seq + count as u64 - 1, FRAMES, pack_frames(group)),
            [row] => (row.seq, LOG, row.update.clone()),
            _ => (first.seq + count as u64 - 1, GROUP, pack(group)),
        });
        rest = others;
    }
    groups
}

fn pack(rows: &[Row]) -> Bytes {
    let mut packed = Vec::with_capacity(rows.iter().map(|row| 4 + row.update.len()).sum());
    for row in rows {
        packed.extend((row.update.len() as u32).to_le_bytes());
        packed.extend(&row.update);
    }
    packed.into()
}

fn pack_frames(rows: &[Row]) -> Bytes {
    let mut packed = Vec::with_capacity(rows.iter().map(|row| 5 + row.update.len()).sum());
    for row in rows {
        packed.extend((1 + row.update.len() as u32).to_le_bytes());
        packed.push(row.local.into());
        packed.extend(&row.update);
    }
    packed.into()
}

pub(super) fn unpack_frames(packed: Bytes) -> Option<Vec<(Bytes, bool)>> {
    let frame = |frame: Bytes| Some((frame.slice(1..), *frame.first()? == 1));
    unpack(packed)?.into_iter().map(frame).collect()
}

pub(super) fn unpack(mut packed: Bytes) -> Option<Vec<Bytes>> {
    let mut updates = Vec::new();
    while !packed.is_empty() {
        let length = 4 + u32::from_le_bytes(*packed.first_chunk()?) as usize;
        let update = (packed.len() >= length).then(|| packed.split_to(length))?;
        updates.push(update.slice(4..));
    }
    Some(updates)
}
