//! One document's rows: write, replace, read.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use yrelay_core::history::{self, History};
use yrelay_core::id::DocumentId;

use super::work::{Compaction, Work};
use super::writer::{Probe, Step};
use super::{LoadError, Loaded};

mod packed;

use packed::{FRAMES, GROUP, SNAPSHOT, groups, unpack, unpack_frames};

/// Why rows were not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("update {0} does not follow what is stored")]
    Order(u64),
    #[error("nothing is stored up to update {0}")]
    Nothing(u64),
    #[error("it is encrypted: there is nothing to compact")]
    Opaque,
    #[error("a snapshot row reads back otherwise than it was written")]
    ReadBack,
    #[error("the file of the store is gone: restart yrelay")]
    Gone,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Fault {
    /// Whether the store is not what was written.
    pub(super) fn is_damage(&self) -> bool {
        let Self::Sqlite(error) = self else { return false };
        let code = error.sqlite_error_code();
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        matches!(code, Some(DatabaseCorrupt | NotADatabase))
    }

    /// Whether the store as a whole is out of reach, so that there is no use in trying the next
    /// document.
    pub(super) fn is_everywhere(&self) -> bool {
        let code = match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            _ => None,
        };
        let busy = matches!(
            code,
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
        );
        busy || matches!(self, Self::Gone)
    }
}

/// Covers the row's place as well: a good row in a wrong place is a bad row.
pub(super) fn checksum(document: &DocumentId, seq: i64, part: i64, kind: u8, bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(document.as_str().as_bytes());
    let crc = crc32c::crc32c_append(crc, &seq.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &part.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &[kind]);
    crc32c::crc32c_append(crc, bytes)
}

/// The number of the last update that is stored of a document.
pub(super) fn last_seq(tx: &Transaction<'_>, document: &DocumentId) -> rusqlite::Result<u64> {
    let seq = tx
        .prepare_cached("SELECT seq FROM documents WHERE identifier = ?1")?
        .query_row([document.as_str()], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(seq.map_or(0, i64::cast_unsigned))
}

/// Writes what a document has queued, but for its compaction.
pub(super) fn write(tx: &Transaction<'_>, document: &DocumentId, work: &Work) -> Result<(), Fault> {
    if work.forgotten {
        forget(tx, document)?;
    }
    if let (Some(first), Some(last)) = (work.rows.first(), work.rows.last()) {
        let groups = groups(work);
        let bytes: usize = groups.iter().map(|(_, _, bytes)| bytes.len()).sum();
        let local = work.rows.iter().rfind(|row| row.local).map(|row| row.seq.cast_signed());
        let id: i64 = tx
            .prepare_cached(
                "INSERT INTO documents (identifier, seq, bytes, unconfirmed, opened, opaque)
                 VALUES (?1, ?2, ?3, ?4, unixepoch() * 1000, ?6)
                 ON CONFLICT (identifier) DO UPDATE SET
                     seq = excluded.seq,
                     bytes = bytes + excluded.bytes,
                     unconfirmed = coalesce(excluded.unconfirmed, unconfirmed),
                     opaque = max(opaque, excluded.opaque)
                     WHERE seq < ?5
                 RETURNING id",
            )?
            .query_row(
                params![
                    document.as_str(),
                    last.seq.cast_signed(),
                    bytes as i64,
                    local,
                    first.seq.cast_signed(),
                    work.rows.iter().any(|row| row.is_frame)
                ],
                |row| row.get(0),
            )
            .optional()?
            .ok_or(Fault::Order(first.seq))?;
        for (seq, kind, bytes) in groups {
            insert(tx, document, id, (seq.cast_signed(), 0, kind), &bytes)?;
        }
    }
    if work.unconfirmed {
        let mark = "UPDATE documents SET unconfirmed = seq WHERE identifier = ?1";
        tx.prepare_cached(mark)?.execute([document.as_str()])?;
    }
    if let Some(opened_ms) = work.opened_ms {
        let note = "UPDATE documents SET opened = ?2 WHERE identifier = ?1";
        let opened = opened_ms.cast_signed();
        tx.prepare_cached(note)?.execute(params![document.as_str(), opened])?;
    }
    if let Some(History { known, abandoned }) = &work.history {
        let note = "REPLACE INTO histories (identifier, known, abandoned) VALUES (?1, ?2, ?3)";
        let (known, abandoned) = (history::encode(known), history::encode(abandoned));
        tx.prepare_cached(note)?.execute(params![document.as_str(), known, abandoned])?;
    }
    if let Some(seq) = work.confirmed {
        tx.prepare_cached(
            "UPDATE documents SET unconfirmed = NULL WHERE identifier = ?1 AND unconfirmed <= ?2",
        )?
        .execute(params![document.as_str(), seq.cast_signed()])?;
    }
    Ok(())
}

fn forget(tx: &Transaction<'_>, document: &DocumentId) -> rusqlite::Result<()> {
    let rows = "DELETE FROM updates
                WHERE document = (SELECT id FROM documents WHERE identifier = ?1)";
    tx.prepare_cached(rows)?.execute([document.as_str()])?;
    tx.prepare_cached("DELETE FROM documents WHERE identifier = ?1")?
        .execute([document.as_str()])?;
    tx.prepare_cached("DELETE FROM histories WHERE identifier = ?1")?
        .execute([document.as_str()])?;
    Ok(())
}

fn history(tx: &Connection, document: &DocumentId) -> rusqlite::Result<History> {
    let stored: Option<(Vec<u8>, Vec<u8>)> = tx
        .prepare_cached("SELECT known, abandoned FROM histories WHERE identifier = ?1")?
        .query_row([document.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (known, abandoned) = stored.unwrap_or_default();
    // What cannot be read is not remembered: nothing of a document depends on it.
    let clients = |bytes: &[u8]| history::decode(bytes).unwrap_or_default();
    Ok(History { known: clients(&known), abandoned: clients(&abandoned) })
}

fn insert(
    tx: &Transaction<'_>,
    document: &DocumentId,
    id: i64,
    (seq, part, kind): (i64, i64, u8),
    bytes: &[u8],
) -> rusqlite::Result<()> {
    let crc = checksum(document, seq, part, kind, bytes);
    tx.prepare_cached(
        "INSERT INTO updates (document, seq, part, kind, crc, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![id, seq, part, kind, crc, bytes])?;
    Ok(())
}

/// Marks the documents that have frames.
pub(super) fn mark_opaque(tx: &Connection) -> rusqlite::Result<()> {
    let mark = "UPDATE documents SET opaque = 1
                WHERE id IN (SELECT document FROM updates WHERE kind = ?1)";
    tx.execute(mark, [FRAMES]).map(drop)
}

/// Writes a row as it was found elsewhere, once. How many that makes?
pub(super) fn salvage(
    tx: &Transaction<'_>,
    document: &DocumentId,
    id: i64,
    place: (i64, i64, u8),
    bytes: &[u8],
) -> rusqlite::Result<u64> {
    let is_there = "SELECT 1 FROM updates WHERE document = ?1 AND seq = ?2 AND part = ?3";
    if tx.prepare_cached(is_there)?.exists(params![id, place.0, place.1])? {
        return Ok(0);
    }
    insert(tx, document, id, place, bytes)?;
    Ok(1)
}

/// Puts the snapshot in place of the rows it replaces, and reads it back.
pub(super) fn compact(
    tx: &Transaction<'_>,
    document: &DocumentId,
    compaction: &Compaction,
    probe: &mut Probe,
) -> Result<(), Fault> {
    let upto = compaction.upto.cast_signed();
    let id: Option<i64> = tx
        .prepare_cached("SELECT id FROM documents WHERE identifier = ?1 AND seq >= ?2")?
        .query_row(params![document.as_str(), upto], |row| row.get(0))
        .optional()?;
    let (Some(id), false) = (id, compaction.snapshot.is_empty()) else {
        return Err(Fault::Nothing(compaction.upto));
    };
    let frames = "SELECT 1 FROM updates WHERE document = ?1 AND kind = ?2";
    if tx.prepare_cached(frames)?.exists(params![id, FRAMES])? {
        return Err(Fault::Opaque);
    }
    // A group that goes beyond stays.
    let freed: Option<i64> = tx
        .prepare_cached("SELECT sum(length(bytes)) FROM updates WHERE document = ?1 AND seq <= ?2")?
        .query_row(params![id, upto], |row| row.get(0))?;
    tx.prepare_cached("DELETE FROM updates WHERE document = ?1 AND seq <= ?2")?
        .execute(params![id, upto])?;
    for (part, piece) in (0..).zip(&compaction.snapshot) {
        insert(tx, document, id, (upto, part, SNAPSHOT), piece)?;
    }
    let added: usize = compaction.snapshot.iter().map(Bytes::len).sum();
    tx.prepare_cached("UPDATE documents SET bytes = bytes + ?2 WHERE id = ?1")?
        .execute(params![id, added as i64 - freed.unwrap_or(0)])?;
    probe(Step::ReadBack, tx)?;
    if reads_back(tx, document, id, compaction)? { Ok(()) } else { Err(Fault::ReadBack) }
}

fn reads_back(
    tx: &Transaction<'_>,
    document: &DocumentId,
    id: i64,
    compaction: &Compaction,
) -> rusqlite::Result<bool> {
    let mut statement = tx.prepare_cached(
        "SELECT part, crc, bytes FROM updates WHERE document = ?1 AND seq <= ?2 ORDER BY seq, part",
    )?;
    let upto = compaction.upto.cast_signed();
    let mut rows = statement.query(params![id, upto])?;
    for (part, piece) in (0..).zip(&compaction.snapshot) {
        let Some(row) = rows.next()? else { return Ok(false) };
        let same = row.get::<_, i64>(0)? == part
            && row.get::<_, u32>(1)? == checksum(document, upto, part, SNAPSHOT, piece)
            && row.get_ref(2)?.as_blob().is_ok_and(|bytes| bytes == piece);
        if !same {
            return Ok(false);
        }
    }
    Ok(rows.next()?.is_none())
}

/// Reads a document in one snapshot of the database, so that no compaction comes between. Beside it
/// the highest update that is not confirmed.
pub(super) fn load(
    connection: &mut Connection,
    document: &DocumentId,
) -> Result<(Loaded, Option<u64>), LoadError> {
    let failed = |error: rusqlite::Error| LoadError::sqlite(document, &error);
    let tx = connection.transaction().map_err(failed)?;
    let known: Option<(i64, i64, i64, Option<i64>)> = tx
        .prepare_cached("SELECT id, seq, bytes, unconfirmed FROM documents WHERE identifier = ?1")
        .and_then(|mut statement| {
            statement
                .query_row([document.as_str()], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })
                .optional()
        })
        .map_err(failed)?;
    let Some((id, seq, bytes, unconfirmed)) = known else {
        // No checksum covers the index, and what is lost there must not look new.
        let anywhere = "SELECT 1 FROM documents NOT INDEXED WHERE identifier = ?1";
        let is_there = tx
            .prepare_cached(anywhere)
            .and_then(|mut statement| statement.exists([document.as_str()]))
            .map_err(failed)?;
        if is_there {
            return Err(LoadError::damaged(document, "the index does not know it"));
        }
        let history = history(&tx, document).map_err(failed)?;
        return Ok((Loaded { history, ..Loaded::default() }, None));
    };
    let history = history(&tx, document).map_err(failed)?;
    let mut loaded = Loaded { history, ..Loaded::default() };
    let read_bytes = read(&tx, document, id, &mut loaded)?;
    if loaded.seq != seq.cast_unsigned() || read_bytes != bytes.cast_unsigned() {
        return Err(LoadError::damaged(
            document,
            format!(
                "its rows end at update {} with {read_bytes} bytes, not at {seq} with {bytes}",
                loaded.seq
            ),
        ));
    }
    Ok((loaded, unconfirmed.map(i64::cast_unsigned)))
}

/// Reads all rows. Returns how many bytes there are in them.
fn read(
    tx: &Transaction<'_>,
    document: &DocumentId,
    id: i64,
    loaded: &mut Loaded,
) -> Result<u64, LoadError> {
    let failed = |error: rusqlite::Error| LoadError::sqlite(document, &error);
    let mut statement = tx
        .prepare_cached(
            "SELECT seq, part, kind, crc, bytes FROM updates WHERE document = ?1
             ORDER BY seq, part",
        )
        .map_err(failed)?;
    let mut rows = statement.query([id]).map_err(failed)?;
    let mut read_bytes = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        let seq: i64 = row.get(0).map_err(failed)?;
        let part: i64 = row.get(1).map_err(failed)?;
        let kind: u8 = row.get(2).map_err(failed)?;
        let crc: u32 = row.get(3).map_err(failed)?;
        let bytes = row.get_ref(4).map_err(failed)?;
        let bytes = bytes.as_blob().map_err(|error| failed(error.into()))?;
        if crc != checksum(document, seq, part, kind, bytes) {
            let detail = format!("update {seq}, part {part}, fails its checksum");
            return Err(LoadError::damaged(document, detail));
        }
        read_bytes += bytes.len() as u64;
        let bytes = Bytes::copy_from_slice(bytes);
        let seq = seq.cast_unsigned();
        if seq < loaded.seq {
            return Err(LoadError::damaged(document, "its rows are out of order"));
        }
        if kind == SNAPSHOT {
            loaded.snapshot_bytes += bytes.len() as u64;
            loaded.updates.push(bytes);
        } else if kind == FRAMES {
            loaded.frames.extend(unpack_frames(bytes).ok_or_else(|| {
                LoadError::damaged(document, format!("the frames up to {seq} are none"))
            })?);
        } else {
            let updates = if kind == GROUP { unpack(bytes) } else { Some(vec![bytes]) };
            let updates = updates.ok_or_else(|| {
                let detail = format!("the updates up to {seq} are no group");
                LoadError::damaged(document, detail)
            })?;
            // The snapshot may hold the first of a group.
            let skipped = (updates.len() as u64).saturating_sub(seq - loaded.seq) as usize;
            for update in updates.into_iter().skip(skipped) {
                loaded.log_bytes += update.len() as u64;
                loaded.log_updates += 1;
                loaded.updates.push(update);
            }
        }
        loaded.seq = seq;
    }
    Ok(read_bytes)
}

/// Adds what is not in the database, or was not when it was asked for.
pub(super) fn add((mut loaded, mut mark): (Loaded, Option<u64>), works: Vec<Work>) -> Loaded {
    for work in works {
        if work.forgotten {
            (loaded, mark) = (Loaded::default(), None);
        }
        if let Some(history) = work.history {
            loaded.history = history;
        }
        let stored = loaded.seq;
        for row in work.rows.into_iter().filter(|row| row.seq > stored) {
            loaded.seq = row.seq;
            if row.local {
                mark = Some(row.seq);
            }
            if row.is_frame {
                loaded.frames.push((row.update, row.local));
                continue;
            }
            loaded.log_updates += 1;
            loaded.log_bytes += row.update.len() as u64;
            loaded.updates.push(row.update);
        }
        if work.unconfirmed {
            mark = Some(loaded.seq);
        }
        if mark.is_some_and(|mark| work.confirmed.is_some_and(|confirmed| mark <= confirmed)) {
            mark = None;
        }
    }
    loaded.unconfirmed = mark.is_some() && loaded.seq > 0;
    loaded
}
