//! When a document was last opened is kept, and stores of the first format learn to keep it.

use super::*;
use crate::clock::unix_ms;

fn opened_ms(path: &Path) -> u64 {
    let desk = Desk::quick(path);
    let opened = desk.documents[0].opened_ms;
    desk.close();
    opened
}

#[test]
fn a_document_is_opened_when_it_begins_and_when_that_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    let before = unix_ms() - 1_000;
    let mut desk = Desk::quick(dir.path());
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    desk.close();
    assert!((before..=unix_ms()).contains(&opened_ms(dir.path())));

    let mut desk = Desk::quick(dir.path());
    desk.store.note_opened(&id("a"), 77);
    desk.store.note_opened(&id("unknown"), 77);
    desk.append(&id("a"), 2);
    desk.wait_saved(&id("a"), 2);
    desk.close();
    assert_eq!(opened_ms(dir.path()), 77);
    let desk = Desk::quick(dir.path());
    assert_eq!((desk.documents.len(), held(&desk.store.load(&id("a")).unwrap())), (1, vec![1, 2]));
}

/// Takes a store back to the first format.
pub(super) fn as_of_format_1(path: &Path) {
    let disk = raw(path);
    disk.execute_batch(
        "ALTER TABLE documents DROP COLUMN opened;
         ALTER TABLE documents DROP COLUMN opaque; DROP TABLE histories; PRAGMA user_version = 1;
         UPDATE meta SET value = '0.0.9' WHERE key = 'needs_yrelay';",
    )
    .unwrap();
}

#[test]
fn a_store_of_the_first_format_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    desk.close();
    as_of_format_1(dir.path());
    let before = unix_ms() - 1_000;
    let mut desk = Desk::quick(dir.path());
    // What nobody noted counts from now: a long silence must not look like one of the user.
    assert!((before..=unix_ms()).contains(&desk.documents[0].opened_ms));
    desk.append(&id("a"), 2);
    desk.wait_saved(&id("a"), 2);
    assert_eq!(held(&desk.store.load(&id("a")).unwrap()), [1, 2]);
    desk.close();
    let disk = raw(dir.path());
    let format: i64 = disk.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let needed = "SELECT value FROM meta WHERE key = 'needs_yrelay'";
    let needed: String = disk.query_row(needed, [], |row| row.get(0)).unwrap();
    assert_eq!((format, &*needed), (5, "0.1.0"));
}
