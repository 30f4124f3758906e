//! What a disk was told, played again: what is seen of its files, what is surely on it, and what
//! may be there after a power cut.

use std::collections::BTreeMap;

use crate::image::Image;
use crate::random::Random;

/// What a disk loses or tears is no smaller than this.
const SECTOR_BYTES: usize = 512;

/// Something that a disk was told. Files are numbers, as one name may be given to one file after
/// the other.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Create {
        name: String,
        file: usize,
    },
    Write {
        file: usize,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: usize,
        length: usize,
    },
    Sync {
        file: usize,
        with_names: bool,
    },
    /// Said to have failed: nobody knows what of it happened.
    SyncFailed {
        file: usize,
    },
    Delete {
        name: String,
        synced: bool,
    },
    Rename {
        from: String,
        to: String,
    },
    SyncNames,
}

/// How much of what was not synced a power cut takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All of it.
    All,
    /// Nothing: as if only the process had died.
    Nothing,
    /// By chance, sector by sector; and some are garbage.
    Some,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { length: usize },
}

#[derive(Debug, Clone, Default)]
struct File {
    /// In the page cache: what programs read.
    seen: Vec<u8>,
    /// Surely on the disk.
    durable: Vec<u8>,
    /// Neither surely there nor surely not.
    pending: Vec<Change>,
}

/// The state of a disk at some point of what it was told.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    files: Vec<File>,
    seen_names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Names given and taken since the directory was last synced, in steps that are not torn.
    pending_names: Vec<Vec<(String, Option<usize>)>>,
}

impl Replay {
    /// A disk that holds these files, all of them synced.
    pub(crate) fn of(image: &Image) -> Self {
        let mut state = Self::default();
        for (name, bytes) in &image.0 {
            let file = state.files.len();
            let (seen, durable) = (bytes.clone(), bytes.clone());
            state.files.push(File { seen, durable, pending: Vec::new() });
            state.seen_names.insert(name.clone(), file);
            state.durable_names.insert(name.clone(), file);
        }
        state
    }

    pub(crate) fn names(&self) -> &BTreeMap<String, usize> {
        &self.seen_names
    }

    pub(crate) fn files(&self) -> usize {
        self.files.len()
    }

    /// One step on. Chance decides what a failed sync has done.
    pub(crate) fn step(&mut self, told: &Told, random: &mut Random) {
        match told {
            Told::Create { name, file } => {
                self.files.resize_with(self.files.len().max(file + 1), File::default);
                self.seen_names.insert(name.clone(), *file);
                self.pending_names.push(vec![(name.clone(), Some(*file))]);
            }
            Told::Write { file, at, bytes } => {
                let file = &mut self.files[*file];
                put(&mut file.seen, *at, bytes);
                file.pending.push(Change::Write { at: *at, bytes: bytes.clone() });
            }
            Told::Truncate { file, length } => {
                let file = &mut self.files[*file];
                file.seen.resize(*length, 0);
                file.pending.push(Change::Truncate { length: *length });
            }
            Told::Sync { file, with_names } => {
                let file = &mut self.files[*file];
                for change in std::mem::take(&mut file.pending) {
                    apply(&mut file.durable, &change);
                }
                if *with_names {
                    self.sync_names();
                }
            }
            Told::SyncFailed { file } => {
                let file = &mut self.files[*file];
                for change in std::mem::take(&mut file.pending) {
                    apply_some(&mut file.durable, &change, 50, 0, random);
                }
            }
            Told::Delete { name, synced } => {
                self.seen_names.remove(name);
                self.pending_names.push(vec![(name.clone(), None)]);
                if *synced {
                    self.sync_names();
                }
            }
            Told::Rename { from, to } => {
                let file = self.seen_names.remove(from);
                name_it(&mut self.seen_names, to.clone(), file);
                self.pending_names.push(vec![(from.clone(), None), (to.clone(), file)]);
            }
            Told::SyncNames => self.sync_names(),
        }
    }

    fn sync_names(&mut self) {
        for (name, file) in std::mem::take(&mut self.pending_names).into_iter().flatten() {
            name_it(&mut self.durable_names, name, file);
        }
    }

    /// The files after the power went.
    pub fn cut(&self, loss: Loss, random: &mut Random) -> Image {
        let (kept, garbage) = match loss {
            Loss::All => (0, 0),
            Loss::Nothing => (100, 0),
            Loss::Some => ([10, 50, 90][random.below(3)], [0, 3][random.below(2)]),
        };
        let mut names = self.durable_names.clone();
        for step in &self.pending_names {
            if random.percent(kept) {
                for (name, file) in step {
                    name_it(&mut names, name.clone(), *file);
                }
            }
        }
        let content = |file: usize, random: &mut Random| {
            let File { durable, pending, .. } = &self.files[file];
            let mut bytes = durable.clone();
            for change in pending {
                apply_some(&mut bytes, change, kept, garbage, random);
            }
            bytes
        };
        Image(names.into_iter().map(|(name, file)| (name, content(file, random))).collect())
    }

    /// The files as programs see them, whatever is on the disk.
    pub fn seen(&self) -> Image {
        let content = |file: &usize| self.files[*file].seen.clone();
        Image(self.seen_names.iter().map(|(name, file)| (name.clone(), content(file))).collect())
    }
}

fn name_it(names: &mut BTreeMap<String, usize>, name: String, file: Option<usize>) {
    match file {
        Some(file) => drop(names.insert(name, file)),
        None => drop(names.remove(&name)),
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    content.resize(content.len().max(at + bytes.len()), 0);
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { at, bytes } => put(content, *at, bytes),
        Change::Truncate { length } => content.resize(*length, 0),
    }
}

/// A part of a change, in sectors of the file; some of it may be garbage instead.
fn apply_some(
    content: &mut Vec<u8>,
    change: &Change,
    kept: u64,
    garbage: u64,
    random: &mut Random,
) {
    let (mut at, mut bytes) = match change {
        Change::Truncate { .. } if !random.percent(kept) => return,
        Change::Truncate { .. } => return apply(content, change),
        Change::Write { at, bytes } => (*at, &bytes[..]),
    };
    while !bytes.is_empty() {
        let (sector, rest) = bytes.split_at(bytes.len().min(SECTOR_BYTES - at % SECTOR_BYTES));
        if random.percent(garbage) {
            let mut noise = vec![0; sector.len()];
            random.fill(&mut noise);
            put(content, at, &noise);
        } else if random.percent(kept) {
            put(content, at, sector);
        }
        at += sector.len();
        bytes = rest;
    }
}
