//! What becomes of a damaged store: every row that its checksum proves goes into a new one, and the
//! damaged file is kept under another name. What cannot be opened is not damaged: it is left alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::params;
use yrelay_core::id::DocumentId;

use super::cells::{self, Cells, Value};
use super::pages::{Pages, beside, log_of};
use super::rows;
use super::schema::{self, APPLICATION_ID, Database, Opened};
use super::{Follow, StoreError};
use crate::clock::unix_ms;
use crate::new_file::{self, sync_names, unfinished};

/// Where the first page of the table `updates` lies, in every store.
const UPDATES_PAGE: u32 = 5;

/// A document as the damaged store knows it.
#[derive(Debug, Clone, Copy)]
struct Known {
    seq: i64,
    bytes: i64,
    opened: i64,
}

/// By their number in the store. After a deletion the number may have been given again; the
/// checksum of a row says whose it is.
type Documents = BTreeMap<i64, BTreeMap<DocumentId, Option<Known>>>;

/// How much there was.
#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    /// Rows that are not what was written.
    spoilt: u64,
    documents: usize,
    /// Documents of which some rows are lost, or all.
    incomplete: usize,
}

/// Opens a store. One that is damaged is replaced by what can be read of it, unless we are only to
/// look after it.
pub(super) fn open(database: &Database, follow: Follow<'_>) -> Result<Opened, StoreError> {
    let Database::File(path) = database else { return schema::open(database, follow) };
    finish(path)?;
    let error = match schema::open(database, follow) {
        Ok(opened) if !is_noted(path) => return Ok(opened),
        Ok(_) => StoreError::Corrupt {
            path: path.clone(),
            detail: "as was found while it was in use".to_owned(),
        },
        Err(error) => error,
    };
    let is_damaged = matches!(error, StoreError::Corrupt { .. } | StoreError::NotAStore(_));
    if !is_damaged || follow == Follow::AsBefore {
        return Err(error);
    }
    let Some(Tally { rows, spoilt, documents, incomplete }) = copy(path)? else {
        return Err(error);
    };
    let set_aside = finish(path)?.unwrap_or_default();
    tracing::error!(
        %error,
        rows,
        spoilt,
        documents,
        incomplete,
        set_aside = %set_aside.display(),
        "the store was damaged: what can be read of it is kept, the rest comes back from upstream \
         and editors"
    );
    schema::open(database, follow)
}

/// Whether there is nothing of a store.
pub(super) fn is_gone(database: &Database) -> bool {
    let Database::File(path) = database else { return false };
    let is_empty = |path: &Path| path.metadata().map_or(true, |data| data.len() == 0);
    is_empty(path) && is_empty(&log_of(path)) && is_empty(&salvaged(path))
}

/// Remembers for the next start that the store is damaged. If that fails, it will be found again.
pub(super) fn note(path: &Path) {
    let _ = new_file::private().create(true).truncate(false).open(noted(path));
}

fn is_noted(path: &Path) -> bool {
    noted(path).exists()
}

fn noted(path: &Path) -> PathBuf {
    beside(path, ".damaged")
}

fn salvaged(path: &Path) -> PathBuf {
    beside(path, ".salvaged")
}

/// The damaged files that lie beside a store.
pub(super) fn set_aside(path: &Path) -> Vec<PathBuf> {
    let Some(entries) = path.parent().and_then(|parent| parent.read_dir().ok()) else {
        return Vec::new();
    };
    // Their logs lie beside them in turn.
    let is_time = |time: &[u8]| time.iter().all(u8::is_ascii_digit);
    let begin = beside(path, ".corrupt-");
    let is_aside = |file: &PathBuf| {
        let name = file.as_os_str().as_encoded_bytes();
        name.strip_prefix(begin.as_os_str().as_encoded_bytes()).is_some_and(is_time)
    };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<_> = files.filter(is_aside).collect();
    files.sort();
    files
}

/// Puts what was salvaged in place of what it comes from. Cut short anywhere, it is gone on with at
/// the next start: until its last step the salvaged store is there, whole, under its own name.
fn finish(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let failed = |error: io::Error| StoreError::io(path, &error);
    let salvaged = salvaged(path);
    if !salvaged.try_exists().map_err(failed)? {
        return Ok(None);
    }
    let aside = (unix_ms() / 1_000..)
        .map(|time| beside(path, &format!(".corrupt-{time}")))
        .find(|aside| !aside.exists() && !log_of(aside).exists())
        .unwrap_or_default();
    let journal = |path: &Path| beside(path, "-journal");
    // The index of the log is made from it.
    for (from, to) in [
        (log_of(path), Some(log_of(&aside))),
        (journal(path), Some(journal(&aside))),
        (beside(path, "-shm"), None),
        (path.to_owned(), Some(aside.clone())),
    ] {
        let done = match to {
            Some(to) => fs::rename(from, to),
            None => fs::remove_file(from),
        };
        match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    sync_names(path);
    fs::rename(&salvaged, path).map_err(failed)?;
    let _ = fs::remove_file(noted(path));
    sync_names(path);
    Ok(Some(aside))
}

/// Makes a store of what can be read; nothing, if there is no sign that it ever was one of ours.
fn copy(path: &Path) -> Result<Option<Tally>, StoreError> {
    let failed = |error: io::Error| StoreError::io(path, &error);
    let mut pages = Pages::open(path).map_err(failed)?;
    let salvaged = salvaged(path);
    match fs::remove_file(unfinished(&salvaged)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut tally = Tally::default();
    let is_ours = pages.application().map_err(failed)? == Some(APPLICATION_ID);
    let made = new_file::make(
        &salvaged,
        |path, error| Some(StoreError::io(path, &error)),
        |part| {
            tally = fill(path, &mut pages, part)?;
            if is_ours || tally.rows > 0 { Ok(()) } else { Err(None) }
        },
    );
    match made {
        Ok(()) => Ok(Some(tally)),
        Err(None) => Ok(None),
        Err(Some(error)) => Err(error),
    }
}

fn fill(path: &Path, pages: &mut Pages, part: &Path) -> Result<Tally, StoreError> {
    let unread = |error: io::Error| StoreError::io(path, &error);
    let unwritten = |error: rusqlite::Error| StoreError::sqlite(part, &error);
    let (documents, used) = survey(pages).map_err(unread)?;
    let mut connection = Database::File(part.to_owned()).connect().map_err(unwritten)?;
    schema::create(&mut connection).map_err(unwritten)?;
    // It is nothing until it is whole, and synced then.
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        .map_err(unwritten)?;
    let tx = connection.transaction().map_err(unwritten)?;
    let mut tally = Tally::default();
    let mut ids = HashMap::new();
    for number in used {
        let Cells::Rows(rows) = cells::read(pages, number).map_err(unread)? else { continue };
        for row in rows.iter().filter_map(|(_, values)| Row::of(values)) {
            let Some((document, known)) = row.owner(&documents) else {
                tally.spoilt += 1;
                continue;
            };
            let id = match ids.get(document) {
                Some(id) => *id,
                None => begin(&tx, document, *known).map_err(unwritten)?,
            };
            ids.insert(document.clone(), id);
            let place = (row.seq, row.part, row.kind);
            tally.rows += rows::salvage(&tx, document, id, place, row.bytes).map_err(unwritten)?;
        }
    }
    tally.documents = ids.len();
    tally.incomplete = end(&tx, &documents, &ids).map_err(unwritten)?;
    tx.commit().map_err(unwritten)?;
    connection.close().map_err(|(_, error)| unwritten(error))?;
    Ok(tally)
}

/// All documents that are named anywhere, and the pages where rows in use may be.
fn survey(pages: &mut Pages) -> io::Result<(Documents, Vec<u32>)> {
    let free = pages.free()?;
    let mut documents = Documents::new();
    let mut below = HashSet::from([UPDATES_PAGE]);
    let mut used = Vec::new();
    for number in pages.numbers() {
        if free.as_ref().is_some_and(|free| free.contains(&number)) {
            continue;
        }
        match cells::read(pages, number)? {
            Cells::Rows(rows) => {
                used.push(number);
                for (id, values) in rows {
                    if let Some((document, known)) = described(&values) {
                        documents.entry(id).or_default().insert(document, Some(known));
                    }
                }
            }
            Cells::Keys(keys) => {
                for key in keys {
                    let [Value::Text(name), Value::Number(id)] = &key[..] else { continue };
                    let Ok(document) = DocumentId::new(name) else { continue };
                    documents.entry(*id).or_default().entry(document).or_insert(None);
                }
            }
            Cells::Below(numbers) => below.extend(numbers),
        }
    }
    // Without a list of what is free, a page that none leads to may hold what was deleted.
    if free.is_none() {
        used.retain(|number| below.contains(number));
    }
    Ok((documents, used))
}

/// A row of `documents`.
fn described(values: &[Value]) -> Option<(DocumentId, Known)> {
    let [Value::Null, Value::Text(name), Value::Number(seq), Value::Number(bytes), _, rest @ ..] =
        values
    else {
        return None;
    };
    let opened = match rest {
        [Value::Number(opened), ..] => *opened,
        _ => unix_ms().cast_signed(),
    };
    Some((DocumentId::new(name).ok()?, Known { seq: *seq, bytes: *bytes, opened }))
}

/// A row of `updates`.
struct Row<'a> {
    document: i64,
    seq: i64,
    part: i64,
    kind: u8,
    crc: i64,
    bytes: &'a [u8],
}

impl<'a> Row<'a> {
    fn of(values: &'a [Value]) -> Option<Self> {
        use Value::{Blob, Null, Number};
        let [
            Null,
            Number(document),
            Number(seq),
            Number(part),
            Number(kind),
            Number(crc),
            Blob(bytes),
        ] = values
        else {
            return None;
        };
        let kind = u8::try_from(*kind).ok()?;
        Some(Self { document: *document, seq: *seq, part: *part, kind, crc: *crc, bytes })
    }

    fn owner<'d>(&self, documents: &'d Documents) -> Option<(&'d DocumentId, &'d Option<Known>)> {
        documents.get(&self.document)?.iter().find(|(document, _)| {
            let crc = rows::checksum(document, self.seq, self.part, self.kind, self.bytes);
            i64::from(crc) == self.crc
        })
    }
}

fn begin(
    tx: &rusqlite::Connection,
    document: &DocumentId,
    known: Option<Known>,
) -> rusqlite::Result<i64> {
    let opened = known.map_or(unix_ms().cast_signed(), |known| known.opened);
    tx.execute(
        "INSERT INTO documents (identifier, seq, bytes, opened) VALUES (?1, 0, 0, ?2)",
        params![document.as_str(), opened],
    )?;
    Ok(tx.last_insert_rowid())
}

/// Sums up what is there of each document. How many are not whole? What is left of them has to go
/// up anew, as nobody knows what of it was confirmed.
fn end(
    tx: &rusqlite::Connection,
    documents: &Documents,
    ids: &HashMap<DocumentId, i64>,
) -> rusqlite::Result<usize> {
    tx.execute(
        "UPDATE documents SET
             seq = (SELECT max(seq) FROM updates WHERE document = documents.id),
             bytes = (SELECT sum(length(bytes)) FROM updates WHERE document = documents.id)",
        [],
    )?;
    tx.execute("UPDATE documents SET unconfirmed = seq", [])?;
    rows::mark_opaque(tx)?;
    let mut incomplete = 0;
    for (document, known) in documents.values().flatten() {
        let Some(known) = known else { continue };
        let whole = "SELECT 1 FROM documents WHERE id = ?1 AND seq = ?2 AND bytes = ?3";
        let id = ids.get(document).copied().unwrap_or_default();
        let is_whole = tx.prepare_cached(whole)?.exists(params![id, known.seq, known.bytes])?;
        incomplete += usize::from(!is_whole);
    }
    Ok(incomplete)
}
