//! ELVA's files (`.y`): SQLite, one document each. `yupdates` holds its updates in the order they
//! came. `metadata` holds its name: ELVA 0.33 under `identifier`, 0.37 in the TOML under `config`.
//!
//! They are others' files: they are opened for reading only, and nothing in them is believed.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{self, Path};

use bytes::Bytes;
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};
use toml::de::DeTable;
use yrelay_core::id::DocumentId;
use yrelay_core::update::Update;

use crate::{limits, new_file};

/// What such a file says beside its updates.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The name of its document, if it tells.
    pub identifier: Option<String>,
    /// Why not all rows could be read.
    pub broken: Option<String>,
}

/// Why a file was not read or written, in one line without its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It is something else, perhaps even SQLite.
    #[error("no file of ELVA: it has no table of updates")]
    NotElvas,
    /// Its program is at work in it, or was killed at that.
    #[error("a program is writing to it, or was killed at that: open and close it there first")]
    Unfinished,
    /// It would replace something.
    #[error("it is there already: choose another name, or move it away")]
    Exists,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<rusqlite::Error> for FileError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotElvas,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::ReadOnly) => {
                Self::Unfinished
            }
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// Whether a file is SQLite's, by its first bytes.
pub fn is_sqlite(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(16).read_to_end(&mut head)?;
    Ok(head == b"SQLite format 3\0")
}

/// Reads a file. `take` gets each row with its number: an update that may or may not pass the
/// gate, or what else is there instead.
pub fn read(
    path: &Path,
    mut take: impl FnMut(i64, Result<Bytes, String>),
) -> Result<Contents, FileError> {
    let connection = open(path)?;
    // No view and no virtual table: those could run for ever.
    let is_table = "SELECT 1 FROM sqlite_schema
                    WHERE name = ?1 AND type = 'table' AND rootpage > 0";
    let has = |name| connection.query_row(is_table, [name], |_| Ok(())).optional();
    if has("yupdates")?.is_none() {
        return Err(FileError::NotElvas);
    }
    let identifier = match has("metadata")? {
        Some(()) => identifier(&connection),
        None => None,
    };
    let broken = rows(&connection, &mut take).err().map(|error| match error.sqlite_error_code() {
        None => error.to_string(),
        Some(_) => format!("the file is damaged: {error}"),
    });
    Ok(Contents { identifier, broken })
}

fn open(path: &Path) -> Result<Connection, FileError> {
    // SQLite would read a relative name such as `file:x` as a URI.
    let path = path::absolute(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags)?;
    connection.busy_timeout(super::schema::BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.execute_batch("PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON;")?;
    Ok(connection)
}

fn rows(
    connection: &Connection,
    take: &mut impl FnMut(i64, Result<Bytes, String>),
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT yupdate FROM yupdates ORDER BY rowid LIMIT ?1")?;
    let mut rows = statement.query([limits::FILE_ROWS_MAX])?;
    let mut number = 0;
    while let Some(row) = rows.next()? {
        number += 1;
        let update = match row.get_ref(0)? {
            ValueRef::Blob(bytes) => Ok(Bytes::copy_from_slice(bytes)),
            other => Err(format!("{} instead of an update", other.data_type())),
        };
        take(number, update);
    }
    Ok(())
}

/// What cannot be read tells nothing.
fn identifier(connection: &Connection) -> Option<String> {
    const BYTES_MAX: usize = 64 << 10;
    let value = |key: &str| -> Option<String> {
        let sql = "SELECT value FROM metadata WHERE key = ?1 AND length(value) <= ?2";
        let found = connection.query_row(sql, (key, BYTES_MAX as i64), |row| {
            let text = match row.get_ref(0)? {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => std::str::from_utf8(bytes).ok(),
                _ => None,
            };
            Ok(text.map(str::to_owned))
        });
        found.ok().flatten()
    };
    let of_config = || {
        let text = value("config")?;
        let config = DeTable::parse(&text).ok()?;
        let connect = config.get_ref().get("connect")?.get_ref();
        Some(connect.get("identifier")?.get_ref().as_str()?.to_owned())
    };
    value("identifier").or_else(of_config)
}

/// Writes a file as ELVA 0.37 does, with what 0.33 looks for beside.
pub fn write(path: &Path, id: &DocumentId, updates: &[Update]) -> Result<(), FileError> {
    let path = path::absolute(path)?;
    let fail = |at: &Path, error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists if at == path => FileError::Exists,
        _ => FileError::Other(format!("{}: {error}", at.display())),
    };
    new_file::make(&path, fail, |part| fill(part, id, updates))
}

fn fill(path: &Path, id: &DocumentId, updates: &[Update]) -> Result<(), FileError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA fullfsync = ON;")?;
    let tx = connection.transaction()?;
    tx.execute_batch(
        "CREATE TABLE metadata (key PRIMARY KEY, value BLOB);
         CREATE TABLE yupdates (yupdate BLOB);",
    )?;
    // A string of JSON is one of TOML, too, as identifiers hold no control characters.
    let name = serde_json::to_string(id.as_str()).map_err(io::Error::from)?;
    let config = format!("[connect]\nidentifier = {name}\n");
    tx.execute("INSERT INTO metadata VALUES ('identifier', ?1)", [id.as_str()])?;
    tx.execute("INSERT INTO metadata VALUES ('config', ?1)", [config.as_bytes()])?;
    for update in updates {
        let insert = "INSERT INTO yupdates VALUES (?1)";
        tx.prepare_cached(insert)?.execute([&update.bytes()[..]])?;
    }
    tx.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    const LETTER: &[u8] = b"\x01\x01\x01\x00\x04\x01\x04text\x01x\x00";

    /// A file made by these statements.
    fn file(statements: &str) -> (TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.y");
        Connection::open(&path).unwrap().execute_batch(statements).unwrap();
        (directory, path)
    }

    fn rows_of(path: &Path) -> (Result<Contents, FileError>, Vec<Result<Bytes, String>>) {
        let mut rows = Vec::new();
        let contents = read(path, |_, row| rows.push(row));
        (contents, rows)
    }

    fn name(text: &str) -> Result<Contents, FileError> {
        Ok(Contents { identifier: Some(text.to_owned()), broken: None })
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file:x?mode=memory");
        let updates = [b"\0\0", LETTER].map(|u| Update::parse(Bytes::from_static(u)).unwrap());
        let id = DocumentId::new("a \"b\\ü/c'").unwrap();
        write(&path, &id, &updates).unwrap();
        assert!(is_sqlite(&path).unwrap());
        let (contents, rows) = rows_of(&path);
        assert_eq!(contents, name(id.as_str()));
        assert_eq!(rows, updates.clone().map(|update| Ok(update.bytes().clone())));
        // The two generations look in two places.
        Connection::open(&path)
            .unwrap()
            .execute("DELETE FROM metadata WHERE key = 'identifier'", [])
            .unwrap();
        assert_eq!(rows_of(&path).0, name(id.as_str()));
        assert_eq!(write(&path, &id, &[]), Err(FileError::Exists));
        assert_eq!(rows_of(&path).1.len(), 2);
    }

    #[test]
    fn rows_that_are_no_updates_are_told_of() {
        let (_directory, path) = file(
            "CREATE TABLE yupdates (yupdate BLOB);
             INSERT INTO yupdates VALUES (NULL), ('text'), (7), (x'0000');",
        );
        let (contents, rows) = rows_of(&path);
        assert_eq!(contents, Ok(Contents::default()));
        let odd = |kind: &str| Err(format!("{kind} instead of an update"));
        let good = Ok(Bytes::from_static(&[0, 0]));
        assert_eq!(rows, [odd("Null"), odd("Text"), odd("Integer"), good]);
    }

    #[test]
    fn other_files_are_refused() {
        for statements in [
            "CREATE TABLE notes (text)",
            "CREATE VIEW yupdates AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n)
             SELECT x AS yupdate FROM n",
        ] {
            let (_directory, path) = file(statements);
            assert_eq!(rows_of(&path), (Err(FileError::NotElvas), vec![]), "{statements}");
        }
        let (_directory, path) = file("");
        fs::write(&path, b"SQLite format 3\0 and nothing of the sort").unwrap();
        assert_eq!(rows_of(&path).0, Err(FileError::NotElvas));
    }

    #[test]
    fn a_damaged_file_gives_what_can_be_read() {
        let (_directory, path) = file(
            "PRAGMA page_size = 512; CREATE TABLE yupdates (yupdate BLOB);
             WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100)
             INSERT INTO yupdates SELECT randomblob(300) FROM n",
        );
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 1024 * 512;
        bytes[middle..middle + 512].fill(0xff);
        fs::write(&path, bytes).unwrap();
        let (contents, rows) = rows_of(&path);
        assert!(contents.unwrap().broken.unwrap().starts_with("the file is damaged: "));
        assert!(!rows.is_empty() && rows.len() < 100, "{}", rows.len());
    }

    #[test]
    fn a_name_that_is_no_text_is_none() {
        for value in ["NULL", "7", "x'ff'", "zeroblob(100000)"] {
            let (_directory, path) = file(&format!(
                "CREATE TABLE yupdates (yupdate BLOB); CREATE TABLE metadata(key PRIMARY KEY, value);
                 INSERT INTO metadata VALUES ('identifier', {value}), ('config', {value});"
            ));
            assert_eq!(rows_of(&path).0, Ok(Contents::default()), "{value}");
        }
    }
}
