//! The process is killed before it has committed: what was appended is not lost.

use super::*;

const FILES: [&str; 2] = ["yrelay.db-tail0", "yrelay.db-tail1"];

/// What a kill would leave now. (Nothing may be being committed.)
fn killed(path: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in path.read_dir().unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn tails(path: &Path) -> [Vec<u8>; 2] {
    FILES.map(|file| std::fs::read(path.join(file)).unwrap())
}

fn put_back(path: &Path, tails: &[Vec<u8>; 2]) {
    for (file, bytes) in FILES.iter().zip(tails) {
        std::fs::write(path.join(file), bytes).unwrap();
    }
}

/// Commits nothing before it is closed.
fn idle(path: &Path) -> Desk {
    Desk::open(directory(path), None, patient(u64::MAX), no_faults())
}

fn shown(path: &Path, document: &str) -> Vec<u64> {
    let desk = Desk::quick(path);
    let held = held(&desk.store.load(&id(document)).unwrap());
    desk.close();
    held
}

#[test]
fn what_was_appended_is_there_though_it_was_never_committed() {
    let dir = tempfile::tempdir().unwrap();
    let desk = idle(dir.path());
    (1..=3).for_each(|seq| desk.append(&id("a"), seq));
    desk.store.append(&id("b"), 1, update(1), true);
    assert_eq!(desk.store.stats().commits, 0);
    let left = killed(dir.path());
    for _ in 0..2 {
        let desk = Desk::quick(left.path());
        let said = desk.documents.iter();
        let said: Vec<_> =
            said.map(|it| (it.identifier.as_str(), it.bytes, it.unconfirmed)).collect();
        assert_eq!(said, [("a", 24, false), ("b", 8, true)]);
        assert_eq!(held(&desk.store.load(&id("a")).unwrap()), [1, 2, 3]);
        desk.close();
    }
    // One that ends in order leaves nothing to find, and what is found is not taken twice.
    desk.close();
    assert_eq!(shown(dir.path(), "a"), [1, 2, 3]);
}

#[test]
fn what_is_torn_is_no_update_and_those_before_it_are() {
    let dir = tempfile::tempdir().unwrap();
    let desk = idle(dir.path());
    (1..=3).for_each(|seq| desk.append(&id("a"), seq));
    let left = killed(dir.path());
    let whole = tails(left.path());
    let tail = whole.iter().position(|tail| !tail.is_empty()).unwrap();
    let record = whole[tail].len() / 3;
    for length in 0..whole[tail].len() {
        let mut torn = whole.clone();
        // As the page cache leaves it, and as a disk may.
        torn[tail].truncate(length);
        if length % 2 == 0 {
            torn[tail].resize(whole[tail].len(), 255);
        }
        let there = killed(left.path());
        put_back(there.path(), &torn);
        let expected: Vec<u64> = (1..=(length / record) as u64).collect();
        assert_eq!(shown(there.path(), "a"), expected, "cut at {length}");
    }
    // A power cut may leave what came later alone: it had better follow.
    let mut holed = whole.clone();
    holed[tail].drain(record..2 * record);
    put_back(left.path(), &holed);
    assert_eq!(shown(left.path(), "a"), [1]);
}

#[test]
fn what_cannot_be_committed_outlives_what_can() {
    let dir = tempfile::tempdir().unwrap();
    let probe: Probe = Box::new(|step, _| match step {
        Step::Write(document) if document.as_str() == "c" => Err(io_error()),
        _ => Ok(()),
    });
    let mut desk = Desk::open(directory(dir.path()), None, ONE_TRY, probe);
    desk.append(&id("c"), 1);
    desk.append(&id("c"), 2);
    desk.wait_failed(&id("c"));
    for seq in 1..=10 {
        desk.append(&id("a"), seq);
        desk.wait_saved(&id("a"), seq);
    }
    desk.append(&id("c"), 3);
    let left = killed(dir.path());
    assert_eq!(shown(left.path(), "c"), [1, 2, 3]);
    assert_eq!(shown(left.path(), "a"), (1..=10).collect::<Vec<_>>());
}

#[test]
fn files_are_written_over_once_all_in_them_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::quick(dir.path());
    let large = Bytes::from(vec![0; 3 << 20]);
    desk.store.append(&id("a"), 1, large, false);
    desk.wait_saved(&id("a"), 1);
    for seq in 2..=200 {
        desk.append(&id("a"), seq);
        desk.wait_saved(&id("a"), seq);
    }
    for tail in tails(dir.path()) {
        assert!(tail.len() <= 1 << 20, "{} bytes", tail.len());
    }
    desk.close();
}

#[test]
fn what_was_deleted_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let desk = idle(dir.path());
    (1..=3).for_each(|seq| desk.append(&id("a"), seq));
    let before = tails(dir.path());
    desk.store.forget(&id("a"));
    assert_eq!(shown(killed(dir.path()).path(), "a"), [0; 0]);
    desk.store.append(&id("a"), 1, update(100), false);
    assert_eq!(shown(killed(dir.path()).path(), "a"), [100]);
    desk.close();
    assert_eq!(shown(dir.path(), "a"), [100]);
    let desk = Desk::quick(dir.path());
    desk.store.forget(&id("a"));
    desk.close();
    // A power cut may leave the files as they once were.
    put_back(dir.path(), &before);
    assert_eq!(shown(dir.path(), "a"), [0; 0]);
}

#[test]
fn a_tail_that_cannot_be_read_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let desk = idle(dir.path());
    desk.append(&id("a"), 1);
    let left = killed(dir.path());
    let file = left.path().join(FILES[0]);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let others = tails_but_first(left.path());
    let mut desk = Desk::quick(left.path());
    desk.append(&id("b"), 1);
    desk.wait_saved(&id("b"), 1);
    desk.close();
    assert_eq!(tails_but_first(left.path()), others);
}

fn tails_but_first(path: &Path) -> Vec<u8> {
    std::fs::read(path.join(FILES[1])).unwrap_or_default()
}
