//! Closing where the disk does not take everything.

use super::*;

#[test]
fn closing_says_what_is_not_saved_and_gives_up_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let broken = Switch::on();
    let mut desk = Desk::open(directory(dir.path()), None, QUICK, broken.no_commit());
    desk.append(&id("a"), 1);
    desk.wait_failed(&id("a"));
    let error = desk.store.close(PATIENCE).unwrap_err();
    assert!(matches!(error, StoreError::Unsaved { bytes: 72, .. }), "{error}");
    assert!(error.to_string().contains("I/O"), "{error}");
    // What a process leaves unsaved is found by the next.
    assert_eq!(held(&Desk::quick(dir.path()).store.load(&id("a")).unwrap()), [1]);
}

#[test]
fn closing_tries_once_more_what_failed() {
    let dir = tempfile::tempdir().unwrap();
    let broken = Switch::on();
    let mut desk = Desk::open(directory(dir.path()), None, ONE_TRY, broken.no_commit());
    desk.append(&id("a"), 1);
    desk.wait_failed(&id("a"));
    desk.append(&id("a"), 2);
    broken.set(false);
    desk.close();
    assert_eq!(held(&Desk::quick(dir.path()).store.load(&id("a")).unwrap()), [1, 2]);
}

#[test]
fn closing_does_not_wait_longer_than_it_is_told() {
    let (release, released) = mpsc::channel::<()>();
    let probe: Probe = Box::new(move |_, _| {
        let _ = released.recv();
        Ok(())
    });
    let desk = Desk::open(Place::Memory, None, QUICK, probe);
    desk.append(&id("a"), 1);
    let error = desk.store.close(Duration::from_millis(10)).unwrap_err();
    assert!(matches!(error, StoreError::Unsaved { bytes: 72, .. }), "{error}");
    drop(release);
}
