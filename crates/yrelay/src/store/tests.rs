//! The store as its callers see it. Nothing sleeps: waits are for outcomes.

use std::path::Path;
use std::sync::mpsc;

use super::writer::Step;
use super::*;

mod backup;
mod closing;
mod desk;
mod faults;
mod forgetting;
mod frames;
mod ledger;
mod noted;
mod nth;
mod opened;
mod power;
mod process;
mod read_back;
mod refusals;
mod salvage;
mod story;
mod switch;
mod tail;

use desk::*;
use switch::*;

#[test]
fn loads_what_was_appended_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    for seq in [1, 2, 3, 7, 8] {
        desk.append(&id("a"), seq);
    }
    desk.wait_saved(&id("a"), 8);
    let loaded = desk.store.load(&id("a")).unwrap();
    assert_eq!(held(&loaded), [1, 2, 3, 7, 8]);
    let expected = Loaded {
        updates: [1, 2, 3, 7, 8].map(update).to_vec(),
        seq: 8,
        log_bytes: 40,
        log_updates: 5,
        ..Loaded::default()
    };
    assert_eq!(loaded, expected);
    assert_eq!(desk.store.load(&id("b")).unwrap(), Loaded::default());
    desk.close();

    let desk = Desk::quick(dir.path());
    // Beside their own bytes, updates that share a row cost four each.
    let Stored { bytes, opened_ms, .. } = desk.documents[0];
    assert!((40..=60).contains(&bytes), "{bytes}");
    let stored =
        Stored { identifier: id("a"), bytes, unconfirmed: false, opaque: false, opened_ms };
    assert_eq!(desk.documents, [stored]);
    assert_eq!(desk.store.load(&id("a")).unwrap(), expected);
}

#[test]
fn one_commit_takes_all_documents() {
    let dir = tempfile::tempdir().unwrap();
    // A row costs 64 bytes beside its own 8: the fourth fills the batch.
    let mut desk = Desk::open(directory(dir.path()), None, patient(4 * 72), no_faults());
    for (document, seq) in [("a", 1), ("b", 1), ("a", 2), ("c", 1)] {
        desk.append(&id(document), seq);
    }
    desk.wait_saved(&id("c"), 1);
    desk.wait_saved(&id("a"), 2);
    desk.wait_saved(&id("b"), 1);
    let stats = desk.store.stats();
    assert_eq!((stats.commits, stats.commit_failures, stats.unsaved_bytes), (1, 0, 0));
}

#[test]
fn saved_is_said_after_the_commit_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (reached, at_commit) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let probe: Probe = Box::new(move |step, _| {
        if matches!(step, Step::Commit) {
            reached.send(()).unwrap();
            released.recv().unwrap();
        }
        Ok(())
    });
    let mut desk = Desk::open(directory(dir.path()), None, QUICK, probe);
    let second = raw(dir.path());
    let rows = || -> i64 {
        second.query_row("SELECT count(*) FROM updates", [], |row| row.get(0)).unwrap()
    };
    for seq in 1..=5 {
        desk.append(&id("a"), seq);
        at_commit.recv_timeout(PATIENCE).unwrap();
        assert_eq!(desk.store.outcomes(), []);
        assert_eq!(desk.store.unsaved_bytes(&id("a")), 72);
        assert_eq!(rows(), seq.cast_signed() - 1);
        release.send(()).unwrap();
        desk.wait_saved(&id("a"), seq);
        assert_eq!(rows(), seq.cast_signed());
    }
    drop(release);
}

#[test]
fn close_saves_a_thousand_documents_in_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(directory(dir.path()), None, patient(u64::MAX), no_faults());
    let names: Vec<_> = (0..1000).map(|number| id(&format!("document {number:04}"))).collect();
    for document in &names {
        desk.append(document, 1);
        desk.append(document, 2);
    }
    assert_eq!(desk.store.stats().unsaved_documents, 1000);
    let rest = desk.store.clone();
    desk.close();
    assert_eq!((rest.stats().commits, rest.stats().unsaved_bytes), (1, 0));
    assert!(!rest.has_room(), "an ended store takes nothing");
    assert!(matches!(rest.load(&names[0]), Err(LoadError::Unreadable { .. })));
    drop(rest);

    let desk = Desk::quick(dir.path());
    let stored: Vec<_> = desk.documents.iter().map(|stored| stored.identifier.clone()).collect();
    assert_eq!(stored, names);
    for document in &names {
        assert_eq!(held(&desk.store.load(document).unwrap()), [1, 2]);
    }
}

#[test]
fn dropping_the_last_handle_saves_too() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(directory(dir.path()), None, patient(u64::MAX), no_faults());
    desk.append(&id("a"), 1);
    let Desk { store, wakes, .. } = desk;
    drop(store);
    // The thread drops its end with everything else.
    while wakes.recv_timeout(PATIENCE).is_ok() {}
    assert_eq!(held(&Desk::quick(dir.path()).store.load(&id("a")).unwrap()), [1]);
}

#[test]
fn memory_keeps_as_a_file_does_until_it_ends() {
    let mut desk = Desk::open(Place::Memory, Some("ws://up"), QUICK, no_faults());
    for seq in 1..=4 {
        desk.store.append(&id("a"), seq, update(seq), true);
    }
    desk.wait_saved(&id("a"), 4);
    assert_eq!(desk.compact(&id("a"), 3), Ok(3));
    let loaded = desk.store.load(&id("a")).unwrap();
    assert_eq!((held(&loaded), loaded.unconfirmed), (vec![1, 2, 3, 4], true));
    desk.close();
    let desk = Desk::open(Place::Memory, Some("ws://up"), QUICK, no_faults());
    assert_eq!(desk.documents, []);
}

#[test]
fn a_snapshot_replaces_what_it_stands_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    for seq in 1..=6 {
        desk.append(&id("a"), seq);
    }
    desk.append(&id("b"), 1);
    // Queued behind the updates: it finds them saved.
    assert_eq!(desk.compact(&id("a"), 4), Ok(4));
    let loaded = desk.store.load(&id("a")).unwrap();
    assert_eq!(held(&loaded), [1, 2, 3, 4, 5, 6]);
    assert_eq!(loaded.updates.len(), 3);
    assert_eq!((loaded.snapshot_bytes, loaded.log_bytes, loaded.log_updates), (32, 16, 2));

    // A second snapshot, in two pieces, replaces the first.
    let pieces = vec![snapshot(5), update(6)];
    desk.store.compact(&id("a"), 6, pieces.clone());
    desk.wait(|seen| seen[&id("a")].compacted == Some(Ok(6)));
    let loaded = desk.store.load(&id("a")).unwrap();
    assert_eq!((loaded.updates, loaded.seq, loaded.log_updates), (pieces, 6, 0));
    assert_eq!(held(&desk.store.load(&id("b")).unwrap()), [1]);

    desk.append(&id("a"), 7);
    desk.wait_saved(&id("a"), 7);
    desk.close();
    let desk = Desk::quick(dir.path());
    assert_eq!(desk.documents[0].bytes, 56);
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_snapshot_of_what_is_not_stored_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    assert!(desk.compact(&id("a"), 1).is_err(), "unknown document");
    desk.append(&id("a"), 4);
    assert!(desk.compact(&id("a"), 5).is_err(), "beyond what is stored");
    desk.seen.clear();
    desk.store.compact(&id("a"), 4, Vec::new());
    desk.wait(|seen| seen.get(&id("a")).is_some_and(|o| o.compacted.is_some()));
    assert!(desk.seen[&id("a")].compacted.as_ref().unwrap().is_err(), "nothing in place of it");
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), [4]);
}

#[test]
fn a_local_update_is_unconfirmed_until_it_is_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    let unconfirmed = |desk: &Desk| desk.store.load(&id("a")).unwrap().unconfirmed;
    desk.store.append(&id("a"), 1, update(1), false);
    desk.wait_saved(&id("a"), 1);
    assert!(!unconfirmed(&desk));
    desk.store.append(&id("a"), 2, update(2), true);
    desk.store.append(&id("a"), 3, update(3), false);
    desk.wait_saved(&id("a"), 3);
    assert!(unconfirmed(&desk));

    desk.store.confirm(&id("a"), 1);
    desk.append(&id("a"), 4);
    desk.wait_saved(&id("a"), 4);
    assert!(unconfirmed(&desk), "confirmed below the local update");
    desk.store.confirm(&id("a"), 2);
    desk.append(&id("a"), 5);
    desk.wait_saved(&id("a"), 5);
    assert!(!unconfirmed(&desk));
}

#[test]
fn a_confirmation_leaves_the_mark_of_a_later_update_in_its_batch() {
    for late in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk::open(directory(dir.path()), None, patient(u64::MAX), no_faults());
        desk.store.append(&id("a"), 1, update(1), true);
        if late {
            desk.store.append(&id("a"), 2, update(2), true);
        }
        desk.store.confirm(&id("a"), 1);
        if !late {
            desk.store.append(&id("a"), 2, update(2), true);
        }
        desk.store.append(&id("b"), 1, update(1), true);
        desk.store.confirm(&id("b"), 1);
        desk.close();
        let desk = Desk::quick(dir.path());
        let marks: Vec<_> = desk.documents.iter().map(|stored| stored.unconfirmed).collect();
        assert_eq!(marks, [true, false], "the local update was queued after: {}", !late);
    }
}

#[test]
fn confirmations_can_be_taken_back_and_given_again() {
    let dir = tempfile::tempdir().unwrap();
    for (again, expected) in [(false, true), (true, false)] {
        let desk = Desk::open(directory(dir.path()), None, patient(u64::MAX), no_faults());
        if !again {
            desk.store.append(&id("a"), 1, update(1), true);
        }
        // All in one batch.
        desk.store.confirm(&id("a"), 1);
        desk.store.unconfirm(&id("a"));
        if again {
            desk.store.confirm(&id("a"), 1);
        }
        desk.close();
        let desk = Desk::quick(dir.path());
        assert_eq!(desk.store.load(&id("a")).unwrap().unconfirmed, expected);
        desk.close();
    }
}

#[test]
fn another_upstream_has_confirmed_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let start = |upstream| {
        let desk = Desk::open(directory(dir.path()), upstream, QUICK, no_faults());
        let marked = desk.documents.iter().any(|stored| stored.unconfirmed);
        (desk, marked)
    };
    let (mut desk, _) = start(None);
    desk.append(&id("a"), 1);
    desk.append(&id("a"), 2);
    desk.wait_saved(&id("a"), 2);
    desk.close();

    let (mut desk, marked) = start(Some("ws://one"));
    assert!(marked, "it had none before");
    desk.store.confirm(&id("a"), 1);
    desk.append(&id("b"), 1);
    desk.wait_saved(&id("b"), 1);
    assert!(desk.store.load(&id("a")).unwrap().unconfirmed, "not all of it is confirmed");
    desk.store.confirm(&id("a"), 2);
    desk.close();

    for (upstream, expected) in
        [(Some("ws://one"), false), (Some("ws://two"), true), (Some("ws://two"), true)]
    {
        let (desk, marked) = start(upstream);
        assert_eq!(marked, expected, "{upstream:?}");
        desk.close();
    }
    let (desk, _) = start(Some("ws://two"));
    desk.store.confirm(&id("a"), 2);
    desk.store.confirm(&id("b"), 1);
    desk.close();
    let (desk, marked) = start(None);
    assert!(!marked);
    desk.close();
    assert!(start(Some("ws://two")).1, "it had none in between");
}

#[test]
fn identifiers_are_told_apart_byte_by_byte_and_name_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut names =
        ["a", "A", "a ", "%61", "../a", "a/../b", "C:\\x", "\u{e9}", "e\u{301}", "'; --"].map(id);
    names.sort();
    let mut desk = Desk::quick(dir.path());
    for (seq, document) in (1..).zip(&names) {
        desk.append(document, seq);
        desk.wait_saved(document, seq);
    }
    for (seq, document) in (1..).zip(&names) {
        assert_eq!(held(&desk.store.load(document).unwrap()), [seq], "{document}");
    }
    desk.close();
    let desk = Desk::quick(dir.path());
    let stored: Vec<_> = desk.documents.iter().map(|stored| stored.identifier.clone()).collect();
    assert_eq!(stored, names);
    desk.close();
    let mut files: Vec<_> =
        dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["yrelay.db", "yrelay.lock"]);
}

#[test]
fn the_log_is_folded_into_the_file_as_it_grows() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    let update = Bytes::from(vec![7; 1 << 20]);
    for seq in 1..=32 {
        desk.store.append(&id("a"), seq, update.clone(), false);
        desk.wait_saved(&id("a"), seq);
    }
    let size = |name| dir.path().join(name).metadata().unwrap().len();
    assert!(size("yrelay.db-wal") < 10 << 20, "{}", size("yrelay.db-wal"));
    assert!(size("yrelay.db") > 20 << 20, "{}", size("yrelay.db"));
    assert_eq!(desk.store.load(&id("a")).unwrap().log_updates, 32);
}

#[test]
#[should_panic(expected = "ascend")]
fn a_sequence_number_that_does_not_ascend_is_a_bug() {
    let desk = Desk::open(Place::Memory, None, patient(u64::MAX), no_faults());
    desk.append(&id("a"), 2);
    desk.append(&id("a"), 2);
}
