//! The process is killed before it has committed: what was appended is not lost.

use super::*;

const FILES: [&str; 2] = ["yrelay.db-tail0", "yrelay.db-tail1"];

/// What a kill would leave now. (Nothing may be being committed.)
pub(super) fn killed(path: &Path) -> tempfile::TempDir {
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
    desk.store.write();
    assert_eq!(desk.store.stats().commits, 0);
    let left = killed(dir.path());
    for _ in 0..2 {
        let desk = Desk::quick(left.path());
        let said = desk.documents.iter();
        let said: Vec<_> =
            said.map(|it| (it.identifier.as_str(), it.bytes, it.unconfirmed)).collect();
        assert_eq!(said, [("a", 3 * (4 + 8), false), ("b", 8, true)]);
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
    let large = Bytes::from(vec![0; 6 << 20]);
    desk.store.append(&id("a"), 1, large, false);
    desk.wait_saved(&id("a"), 1);
    for seq in 2..=200 {
        desk.append(&id("a"), seq);
        desk.wait_saved(&id("a"), seq);
    }
    for tail in tails(dir.path()) {
        assert!(tail.len() <= 4 << 20, "{} bytes", tail.len());
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
    desk.store.write();
    assert_eq!(shown(killed(dir.path()).path(), "a"), [0; 0]);
    desk.store.append(&id("a"), 1, update(100), false);
    desk.store.write();
    assert_eq!(shown(killed(dir.path()).path(), "a"), [100]);
    desk.close();
    assert_eq!(shown(dir.path(), "a"), [100]);
    let mut desk = Desk::quick(dir.path());
    let store = desk.store.clone();
    store.forget(&id("a"));
    desk.wait(|_| !store.forgets(&id("a")));
    // A power cut may leave the files as they once were.
    let left = killed(dir.path());
    put_back(left.path(), &before);
    assert_eq!(shown(left.path(), "a"), [0; 0]);
}

#[test]
fn nothing_is_opened_without_what_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let desk = idle(dir.path());
    desk.append(&id("a"), 1);
    let left = killed(dir.path());
    let file = left.path().join(FILES[0]);
    let whole = std::fs::read(&file).unwrap();
    assert!(!whole.is_empty());
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let error = Store::open(directory(left.path()), None, || {}).unwrap_err().to_string();
    assert!(error.contains(FILES[0]) && error.contains("mend that"), "{error}");
    // It may hold what was said to be saved: with it in its place, that is there.
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, whole).unwrap();
    assert_eq!(shown(left.path(), "a"), [1]);
}

/// Saves in the log, moves nothing before it is closed.
pub(super) const LOGGED: Pace = Pace { move_interval: Duration::from_secs(3600), ..QUICK };

#[test]
fn a_sync_of_the_log_saves_and_what_is_moved_later_shares_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::open(directory(dir.path()), None, LOGGED, no_faults());
    for seq in 1..=9 {
        desk.store.append(&id("a"), seq, update(seq), seq == 4);
        desk.wait_saved(&id("a"), seq);
    }
    let stats = desk.store.stats();
    assert_eq!((stats.commits, stats.syncs, stats.unsaved_bytes), (0, 9, 0));
    assert_eq!(committed(dir.path(), &id("a")), [0; 0]);
    let loaded = desk.store.load(&id("a")).unwrap();
    assert_eq!((held(&loaded), loaded.unconfirmed), ((1..=9).collect(), true));
    assert_eq!(shown(killed(dir.path()).path(), "a"), (1..=9).collect::<Vec<_>>());
    desk.close();

    let mut desk = Desk::quick(dir.path());
    let rows = || -> i64 {
        raw(dir.path()).query_row("SELECT count(*) FROM updates", [], |row| row.get(0)).unwrap()
    };
    assert_eq!((rows(), held(&desk.store.load(&id("a")).unwrap()).len()), (1, 9));
    // A snapshot of some of them: they are not there twice.
    assert_eq!(desk.compact(&id("a"), 5), Ok(5));
    let loaded = desk.store.load(&id("a")).unwrap();
    assert_eq!((loaded.updates.len(), loaded.log_updates, loaded.seq), (5, 4, 9));
    assert_eq!(held(&loaded), (1..=9).collect::<Vec<_>>());
    assert_eq!(desk.compact(&id("a"), 9), Ok(9));
    assert_eq!(rows(), 1);
    desk.close();
}

#[test]
fn what_waits_to_be_moved_is_shown_with_its_marks() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::open(directory(dir.path()), None, LOGGED, no_faults());
    let a = id("a");
    desk.store.append(&a, 1, update(1), true);
    desk.wait_saved(&a, 1);
    let unconfirmed = |desk: &Desk| desk.store.load(&a).unwrap().unconfirmed;
    assert!(unconfirmed(&desk));
    desk.store.confirm(&a, 1);
    assert!(!unconfirmed(&desk));
    assert_eq!(desk.store.stats().commits, 0);
    // What nothing but the database can save is moved soon.
    desk.store.unconfirm(&a);
    assert!(unconfirmed(&desk));
    while desk.store.stats().commits == 0 {
        std::thread::yield_now();
    }
    assert_eq!(committed(dir.path(), &a), [1]);
    assert!(unconfirmed(&desk));
    desk.append(&a, 2);
    desk.store.forget(&a);
    assert_eq!(desk.store.load(&a).unwrap(), Loaded::default());
    desk.append(&a, 1);
    assert_eq!(held(&desk.store.load(&a).unwrap()), [1]);
    // The deletion and what followed it survive a kill before they are in the database, too.
    let shown_then = shown(killed(dir.path()).path(), "a");
    assert_eq!(shown_then, [1]);
    desk.close();
    assert_eq!(shown(dir.path(), "a"), [1]);
}

#[test]
fn what_the_log_does_not_take_is_saved_by_the_database() {
    use yrelay_testdisk::{Disk, Fault};
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::watch(dir.path()).unwrap();
    let mut desk = Desk::open(directory(dir.path()), None, LOGGED, no_faults());
    desk.append(&id("a"), 1);
    desk.wait_saved(&id("a"), 1);
    for (seq, call) in [(2, 0), (3, 1)] {
        // Its write, then its sync.
        disk.fail(Some(Fault::Calls { from: call, count: 1 }));
        desk.append(&id("a"), seq);
        desk.wait_saved(&id("a"), seq);
        assert_eq!(disk.failed(), 1);
        assert_eq!(committed(dir.path(), &id("a")), (1..=seq).collect::<Vec<_>>());
    }
    disk.fail(None);
    // Once nothing is in it that counts, the log is good again.
    for seq in 4..=9 {
        desk.append(&id("a"), seq);
        desk.wait_saved(&id("a"), seq);
    }
    let commits = desk.store.stats().commits;
    desk.append(&id("a"), 10);
    desk.wait_saved(&id("a"), 10);
    assert_eq!(desk.store.stats().commits, commits);
    desk.close();
}

#[test]
fn notes_of_deletions_go_once_no_file_can_bring_them_back() {
    let dir = tempfile::tempdir().unwrap();
    let pace = Pace { move_interval: Duration::from_millis(3), ..QUICK };
    let mut desk = Desk::open(directory(dir.path()), None, pace, no_faults());
    let store = desk.store.clone();
    let notes = || -> i64 {
        let notes = "SELECT count(*) FROM meta WHERE key LIKE 'forgotten:%'";
        raw(dir.path()).query_row(notes, [], |row| row.get(0)).unwrap()
    };
    let forget = |desk: &mut Desk| {
        desk.append(&id("a"), 1);
        desk.wait_saved(&id("a"), 1);
        store.forget(&id("a"));
        desk.wait(|_| !store.forgets(&id("a")));
        desk.seen.clear();
        assert_eq!(notes(), 1);
    };
    forget(&mut desk);
    // Both files are begun anew, and synced.
    for seq in 1.. {
        desk.append(&id("b"), seq);
        desk.wait_saved(&id("b"), seq);
        if notes() == 0 {
            break;
        }
        assert!(seq < 10_000);
    }
    forget(&mut desk);
    desk.close();
    assert_eq!(notes(), 0);
}

#[test]
fn a_sync_saves_nothing_of_a_later_life() {
    use crate::store::backlog::Group;
    let mut backlog = Backlog::new(LOGGED, now);
    let row = || Row { seq: 1, update: update(1), local: false, is_frame: false };
    backlog.append(&id("a"), row());
    let Some(Group::Sync(group)) = backlog.take(true, now() + LOGGED.interval) else {
        panic!("it is due");
    };
    // While the disk is at it, the document is deleted and begins anew.
    backlog.forget(&id("a"));
    backlog.append(&id("a"), row());
    backlog.synced(group);
    assert_eq!(backlog.outcomes(), []);
    assert_eq!(backlog.unsaved_bytes_of(&id("a")), 64 + 72);
}
