//! Stores that are damaged: what can be read of them is kept, and so is the damaged file.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use yrelay_testdisk::{Image, Random};

use super::ledger::{numbered, numbers};
use super::*;
use crate::store::pages::PAGE_BYTES;

pub(super) const FILE: &str = "yrelay.db";

/// What each document holds.
pub(super) type Content = BTreeMap<DocumentId, Vec<u64>>;

/// A store with something of everything, closed.
pub(super) static STORE: LazyLock<(Image, Content)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::open(directory(dir.path()), Some("ws://up"), QUICK, no_faults());
    let long: [(&str, usize, u64); 5] = [
        ("small", 1, 200),
        ("large", 1_300, 8),
        ("deleted", 900, 40),
        ("packed", 5, 60),
        ("deleted and new", 900, 40),
    ];
    let mut content = Content::new();
    for (name, words, updates) in long {
        for seq in 1..=updates {
            desk.store.append(&id(name), seq, numbered(seq, words), false);
            content.entry(id(name)).or_default().push(seq);
            // Each in a row of its own.
            desk.wait_saved(&id(name), seq);
        }
    }
    desk.store.compact(&id("packed"), 50, (1..=50).map(|number| numbered(number, 100)).collect());
    desk.wait(|seen| seen[&id("packed")].compacted.is_some());
    desk.store.forget(&id("deleted"));
    content.remove(&id("deleted"));
    // It gets its number again, so that only their page tells its old rows from the new.
    let again = id("deleted and new");
    desk.store.forget(&again);
    while desk.store.forgets(&again) {
        desk.wakes.recv_timeout(PATIENCE).unwrap();
    }
    desk.store.append(&again, 1, numbered(77, 1), false);
    desk.wait_saved(&again, 1);
    content.insert(again, vec![77]);
    for number in 1..=140 {
        let name = id(&format!("of many {number}"));
        desk.store.append(&name, 1, numbered(number, 2), true);
        content.insert(name, vec![number]);
    }
    desk.close();
    let image = Image::read(dir.path()).unwrap();
    assert_eq!(image.0.keys().collect::<Vec<_>>(), [FILE, "yrelay.lock"]);
    (image, content)
});

pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    let follow = Follow::Upstream(Some("ws://up"));
    Store::open_with(directory(path), follow, Box::new(|| {}), QUICK, no_faults())
}

/// What is there, or whether something of it is damaged.
pub(super) fn content(opened: &Opened) -> Result<Content, LoadError> {
    let mut content = Content::new();
    let listed = opened.documents.iter().map(|stored| &stored.identifier);
    // One that was written and is not listed had better not be blank.
    for name in listed.chain(STORE.1.keys()) {
        let numbers = numbers(&opened.store.load(name)?);
        if !numbers.is_empty() {
            content.insert(name.clone(), numbers);
        }
    }
    Ok(content)
}

pub(super) fn set_aside(path: &Path) -> Vec<std::path::PathBuf> {
    crate::store::salvage::set_aside(&path.join(FILE))
}

/// How many rows are lost when this happens to the file. Whatever it is, all that is shown is what
/// was written, and damage that was seen has been set aside by the next start.
fn lost_by(what: &str, damage: impl FnOnce(&mut Vec<u8>)) -> usize {
    let (image, before) = &*STORE;
    let dir = story::directory_in_memory();
    let mut image = image.clone();
    damage(image.0.get_mut(FILE).unwrap());
    image.write(dir.path()).unwrap();
    let opened = match open(dir.path()) {
        Ok(opened) => opened,
        // A flipped bit may say so, and then it may be true.
        Err(StoreError::Newer { .. }) => return 0,
        Err(error) => panic!("{what}: {error}"),
    };
    let was_found_at_once = !set_aside(dir.path()).is_empty();
    let after = match content(&opened) {
        Ok(content) => content,
        Err(error) if was_found_at_once => panic!("{what}, salvaged: {error}"),
        Err(_) => {
            assert!(opened.store.trouble().unwrap().contains("restart"), "{what}");
            opened.store.close(PATIENCE).unwrap();
            let opened = open(dir.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(opened.documents.iter().all(|stored| stored.unconfirmed), "{what}");
            content(&opened).unwrap_or_else(|error| panic!("{what}, salvaged: {error}"))
        }
    };
    let mut lost: usize = before.values().map(Vec::len).sum();
    for (document, numbers) in &after {
        let written = before.get(document).unwrap_or_else(|| panic!("{what}: {document}"));
        assert!(numbers.iter().all(|number| written.contains(number)), "{what}: {document}");
        lost -= numbers.len();
    }
    let aside = set_aside(dir.path());
    if lost > 0 {
        assert_eq!(aside.len(), 1, "{what}: {lost} rows are lost, and no word of it");
    }
    for file in aside {
        assert!(fs::read(file).unwrap() == image.0[FILE], "{what}: it is not as it was found");
    }
    lost
}

/// The tree that a page belongs to, what it is there, and how many rows it holds.
fn pages() -> Vec<(u32, String, String, u32)> {
    let dir = tempfile::tempdir().unwrap();
    STORE.0.write(dir.path()).unwrap();
    let disk = raw(dir.path());
    let mut statement = disk.prepare("SELECT pageno, name, pagetype, ncell FROM dbstat").unwrap();
    let page = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    statement.query_map([], page).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_lost_page_costs_the_rows_in_it_and_no_other() {
    let mut seen = std::collections::BTreeSet::new();
    let pages = pages();
    let in_use: Vec<u32> = pages.iter().map(|page| page.0).collect();
    let all = STORE.0.0[FILE].len() / PAGE_BYTES;
    let free: Vec<u32> = (1..=all as u32).filter(|number| !in_use.contains(number)).collect();
    assert!(free.len() > 10, "what was deleted lies there");
    let free = free.into_iter().map(|number| (number, "free".to_owned(), String::new(), 0));
    for (number, tree, kind, rows) in pages.into_iter().chain(free) {
        let expected = match (&*tree, &*kind) {
            ("updates", "leaf") => rows,
            ("updates", "overflow") => 1,
            _ => 0,
        };
        let at = (number as usize - 1) * PAGE_BYTES;
        let lost = lost_by(&format!("page {number}, {tree} {kind}, zeroed"), |file| {
            file[at..at + PAGE_BYTES].fill(0);
        });
        assert_eq!(lost, expected as usize, "page {number}, {tree} {kind}");
        seen.insert((tree, kind));
    }
    println!("{seen:?}");
    assert!(seen.len() >= 10, "{seen:?}");
}

#[test]
fn a_store_that_ends_too_early_shows_what_is_left() {
    let length = STORE.0.0[FILE].len();
    let mut least = 0;
    for end in (1..length).rev().filter(|end| end % 9_001 == 0 || end % (8 * PAGE_BYTES) == 0) {
        let lost = lost_by(&format!("only {end} bytes"), |file| file.truncate(end));
        assert!(lost >= least, "the shorter, the more is lost");
        least = lost;
    }
    assert!(least > 0);
}

#[test]
fn flipped_bits_are_never_shown() {
    let mut random = Random::new(7);
    let mut lossy = 0;
    for _ in 0..60 {
        let bits = [1, 1, 20][random.below(3)];
        let seed = random.number();
        let lost = lost_by(&format!("{bits} bits by {seed}"), |file| {
            let mut random = Random::new(seed);
            for _ in 0..bits {
                let at = random.below(file.len());
                file[at] ^= 1 << random.below(8);
            }
        });
        lossy += usize::from(lost > 0);
    }
    assert!((3..57).contains(&lossy), "{lossy}");
}

/// What no checksum covers: names, sums, indexes, the tables themselves.
#[test]
fn flipped_bits_beside_the_rows_cost_no_row() {
    let mut random = Random::new(3);
    let beside: Vec<usize> = pages()
        .into_iter()
        .filter(|(_, tree, kind, _)| tree != "updates" || kind == "internal")
        .map(|(number, ..)| (number as usize - 1) * PAGE_BYTES)
        .collect();
    let name = b"of many 77";
    let of_name = |window: &[u8]| window == name;
    let file = &STORE.0.0[FILE];
    let named: Vec<usize> =
        (0..file.len() - name.len()).filter(|at| of_name(&file[*at..at + name.len()])).collect();
    assert!(named.len() >= 2, "in the table, in its index, and where a page was split");
    let chance = (0..50).map(|_| beside[random.below(beside.len())] + random.below(PAGE_BYTES));
    for at in named.into_iter().chain([18, 19, 40, 57, 99, 101, 104]).chain(chance) {
        for bit in [0, 3] {
            let what = format!("bit {bit} of byte {at}");
            assert_eq!(lost_by(&what, |file| file[at] ^= 1 << bit), 0, "{what}");
        }
    }
}

/// SQLite takes one whose header names a later version of the format, and does not write to it.
#[test]
fn a_header_that_forbids_to_write_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let mut image = STORE.0.clone();
    image.0.get_mut(FILE).unwrap()[18] = 3;
    image.write(dir.path()).unwrap();
    let mut desk = Desk::open(directory(dir.path()), Some("ws://up"), QUICK, no_faults());
    desk.append(&id("small"), 201);
    desk.wait_saved(&id("small"), 201);
    assert_eq!(desk.store.load(&id("small")).unwrap().log_updates, 201);
}

/// A store that is killed at work: its last changes are in the log.
fn killed() -> Image {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::open(directory(dir.path()), Some("ws://up"), QUICK, no_faults());
    for seq in 1..=20 {
        desk.append(&id("a"), seq);
        desk.wait_saved(&id("a"), seq);
    }
    let mut image = Image::read(dir.path()).unwrap();
    assert!(image.0["yrelay.db-wal"].len() > PAGE_BYTES && image.0[FILE].len() > PAGE_BYTES);
    // The last are in the tail, too, which is not what is looked at here.
    image.0.retain(|name, _| !name.ends_with("-shm") && !name.contains("-tail"));
    image
}

/// Opens a store, and whether it is as it was before the kill.
fn is_whole(image: &Image) -> bool {
    let dir = tempfile::tempdir().unwrap();
    image.write(dir.path()).unwrap();
    let opened = open(dir.path()).unwrap();
    content(&opened).unwrap() == Content::from([(id("a"), (1..=20).collect())])
}

#[test]
fn what_is_in_the_log_counts() {
    let image = killed();
    let spoilt: [fn(&mut Image); 5] = [
        |image| drop(image.0.remove(FILE)),
        |image| image.0.get_mut(FILE).unwrap().clear(),
        |image| image.0.get_mut(FILE).unwrap()[..512].fill(0),
        |image| image.0.get_mut(FILE).unwrap().fill(0),
        |image| drop(image.0.insert("yrelay.db.damaged".to_owned(), Vec::new())),
    ];
    for (number, spoil) in spoilt.into_iter().enumerate() {
        let mut image = image.clone();
        spoil(&mut image);
        assert!(is_whole(&image), "{number}");
    }
}

#[test]
fn a_frame_of_the_log_that_is_not_as_it_was_written_ends_it() {
    let mut image = killed();
    drop(image.0.remove(FILE));
    let log = image.0.get_mut("yrelay.db-wal").unwrap();
    let last = log.len() - 1;
    log[last] ^= 1;
    let dir = tempfile::tempdir().unwrap();
    image.write(dir.path()).unwrap();
    let content = content(&open(dir.path()).unwrap()).unwrap();
    assert_eq!(content[&id("a")], (1..=19).collect::<Vec<_>>());
}

/// Each state that a crash may leave while the new store takes the place of the damaged one.
#[test]
fn a_salvage_that_was_cut_short_is_gone_on_with() {
    let good = {
        let dir = tempfile::tempdir().unwrap();
        killed().write(dir.path()).unwrap();
        let mut desk = Desk::quick(dir.path());
        // Whoever reads the old log into it would lose this.
        desk.append(&id("a"), 21);
        desk.wait_saved(&id("a"), 21);
        desk.close();
        Image::read(dir.path()).unwrap().0[FILE].clone()
    };
    let damaged = killed();
    for step in 0..4 {
        let mut image = damaged.clone();
        image.0.insert("yrelay.db.damaged".to_owned(), Vec::new());
        image.0.insert("yrelay.db.salvaged.part".to_owned(), b"cut off".to_vec());
        if step > 0 {
            image.0.insert("yrelay.db.salvaged".to_owned(), good.clone());
            image.0.get_mut(FILE).unwrap().fill(0);
        }
        for name in ["yrelay.db-wal", FILE].into_iter().take(step.max(1) - 1) {
            let content = image.0.remove(name).unwrap();
            image.0.insert(name.replace(FILE, "yrelay.db.corrupt-1"), content);
        }
        let dir = tempfile::tempdir().unwrap();
        image.write(dir.path()).unwrap();
        let opened = open(dir.path()).unwrap();
        let last = if step > 0 { 21 } else { 20 };
        let expected = Content::from([(id("a"), (1..=last).collect())]);
        assert_eq!(content(&opened).unwrap(), expected, "step {step}");
        opened.store.close(PATIENCE).unwrap();
        let after = Image::read(dir.path()).unwrap();
        let left = ["yrelay.db.salvaged", "yrelay.db.damaged"];
        assert!(left.iter().all(|name| !after.0.contains_key(*name)), "step {step}");
        let aside = fs::read(set_aside(dir.path()).remove(0)).unwrap();
        assert!(step == 0 || aside.iter().all(|byte| *byte == 0), "step {step}");
    }
}
