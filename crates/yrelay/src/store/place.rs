//! The data directory: made, and taken for this process alone.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{self, Path};

use super::schema::Database;
use super::{Place, StoreError};
use crate::new_file::{private, sync_names};

const DATABASE: &str = "yrelay.db";
/// The process that holds the directory, and whether a store was made there.
const LOCK: &str = "yrelay.lock";
const MADE: &str = "a store was made";

/// The lock on a data directory: held while this lives, given up by the system if we die. The
/// file stays, as removing it would let two processes lock two files of one name.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
    had_store: bool,
}

impl Held {
    /// Whether a store was in the directory at an earlier start.
    pub(super) fn had_store(&self) -> bool {
        self.had_store
    }

    /// A store is there: if it is not at the next start, that is worth a word.
    pub(super) fn has_store(&mut self) {
        if !self.had_store {
            self.had_store = writeln!(self.file, "{MADE}").is_ok();
        }
    }
}

impl Drop for Held {
    /// Closing is not enough: a child process about to be started may share the descriptor.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Makes sure of the place and takes it. Nothing of a store that is there is touched.
pub(super) fn take(place: Place) -> Result<(Database, Option<Held>), StoreError> {
    let Place::Directory(directory) = place else {
        return Ok((Database::Memory, None));
    };
    // SQLite would read a relative name such as `file:x` as a URI.
    let directory =
        path::absolute(&directory).map_err(|error| StoreError::io(&directory, &error))?;
    make(&directory).map_err(|error| StoreError::io(&directory, &error))?;
    let held = hold(&directory)?;
    Ok((Database::File(directory.join(DATABASE)), Some(held)))
}

/// Whether a store is in the directory.
pub fn exists(directory: &Path) -> bool {
    directory.join(DATABASE).exists()
}

/// Makes the directory and what is missing above it, each synced into its parent: a file in a
/// directory that a power cut takes away would not be saved.
fn make(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        make(parent)?;
    }
    let mut builder = DirBuilder::new();
    builder.recursive(false);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(directory) {
        Err(error) if !directory.is_dir() => return Err(error),
        _ => {}
    }
    sync_names(directory);
    Ok(())
}

fn hold(directory: &Path) -> Result<Held, StoreError> {
    let path = directory.join(LOCK);
    let failed = |error: &io::Error| StoreError::io(&path, error);
    let mut file =
        private().create(true).truncate(false).open(&path).map_err(|error| failed(&error))?;
    let locked = file.try_lock();
    let mut before = String::new();
    let _ = file.read_to_string(&mut before);
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = before.lines().next().and_then(|pid| pid.parse().ok());
            return Err(StoreError::InUse { path: directory.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(failed(&error)),
    }
    // Only a courtesy to whom we lock out: a full disk may refuse it.
    let had_store = before.lines().any(|line| line == MADE);
    let mut lines = format!("{}\n", std::process::id());
    if had_store {
        lines = lines + MADE + "\n";
    }
    let _ = file
        .rewind()
        .and_then(|()| file.write_all(lines.as_bytes()))
        .and_then(|()| file.set_len(lines.len() as u64));
    Ok(Held { file, had_store })
}
