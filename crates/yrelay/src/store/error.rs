//! What can go wrong, in words for the person who must mend it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use yrelay_core::id::DocumentId;

/// Why the store cannot start, or did not end well. Nothing was moved, deleted or repaired.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something else has the name of the data directory.
    #[error("data directory {} is not a directory: choose another with --data-dir", .0.display())]
    NotADirectory(PathBuf),
    /// No right to write, or a read-only disk.
    #[error(
        "{} is not writable ({reason}): change its owner or mode, choose another place with \
         --data-dir, or keep nothing with --ephemeral", .path.display()
    )]
    NotWritable {
        /// What cannot be written.
        path: PathBuf,
        /// In the words of the system.
        reason: String,
    },
    /// Another process has the store.
    #[error(
        "data directory {} is in use by {}: stop it, or choose another with --data-dir",
        .path.display(), holder(*.pid)
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The process, where the lock file tells.
        pid: Option<u32>,
    },
    /// A database tool holds the file.
    #[error("{} is locked by another program (a database tool?): close it there", .0.display())]
    Busy(PathBuf),
    /// The file is something else, or its beginning is lost.
    #[error(
        "{} is not a yrelay store: move it away, or choose another directory with --data-dir",
        .0.display()
    )]
    NotAStore(PathBuf),
    /// The file's format is from the future.
    #[error(
        "{} was made by a newer yrelay (store format {found}, this one knows {known}): \
         start yrelay {needed}", .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
        /// The version that reads it, as the file says.
        needed: String,
    },
    /// The file is damaged.
    #[error(
        "{} is corrupt ({detail}): start `yrelay service`, which salvages what can be read, restore \
         a backup, or move it away and let the documents come back from upstream and editors",
        .path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// No space left.
    #[error("no space left for {}: free some, or choose another disk with --data-dir", .0.display())]
    Full(PathBuf),
    /// The WAL needs shared memory, which network file systems lack.
    #[error(
        "the file system of {} cannot hold a store (no shared memory): choose a local directory \
         with --data-dir", .0.display()
    )]
    NoWal(PathBuf),
    /// Anything else: out of descriptors, an I/O error.
    #[error(
        "cannot open {}: {reason}; mend that, or choose another place with --data-dir",
        .path.display()
    )]
    Unopened {
        /// The file or directory.
        path: PathBuf,
        /// In the words of the system.
        reason: String,
    },
    /// A copy would replace something.
    #[error("{} is there already: choose another name, or move it away", .0.display())]
    Exists(PathBuf),
    /// At the end, something is not on the disk.
    #[error("{bytes} bytes of changes are not saved: {reason}")]
    Unsaved {
        /// As [`super::Store::unsaved_bytes`] counts.
        bytes: u64,
        /// What stood in the way.
        reason: String,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl StoreError {
    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, reason: error.to_string() }
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                Self::NotADirectory(path)
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path),
            _ => Self::Unopened { path, reason: error.to_string() },
        }
    }

    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotAStore(path),
            // Our own statements are right, and so is what we read: if not, the tables are not.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::Unknown) | None => {
                Self::Corrupt { path, detail: error.to_string() }
            }
            Some(ErrorCode::DiskFull) => Self::Full(path),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(path),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::NotWritable { path, reason: error.to_string() }
            }
            _ => Self::Unopened { path, reason: error.to_string() },
        }
    }
}

/// Why a document cannot be loaded. Never to be taken for an empty document.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// What is stored of it is not what was written.
    #[error("document {document:?} is damaged in the store: {detail}")]
    Damaged {
        /// Which.
        document: DocumentId,
        /// What was found.
        detail: String,
    },
    /// The store could not be read; it may be at another time.
    #[error("document {document:?} cannot be read: {reason}")]
    Unreadable {
        /// Which.
        document: DocumentId,
        /// In the words of the system.
        reason: String,
    },
}

impl LoadError {
    pub(super) fn damaged(document: &DocumentId, detail: impl Into<String>) -> Self {
        Self::Damaged { document: document.clone(), detail: detail.into() }
    }

    pub(super) fn closed(document: &DocumentId) -> Self {
        Self::Unreadable { document: document.clone(), reason: "the store has ended".to_owned() }
    }

    pub(super) fn sqlite(document: &DocumentId, error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::damaged(document, error.to_string())
            }
            Some(_) => Self::Unreadable { document: document.clone(), reason: error.to_string() },
            // Not SQLite's but the binding's: a column does not hold what it should.
            None => Self::damaged(document, error.to_string()),
        }
    }
}
