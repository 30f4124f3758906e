//! Files that are there whole or not at all: they are written beside their name, and get it last.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Where a file is until it is whole. One that was cut off is left there, and is nothing.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Makes a file, for our user alone, in place of nothing that is there; `fill` writes it under the
/// name that it is given. `fail` says of which file an error is.
pub fn make<E>(
    path: &Path,
    fail: impl Fn(&Path, io::Error) -> E,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    if path.symlink_metadata().is_ok() {
        return Err(fail(path, ErrorKind::AlreadyExists.into()));
    }
    let part = unfinished(path);
    private().create_new(true).open(&part).map_err(|error| fail(&part, error))?;
    let made = fill(&part).and_then(|()| finish(&part, path).map_err(|error| fail(path, error)));
    if made.is_err() {
        let _ = fs::remove_file(&part);
    }
    made
}

fn finish(part: &Path, path: &Path) -> io::Result<()> {
    private().open(part)?.sync_all()?;
    match fs::hard_link(part, path) {
        Ok(()) => fs::remove_file(part)?,
        // Not every file system has links.
        Err(_) if path.symlink_metadata().is_err() => fs::rename(part, path)?,
        Err(error) => return Err(error),
    }
    sync_names(path);
    Ok(())
}

/// Writes what is seen of a file to another one, which is then on the disk. Read and written, as
/// copies that the system makes may be of what is on the disk.
#[cfg_attr(test, expect(dead_code, reason = "tests have it done on a disk under watch"))]
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut to = private().create(true).truncate(true).open(to)?;
    let (mut from, mut piece) = (File::open(from)?, vec![0; 1 << 16]);
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            return to.sync_all();
        }
        to.write_all(&piece[..length])?;
    }
}

/// Gives a file another name, which is then on the disk.
#[cfg_attr(test, expect(dead_code, reason = "tests have it done on a disk under watch"))]
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_names(to);
    Ok(())
}

/// Makes sure of the names in the directory of a file. Some file systems cannot; they order them
/// otherwise.
pub(crate) fn sync_names(path: &Path) {
    #[cfg(unix)]
    if let Some(parent) = path.parent() {
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
    }
}

/// How files here are opened: to read and write, and if created, for our user alone.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(path: &Path, fill: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), String> {
        let fail = |at: &Path, error: io::Error| format!("{}: {:?}", at.display(), error.kind());
        super::make(path, fail, |part| fill(part).map_err(|error| error.to_string()))
    }

    #[test]
    fn a_file_has_its_name_once_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        make(&path, |part| {
            assert!(!path.exists());
            fs::write(part, "whole")
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert!(!unfinished(&path).exists());
        let again = make(&path, |_| unreachable!("it is there"));
        assert_eq!(again, Err(format!("{}: AlreadyExists", path.display())));
    }

    #[test]
    fn what_fails_leaves_nothing_and_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        make(&path, |_| Err(ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        // Somebody else takes the name meanwhile.
        let late = make(&path, |_| fs::write(&path, "theirs"));
        assert_eq!(late, Err(format!("{}: AlreadyExists", path.display())));
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        // One that is under way, or was cut off.
        let other = directory.path().join("other");
        fs::write(unfinished(&other), "part").unwrap();
        let taken = make(&other, |_| unreachable!("it is being made"));
        assert_eq!(taken, Err(format!("{}.part: AlreadyExists", other.display())));
        assert_eq!(fs::read(unfinished(&other)).unwrap(), b"part");
    }
}
