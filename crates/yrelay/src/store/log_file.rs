//! A file that is written to at any place, by one thread, and synced by another.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use crate::new_file::{private, sync_names};

/// An open file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// Opens a file, or makes it; its name is on the disk then.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = match private().open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = private().create(true).truncate(false).open(path)?;
                sync_names(path);
                file
            }
            file => file?,
        };
        Ok(Self { path: path.to_owned(), file })
    }

    /// All that is in it.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        file.rewind()?;
        file.take(file.metadata()?.len()).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes bytes at a place, over what is there.
    pub(super) fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, at);
        #[cfg(not(unix))]
        {
            use std::io::{SeekFrom, Write};
            let mut file = &self.file;
            file.seek(SeekFrom::Start(at))?;
            file.write_all(bytes)
        }
    }

    /// Cuts it off, or fills it up with zeros.
    pub(super) fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    /// All that was written is on the disk when this returns, and the length that it has.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Takes its name away, on the disk, too.
    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        sync_names(&self.path);
        Ok(())
    }
}
