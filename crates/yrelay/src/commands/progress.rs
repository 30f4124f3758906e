//! How far it is, for who looks on: one line at a terminal, written over itself.

use std::io::{self, IsTerminal as _, Write as _};

use yrelay::clock;

/// No more often than this.
pub(super) const PERIOD_MS: u64 = 200;

pub(super) struct Progress {
    shows: bool,
    shown_at: u64,
    is_shown: bool,
}

impl Progress {
    /// At a terminal it shows what it is told, and not what is done in a moment.
    pub(super) fn new() -> Self {
        Self { shows: io::stderr().is_terminal(), shown_at: clock::now_ms(), is_shown: false }
    }

    pub(super) fn show(&mut self, line: &str) {
        let now = clock::now_ms();
        if self.shows && now >= self.shown_at + PERIOD_MS {
            self.shown_at = now;
            self.is_shown = true;
            // Back to the first column, and clear what is behind.
            let _ = write!(io::stderr(), "\r{line}\x1b[K");
        }
    }

    /// Makes place for a line that stays.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
