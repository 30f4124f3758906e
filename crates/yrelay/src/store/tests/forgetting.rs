//! What is deleted stays deleted, whatever was on its way to the disk.

use super::*;

fn gone(desk: &mut Desk, name: &str) {
    let store = desk.store.clone();
    let document = id(name);
    desk.wait(|_| !store.forgets(&document));
    assert_eq!(desk.store.unsaved_bytes(&document), 0);
}

#[test]
fn a_deleted_document_is_gone_and_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    for name in ["a", "b"] {
        desk.append(&id(name), 1);
        desk.append(&id(name), 2);
    }
    desk.wait_saved(&id("a"), 2);
    desk.wait_saved(&id("b"), 2);
    desk.compact(&id("a"), 1).unwrap();
    desk.store.forget(&id("a"));
    gone(&mut desk, "a");
    assert_eq!(desk.store.load(&id("a")).unwrap(), Loaded::default());
    let rows = |sql: &str| -> i64 { raw(dir.path()).query_row(sql, [], |row| row.get(0)).unwrap() };
    let left = "SELECT count(*) FROM updates WHERE document NOT IN (SELECT id FROM documents)";
    assert_eq!((rows("SELECT count(*) FROM documents"), rows(left)), (1, 0));

    desk.seen.clear();
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), [1]);
    assert_eq!(held(&desk.store.load(&id("b")).unwrap()), [1, 2]);
}

#[test]
fn what_waits_goes_with_it_and_is_not_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(directory(dir.path()), None, patient(u64::MAX), no_faults());
    desk.append(&id("a"), 1);
    desk.append(&id("a"), 2);
    desk.append(&id("b"), 1);
    desk.store.forget(&id("a"));
    assert!(desk.store.forgets(&id("a")) && desk.store.unsaved_bytes(&id("a")) > 0);
    assert_eq!(desk.store.stats().unsaved_bytes, 64 + 72);
    let store = desk.store.clone();
    desk.close();
    let saved: Vec<_> = store.outcomes().into_iter().map(|(id, it)| (id, it.saved)).collect();
    assert!(saved.iter().all(|(document, saved)| *document == id("b") || saved.is_none()));
    let desk = Desk::quick(dir.path());
    let names: Vec<_> = desk.documents.iter().map(|stored| stored.identifier.clone()).collect();
    assert_eq!(names, [id("b")]);
}

/// The deletion comes while the writer has the rows in hand: they are written first, or fail.
fn deleted_in_the_middle(fails: bool) {
    let dir = tempfile::tempdir().unwrap();
    let (reached, at_commit) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let mut first = true;
    let probe: Probe = Box::new(move |step, _| {
        if matches!(step, Step::Commit) && std::mem::take(&mut first) {
            reached.send(()).unwrap();
            released.recv().unwrap();
            if fails {
                return Err(rusqlite::Error::InvalidQuery);
            }
        }
        Ok(())
    });
    let mut desk = Desk::open(directory(dir.path()), None, QUICK, probe);
    desk.append(&id("a"), 1);
    at_commit.recv_timeout(PATIENCE).unwrap();
    desk.append(&id("a"), 2);
    desk.store.forget(&id("a"));
    release.send(()).unwrap();
    gone(&mut desk, "a");
    assert_eq!(desk.seen.get(&id("a")).and_then(|seen| seen.saved), None);
    assert_eq!(desk.store.load(&id("a")).unwrap(), Loaded::default());
    assert_eq!(desk.store.stats().unsaved_bytes, 0);
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), [1]);
}

#[test]
fn rows_on_their_way_go_too() {
    deleted_in_the_middle(false);
}

#[test]
fn rows_that_could_not_be_saved_are_dropped() {
    deleted_in_the_middle(true);
}

#[test]
fn a_deletion_that_fails_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let fault = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let failing = fault.clone();
    let probe: Probe = Box::new(move |step, _| {
        let fails = matches!(step, Step::Commit)
            && failing.swap(false, std::sync::atomic::Ordering::SeqCst);
        if fails { Err(rusqlite::Error::InvalidQuery) } else { Ok(()) }
    });
    let mut desk = Desk::open(directory(dir.path()), None, QUICK, probe);
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    fault.store(true, std::sync::atomic::Ordering::SeqCst);
    desk.store.forget(&id("a"));
    gone(&mut desk, "a");
    assert_eq!(desk.store.stats().commit_failures, 1);
    assert_eq!(desk.store.load(&id("a")).unwrap(), Loaded::default());
}
