//! A store at work on a disk under watch: a seed decides what it is asked for.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};

use tempfile::TempDir;
use yrelay_testdisk::{Disk, Fault, Random};

use super::ledger::{Ledger, numbered};
use super::*;

/// Saves at once, moves and retries soon, folds SQLite's log often.
pub(super) const BUSY: Pace =
    Pace { move_interval: Duration::from_millis(5), wal_frames: 40, ..QUICK };

/// A directory in memory where there is one: what is written there is watched, not kept.
pub(super) fn directory_in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => TempDir::new_in(memory).unwrap(),
        false => TempDir::new().unwrap(),
    }
}

pub(super) fn names() -> [DocumentId; 4] {
    ["a", "b", "c", "d"].map(id)
}

/// An open store, its disk, and what it has promised.
pub(super) struct Story {
    pub(super) disk: Arc<Disk>,
    pub(super) ledger: Arc<Mutex<Ledger>>,
    store: Option<Store>,
    news: mpsc::Receiver<()>,
}

impl Story {
    /// Opens what is in a directory under watch.
    pub(super) fn open(path: &Path, disk: Arc<Disk>, ledger: Ledger) -> Result<Self, StoreError> {
        let ledger = Arc::new(Mutex::new(ledger));
        let (store, news) = open(path, &disk, &ledger)?;
        Ok(Self { disk, ledger, store: Some(store), news })
    }

    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub(super) fn append(&self, name: &DocumentId, words: usize, local: bool) {
        let mut ledger = lock(&self.ledger);
        let (seq, number) = ledger.append(self.disk.length(), name);
        self.store().append(name, seq, numbered(number, words), local);
        self.store().write();
    }

    pub(super) fn wait_saved(&self, names: &[DocumentId]) {
        let all_saved = || names.iter().all(|name| lock(&self.ledger).is_saved(name));
        while !all_saved() {
            self.news.recv_timeout(PATIENCE).expect("it is saved");
        }
    }

    /// Waits until all is saved, or cannot be.
    pub(super) fn settle(&self) {
        let failures = self.store().stats().commit_failures;
        let settled = |stats: Stats| stats.unsaved_bytes == 0 || stats.commit_failures > failures;
        while !settled(self.store().stats()) {
            self.news.recv_timeout(PATIENCE).expect("it is saved, or not");
        }
    }

    pub(super) fn is_saved(&self, name: &DocumentId) -> bool {
        lock(&self.ledger).is_saved(name)
    }

    /// Compacts what is saved.
    pub(super) fn compact(&self, name: &DocumentId) {
        let (upto, snapshot) = lock(&self.ledger).snapshot(name);
        self.store().compact(name, upto, snapshot);
    }

    pub(super) fn forget(&self, name: &DocumentId) {
        let mut ledger = lock(&self.ledger);
        ledger.forget(self.disk.length(), name);
        self.store().forget(name);
    }

    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.store.take().unwrap().close(PATIENCE)
    }

    /// So many random things are asked of it.
    pub(super) fn go_on(&mut self, path: &Path, random: &mut Random, steps: usize, faults: bool) {
        let names = names();
        // Nothing is waited for that cannot come.
        let mut disk_is_well = true;
        for _ in 0..steps {
            let name = &names[random.below(names.len())];
            match random.below(100) {
                0..60 => {
                    let words = [1, 3, 40, 700, 3_000][random.below(5)];
                    for _ in 0..=random.below(4) {
                        self.append(name, words, random.percent(30));
                    }
                }
                60..75 => {
                    if disk_is_well {
                        self.wait_saved(std::slice::from_ref(name));
                    }
                    if self.is_saved(name) {
                        self.compact(name);
                    }
                }
                75..80 => {
                    self.forget(name);
                    self.settle();
                    self.disk.fail(None);
                    disk_is_well = true;
                    self.wait_saved(&names);
                }
                80..84 if faults => {
                    self.disk.fail(Some(Fault::Syncs));
                    disk_is_well = false;
                }
                80..88 => {
                    self.disk.fail(None);
                    disk_is_well = true;
                    self.wait_saved(&names);
                }
                88..92 if disk_is_well => {
                    self.close().unwrap();
                    let (store, news) = open(path, &self.disk, &self.ledger).unwrap();
                    (self.store, self.news) = (Some(store), news);
                }
                _ => self.store().note_opened(name, random.number() >> 20),
            }
            if random.percent(30) && disk_is_well {
                self.wait_saved(&names);
            }
        }
        self.disk.fail(None);
        self.wait_saved(&names);
    }
}

fn open(
    path: &Path,
    disk: &Arc<Disk>,
    ledger: &Arc<Mutex<Ledger>>,
) -> Result<(Store, mpsc::Receiver<()>), StoreError> {
    let (tell, news) = mpsc::channel();
    // Weak, or the store would outlive all who hold it.
    let own: Arc<OnceLock<Weak<Owner>>> = Arc::default();
    let wake = {
        let (own, disk, ledger) = (Arc::clone(&own), Arc::clone(disk), Arc::clone(ledger));
        move || {
            if let Some(owner) = own.get().and_then(Weak::upgrade) {
                // On the store's thread: nothing is told to the disk between promise and note.
                lock(&ledger).hear(disk.length(), &Store { owner });
            }
            tell.send(()).unwrap_or_default();
        }
    };
    let opened = Store::open_with(
        directory(path),
        Follow::Upstream(Some("ws://up")),
        Box::new(wake),
        BUSY,
        no_faults(),
    )?;
    own.set(Arc::downgrade(&opened.store.owner)).unwrap();
    Ok((opened.store, news))
}

/// What the store in a directory shows, without any promise.
pub(super) fn look(path: &Path) -> Result<Store, StoreError> {
    let follow = Follow::Upstream(Some("ws://up"));
    Store::open_with(directory(path), follow, Box::new(|| {}), BUSY, no_faults())
        .map(|opened| opened.store)
}
