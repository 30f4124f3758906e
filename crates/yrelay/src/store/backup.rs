//! A copy of the whole store while it is in use.

use std::io;
use std::path::{self, Path};
use std::sync::PoisonError;

use super::schema::Database;
use super::{Store, StoreError, lock};
use crate::new_file;

impl Store {
    /// Writes a copy of all that is saved, as of one moment, to a file that is not there yet.
    /// It is a store itself: named `yrelay.db`, it opens. Blocks on the disk, for a large store for
    /// long; appends go on meanwhile.
    pub fn back_up(&self, path: &Path) -> Result<(), StoreError> {
        // SQLite would read a relative name such as `file:x` as a URI.
        let path = path::absolute(path).map_err(|error| StoreError::io(path, &error))?;
        let fail = |path: &Path, error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => StoreError::Exists(path.to_owned()),
            _ => StoreError::io(path, &error),
        };
        self.settle();
        new_file::make(&path, fail, |part| self.copy_to(part))
    }

    /// Waits until all that was appended so far is in the database, or could not be moved.
    fn settle(&self) {
        let shared = self.shared();
        let mut queue = shared.queue();
        let moves = queue.backlog.hurry();
        shared.changed.notify_all();
        while queue.backlog.moves() < moves && queue.backlog.stopped().is_none() {
            queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// `VACUUM INTO` takes an empty file, and reads within one transaction.
    fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let shared = self.shared();
        let failed = |error: rusqlite::Error| StoreError::sqlite(path, &error);
        let name = path.to_str().ok_or_else(|| StoreError::Unopened {
            path: path.to_owned(),
            reason: "its name is not valid UTF-8".to_owned(),
        })?;
        // Not the reader that loads use: they would wait.
        let connection = shared.database.reader().map_err(failed)?;
        let copy = |connection: &rusqlite::Connection| {
            connection.execute("VACUUM INTO ?1", [name]).map(drop).map_err(failed)
        };
        match (&shared.database, connection) {
            (Database::File(_), Some(connection)) => copy(&connection),
            _ => match &*lock(&shared.reader) {
                Some(connection) => copy(connection),
                None => Err(StoreError::Unopened {
                    path: path.to_owned(),
                    reason: "the store has ended".to_owned(),
                }),
            },
        }
    }
}
