//! The power goes: at any moment of any story, and again while the store recovers from that.

use yrelay_testdisk::{Disk, Fault, Image, Loss, Random, Replay};

use super::ledger::Ledger;
use super::opened::as_of_format_1;
use super::story::{Story, directory_in_memory, look, names};
use super::*;

/// States of the disk that were tried.
#[derive(Debug, Default)]
struct Tried {
    stories: usize,
    cuts: usize,
    second_cuts: usize,
    deaths: usize,
}

pub(super) fn is_long() -> bool {
    std::env::var_os("YRELAY_LONG").is_some_and(|value| value == "1")
}

/// Opens a store after a power cut and holds what it shows against what was promised.
pub(super) fn keeps_promises(image: &Image, ledger: &Ledger, at: usize) {
    let there = directory_in_memory();
    image.write(there.path()).unwrap();
    let store = look(there.path()).unwrap_or_else(|error| panic!("at {at}: {error}"));
    for name in names() {
        ledger.check(at, &name, &store.load(&name).unwrap());
    }
    // It is not damage, and nothing is set aside.
    assert_eq!(store.trouble(), None, "at {at}");
    store.close(PATIENCE).unwrap();
}

/// The store recovers from a state, works on a little, and the power goes, at any moment of that.
fn second_cut(begin: impl FnOnce(&Path) -> Disk, ledger: &Ledger, at: usize, random: &mut Random) {
    let there = directory_in_memory();
    let disk = begin(there.path());
    let mut story = Story::open(there.path(), Arc::new(disk), Ledger::default()).unwrap();
    let opened_at = story.disk.length();
    let shown = Ledger::shown(story.store(), &names());
    *lock(&story.ledger) = shown;
    if random.percent(50) {
        let name = &names()[random.below(4)];
        story.append(name, 1 + random.below(2_000), true);
        story.wait_saved(&names());
    }
    if random.percent(50) {
        story.close().unwrap();
    }
    let later = lock(&story.ledger).clone();
    let cut_at = random.below(story.disk.length() + 1);
    let loss = [Loss::All, Loss::Some, Loss::Some][random.below(3)];
    let image = story.disk.at(cut_at, random).cut(loss, random);
    match cut_at < opened_at {
        true => keeps_promises(&image, ledger, at),
        // Opened, it shows what counts as saved from then on.
        false => keeps_promises(&image, &later, cut_at),
    }
}

/// One story and what may come of it. Each state is made from the seed and its own number.
fn strike(seed: u64, faults: bool, every: usize, tried: &mut Tried) {
    let mut random = Random::new(seed);
    let place = directory_in_memory();
    let disk = Disk::watch(place.path()).unwrap();
    let mut story = Story::open(place.path(), Arc::new(disk), Ledger::default()).unwrap();
    story.go_on(place.path(), &mut random, 40, faults);
    if random.percent(50) {
        story.close().unwrap();
    }
    let ledger = lock(&story.ledger).clone();
    tried.stories += 1;
    let mut states: Vec<(usize, Replay)> = Vec::new();
    let mut lot = random.clone();
    story.disk.replay(&mut random, |at, replay| {
        if lot.below(every) == 0 {
            states.push((at, replay.clone()));
        }
        true
    });
    for (at, state) in states {
        for loss in [Loss::All, Loss::Some] {
            keeps_promises(&state.cut(loss, &mut random), &ledger, at);
            tried.cuts += 1;
        }
        let image = state.cut(Loss::Some, &mut random);
        let restart = |path: &Path| {
            image.write(path).unwrap();
            Disk::watch(path).unwrap()
        };
        second_cut(restart, &ledger, at, &mut random);
        let death = |path: &Path| Disk::after_death(path, state.clone()).unwrap();
        second_cut(death, &ledger, at, &mut random);
        tried.second_cuts += 2;
        tried.deaths += 1;
    }
}

fn strike_all(faults: bool, first_seed: u64) {
    let mut tried = Tried::default();
    let (states, every) = if is_long() { (50_000, 1) } else { (1_200, 12) };
    let mut seed = first_seed;
    while tried.cuts + tried.second_cuts < states {
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            strike(seed, faults, every, &mut tried);
        }));
        told.unwrap_or_else(|panic| {
            eprintln!("seed {seed}, syncs fail: {faults}");
            std::panic::resume_unwind(panic)
        });
        seed += 1;
    }
    println!("syncs fail: {faults}: {tried:?}");
}

#[test]
fn what_was_said_to_be_saved_survives_any_power_cut() {
    strike_all(false, 1);
}

#[test]
fn what_was_said_to_be_saved_survives_power_cuts_after_failed_syncs() {
    strike_all(true, 1_000_000);
}

/// A store that has something of each, and has ended.
fn ended(place: &Path) -> Story {
    let disk = Arc::new(Disk::watch(place).unwrap());
    let mut story = Story::open(place, disk, Ledger::default()).unwrap();
    names().iter().for_each(|name| story.append(name, 700, true));
    story.wait_saved(&names());
    story.close().unwrap();
    story
}

/// What a failed sync left is seen and is not on the disk: the next start must not build on it.
#[test]
fn what_only_seems_to_be_on_the_disk_is_written_anew_before_it_is_used() {
    let mut random = Random::new(1);
    for _ in 0..4 {
        let place = directory_in_memory();
        let story = ended(place.path());
        let ledger = lock(&story.ledger).clone();
        // Pages that are in the log anyway do no harm: of most there is none from here on. But it
        // has begun, as nothing goes into one whose beginning cannot be synced.
        let story = Story::open(place.path(), Arc::clone(&story.disk), ledger).unwrap();
        story.append(&names()[0], 1, true);
        story.wait_saved(&names());
        story.disk.fail(Some(Fault::Syncs));
        names().iter().for_each(|name| story.append(name, 700, true));
        story.settle();
        let ledger = lock(&story.ledger).clone();
        let at = story.disk.length();
        let died = story.disk.at(at, &mut random);
        drop(story);

        let next = directory_in_memory();
        let disk = Arc::new(Disk::after_death(next.path(), died).unwrap());
        let story = Story::open(next.path(), Arc::clone(&disk), ledger.clone()).unwrap();
        let opened_at = disk.length();
        drop(story);
        for cut_at in 0..=opened_at {
            let state = disk.at(cut_at, &mut random);
            for loss in [Loss::All, Loss::Some, Loss::Some] {
                keeps_promises(&state.cut(loss, &mut random), &ledger, at);
            }
        }
    }
}

#[test]
fn a_store_that_is_brought_up_to_date_is_of_one_format_or_the_other() {
    let place = directory_in_memory();
    let story = ended(place.path());
    let (ledger, at) = (lock(&story.ledger).clone(), story.disk.length());
    drop(story);
    as_of_format_1(place.path());

    let mut random = Random::new(1);
    let next = directory_in_memory();
    Image::read(place.path()).unwrap().write(next.path()).unwrap();
    let disk = Arc::new(Disk::watch(next.path()).unwrap());
    let mut story = Story::open(next.path(), Arc::clone(&disk), ledger.clone()).unwrap();
    story.close().unwrap();
    let there = directory_in_memory();
    let mut formats = std::collections::BTreeSet::new();
    for cut_at in 0..=disk.length() {
        let state = disk.at(cut_at, &mut random);
        for loss in [Loss::All, Loss::Some, Loss::Nothing] {
            let image = state.cut(loss, &mut random);
            image.write(there.path()).unwrap();
            let format = "PRAGMA user_version";
            let format = raw(there.path()).query_row(format, [], |row| row.get::<_, i64>(0));
            formats.insert(format.unwrap());
            keeps_promises(&image, &ledger, at);
        }
    }
    assert_eq!(Vec::from_iter(formats), [1, 5]);
}
