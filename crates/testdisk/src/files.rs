//! What a store does to its files without SQLite, done on a disk under watch.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use crate::disk::{Call, Fate, Watched};
use crate::replay::Told;
use crate::vfs::watcher;

/// Writes what is seen of a file to another one, and syncs that.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let Some((disk, name)) = watcher(to) else { return fs::copy(from, to).map(drop) };
    let bytes = fs::read(from)?;
    let file = disk.file(&name);
    act(&disk, Call::Other, || fs::write(to, []), || Told::Truncate { file, length: 0 })?;
    let write = || Told::Write { file, at: 0, bytes: bytes.clone() };
    act(&disk, Call::Grow, || fs::write(to, &bytes), write)?;
    act(&disk, Call::Sync, || Ok(()), || Told::Sync { file, with_names: false })
}

/// Gives a file of the same directory another name, and syncs the directory.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let Some((disk, name)) = watcher(to) else { return fs::rename(from, to) };
    let old = watcher(from).map_or_else(String::new, |(_, old)| old);
    let rename = || Told::Rename { from: old.clone(), to: name.clone() };
    act(&disk, Call::Other, || fs::rename(from, to), rename)?;
    act(&disk, Call::Sync, || Ok(()), || Told::SyncNames)
}

/// A file that is written to at any place and synced by whoever wants to.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
    watcher: Option<(Arc<Watched>, usize)>,
}

impl LogFile {
    /// Opens a file, or makes it; its name is on the disk then.
    pub fn open(path: &Path) -> io::Result<Self> {
        let options =
            || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let Some((disk, name)) = watcher(path) else {
            let file = Mutex::new(options()?);
            return Ok(Self { path: path.to_owned(), file, watcher: None });
        };
        fate(&disk, Call::Other)?;
        let is_new = !path.exists();
        let file = Mutex::new(options()?);
        let number = disk.file(&name);
        if is_new {
            act(&disk, Call::Sync, || Ok(()), || Told::SyncNames)?;
        }
        Ok(Self { path: path.to_owned(), file, watcher: Some((disk, number)) })
    }

    /// All that is in it.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((disk, _)) = &self.watcher {
            fate(disk, Call::Other)?;
        }
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes bytes at a place, over what is there.
    pub fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let grows = file.metadata()?.len() < at + bytes.len() as u64;
        let mut write = || {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(bytes)
        };
        let Some((disk, number)) = &self.watcher else { return write() };
        let told = || Told::Write { file: *number, at: at as usize, bytes: bytes.to_vec() };
        act(disk, if grows { Call::Grow } else { Call::Other }, write, told)
    }

    /// Cuts it off, or fills it up with zeros.
    pub fn set_len(&self, length: u64) -> io::Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let cut = || file.set_len(length);
        let Some((disk, number)) = &self.watcher else { return cut() };
        act(disk, Call::Other, cut, || Told::Truncate { file: *number, length: length as usize })
    }

    /// All that was written is on the disk when this returns.
    pub fn sync(&self) -> io::Result<()> {
        let Some((disk, number)) = &self.watcher else {
            return self.file.lock().unwrap_or_else(PoisonError::into_inner).sync_data();
        };
        let file = *number;
        match act(disk, Call::Sync, || Ok(()), || Told::Sync { file, with_names: false }) {
            Ok(()) => Ok(()),
            Err(error) => {
                disk.tell(|| 0, || Told::SyncFailed { file });
                Err(error)
            }
        }
    }

    /// Takes its name away, on the disk, too.
    pub fn remove(&self) -> io::Result<()> {
        let remove = || fs::remove_file(&self.path);
        let Some((disk, _)) = &self.watcher else { return remove() };
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        act(disk, Call::Other, remove, || Told::Delete { name, synced: true })
    }
}

fn act(
    disk: &Watched,
    call: Call,
    act: impl FnOnce() -> io::Result<()>,
    told: impl FnOnce() -> Told,
) -> io::Result<()> {
    fate(disk, call)?;
    let mut done = Ok(());
    let code = || {
        done = act();
        i32::from(done.is_err())
    };
    disk.tell(code, told);
    done
}

fn fate(disk: &Watched, call: Call) -> io::Result<()> {
    match disk.fate(call) {
        Fate::Well => Ok(()),
        Fate::IoError => Err(io::Error::other("the disk under watch fails")),
        Fate::Full => Err(io::ErrorKind::StorageFull.into()),
    }
}
