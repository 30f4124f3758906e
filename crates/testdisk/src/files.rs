//! What a store does to its files without SQLite, done on a disk under watch.

use std::path::Path;
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

fn act(
    disk: &Watched,
    call: Call,
    act: impl FnOnce() -> io::Result<()>,
    told: impl FnOnce() -> Told,
) -> io::Result<()> {
    match disk.fate(call) {
        Fate::Well => {}
        Fate::IoError => return Err(io::Error::other("the disk under watch fails")),
        Fate::Full => return Err(io::ErrorKind::StorageFull.into()),
    }
    let mut done = Ok(());
    let code = || {
        done = act();
        i32::from(done.is_err())
    };
    disk.tell(code, told);
    done
}
