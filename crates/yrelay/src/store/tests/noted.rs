//! Damage that was noted, or a store that is gone: what the next start makes of it.

use std::fs;

use super::salvage::{FILE, STORE, content, open, set_aside};
use super::*;

#[test]
fn what_cannot_be_opened_is_left_alone_though_damage_was_found_before() {
    let refused = |change: fn(&Connection), follow| {
        let dir = tempfile::tempdir().unwrap();
        STORE.0.write(dir.path()).unwrap();
        crate::store::salvage::note(&dir.path().join(FILE));
        let tool = raw(dir.path());
        change(&tool);
        let place = directory(dir.path());
        let error =
            Store::open_with(place, follow, Box::new(|| {}), QUICK, no_faults()).unwrap_err();
        drop(tool);
        assert_eq!(set_aside(dir.path()), Vec::<std::path::PathBuf>::new(), "{error}");
        assert_eq!(content(&open(dir.path()).unwrap_or_else(|_| panic!())).unwrap(), STORE.1);
        error
    };
    let up = Follow::Upstream(None);
    let lock = |disk: &Connection| {
        disk.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;").unwrap();
    };
    assert!(matches!(refused(lock, up), StoreError::Busy(_)));
    // Commands only look.
    let error = refused(|_| (), Follow::AsBefore);
    assert!(matches!(error, StoreError::Corrupt { .. }));
    assert!(error.to_string().contains("start `yrelay service`"), "{error}");
}

#[test]
fn a_newer_store_is_left_alone_though_damage_was_found_before() {
    let dir = tempfile::tempdir().unwrap();
    STORE.0.write(dir.path()).unwrap();
    crate::store::salvage::note(&dir.path().join(FILE));
    raw(dir.path()).execute_batch("PRAGMA user_version = 7").unwrap();
    assert!(matches!(open(dir.path()).unwrap_err(), StoreError::Newer { .. }));
    assert!(set_aside(dir.path()).is_empty());
}

#[test]
fn a_store_that_is_gone_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    for (what, before, words) in [
        ("the first start", None, None),
        ("the second", None, None),
        ("removed", Some(false), Some("was gone")),
        ("the one after", None, None),
        ("emptied", Some(true), Some("was gone")),
    ] {
        match before {
            Some(true) => fs::write(dir.path().join(FILE), b"").unwrap(),
            Some(false) => fs::remove_file(dir.path().join(FILE)).unwrap(),
            None => {}
        }
        let opened = open(dir.path()).unwrap();
        let trouble = opened.store.trouble().unwrap_or_default();
        assert!(trouble.contains(words.unwrap_or_default()), "{what}: {trouble}");
        assert_eq!(trouble.is_empty(), words.is_none(), "{what}: {trouble}");
        opened.store.close(PATIENCE).unwrap();
    }
}

#[test]
fn damage_that_a_write_meets_is_mended_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let probe: Probe = Box::new(|step, _| match step {
        Step::Write(document) if *document == id("b") => {
            Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(11), None))
        }
        _ => Ok(()),
    });
    let mut desk = Desk::open(directory(dir.path()), None, ONE_TRY, probe);
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    assert_eq!(desk.store.trouble(), None);
    desk.append(&id("b"), 1);
    desk.wait_failed(&id("b"));
    assert!(desk.store.trouble().unwrap().contains("restart yrelay"));
    desk.store.close(PATIENCE).unwrap_err();
    let desk = Desk::quick(dir.path());
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), [1]);
    assert_eq!(set_aside(dir.path()).len(), 1);
    assert!(desk.store.trouble().unwrap().contains(".corrupt-"));
}
