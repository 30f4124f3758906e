//! What is written to the log: records, one after the other, and after a sync at the next page.

use bytes::Bytes;
use yrelay_core::id::DocumentId;

use super::PAGE_BYTES;
use crate::store::work::Row;

/// A record: its turn and the length of its body, as eight and four bytes, little-endian; the
/// CRC-32C of all the rest; the body.
const HEAD_BYTES: usize = 8 + 4 + 4;

/// The first byte of a body; a number of eight bytes, the name's length in two, and the name
/// follow, then the update.
pub(super) const ROW: u8 = 0;
pub(super) const LOCAL_ROW: u8 = 1;
/// The document was deleted: what was said of it before does not count.
pub(super) const FORGOTTEN: u8 = 2;
/// A frame of an encrypted document.
pub(super) const FRAME: u8 = 3;
pub(super) const LOCAL_FRAME: u8 = 4;

/// What was found in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) turn: u64,
    pub(super) document: DocumentId,
    /// None: it was deleted.
    pub(super) row: Option<Row>,
}

/// Appends a record.
pub(super) fn put(
    buffer: &mut Vec<u8>,
    turn: u64,
    kind: u8,
    document: &DocumentId,
    seq: u64,
    update: &[u8],
) {
    let name = document.as_str().as_bytes();
    let length = 1 + 8 + 2 + name.len() + update.len();
    let begin = buffer.len();
    buffer.reserve(HEAD_BYTES + length);
    buffer.extend(turn.to_le_bytes());
    buffer.extend((length as u32).to_le_bytes());
    buffer.extend([0; 4]);
    buffer.push(kind);
    buffer.extend(seq.to_le_bytes());
    buffer.extend((name.len() as u16).to_le_bytes());
    buffer.extend(name);
    buffer.extend(update);
    let record = &mut buffer[begin..];
    let crc = checksum(record);
    record[12..16].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..12]), &record[HEAD_BYTES..])
}

/// The records of a file, up to where one is torn. Behind the last may be some of earlier turns:
/// those do not count.
pub(super) fn read(bytes: &[u8]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let mut at = 0_usize;
    loop {
        let last = records.last().map_or(0, |record| record.turn);
        let follows = |at: usize| take(bytes.get(at..)?).filter(|(record, _)| record.turn >= last);
        // What was written after a sync begins at the next page.
        let page = at.next_multiple_of(PAGE_BYTES as usize);
        let (from, found) = match follows(at) {
            Some(found) => (at, Some(found)),
            None => (page, follows(page)),
        };
        let Some((record, length)) = found else { return records };
        records.push(record);
        at = from + length;
    }
}

/// The record at the beginning of these bytes, and its length.
fn take(bytes: &[u8]) -> Option<(Record, usize)> {
    let length = u32::from_le_bytes(*bytes.get(8..)?.first_chunk()?) as usize;
    let record = bytes.get(..HEAD_BYTES + length)?;
    if record[12..16] != checksum(record).to_le_bytes() {
        return None;
    }
    let turn = u64::from_le_bytes(*record.first_chunk()?);
    let (kind, body) = record[HEAD_BYTES..].split_first()?;
    let (seq, body) = body.split_first_chunk()?;
    let (length, body) = body.split_first_chunk()?;
    let (name, update) = body.split_at_checked(u16::from_le_bytes(*length).into())?;
    let document = DocumentId::new(std::str::from_utf8(name).ok()?).ok()?;
    let update = Bytes::copy_from_slice(update);
    let local = matches!(*kind, LOCAL_ROW | LOCAL_FRAME);
    let is_frame = matches!(*kind, FRAME | LOCAL_FRAME);
    let row = Row { seq: u64::from_le_bytes(*seq), update, local, is_frame };
    Some((Record { turn, document, row: (*kind != FORGOTTEN).then_some(row) }, record.len()))
}
