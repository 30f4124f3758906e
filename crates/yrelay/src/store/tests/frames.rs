//! Frames of encrypted documents are kept as they came.

use super::tail::LOGGED;
use super::*;

/// A frame of a number, and whether it is local: as every third is.
fn frame(number: u64) -> (Bytes, bool) {
    (format!("gAAAA{number:>300}").into(), number.is_multiple_of(3))
}

fn frames(upto: u64) -> Vec<(Bytes, bool)> {
    (1..=upto).map(frame).collect()
}

impl Desk {
    fn append_frame(&mut self, document: &DocumentId, seq: u64) {
        let (bytes, local) = frame(seq);
        self.store.append_frame(document, seq, bytes, local);
        self.store.write();
        self.wait_saved(document, seq);
    }
}

#[test]
fn frames_are_loaded_in_order_from_the_log_and_from_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::open(directory(dir.path()), None, LOGGED, no_faults());
    let a = id("a");
    (1..=300).for_each(|seq| desk.append_frame(&a, seq));
    let check = |store: &Store| {
        let loaded = store.load(&a).unwrap();
        assert_eq!((loaded.seq, loaded.log_updates, loaded.unconfirmed), (300, 0, true));
        assert!(loaded.frames == frames(300) && loaded.updates.is_empty());
    };
    check(&desk.store);
    let killed = super::tail::killed(dir.path());
    desk.close();
    for path in [dir.path(), killed.path()] {
        let desk = Desk::quick(path);
        assert!(desk.documents[0].opaque && desk.documents[0].bytes > 300 * 300);
        check(&desk.store);
        let rows = "SELECT count(*) FROM updates";
        let rows: i64 = raw(path).query_row(rows, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 3, "they share rows");
        desk.close();
    }
}

#[test]
fn a_document_with_frames_is_not_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    let a = id("a");
    desk.append(&a, 1);
    desk.append_frame(&a, 2);
    desk.append(&a, 3);
    desk.wait_saved(&a, 3);
    assert!(desk.compact(&a, 3).unwrap_err().contains("encrypted"));
    let loaded = desk.store.load(&a).unwrap();
    assert_eq!((held(&loaded), loaded.frames), (vec![1, 3], vec![frame(2)]));
    desk.store.forget(&a);
    assert_eq!(desk.store.load(&a).unwrap(), Loaded::default());
    desk.append(&a, 1);
    desk.wait_saved(&a, 1);
    desk.close();
    let desk = Desk::quick(dir.path());
    assert!(!desk.documents[0].opaque, "it is another one now");
    desk.close();
}

#[test]
fn frames_are_salvaged_and_copied_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    let (a, plain) = (id("a"), id("plain"));
    (1..=50).for_each(|seq| desk.append_frame(&a, seq));
    desk.append(&plain, 1);
    desk.wait_saved(&plain, 1);
    let copy = tempfile::tempdir().unwrap();
    desk.store.back_up(&copy.path().join("yrelay.db")).unwrap();
    desk.close();
    let file = dir.path().join("yrelay.db");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[18] = 9; // of no format that is known
    std::fs::write(&file, bytes).unwrap();
    for path in [dir.path(), copy.path()] {
        let desk = Desk::quick(path);
        assert_eq!(desk.documents.iter().map(|it| it.opaque).collect::<Vec<_>>(), [true, false]);
        assert!(desk.store.load(&a).unwrap().frames == frames(50));
        desk.close();
    }
    assert_eq!(crate::store::salvage::set_aside(&file).len(), 1);
}
