//! The log that another process left is written anew before SQLite takes it in hand.
//!
//! Where a sync has failed, the system may show what is not on the disk and never will be: later
//! syncs pass over it. SQLite would copy that into the database; and if the power went meanwhile,
//! the log on the disk would be older than the pages that it is to repair.

use std::io;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
#[cfg(test)]
use yrelay_testdisk::files;

use super::pages::log_of;
use super::schema::Database;
#[cfg(not(test))]
use crate::new_file as files;
use crate::new_file::unfinished;

/// Puts a copy that is on the disk in place of the log, if there is one. Whether all of the log is on
/// the disk then. A failure is only said: it costs something only if the power goes at once, and
/// where nothing can be written, opening the store says more.
pub(super) fn renew_log(database: &Database, path: &Path) -> bool {
    let log = log_of(path);
    if log.metadata().map_or(0, |log| log.len()) == 0 {
        return true;
    }
    // Elsewhere a file that is open cannot be replaced. And another program that has it open would go
    // on with the old one: SQLite lets us in only if there is none, and keeps others out meanwhile.
    let alone = if cfg!(unix) { alone(database).ok() } else { None };
    if alone.is_none() {
        return false;
    }
    let replaced = replace_by_copy(&log);
    if let Err(error) = &replaced {
        tracing::warn!(%error, "the log of the store could not be written anew");
    }
    replaced.is_ok()
}

/// A connection beside which there is no other. It leaves the log as it is.
fn alone(database: &Database) -> rusqlite::Result<Connection> {
    let connection = database.connect()?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

fn replace_by_copy(log: &Path) -> io::Result<()> {
    let copy = unfinished(log);
    let made = files::copy(log, &copy).and_then(|()| files::rename(&copy, log));
    if made.is_err() {
        let _ = std::fs::remove_file(&copy);
    }
    made
}
