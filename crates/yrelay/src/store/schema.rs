//! The file: its tables, its settings, and whether it is ours.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use yrelay_core::id::DocumentId;

use super::pages::{Pages, application, beside, log_of};
use super::renew::renew_log;
use super::tail::Tail;
use super::{Follow, StoreError, Stored};
use crate::new_file::private;

/// In the file's header: this SQLite file is a yrelay store ("yRly").
pub(super) const APPLICATION_ID: u32 = 0x7952_6c79;

/// In the file's header: 1 for [`TABLES`], one more for each of [`CHANGES`]. Whoever adds one also
/// raises [`NEEDED`].
const FORMAT: i64 = 1 + CHANGES.len() as i64;

/// The oldest version that reads this format. Kept in `meta` under `needs_yrelay`, in this and
/// every later format, so that an old program can say what to install.
const NEEDED: &str = "0.1.0";

/// How long another program's lock is waited for.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Format 1.
///
/// - `documents.seq` and `.bytes` sum up the rows of a document, so that opening reads no rows
///   and a missing row is found; `unconfirmed` is the highest update that is not confirmed.
/// - `updates`: the snapshot's pieces share the `seq` of the last update they contain and count
///   up in `part`; a logged update has part 0. Key order is load order. Rows lie in the order
///   they came, with an index beside: clustered by document, a commit would dirty twice the pages.
const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE documents (
        id INTEGER PRIMARY KEY,
        identifier TEXT NOT NULL UNIQUE,
        seq INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        unconfirmed INTEGER
    ) STRICT;
    CREATE TABLE updates (
        id INTEGER PRIMARY KEY,
        document INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        part INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        bytes BLOB NOT NULL,
        UNIQUE (document, seq, part)
    ) STRICT;
";

/// What made each later format of the one before.
///
/// 2. `documents.opened`: when somebody last had it open, to a day, in milliseconds since 1970.
///    What was never noted counts from now.
/// 3. Several updates may share a row, of a kind of its own. What format 2 noted of deletions is
///    noted for each document.
/// 4. Frames of encrypted documents are in rows of a kind of their own, and `documents.opaque` says
///    whether there are any.
/// 5. `histories`: of which clients the upstream once held all (`known`), and those of histories
///    that were given up (`abandoned`).
const CHANGES: &[&str] = &[
    "
    ALTER TABLE documents ADD COLUMN opened INTEGER NOT NULL DEFAULT 0;
    UPDATE documents SET opened = unixepoch() * 1000;
    ",
    "DELETE FROM meta WHERE key = 'tail_since';",
    "ALTER TABLE documents ADD COLUMN opaque INTEGER NOT NULL DEFAULT 0;",
    "
    CREATE TABLE histories (
        identifier TEXT PRIMARY KEY,
        known BLOB NOT NULL,
        abandoned BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    ",
];

/// Which database.
#[derive(Debug, Clone)]
pub(super) enum Database {
    File(PathBuf),
    Memory,
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Memory => f.write_str("memory"),
        }
    }
}

/// The connections, and what `documents` holds.
pub(super) struct Opened {
    pub(super) writer: Connection,
    /// In memory there is none beside the writer.
    pub(super) reader: Option<Connection>,
    /// In memory there is none.
    pub(super) tail: Option<Tail>,
    pub(super) documents: Vec<Stored>,
    pub(super) upstream: Option<String>,
}

/// Opens the database, as new if there is none, and refuses what is not ours before anything
/// is written.
pub(super) fn open(database: &Database, follow: Follow<'_>) -> Result<Opened, StoreError> {
    let path = match database {
        Database::File(path) => path.as_path(),
        Database::Memory => Path::new("memory"),
    };
    let mut is_log_sound = true;
    if let Database::File(path) = database {
        inspect(path)?;
        is_log_sound = renew_log(database, path);
    }
    let failed = |error: rusqlite::Error| StoreError::sqlite(path, &error);
    let mut writer = database.connect().map_err(failed)?;
    recognize(&mut writer, path)?;
    if database.reopens() {
        let mode: String =
            writer.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
        if mode != "wal" {
            return Err(StoreError::NoWal(path.to_owned()));
        }
        if !is_log_sound {
            settle(&writer).map_err(failed)?;
        }
    }
    let tail = match database {
        Database::File(path) => Some(Tail::recover(&mut writer, path)?),
        Database::Memory => None,
    };
    if let Follow::Upstream(upstream) = follow {
        keep_upstream(&mut writer, upstream).map_err(failed)?;
    }
    let upstream = meta(&writer, "upstream").map_err(failed)?;
    let documents = documents(&writer, path)?;
    let reader = database.reader().map_err(failed)?;
    Ok(Opened { writer, reader, tail, documents, upstream })
}

impl Database {
    /// A connection that writes. Durability is set here: nothing else may.
    pub(super) fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match self {
            Self::File(path) => Connection::open_with_flags(path, flags)?,
            Self::Memory => Connection::open_in_memory()?,
        };
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Checkpoints are ours to run: within a commit their errors would look like its own.
        // `fullfsync` is for macOS, where a plain fsync stops at the drive's cache.
        connection.execute_batch(
            "PRAGMA synchronous = FULL;
             PRAGMA fullfsync = ON;
             PRAGMA mmap_size = 0;
             PRAGMA cell_size_check = ON;
             PRAGMA wal_autocheckpoint = 0;
             PRAGMA journal_size_limit = 16777216;",
        )?;
        Ok(connection)
    }

    /// A connection that only reads; none in memory.
    pub(super) fn reader(&self) -> rusqlite::Result<Option<Connection>> {
        let Self::File(path) = self else { return Ok(None) };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch("PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON;")?;
        // The first read attaches it to the WAL: from here on a writer that closes is not the last.
        connection.query_row("SELECT count(*) FROM documents WHERE id = 0", [], |_| Ok(()))?;
        Ok(Some(connection))
    }

    /// Whether a connection that failed can be replaced: memory ends with its connection.
    pub(super) fn reopens(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Whether the file has been taken away under us: writes would go nowhere.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::File(path) if matches!(path.try_exists(), Ok(false)))
    }
}

/// Creates the file if there is none; refuses a foreign one by its header alone, as SQLite may
/// write to what it opens. The identity is written before WAL mode is, so the header has it.
fn inspect(path: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::io(path, &error);
    let length = |path: &Path| path.metadata().map_or(0, |data| data.len());
    if length(path) == 0 && length(&log_of(path)) > 0 {
        // SQLite would remove the log, too.
        let detail = "it is gone, only its log is there".to_owned();
        return Err(StoreError::Corrupt { path: path.to_owned(), detail });
    }
    let file = private().create(true).truncate(false).open(path).map_err(failed)?;
    let mut header = Vec::new();
    file.take(100).read_to_end(&mut header).map_err(failed)?;
    if header.is_empty() || beside(path, "-journal").exists() {
        // New, or its creation was cut short and SQLite will roll it back.
        return Ok(());
    }
    let is_ours = |application| application == Some(APPLICATION_ID);
    if is_ours(application(&header)) {
        // SQLite would only read what says otherwise.
        if header[18..20].iter().all(|version| matches!(version, 1 | 2)) {
            return Ok(());
        }
        let detail = "its header names no version of the format".to_owned();
        return Err(StoreError::Corrupt { path: path.to_owned(), detail });
    }
    // A power cut may tear the header while the log is folded into the file: the log still has it.
    let whole = Pages::open(path).and_then(|mut pages| pages.application()).map_err(failed)?;
    if is_ours(whole) {
        return Ok(());
    }
    Err(StoreError::NotAStore(path.to_owned()))
}

/// Makes the tables in an empty database; refuses a foreign or newer one.
fn recognize(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sqlite(path, &error);
    let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let tables = number("SELECT count(*) FROM sqlite_schema").map_err(failed)?;
    let application = number("PRAGMA application_id").map_err(failed)?;
    let format = number("PRAGMA user_version").map_err(failed)?;
    if tables == 0 && application == 0 {
        return create(connection).map_err(failed);
    }
    if application != i64::from(APPLICATION_ID) || format < 1 {
        return Err(StoreError::NotAStore(path.to_owned()));
    }
    if tables == 0 {
        let detail = "its tables are gone".to_owned();
        return Err(StoreError::Corrupt { path: path.to_owned(), detail });
    }
    if format > FORMAT {
        let needed = meta(connection, "needs_yrelay").ok().flatten();
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found: format,
            known: FORMAT,
            needed: needed.map_or("a newer version".to_owned(), |version| version + " or newer"),
        });
    }
    if format < FORMAT { renew(connection, format).map_err(failed) } else { Ok(()) }
}

/// Brings an older format up to date: all of it or nothing.
fn renew(connection: &mut Connection, format: i64) -> rusqlite::Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    change(&tx, format)?;
    tx.execute("UPDATE meta SET value = ?1 WHERE key = 'needs_yrelay'", [NEEDED])?;
    tx.commit()
}

fn change(tx: &Connection, format: i64) -> rusqlite::Result<()> {
    for change in CHANGES.iter().skip(format as usize - 1) {
        tx.execute_batch(change)?;
    }
    tx.pragma_update(None, "user_version", FORMAT)
}

/// Makes the tables in an empty database.
pub(super) fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(TABLES)?;
    tx.execute("INSERT INTO meta (key, value) VALUES ('needs_yrelay', ?1)", [NEEDED])?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    change(&tx, 1)?;
    tx.commit()
}

/// Copies what an earlier process left in the WAL into the file. Frames of a commit whose fsync
/// failed may be good in the page cache and absent on the disk: no later commit may rest on them.
fn settle(connection: &Connection) -> rusqlite::Result<()> {
    match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => {
            tracing::warn!(%error, "the disk is full: nothing new can be saved");
            Ok(())
        }
        done => done,
    }
}

pub(super) fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
        .optional()
}

pub(super) fn set_meta(tx: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    tx.execute("REPLACE INTO meta (key, value) VALUES (?1, ?2)", [key, value]).map(drop)
}

/// Keeps where changes go. A new upstream has confirmed nothing.
fn keep_upstream(connection: &mut Connection, upstream: Option<&str>) -> rusqlite::Result<()> {
    let last = meta(connection, "upstream")?;
    if last.as_deref() == upstream {
        return Ok(());
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match upstream {
        Some(upstream) => {
            tx.execute("UPDATE documents SET unconfirmed = seq", [])?;
            tx.execute("UPDATE histories SET known = x''", [])?;
            set_meta(&tx, "upstream", upstream)?;
        }
        None => {
            tx.execute("DELETE FROM meta WHERE key = 'upstream'", [])?;
        }
    }
    tx.commit()
}

fn documents(connection: &Connection, path: &Path) -> Result<Vec<Stored>, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sqlite(path, &error);
    let mut statement = connection
        .prepare(
            "SELECT identifier, bytes, unconfirmed IS NOT NULL, opened, opaque FROM documents
             ORDER BY identifier",
        )
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut documents = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let corrupt = |detail: String| StoreError::Corrupt { path: path.to_owned(), detail };
        let name = row.get_ref(0).map_err(failed)?;
        let name = name.as_str().map_err(|error| corrupt(format!("an identifier: {error}")))?;
        let identifier =
            DocumentId::new(name).map_err(|error| corrupt(format!("{name:?}: {error}")))?;
        let bytes: i64 = row.get(1).map_err(failed)?;
        let unconfirmed = row.get(2).map_err(failed)?;
        let opened: i64 = row.get(3).map_err(failed)?;
        let opaque = row.get(4).map_err(failed)?;
        let (bytes, opened_ms) = (bytes.cast_unsigned(), opened.cast_unsigned());
        documents.push(Stored { identifier, bytes, unconfirmed, opaque, opened_ms });
    }
    Ok(documents)
}
