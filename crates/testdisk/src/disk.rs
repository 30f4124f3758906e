//! One directory under watch: what is told to it is written down, and may fail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::image::Image;
use crate::random::Random;
use crate::replay::{Replay, Told};
use crate::vfs;

/// Which calls fail. They are numbered from 0 since [`Disk::fail`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This one, and the next ones up to so many in all: an I/O error.
    Calls {
        /// The first.
        from: u64,
        /// How many.
        count: u64,
    },
    /// Whatever makes a file longer, from this call on: no space left.
    Full {
        /// The first.
        from: u64,
    },
    /// Every sync.
    Syncs,
}

/// What SQLite asks a disk for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Sync,
    Grow,
    Other,
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Well,
    IoError,
    Full,
}

/// A directory under watch, until this is dropped.
#[derive(Debug)]
pub struct Disk(Arc<Watched>);

#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) directory: PathBuf,
    begin: Replay,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    told: Vec<Told>,
    names: BTreeMap<String, usize>,
    files: usize,
    fault: Option<Fault>,
    calls: u64,
    failed: u64,
}

impl Drop for Disk {
    fn drop(&mut self) {
        vfs::unwatch(&self.0);
    }
}

impl Disk {
    /// Watches a directory. All that is in it counts as synced.
    pub fn watch(directory: &Path) -> std::io::Result<Self> {
        let begin = Replay::of(&Image::read(directory)?);
        Ok(Self::watch_from(directory, begin))
    }

    /// Watches a directory in which a process has died: its files are as that one saw them, but
    /// what it had not synced still is not, nor ever will be what failed to be.
    pub fn after_death(directory: &Path, of: Replay) -> std::io::Result<Self> {
        of.seen().write(directory)?;
        Ok(Self::watch_from(directory, of))
    }

    fn watch_from(directory: &Path, begin: Replay) -> Self {
        let (names, files) = (begin.names().clone(), begin.files());
        let state = Mutex::new(State { names, files, ..State::default() });
        let watched = Arc::new(Watched { directory: directory.to_owned(), begin, state });
        vfs::watch(&watched);
        Self(watched)
    }

    /// From here on calls fail so, or not any more. Counts them anew.
    pub fn fail(&self, fault: Option<Fault>) {
        let mut state = self.0.state();
        state.fault = fault;
        state.calls = 0;
        state.failed = 0;
    }

    /// How many calls there were since [`Disk::fail`].
    pub fn calls(&self) -> u64 {
        self.0.state().calls
    }

    /// How many of them failed.
    pub fn failed(&self) -> u64 {
        self.0.state().failed
    }

    /// How much it was told so far.
    pub fn length(&self) -> usize {
        self.0.state().told.len()
    }

    /// Its state after each step of what it was told, from the first to the last. Ends when `look`
    /// says so.
    pub fn replay(&self, random: &mut Random, mut look: impl FnMut(usize, &Replay) -> bool) {
        let told = self.0.state().told.clone();
        let mut replay = self.0.begin.clone();
        for (at, step) in told.iter().enumerate() {
            if !look(at, &replay) {
                return;
            }
            replay.step(step, random);
        }
        look(told.len(), &replay);
    }

    /// Its state after so many steps.
    pub fn at(&self, length: usize, random: &mut Random) -> Replay {
        let mut state = Replay::default();
        self.replay(random, |at, replay| {
            if at == length {
                state = replay.clone();
            }
            at < length
        });
        state
    }
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and says how it ends.
    pub(crate) fn fate(&self, call: Call) -> Fate {
        let mut state = self.state();
        let number = state.calls;
        state.calls += 1;
        let fate = match state.fault {
            Some(Fault::Calls { from, count })
                if number >= from && number < from.saturating_add(count) =>
            {
                Fate::IoError
            }
            Some(Fault::Full { from }) if number >= from && call == Call::Grow => Fate::Full,
            Some(Fault::Syncs) if call == Call::Sync => Fate::IoError,
            _ => Fate::Well,
        };
        state.failed += u64::from(fate != Fate::Well);
        fate
    }

    /// The number of the file of a name; it is made if there is none.
    pub(crate) fn file(&self, name: &str) -> usize {
        let mut state = self.state();
        if let Some(file) = state.names.get(name) {
            return *file;
        }
        let file = state.files;
        state.files += 1;
        state.names.insert(name.to_owned(), file);
        state.told.push(Told::Create { name: name.to_owned(), file });
        file
    }

    /// Does something and writes it down if it went well, all in one.
    pub(crate) fn tell(&self, act: impl FnOnce() -> i32, told: impl FnOnce() -> Told) -> i32 {
        let mut state = self.state();
        let code = act();
        if code == 0 {
            let told = told();
            match &told {
                Told::Delete { name, .. } => drop(state.names.remove(name)),
                Told::Rename { from, to } => {
                    if let Some(file) = state.names.remove(from) {
                        state.names.insert(to.clone(), file);
                    }
                }
                _ => {}
            }
            state.told.push(told);
        }
        code
    }
}
