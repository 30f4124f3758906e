//! A store whose files are damaged, or are something else.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use yrelay::store::{Opened, Place, Store, StoreError};
use yrelay_core::id::DocumentId;

use crate::tape::Tape;

const PATIENCE: Duration = Duration::from_secs(60);
const FILE: &str = "yrelay.db";
const LOG: &str = "yrelay.db-wal";

/// The files of a store that was closed, those of one that was killed, and what was written.
struct Sound {
    closed: Files,
    killed: Files,
    written: HashMap<DocumentId, Vec<Bytes>>,
}

type Files = HashMap<&'static str, Vec<u8>>;

static SOUND: LazyLock<Sound> = LazyLock::new(|| {
    let directory = directory();
    let (store, saved) = open(directory.path()).unwrap();
    let (store, mut written) = (store.store, HashMap::<_, Vec<_>>::new());
    let save = |seq, names: &[(&str, usize)], written: &mut HashMap<_, Vec<_>>| {
        for (name, length) in names {
            let document = DocumentId::new(name).unwrap();
            let update = Bytes::from(vec![seq as u8; *length]);
            store.append(&document, seq, update.clone(), true);
            written.entry(document).or_default().push(update);
        }
        while store.stats().unsaved_bytes > 0 {
            saved.recv_timeout(PATIENCE).unwrap();
        }
    };
    for seq in 1..=5 {
        save(seq, &[("small", 5), ("large", 9_000), ("deleted", 5_000)], &mut written);
    }
    // Where the log ends too early, it is still there.
    store.forget(&DocumentId::new("deleted").unwrap());
    let snapshot = Bytes::from(vec![9; 6_000]);
    let small = DocumentId::new("small").unwrap();
    store.compact(&small, 4, vec![snapshot.clone()]);
    written.get_mut(&small).unwrap().push(snapshot);
    save(6, &[("small", 50), ("late", 3)], &mut written);
    let killed = read(directory.path());
    store.close(PATIENCE).unwrap();
    Sound { closed: read(directory.path()), killed, written }
});

/// In memory where there is some: syncs would take most of the time.
fn directory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

fn open(directory: &Path) -> Result<(Opened, mpsc::Receiver<()>), StoreError> {
    let (wake, woken) = mpsc::channel();
    let place = Place::Directory(directory.to_owned());
    let opened = Store::open(place, Some("ws://up"), move || wake.send(()).unwrap_or_default());
    opened.map(|opened| (opened, woken))
}

fn read(directory: &Path) -> Files {
    let file = |name| Some((name, fs::read(directory.join(name)).ok()?));
    [FILE, LOG].into_iter().filter_map(file).collect()
}

/// The first byte chooses whether the store was killed, and each next ones a file and what happens
/// to it.
pub(crate) fn run(bytes: &[u8]) {
    let mut tape = Tape(bytes);
    let mut files = if tape.flag() { SOUND.killed.clone() } else { SOUND.closed.clone() };
    while !tape.has_ended() {
        let name = if tape.flag() { LOG } else { FILE };
        harm(files.entry(name).or_default(), &mut tape);
    }
    let directory = directory();
    for (name, content) in &files {
        fs::write(directory.path().join(name), content).unwrap();
    }
    for _ in 0..2 {
        match open(directory.path()) {
            Ok((opened, _)) => look(opened),
            // It is left as it was: somebody must look after it.
            Err(_) => assert_eq!(read(directory.path()).get(FILE), files.get(FILE)),
        }
    }
}

/// Whatever is shown of a document is something that was written to it.
fn look(opened: Opened) {
    let listed = opened.documents.iter().map(|stored| &stored.identifier);
    for document in listed.chain(SOUND.written.keys()) {
        let Ok(loaded) = opened.store.load(document) else { continue };
        let written = SOUND.written.get(document).map(Vec::as_slice).unwrap_or_default();
        assert!(loaded.updates.iter().all(|update| written.contains(update)), "{document}");
    }
    // It need not fit on, but it ends.
    let _ = opened.store.close(PATIENCE);
}

fn harm(file: &mut Vec<u8>, tape: &mut Tape<'_>) {
    let way = tape.below(6);
    let at = usize::from(u16::from_be_bytes([tape.byte(), tape.byte()])) * 2 + tape.below(2);
    let at = if file.is_empty() { 0 } else { at % file.len() };
    let page = at / 4096 * 4096..(at / 4096 * 4096 + 4096).min(file.len());
    match way {
        0 if !file.is_empty() => file[at] ^= 1 << tape.below(8),
        1 => file[page].fill(0),
        2 => file.truncate(at),
        3 => file.copy_within(page, 0),
        4 => {
            let bytes = tape.bytes();
            file.splice(at..(at + bytes.len()).min(file.len()), bytes.iter().copied());
        }
        _ => file.splice(at..at, tape.bytes().iter().copied()).for_each(drop),
    }
}
