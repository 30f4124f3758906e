//! The data directory: made, and taken for this process alone.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{self, Path};

use super::schema::Database;
use super::{Place, StoreError};
use crate::new_file::private;

const DATABASE: &str = "yrelay.db";
const LOCK: &str = "yrelay.lock";

/// The lock on a data directory: held while this lives, given up by the system if we die. The
/// file stays, as removing it would let two processes lock two files of one name.
#[derive(Debug)]
pub(super) struct Held(File);

impl Drop for Held {
    /// Closing is not enough: a child process about to be started may share the descriptor.
    fn drop(&mut self) {
        let _ = self.0.unlock();
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
    #[cfg(unix)]
    if let Some(parent) = directory.parent() {
        // Some file systems cannot sync a directory; they order its entries otherwise.
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
    }
    Ok(())
}

fn hold(directory: &Path) -> Result<Held, StoreError> {
    let path = directory.join(LOCK);
    let failed = |error: &io::Error| StoreError::io(&path, error);
    let mut file =
        private().create(true).truncate(false).open(&path).map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let pid = file.read_to_string(&mut pid).ok().and_then(|_| pid.trim().parse().ok());
            return Err(StoreError::InUse { path: directory.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(failed(&error)),
    }
    // Only a courtesy to whom we lock out: a full disk may refuse it.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Held(file))
}
