//! The disk misbehaves.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

#[test]
fn what_failed_is_kept_in_order_and_saved_later() {
    let dir = tempfile::tempdir().unwrap();
    let broken = Switch::on();
    let mut desk = Desk::open(directory(dir.path()), None, QUICK, broken.no_commit());
    for seq in 1..=20 {
        desk.append(&id("a"), seq);
        desk.append(&id("b"), seq);
        if seq % 5 == 0 {
            desk.wait_failed(&id("a"));
            desk.seen.clear();
        }
    }
    assert!(desk.wait_failed(&id("b")).contains("I/O"));
    assert_eq!(desk.store.unsaved_bytes(&id("a")), 20 * 72);
    assert_eq!(committed(dir.path(), &id("a")), [0; 0]);
    // Who asks meanwhile is shown it all the same.
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), (1..=20).collect::<Vec<_>>());
    let stats = desk.store.stats();
    assert_eq!((stats.commits, stats.failing_documents, stats.unsaved_documents), (0, 2, 2));
    assert!(stats.commit_failures >= 4);

    broken.set(false);
    desk.wait_saved(&id("a"), 20);
    desk.wait_saved(&id("b"), 20);
    let numbers: Vec<u64> = (1..=20).collect();
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), numbers);
    assert_eq!(held(&desk.store.load(&id("b")).unwrap()), numbers);
    let stats = desk.store.stats();
    assert_eq!((stats.failing_documents, stats.unsaved_bytes), (0, 0));
    // And it goes on as before.
    desk.append(&id("a"), 21);
    desk.wait_saved(&id("a"), 21);
}

/// What a failed fsync left in the page cache must be overwritten through another descriptor, and
/// never be folded into the file: that is what the last connection does when it closes.
#[test]
fn after_a_failure_the_writer_is_opened_anew_beside_the_old_log() {
    let dir = tempfile::tempdir().unwrap();
    let wal = dir.path().join("yrelay.db-wal");
    let (found, finds) = mpsc::channel();
    let broken = Switch::default();
    let probe: Probe = {
        let broken = broken.clone();
        Box::new(move |step, connection| {
            if matches!(step, Step::Commit) {
                // Settings like this one are a connection's own.
                let marked: i64 =
                    connection.query_row("PRAGMA cache_size", [], |row| row.get(0))?;
                let _ = found.send((marked == 1234, wal.metadata().unwrap().len() > 0));
                connection.execute_batch("PRAGMA cache_size = 1234")?;
                if broken.is_on() {
                    return Err(io_error());
                }
            }
            Ok(())
        })
    };
    let mut desk = Desk::open(directory(dir.path()), None, QUICK, probe);
    for seq in 1..=2 {
        desk.append(&id("a"), seq);
        desk.wait_saved(&id("a"), seq);
    }
    assert_eq!(finds.try_iter().last(), Some((true, true)), "one connection while all is well");
    broken.set(true);
    desk.append(&id("a"), 3);
    desk.wait_failed(&id("a"));
    assert_eq!(finds.recv_timeout(PATIENCE), Ok((true, true)));
    assert_eq!(finds.recv_timeout(PATIENCE), Ok((false, true)), "anew, and the log is there");
}

#[test]
fn every_single_commit_may_fail_once() {
    for nth in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let count = AtomicU32::new(0);
        let probe: Probe = Box::new(move |step, _| match step {
            Step::Commit if count.fetch_add(1, Ordering::SeqCst) == nth => Err(io_error()),
            _ => Ok(()),
        });
        let mut desk = Desk::open(directory(dir.path()), None, QUICK, probe);
        for seq in 1..=6 {
            desk.append(&id("a"), seq);
            desk.append(&id("b"), seq);
            desk.wait_saved(&id("a"), seq);
            desk.wait_saved(&id("b"), seq);
        }
        for document in ["a", "b"] {
            let loaded = desk.store.load(&id(document)).unwrap();
            assert_eq!(held(&loaded), [1, 2, 3, 4, 5, 6], "commit {nth}");
        }
    }
}

#[test]
fn a_document_that_cannot_be_written_does_not_hold_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let poisoned = Switch::on();
    let probe = {
        let poisoned = poisoned.clone();
        Box::new(move |step: Step<'_>, _: &Connection| match step {
            Step::Write(document) if *document == id("bad") && poisoned.is_on() => Err(io_error()),
            _ => Ok(()),
        })
    };
    let mut desk = Desk::open(directory(dir.path()), None, ONE_TRY, probe);
    for seq in 1..=10 {
        for document in ["a", "bad", "c"] {
            desk.append(&id(document), seq);
        }
        desk.wait_saved(&id("a"), seq);
        desk.wait_saved(&id("c"), seq);
    }
    desk.wait_failed(&id("bad"));
    assert_eq!(desk.seen[&id("bad")].saved, None);
    assert_eq!(desk.store.stats().failing_documents, 1);
    poisoned.set(false);
    desk.close();
    let loaded = Desk::quick(dir.path()).store.load(&id("bad")).unwrap();
    assert_eq!(held(&loaded), (1..=10).collect::<Vec<_>>());
}

/// Appends meet an attempt under way: one that fails, then one that succeeds.
#[test]
fn what_comes_during_an_attempt_follows_it() {
    let dir = tempfile::tempdir().unwrap();
    let (reached, at_commit) = mpsc::channel();
    let (decide, decision) = mpsc::channel();
    let probe: Probe = Box::new(move |step, _| {
        if matches!(step, Step::Commit) {
            let _ = reached.send(());
            return decision.recv().unwrap_or(Ok(()));
        }
        Ok(())
    });
    let mut desk = Desk::open(directory(dir.path()), None, QUICK, probe);
    desk.append(&id("a"), 1);
    for (seq, result) in [(2, Err(io_error())), (3, Err(io_error())), (4, Ok(()))] {
        at_commit.recv_timeout(PATIENCE).unwrap();
        desk.append(&id("a"), seq);
        decide.send(result).unwrap();
    }
    desk.wait_saved(&id("a"), 3);
    assert_eq!(committed(dir.path(), &id("a")), [1, 2, 3]);
    drop(decide);
    desk.wait_saved(&id("a"), 4);
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), [1, 2, 3, 4]);
}

#[test]
fn a_full_disk_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let full = Switch::default();
    let probe: Probe = {
        let full = full.clone();
        Box::new(move |step, connection| {
            if matches!(step, Step::Write(_)) {
                // SQLite raises a limit below the present size to it.
                let pages = if full.is_on() { 1 } else { u32::MAX - 1 };
                connection.query_row(
                    &format!("PRAGMA max_page_count = {pages}"),
                    [],
                    |_| Ok(()),
                )?;
            }
            Ok(())
        })
    };
    let mut desk = Desk::open(directory(dir.path()), None, QUICK, probe);
    let page = Bytes::from(vec![1; 10_000]);
    desk.store.append(&id("a"), 1, page.clone(), false);
    desk.wait_saved(&id("a"), 1);
    full.set(true);
    for seq in 2..=5 {
        desk.store.append(&id("a"), seq, page.clone(), true);
    }
    assert!(desk.wait_failed(&id("a")).contains("full"));
    let stored = rows::load(&mut raw(dir.path()), &id("a")).unwrap();
    assert_eq!((stored.0.seq, stored.1), (1, None));
    assert!(desk.compact(&id("a"), 5).is_err(), "not over updates that are not saved");
    full.set(false);
    desk.wait_saved(&id("a"), 5);
    let loaded = desk.store.load(&id("a")).unwrap();
    assert_eq!((loaded.seq, loaded.log_updates, loaded.unconfirmed), (5, 5, true));
}

#[test]
fn memory_survives_a_failed_commit() {
    let broken = Switch::default();
    let mut desk = Desk::open(Place::Memory, None, QUICK, broken.no_commit());
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    broken.set(true);
    desk.append(&id("a"), 2);
    desk.wait_failed(&id("a"));
    broken.set(false);
    desk.wait_saved(&id("a"), 2);
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), [1, 2]);
}

#[test]
fn a_confirmation_that_is_taken_back_stays_so_through_a_failed_write() {
    let dir = tempfile::tempdir().unwrap();
    let broken = Switch::default();
    let mut desk = Desk::open(directory(dir.path()), None, QUICK, broken.no_commit());
    desk.store.append(&id("a"), 1, update(1), true);
    desk.store.confirm(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    broken.set(true);
    desk.store.unconfirm(&id("a"));
    while desk.store.stats().commit_failures == 0 {
        std::thread::yield_now();
    }
    broken.set(false);
    desk.close();
    let desk = Desk::quick(dir.path());
    assert!(desk.store.load(&id("a")).unwrap().unconfirmed);
}

#[test]
fn what_fails_while_the_store_begins_to_close_is_tried_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let (under_way, is_under_way) = mpsc::channel();
    // Nobody says anything here: closing begins meanwhile.
    let (_silent, silence) = mpsc::channel::<()>();
    let mut commits = 0;
    let probe: Probe = Box::new(move |step, _| {
        if !matches!(step, Step::Commit) {
            return Ok(());
        }
        commits += 1;
        under_way.send(()).unwrap();
        match commits {
            1 => {
                let _ = silence.recv_timeout(Duration::from_millis(100));
                Err(io_error())
            }
            _ => Ok(()),
        }
    });
    let desk = Desk::open(directory(dir.path()), None, QUICK, probe);
    desk.append(&id("a"), 1);
    is_under_way.recv().unwrap();
    desk.close();
    assert_eq!(held(&Desk::quick(dir.path()).store.load(&id("a")).unwrap()), [1]);
}

#[test]
fn outcomes_are_the_latest_word_however_late_they_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let broken = Switch::on();
    let desk = Desk::open(directory(dir.path()), None, QUICK, broken.no_commit());
    let until = |done: &dyn Fn(Stats) -> bool| {
        while !done(desk.store.stats()) {
            desk.wakes.recv_timeout(PATIENCE).unwrap();
        }
    };
    desk.append(&id("a"), 1);
    until(&|stats| stats.failing_documents == 1);
    broken.set(false);
    until(&|stats| stats.unsaved_bytes == 0);
    desk.append(&id("a"), 2);
    until(&|stats| stats.unsaved_bytes == 0);
    let well = Outcome { saved: Some(2), ..Outcome::default() };
    assert_eq!(desk.store.outcomes(), [(id("a"), well)]);
    assert_eq!(desk.store.outcomes(), []);

    desk.append(&id("a"), 3);
    until(&|stats| stats.unsaved_bytes == 0);
    broken.set(true);
    desk.append(&id("a"), 4);
    until(&|stats| stats.failing_documents == 1);
    let (_, outcome) = desk.store.outcomes().remove(0);
    assert_eq!(outcome.saved, Some(3));
    assert!(outcome.failed.is_some());
}

#[test]
fn a_panic_of_the_store_thread_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let probe: Probe = Box::new(|_, _| panic!("a bug"));
    let mut desk = Desk::open(directory(dir.path()), None, QUICK, probe);
    desk.append(&id("a"), 1);
    assert!(desk.wait_failed(&id("a")).contains("ended"));
    assert!(!desk.store.has_room());
    let error = desk.store.close(PATIENCE).unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    Desk::quick(dir.path()).close();
}

#[test]
fn there_is_room_until_256_mebibytes_are_unsaved() {
    let broken = Switch::on();
    let mut desk = Desk::open(Place::Memory, None, QUICK, broken.no_commit());
    desk.append(&id("a"), 1);
    desk.wait_failed(&id("a"));
    let slice = Bytes::from(vec![0; (32 << 20) - 64]);
    for seq in 1..=7 {
        desk.store.append(&id(&format!("b{}", seq % 2)), seq, slice.clone(), false);
    }
    let last = slice.slice(..slice.len() - 73);
    desk.store.append(&id("c"), 1, last, false);
    assert!(desk.store.has_room());
    desk.store.append(&id("d"), 1, Bytes::new(), false);
    assert!(!desk.store.has_room());
    assert_eq!(desk.store.unsaved_bytes(&id("b1")), 128 << 20);
}

#[test]
fn a_file_that_is_taken_away_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    std::fs::remove_file(dir.path().join("yrelay.db")).unwrap();
    desk.append(&id("a"), 2);
    assert!(desk.wait_failed(&id("a")).contains("gone"));
    assert!(!dir.path().join("yrelay.db").exists(), "no empty store in its place");
}
