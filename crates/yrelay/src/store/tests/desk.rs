//! A store on a desk: appends, waits for outcomes, looks into the file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc;

use super::*;

/// Long enough for any disk; only a failing test waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Writes at once, retries soon.
pub(super) const QUICK: Pace = Pace {
    interval: Duration::from_millis(1),
    move_interval: Duration::ZERO,
    batch_bytes: 4 << 20,
    retry: Duration::from_millis(5),
    retry_max: Duration::from_millis(20),
    wal_frames: 1_000,
};

/// Writes at a full batch or at the end, never because time went by.
pub(super) const fn patient(batch_bytes: u64) -> Pace {
    const NEVER: Duration = Duration::from_secs(3600);
    Pace { interval: NEVER, move_interval: NEVER, batch_bytes, ..QUICK }
}

pub(super) fn id(name: &str) -> DocumentId {
    DocumentId::new(name).unwrap()
}

pub(super) fn directory(path: &Path) -> Place {
    Place::Directory(path.to_owned())
}

pub(super) fn no_faults() -> Probe {
    Box::new(|_, _| Ok(()))
}

/// A store and the latest word on each document.
pub(super) struct Desk {
    pub(super) store: Store,
    pub(super) documents: Vec<Stored>,
    pub(super) wakes: mpsc::Receiver<()>,
    pub(super) seen: HashMap<DocumentId, Outcome>,
}

impl Desk {
    pub(super) fn open(place: Place, upstream: Option<&str>, pace: Pace, probe: Probe) -> Self {
        let (wake, wakes) = mpsc::channel();
        let wake = Box::new(move || wake.send(()).unwrap_or_default());
        let opened =
            Store::open_with(place, Follow::Upstream(upstream), wake, pace, probe).unwrap();
        let Opened { store, documents, .. } = opened;
        Self { store, documents, wakes, seen: HashMap::new() }
    }

    pub(super) fn quick(path: &Path) -> Self {
        Self::open(directory(path), None, QUICK, no_faults())
    }

    pub(super) fn append(&self, document: &DocumentId, seq: u64) {
        self.store.append(document, seq, update(seq), false);
        self.store.write();
    }

    /// Waits until the latest words satisfy the condition.
    pub(super) fn wait(&mut self, mut enough: impl FnMut(&HashMap<DocumentId, Outcome>) -> bool) {
        loop {
            for (document, outcome) in self.store.outcomes() {
                let seen = self.seen.entry(document).or_default();
                if outcome.saved.is_some() || outcome.failed.is_some() {
                    seen.failed = outcome.failed;
                }
                seen.saved = outcome.saved.or(seen.saved);
                seen.compacted = outcome.compacted.or(seen.compacted.take());
            }
            if enough(&self.seen) {
                return;
            }
            self.wakes.recv_timeout(PATIENCE).expect("an outcome");
        }
    }

    pub(super) fn wait_saved(&mut self, document: &DocumentId, seq: u64) {
        self.wait(|seen| {
            seen.get(document).is_some_and(|o| o.saved == Some(seq) && o.failed.is_none())
        });
    }

    pub(super) fn wait_failed(&mut self, document: &DocumentId) -> String {
        self.wait(|seen| seen.get(document).is_some_and(|o| o.failed.is_some()));
        self.seen[document].failed.clone().unwrap()
    }

    pub(super) fn compact(&mut self, document: &DocumentId, upto: u64) -> Result<u64, String> {
        self.store.compact(document, upto, vec![snapshot(upto)]);
        self.wait(|seen| seen.get(document).is_some_and(|o| o.compacted.is_some()));
        self.seen.get_mut(document).unwrap().compacted.take().unwrap()
    }

    pub(super) fn close(self) {
        self.store.close(PATIENCE).unwrap();
    }
}

/// Updates of these tests are numbers, and a snapshot is the numbers it stands for: so every
/// loaded document can be read as the list of what it holds.
pub(super) fn update(seq: u64) -> Bytes {
    Bytes::copy_from_slice(&seq.to_le_bytes())
}

pub(super) fn snapshot(upto: u64) -> Bytes {
    (1..=upto).flat_map(u64::to_le_bytes).collect()
}

pub(super) fn held(loaded: &Loaded) -> Vec<u64> {
    let bytes: Vec<u8> = loaded.updates.iter().flatten().copied().collect();
    bytes.chunks(8).map(|number| u64::from_le_bytes(number.try_into().unwrap())).collect()
}

/// What is in the database, whatever waits for it.
pub(super) fn committed(path: &Path, document: &DocumentId) -> Vec<u64> {
    held(&rows::load(&mut raw(path), document).unwrap().0)
}

pub(super) fn raw(path: &Path) -> Connection {
    Connection::open(path.join("yrelay.db")).unwrap()
}
