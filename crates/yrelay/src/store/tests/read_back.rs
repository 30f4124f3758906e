//! Rows are looked at before they count: those to come, those that are read, a compaction.

use super::*;

#[test]
fn a_snapshot_that_reads_back_wrong_leaves_the_old_rows() {
    let spoil = [
        "UPDATE updates SET bytes = zeroblob(length(bytes)) WHERE kind = 1",
        "UPDATE updates SET crc = crc + 1 WHERE kind = 1",
        "DELETE FROM updates WHERE kind = 1",
        "INSERT INTO updates SELECT NULL, document, seq, 1, kind, crc, bytes FROM updates WHERE kind = 1",
    ];
    for spoil in spoil {
        let dir = tempfile::tempdir().unwrap();
        let probe: Probe = Box::new(move |step, connection| match step {
            Step::ReadBack => connection.execute(spoil, []).map(drop),
            _ => Ok(()),
        });
        let mut desk = Desk::open(directory(dir.path()), None, QUICK, probe);
        for seq in 1..=3 {
            desk.append(&id("a"), seq);
        }
        let reason = desk.compact(&id("a"), 3).unwrap_err();
        assert!(reason.contains("reads back"), "{reason}");
        let loaded = desk.store.load(&id("a")).unwrap();
        assert_eq!((held(&loaded), loaded.log_updates), (vec![1, 2, 3], 3), "{spoil}");
    }
}

#[test]
fn a_compaction_that_fails_to_commit_leaves_the_old_rows_and_may_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let broken = Switch::default();
    let probe: Probe = {
        let broken = broken.clone();
        Box::new(move |step, _| match step {
            Step::ReadBack if broken.is_on() => Err(io_error()),
            _ => Ok(()),
        })
    };
    let mut desk = Desk::open(directory(dir.path()), None, QUICK, probe);
    for seq in 1..=3 {
        desk.append(&id("a"), seq);
    }
    broken.set(true);
    assert!(desk.compact(&id("a"), 3).is_err());
    assert_eq!(desk.store.load(&id("a")).unwrap().log_updates, 3);
    desk.append(&id("a"), 4);
    desk.wait_saved(&id("a"), 4);
    broken.set(false);
    assert_eq!(desk.compact(&id("a"), 3), Ok(3));
    let loaded = desk.store.load(&id("a")).unwrap();
    assert_eq!((held(&loaded), loaded.log_updates), (vec![1, 2, 3, 4], 1));
}

#[test]
fn a_damaged_document_is_named_and_the_others_load() {
    let damage = [
        "UPDATE updates SET bytes = x'ff00000000000000' WHERE document = 1 AND seq = 2",
        "UPDATE updates SET crc = crc + 1 WHERE document = 1 AND seq = 2",
        "UPDATE updates SET kind = 1 WHERE document = 1 AND seq = 1",
        "UPDATE updates SET seq = 9 WHERE document = 1 AND seq = 3",
        "UPDATE updates SET document = 3, seq = 4 WHERE document = 1 AND seq = 3",
        "DELETE FROM updates WHERE document = 1 AND seq = 3",
        "DELETE FROM updates WHERE document = 1 AND seq = 2",
        "DELETE FROM updates WHERE document = 1",
    ];
    for damage in damage {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = Desk::quick(dir.path());
        for seq in 1..=3 {
            desk.append(&id("hurt"), seq);
            desk.wait_saved(&id("hurt"), seq);
            desk.append(&id("well"), seq);
            desk.wait_saved(&id("well"), seq);
        }
        desk.close();
        assert!(raw(dir.path()).execute(damage, []).unwrap() > 0);
        let desk = Desk::quick(dir.path());
        let error = desk.store.load(&id("hurt")).unwrap_err();
        assert!(matches!(error, LoadError::Damaged { .. }), "{damage}: {error}");
        assert!(error.to_string().contains("\"hurt\""), "{error}");
        assert_eq!(held(&desk.store.load(&id("well")).unwrap()), [1, 2, 3]);
    }
}

#[test]
fn an_update_that_does_not_follow_the_stored_ones_is_not_saved() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    desk.append(&id("a"), 5);
    desk.wait_saved(&id("a"), 5);
    desk.append(&id("a"), 5);
    assert!(desk.wait_failed(&id("a")).contains("does not follow"));
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), [5]);
}
