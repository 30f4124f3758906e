//! Copies of a store in use.

use super::*;

#[test]
fn a_copy_is_a_store_of_what_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    desk.append(&id("a"), 1);
    desk.append(&id("b"), 1);
    desk.append(&id("a"), 2);
    desk.wait_saved(&id("a"), 2);
    desk.wait_saved(&id("b"), 1);
    let other = tempfile::tempdir().unwrap();
    let copy = other.path().join("yrelay.db");
    desk.store.back_up(&copy).unwrap();
    // What comes later is not in it, and the first store does not notice.
    desk.append(&id("a"), 3);
    desk.wait_saved(&id("a"), 3);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let copied = Desk::quick(other.path());
    assert_eq!(copied.documents.len(), 2);
    assert_eq!(held(&copied.store.load(&id("a")).unwrap()), [1, 2]);
    assert_eq!(held(&copied.store.load(&id("b")).unwrap()), [1]);
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), [1, 2, 3]);
}

#[test]
fn what_is_only_in_the_log_is_in_a_copy_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::open(directory(dir.path()), None, super::tail::LOGGED, no_faults());
    let copies = tempfile::tempdir().unwrap();
    for seq in 1..=3 {
        desk.append(&id("a"), seq);
        desk.wait_saved(&id("a"), seq);
        let there = copies.path().join(seq.to_string());
        std::fs::create_dir(&there).unwrap();
        // The second time nothing waits.
        for name in ["yrelay.db", "again.db"] {
            desk.store.back_up(&there.join(name)).unwrap();
        }
        assert_eq!(committed(&there, &id("a")), (1..=seq).collect::<Vec<_>>());
    }
}

#[test]
fn a_copy_replaces_nothing_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    let there = dir.path().join("there");
    std::fs::write(&there, b"mine").unwrap();
    let error = desk.store.back_up(&there).unwrap_err().to_string();
    assert!(error.ends_with("there is there already: choose another name, or move it away"));
    assert_eq!(std::fs::read(&there).unwrap(), b"mine");
    assert!(desk.store.back_up(&dir.path().join("no/such/place")).is_err());
    let own = desk.store.back_up(&dir.path().join("yrelay.db")).unwrap_err();
    assert!(matches!(own, StoreError::Exists(_)));
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), [1]);
}

#[test]
fn a_copy_has_its_name_once_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    // One that is under way, or was cut off.
    let other = tempfile::tempdir().unwrap();
    let part = other.path().join("yrelay.db.part");
    std::fs::write(&part, b"").unwrap();
    let copy = other.path().join("yrelay.db");
    let error = desk.store.back_up(&copy).unwrap_err().to_string();
    assert!(error.contains("yrelay.db.part is there already"), "{error}");
    assert!(part.exists() && !copy.exists());
    std::fs::remove_file(&part).unwrap();
    desk.store.back_up(&copy).unwrap();
    assert!(!part.exists() && copy.exists());
}

#[test]
fn memory_can_be_copied_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::open(Place::Memory, None, QUICK, no_faults());
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    desk.store.back_up(&dir.path().join("yrelay.db")).unwrap();
    let copied = Desk::quick(dir.path());
    assert_eq!(held(&copied.store.load(&id("a")).unwrap()), [1]);
}
