//! Any call to the disk fails, once or from then on: what is not saved is not said to be, nothing
//! that was is lost, and with the disk mended all goes on.

use std::sync::LazyLock;

use yrelay_testdisk::{Disk, Fault, Image, Loss, Random};

use super::ledger::Ledger;
use super::power::keeps_promises;
use super::story::{Story, directory_in_memory, look, names};
use super::*;

/// A store whose process was killed, so that there is something to recover, and what it promised.
static KILLED: LazyLock<(Image, Ledger)> = LazyLock::new(|| {
    let place = directory_in_memory();
    let disk = Arc::new(Disk::watch(place.path()).unwrap());
    let story = Story::open(place.path(), disk, Ledger::default()).unwrap();
    for words in [1, 700, 3] {
        names().iter().for_each(|name| story.append(name, words, true));
        story.wait_saved(&names());
    }
    let image = Image::read(place.path()).unwrap();
    let there = directory_in_memory();
    image.write(there.path()).unwrap();
    let ledger = Ledger::shown(&look(there.path()).unwrap(), &names());
    (image, ledger)
});

/// Whatever the disk does: a document is what was promised, or cannot be read.
fn load(story: &Story, at: usize) {
    for name in names() {
        match story.store().load(&name) {
            Ok(loaded) => lock(&story.ledger).check(at, &name, &loaded),
            Err(LoadError::Unreadable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Something of everything, whether it comes to something or not.
fn work(story: &Story) {
    let [a, b, ..] = &names();
    story.append(a, 1, true);
    story.append(b, 700, false);
    story.settle();
    for _ in 0..8 {
        story.append(a, 3_000, false);
    }
    story.settle();
    if story.is_saved(a) {
        story.compact(a);
    }
    story.forget(b);
    story.settle();
    if story.is_saved(b) {
        story.append(b, 1, true);
    }
    story.store().confirm(a, 4);
    story.settle();
    load(story, story.disk.length());
}

/// One run under this fault. How many calls there were, and how many of them failed.
fn run(fault: Fault, random: &mut Random) -> (u64, u64) {
    let (image, ledger) = &*KILLED;
    let place = directory_in_memory();
    image.write(place.path()).unwrap();
    let disk = Arc::new(Disk::watch(place.path()).unwrap());
    disk.fail(Some(fault));
    let open = || Story::open(place.path(), Arc::clone(&disk), ledger.clone());
    let mut opened = open();
    let mut counts = (disk.calls(), disk.failed());
    if let Err(error) = &opened {
        use StoreError::{Busy, Full, NotWritable, Unopened};
        let cannot = matches!(error, Unopened { .. } | Full(_) | NotWritable { .. } | Busy(_));
        assert!(cannot, "{fault:?}: {error}");
        disk.fail(None);
        opened = open();
    }
    let mut story = opened.unwrap_or_else(|error| panic!("{fault:?}, and over: {error}"));
    work(&story);
    if random.percent(50) && counts.1 == 0 {
        // What cannot be saved at the end is not promised.
        let _ = story.close();
        counts = (disk.calls(), disk.failed());
        disk.fail(None);
    } else {
        counts = (counts.0.max(disk.calls()), counts.1.max(disk.failed()));
        disk.fail(None);
        story.wait_saved(&names());
        story.append(&names()[2], 1, true);
        story.wait_saved(&names());
        load(&story, disk.length());
        assert_eq!(story.store().trouble(), None, "{fault:?}");
        story.close().unwrap();
    }
    let ledger = lock(&story.ledger).clone();
    let end = disk.length();
    let store = look(place.path()).unwrap();
    for name in names() {
        ledger.check(end, &name, &store.load(&name).unwrap());
    }
    store.close(PATIENCE).unwrap();
    let files = Image::read(place.path()).unwrap();
    assert_eq!(files.0.keys().collect::<Vec<_>>(), ["yrelay.db", "yrelay.lock"], "{fault:?}");
    // And the power goes, some time later.
    let cut_at = random.below(end + 1);
    keeps_promises(&disk.at(cut_at, random).cut(Loss::Some, random), &ledger, cut_at);
    counts
}

/// Every number of the first call that fails, until there are no more calls.
fn sweep(fault: impl Fn(u64) -> Fault) {
    let mut random = Random::new(1);
    let (mut runs, mut failed) = (0, 0);
    for from in 0.. {
        let counts = run(fault(from), &mut random);
        runs += 1;
        failed += counts.1;
        // Two threads: their calls may come in another order next time.
        if counts.1 == 0 && counts.0 + 10 < from {
            break;
        }
    }
    println!("{runs} runs, {failed} calls failed");
    assert!(failed > 0);
}

#[test]
fn any_call_may_fail_once() {
    sweep(|from| Fault::Calls { from, count: 1 });
}

#[test]
fn all_calls_may_fail_from_any_on() {
    sweep(|from| Fault::Calls { from, count: u64::MAX });
}

#[test]
fn the_disk_may_be_full_from_any_call_on() {
    sweep(|from| Fault::Full { from });
}
