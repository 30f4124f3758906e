//! What is appended and not committed yet, where a killed process leaves it: written to a file at
//! once, and never synced. By this, what others have received survives `kill -9`; what survives a
//! power cut is in the database.
//!
//! Two files take turns: while what is in one is committed, the other is written to. Nothing is
//! erased after that; at the next start the sequence numbers tell what is committed. A store that
//! ends well removes them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, TransactionBehavior};
use yrelay_core::id::DocumentId;

use super::pages::beside;
use super::rows::{self, Fault};
use super::schema;
use super::work::{Row, Work};
use crate::clock::unix_ms;
use crate::new_file::private;

/// So much of a file stays for the next turn. Files that are written over cost the disk least.
const KEPT_BYTES: u64 = 1 << 20;
/// A file that grew to this is not continued, though its rows could not be committed meanwhile.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// The same of the buffer.
const BUFFER_BYTES: usize = 1 << 16;

/// In `meta`: records of earlier turns do not count. Noted with each deletion, as a power cut may
/// bring an older state of the files back.
const SINCE: &str = "tail_since";

/// A record: its turn and the length of its body, as eight and four bytes, little-endian; the
/// CRC-32C of all the rest; the body.
const HEAD_BYTES: usize = 8 + 4 + 4;

/// The first byte of a body; a number of eight bytes, the name's length in two, and the name
/// follow, then the update.
const ROW: u8 = 0;
const LOCAL_ROW: u8 = 1;
/// The document was deleted: what was said of it before does not count.
const FORGOTTEN: u8 = 2;

/// The files at work.
pub(super) struct Tail {
    paths: [PathBuf; 2],
    files: [File; 2],
    /// Where the last record of each ends.
    ends: [u64; 2],
    /// The one that is written to.
    current: usize,
    turn: u64,
    /// All in the other one is committed.
    is_other_free: bool,
    buffer: Vec<u8>,
    failing: bool,
}

/// What was found in a file.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    turn: u64,
    document: DocumentId,
    /// None: it was deleted.
    row: Option<Row>,
}

impl Tail {
    /// Commits what an earlier process left, and begins anew.
    pub(super) fn recover(connection: &mut Connection, database: &Path) -> Result<Self, Fault> {
        let paths = ["-tail0", "-tail1"].map(|ending| beside(database, ending));
        let mut files = [open(&paths[0])?, open(&paths[1])?];
        let since = schema::meta(connection, SINCE)?.and_then(|turn| turn.parse().ok());
        let mut records = Vec::new();
        for file in &mut files {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            records.extend(read(&bytes));
        }
        records.retain(|record| since.is_none_or(|since| record.turn >= since));
        records.sort_by_key(|record| record.turn);
        let last = records.last().map_or(0, |record| record.turn);
        let found = commit(connection, records)?;
        if found > 0 {
            tracing::info!(updates = found, "found what was not saved when yrelay ended last");
        }
        for file in &mut files {
            file.set_len(0)?;
            file.rewind()?;
        }
        let turn = fresh_turn().max(last + 1).max(since.unwrap_or(0));
        Ok(Self {
            paths,
            files,
            ends: [0; 2],
            current: 0,
            turn,
            is_other_free: true,
            buffer: Vec::new(),
            failing: false,
        })
    }

    /// Writes a row that has been queued.
    pub(super) fn append(&mut self, document: &DocumentId, seq: u64, update: &[u8], local: bool) {
        self.put(if local { LOCAL_ROW } else { ROW }, document, seq, update);
    }

    /// All that was written of the document is not to come back.
    pub(super) fn forget(&mut self, document: &DocumentId) {
        self.put(FORGOTTEN, document, 0, &[]);
    }

    fn put(&mut self, kind: u8, document: &DocumentId, seq: u64, update: &[u8]) {
        let name = document.as_str().as_bytes();
        let length = 1 + 8 + 2 + name.len() + update.len();
        let record = &mut self.buffer;
        record.extend(self.turn.to_le_bytes());
        record.extend((length as u32).to_le_bytes());
        record.extend([0; 4]);
        record.push(kind);
        record.extend(seq.to_le_bytes());
        record.extend((name.len() as u16).to_le_bytes());
        record.extend(name);
        record.extend(update);
        let crc = checksum(record);
        record[12..16].copy_from_slice(&crc.to_le_bytes());
        let (file, end) = (&mut self.files[self.current], &mut self.ends[self.current]);
        let written = file.write_all(record);
        match written {
            Ok(()) => *end += record.len() as u64,
            // What follows takes its place.
            Err(_) => drop(file.seek(SeekFrom::Start(*end))),
        }
        record.clear();
        record.shrink_to(BUFFER_BYTES);
        if let Err(error) = &written
            && !self.failing
        {
            tracing::warn!(%error, "what is not saved yet would not survive the end of the process");
        }
        self.failing = written.is_err();
    }

    /// All that was written is about to be committed. Returns the turn of what follows.
    pub(super) fn turn(&mut self) -> u64 {
        self.turn += 1;
        if self.is_other_free || self.ends[self.current] >= FILE_BYTES_MAX {
            self.is_other_free = false;
            self.current ^= 1;
            let (file, end) = (&mut self.files[self.current], &mut self.ends[self.current]);
            if *end > KEPT_BYTES {
                let _ = file.set_len(KEPT_BYTES);
            }
            *end = 0;
            let _ = file.rewind();
        }
        self.turn
    }

    /// All that was written before the last turn is committed.
    pub(super) fn committed(&mut self) {
        self.is_other_free = true;
    }

    /// All is committed, and nothing more will come.
    pub(super) fn remove(&self) {
        for path in &self.paths {
            let _ = fs::remove_file(path);
        }
    }
}

/// Above all turns of earlier processes, whatever is known of them: a power cut may bring records
/// back, or they could not be read. (No disk takes a thousand groups in a millisecond.)
pub(super) fn fresh_turn() -> u64 {
    unix_ms() << 10
}

/// Notes with a deletion that what comes before this turn does not count.
pub(super) fn note(tx: &Connection, turn: u64) -> rusqlite::Result<()> {
    schema::set_meta(tx, SINCE, &turn.to_string())
}

fn open(path: &Path) -> io::Result<File> {
    private().create(true).truncate(false).open(path)
}

fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..12]), &record[HEAD_BYTES..])
}

/// The records of a file, up to where one is torn. Behind the last turn's may be some of earlier
/// ones: those are committed.
fn read(mut bytes: &[u8]) -> Vec<Record> {
    std::iter::from_fn(|| take(&mut bytes)).collect()
}

fn take(bytes: &mut &[u8]) -> Option<Record> {
    let length = u32::from_le_bytes(*bytes.get(8..)?.first_chunk()?) as usize;
    let (record, rest) = bytes.split_at_checked(HEAD_BYTES + length)?;
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
    let row = Row { seq: u64::from_le_bytes(*seq), update, local: *kind == LOCAL_ROW };
    *bytes = rest;
    Some(Record { turn, document, row: (*kind != FORGOTTEN).then_some(row) })
}

/// Writes what follows what is stored. How many updates that is?
fn commit(connection: &mut Connection, records: Vec<Record>) -> Result<usize, Fault> {
    let mut works: BTreeMap<DocumentId, Work> = BTreeMap::new();
    for Record { document, row, .. } in records {
        let rows = &mut works.entry(document).or_default().rows;
        match row {
            Some(row) => rows.push(row),
            None => rows.clear(),
        }
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut count = 0;
    for (document, work) in &mut works {
        let mut next = rows::last_seq(&tx, document)? + 1;
        work.rows.retain(|row| {
            let follows = row.seq == next;
            next += u64::from(follows);
            follows
        });
        count += work.rows.len();
        rows::write(&tx, document, work)?;
    }
    tx.commit()?;
    Ok(count)
}
