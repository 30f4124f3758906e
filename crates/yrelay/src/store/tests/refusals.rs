//! Starts that are refused: in one clear line, with nothing touched.

use std::fs;
use std::io;

use super::*;

fn refusal(path: &Path) -> StoreError {
    Store::open(directory(path), None, || {}).unwrap_err()
}

/// A store with one document, closed.
fn made(path: &Path) {
    let mut desk = Desk::quick(path);
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    desk.close();
}

#[test]
fn a_second_instance_is_told_who_holds_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let first = Desk::quick(dir.path());
    let error = refusal(dir.path());
    let pid = std::process::id();
    assert!(matches!(&error, StoreError::InUse { pid: Some(holder), .. } if *holder == pid));
    assert!(error.to_string().contains(&format!("in use by process {pid}: stop it")), "{error}");
    first.close();
    Desk::quick(dir.path()).close();
}

#[test]
fn what_is_no_store_is_refused_untouched() {
    let foreign = tempfile::tempdir().unwrap();
    let sqlite = foreign.path().join("foreign.db");
    let connection = Connection::open(&sqlite).unwrap();
    connection.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1);").unwrap();
    drop(connection);
    let files = [
        fs::read(&sqlite).unwrap(),
        b"x".to_vec(),
        vec![0; 8192],
        b"not a database, but long enough to be one. ".repeat(100),
    ];
    for content in files {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("yrelay.db");
        fs::write(&path, &content).unwrap();
        let error = refusal(dir.path());
        assert!(matches!(error, StoreError::NotAStore(_)), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(fs::read(&path).unwrap() == content);
        assert_eq!(dir.path().read_dir().unwrap().count(), 2, "the file and the lock");
    }
}

#[test]
fn a_newer_store_is_refused_with_the_version_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    raw(dir.path())
        .execute_batch(
            "PRAGMA user_version = 7; UPDATE meta SET value = '3.1.4' WHERE key = 'needs_yrelay'",
        )
        .unwrap();
    let before = fs::read(dir.path().join("yrelay.db")).unwrap();
    let error = refusal(dir.path());
    assert!(matches!(error, StoreError::Newer { found: 7, .. }), "{error}");
    assert!(error.to_string().ends_with("start yrelay 3.1.4 or newer"), "{error}");
    assert!(fs::read(dir.path().join("yrelay.db")).unwrap() == before);
}

#[test]
fn an_empty_file_is_a_store_that_was_never_made() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("yrelay.db"), b"").unwrap();
    made(dir.path());
    assert_eq!(Desk::quick(dir.path()).documents.len(), 1);
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    fs::write(&path, b"mine").unwrap();
    assert!(matches!(refusal(&path), StoreError::NotADirectory(_)));
    assert!(matches!(refusal(&path.join("below")), StoreError::NotADirectory(_)));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn not_being_able_to_open_is_not_being_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("yrelay.db")).unwrap();
    let error = refusal(dir.path());
    assert!(matches!(error, StoreError::Unopened { .. }), "{error}");

    let path = Path::new("/data");
    for (kind, expected) in [
        (io::ErrorKind::PermissionDenied, "/data is not writable (permission denied): "),
        (io::ErrorKind::ReadOnlyFilesystem, "/data is not writable (read-only filesystem"),
        (io::ErrorKind::StorageFull, "no space left for /data: "),
        (io::ErrorKind::Other, "cannot open /data: other error"),
    ] {
        let error = StoreError::io(path, &kind.into()).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_database_tool_that_holds_the_file_is_named_as_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let tool = raw(dir.path());
    tool.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;").unwrap();
    assert!(matches!(refusal(dir.path()), StoreError::Busy(_)));
    drop(tool);
    made_again(dir.path());
}

fn made_again(path: &Path) {
    let desk = Desk::quick(path);
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), [1]);
    desk.close();
}

#[cfg(unix)]
#[test]
fn files_are_for_our_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er");
    let mut desk = Desk::quick(&path);
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir.path().join("deep")), mode(&path)), (0o700, 0o700));
    for name in ["yrelay.db", "yrelay.db-wal", "yrelay.db-shm", "yrelay.lock"] {
        assert_eq!(mode(&path.join(name)), 0o600, "{name}");
    }
}
