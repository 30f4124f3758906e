//! A wall clock for one program, which jumps when the test says so.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::install;

/// The wall clock of a program under libfaketime. Its monotonic clock is the machine's: that is
/// how a machine that has slept looks to the programs on it.
pub(crate) struct Clock {
    home: TempDir,
    ahead_ms: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        let home = TempDir::new().expect("temporary directories can be made");
        let clock = Clock { home, ahead_ms: AtomicU64::new(0) };
        clock.jump(Duration::ZERO);
        clock
    }

    /// Lets `command` see this clock.
    pub(crate) fn show(&self, command: &mut Command) {
        command.env("LD_PRELOAD", install::clock_library());
        command.env("FAKETIME_TIMESTAMP_FILE", self.file());
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        // Its fix is for monotonic clocks that are faked.
        command.env("FAKETIME_FORCE_MONOTONIC_FIX", "0");
    }

    pub(crate) fn jump(&self, ahead: Duration) {
        let ahead_ms = u64::try_from(ahead.as_millis()).expect("nobody sleeps for so long");
        let ahead_ms = self.ahead_ms.fetch_add(ahead_ms, Ordering::Relaxed) + ahead_ms;
        // It is read at any time: the file is replaced, not rewritten.
        let fresh = self.home.path().join("fresh");
        let text = format!("+{}.{:03}", ahead_ms / 1000, ahead_ms % 1000);
        let written = fs::write(&fresh, text).and_then(|()| fs::rename(fresh, self.file()));
        written.expect("temporary directories are writable");
    }

    /// How far it is ahead of the machine's.
    pub(crate) fn ahead_ms(&self) -> u64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("clock")
    }
}
