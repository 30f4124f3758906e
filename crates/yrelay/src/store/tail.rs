//! The log of what is appended: a write before anybody else sees it, a sync for all that came
//! meanwhile, and it is saved. The database gets it later, many updates at a time. By the write,
//! what others have received survives `kill -9`; by the sync, a power cut.
//!
//! Two files take turns: while what is in one is moved to the database, the other is written to.
//! Nothing is erased after that; at the next start the sequence numbers tell what is in the
//! database. A store that ends well removes them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior, params};
use yrelay_core::id::DocumentId;
#[cfg(test)]
use yrelay_testdisk::files::LogFile;

use super::StoreError;
#[cfg(not(test))]
use super::log_file::LogFile;
use super::pages::beside;
use super::rows::{self, Fault};
use super::schema;
use super::work::{Row, Work};
use crate::clock::unix_ms;

mod records;

use records::{FORGOTTEN, FRAME, LOCAL_FRAME, LOCAL_ROW, ROW, Record};

/// So much of a file stays for the next turn. Files that are written over cost the disk least.
const KEPT_BYTES: u64 = 4 << 20;
/// A file that grew to this is not continued, though its rows could not be moved meanwhile.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// With so much in it the buffer is written, whoever waits for it.
const BUFFER_BYTES: usize = 64 << 10;
/// So much of it is kept.
const BUFFER_KEPT_BYTES: usize = 128 << 10;

/// What follows a sync begins at a multiple of this: pages that are on their way to the disk, or on
/// it, are not written again.
const PAGE_BYTES: u64 = 4096;

/// In `meta`, with the name of a deleted document: its records of earlier turns do not count. Noted
/// with the deletion, as a power cut may bring an older state of the files back.
const FORGOTTEN_BEFORE: &str = "forgotten:";

/// One of the two.
struct Half {
    file: Arc<LogFile>,
    /// Where the next record goes.
    end: u64,
    /// Something was written since the last sync began.
    is_dirty: bool,
    /// Something could not be written, or not synced: not all that should be in it surely is.
    is_broken: bool,
    /// The turn with which it begins, and the one with which it surely begins on the disk.
    begins: u64,
    begins_on_disk: u64,
}

/// The files at work.
pub(super) struct Tail {
    halves: [Half; 2],
    /// The one that is written to.
    current: usize,
    turn: u64,
    /// All in the other one is in the database.
    is_other_free: bool,
    /// Records that are not written yet.
    buffer: Vec<u8>,
    /// The turn of the last deletion, while the database notes it.
    forgotten: Option<u64>,
}

/// A sync that is under way.
pub(super) struct Syncing([Option<(Arc<LogFile>, u64)>; 2]);

impl Half {
    fn new(file: LogFile, begins: u64) -> Self {
        Self {
            file: Arc::new(file),
            end: 0,
            is_dirty: false,
            is_broken: false,
            begins,
            begins_on_disk: 0,
        }
    }

    fn write(&mut self, records: &[u8]) -> io::Result<()> {
        if self.end >= FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // What follows an error takes its place.
        self.file.write_at(self.end, records)?;
        self.is_dirty = true;
        self.end += records.len() as u64;
        Ok(())
    }

    fn begin_anew(&mut self, turn: u64) {
        if self.end > KEPT_BYTES {
            let _ = self.file.set_len(KEPT_BYTES);
        }
        self.end = 0;
        self.is_broken = false;
        self.begins = turn;
    }
}

impl Tail {
    /// Moves what an earlier process left to the database, and begins anew. It may be saved nowhere
    /// else: a store is not opened without it.
    pub(super) fn recover(
        connection: &mut Connection,
        database: &Path,
    ) -> Result<Self, StoreError> {
        let open = |ending| {
            let path = beside(database, ending);
            let file = LogFile::open(&path);
            let read = file.and_then(|file| Ok((file.read()?, file)));
            read.map_err(|error| StoreError::io(&path, &error))
        };
        let (one, other) = (open("-tail0")?, open("-tail1")?);
        let records = [records::read(&one.0), records::read(&other.0)].concat();
        Self::replay(connection, records, [one.1, other.1]).map_err(|fault| match fault {
            Fault::Sqlite(error) => StoreError::sqlite(database, &error),
            fault => StoreError::Unopened { path: database.to_owned(), reason: fault.to_string() },
        })
    }

    fn replay(
        connection: &mut Connection,
        mut records: Vec<Record>,
        files: [LogFile; 2],
    ) -> Result<Self, Fault> {
        let forgotten = forgotten(connection)?;
        let last = records.iter().map(|record| record.turn).chain(forgotten.values().copied());
        let turn = fresh_turn().max(last.max().map_or(0, |last| last + 1));
        records.retain(|record| {
            forgotten.get(record.document.as_str()).is_none_or(|before| record.turn >= *before)
        });
        records.sort_by_key(|record| record.turn);
        let is_forgotten = records.iter().any(|record| record.row.is_none());
        let found = write(connection, records, turn)?;
        if found > 0 {
            tracing::info!(updates = found, "found what was written last before yrelay ended");
        }
        // What is erased need not be so on the disk: it is in the database, or noted.
        let halves = files.map(|file| {
            let _ = file.set_len(0);
            Half::new(file, turn)
        });
        Ok(Self {
            halves,
            current: 0,
            turn,
            is_other_free: true,
            buffer: Vec::new(),
            forgotten: (is_forgotten || !forgotten.is_empty()).then_some(turn),
        })
    }

    /// Takes a row.
    pub(super) fn append(&mut self, document: &DocumentId, row: &Row) {
        let kind = match (row.is_frame, row.local) {
            (false, false) => ROW,
            (false, true) => LOCAL_ROW,
            (true, false) => FRAME,
            (true, true) => LOCAL_FRAME,
        };
        self.put(kind, document, row.seq, &row.update);
    }

    /// All that was written of the document is not to come back.
    pub(super) fn forget(&mut self, document: &DocumentId) {
        self.put(FORGOTTEN, document, 0, &[]);
    }

    fn put(&mut self, kind: u8, document: &DocumentId, seq: u64, update: &[u8]) {
        records::put(&mut self.buffer, self.turn, kind, document, seq, update);
        if self.buffer.len() >= BUFFER_BYTES {
            self.write();
        }
    }

    /// Writes what was taken.
    pub(super) fn write(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let written = self.halves[self.current].write(&self.buffer);
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT_BYTES);
        self.judge(self.current, &written);
    }

    fn judge(&mut self, half: usize, done: &io::Result<()>) {
        let Err(error) = done else { return };
        if self.is_sound() {
            tracing::warn!(%error, "the log cannot be written; what comes waits for the database");
        }
        self.halves[half].is_broken = true;
    }

    /// Whether all that was written, and is not in the database, is in the files, so that a sync
    /// saves it.
    pub(super) fn is_sound(&self) -> bool {
        self.halves.iter().all(|half| !half.is_broken)
    }

    /// Begins a sync of all that was taken so far.
    pub(super) fn begin_sync(&mut self) -> Syncing {
        self.write();
        Syncing(self.halves.each_mut().map(|half| {
            half.end = half.end.next_multiple_of(PAGE_BYTES);
            std::mem::take(&mut half.is_dirty).then(|| (Arc::clone(&half.file), half.begins))
        }))
    }

    /// Notes how a sync went. Meanwhile no other was begun, nor a turn.
    pub(super) fn end_sync(&mut self, syncing: &Syncing, results: [io::Result<()>; 2]) -> bool {
        let mut is_synced = true;
        for (half, result) in results.into_iter().enumerate() {
            match (&syncing.0[half], &result) {
                (Some((_, begins)), Ok(())) => self.halves[half].begins_on_disk = *begins,
                (_, Ok(())) => {}
                (_, Err(_)) => is_synced = false,
            }
            self.judge(half, &result);
        }
        is_synced
    }

    /// All that was taken is about to be moved. Returns the turn of what follows.
    pub(super) fn turn(&mut self) -> u64 {
        self.write();
        self.turn += 1;
        if self.is_other_free {
            self.is_other_free = false;
            self.current ^= 1;
            self.halves[self.current].begin_anew(self.turn);
        }
        self.turn
    }

    /// All that was written before the last turn is in the database.
    pub(super) fn moved(&mut self) {
        self.is_other_free = true;
        self.halves[self.current ^ 1].is_broken = false;
    }

    /// A deletion is noted in the database.
    pub(super) fn noted(&mut self, turn: u64) {
        self.forgotten = Some(turn);
    }

    /// While deletions are noted: the turn before which no record can come back, so that notes up to
    /// it can go.
    pub(super) fn purges(&mut self) -> Option<u64> {
        let [one, other] = &self.halves;
        let begins = one.begins_on_disk.min(other.begins_on_disk);
        self.forgotten?;
        self.forgotten = self.forgotten.filter(|turn| *turn > begins);
        Some(begins)
    }

    /// All is in the database, and nothing more will come. Says whether the files are gone for good
    /// and deletions are noted that need not be any more.
    pub(super) fn remove(&self) -> bool {
        let removed = self.halves.iter().all(|half| half.file.remove().is_ok());
        removed && self.forgotten.is_some()
    }
}

impl Syncing {
    /// Syncs. Blocks on the disk.
    pub(super) fn sync(&self) -> [io::Result<()>; 2] {
        self.0.each_ref().map(|half| half.as_ref().map_or(Ok(()), |(file, _)| file.sync()))
    }
}

/// Above all turns of earlier processes, whatever is known of them: a power cut may bring records
/// back, or they could not be read. (No disk takes a thousand groups in a millisecond.)
pub(super) fn fresh_turn() -> u64 {
    unix_ms() << 10
}

/// Notes with a deletion that records of the document before this turn do not count.
pub(super) fn note(tx: &Connection, document: &DocumentId, turn: u64) -> rusqlite::Result<()> {
    let key = format!("{FORGOTTEN_BEFORE}{document}");
    schema::set_meta(tx, &key, &turn.to_string())
}

/// Drops the notes of deletions up to a turn.
pub(super) fn purge(connection: &Connection, turn: u64) -> rusqlite::Result<()> {
    let turn = i64::try_from(turn).unwrap_or(i64::MAX);
    let drop = "DELETE FROM meta WHERE substr(key, 1, 10) = ?1 AND CAST(value AS INTEGER) <= ?2";
    connection.execute(drop, params![FORGOTTEN_BEFORE, turn]).map(std::mem::drop)
}

/// The notes of deletions.
fn forgotten(connection: &Connection) -> rusqlite::Result<BTreeMap<String, u64>> {
    let notes = "SELECT substr(key, 11), CAST(value AS INTEGER) FROM meta
                 WHERE substr(key, 1, 10) = ?1";
    let mut statement = connection.prepare(notes)?;
    let notes = statement.query_map([FORGOTTEN_BEFORE], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
    })?;
    notes.collect()
}

/// Writes what follows what is stored; `turn` is the first of this process. How many updates is that?
fn write(connection: &mut Connection, records: Vec<Record>, turn: u64) -> Result<usize, Fault> {
    let mut works: BTreeMap<DocumentId, Work> = BTreeMap::new();
    for Record { document, row, .. } in records {
        let work = works.entry(document).or_default();
        match row {
            Some(row) => work.rows.push(row),
            None => *work = Work { forgotten: true, ..Work::default() },
        }
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut count = 0;
    for (document, work) in &mut works {
        let stored = if work.forgotten { 0 } else { rows::last_seq(&tx, document)? };
        let mut next = stored + 1;
        work.rows.retain(|row| {
            let follows = row.seq == next;
            next += u64::from(follows);
            follows
        });
        count += work.rows.len();
        rows::write(&tx, document, work)?;
        if work.forgotten {
            note(&tx, document, turn)?;
        }
    }
    tx.commit()?;
    Ok(count)
}
