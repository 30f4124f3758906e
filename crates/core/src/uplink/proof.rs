//! When to ask the upstream what it holds.

use crate::{Millis, limits};

/// When to ask what the upstream holds.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// The first and the last change since it was asked.
    changed: Option<(Millis, Millis)>,
    asked_at: Millis,
    /// Proofs in a row that fell short.
    failures: u32,
}

/// A proof that fell short is repeated after the quiet time, doubled so often at most.
const PROOF_DOUBLINGS_MAX: u32 = 5;

impl Proof {
    pub(super) fn asked_at(&self) -> Millis {
        self.asked_at
    }

    pub(super) fn due(&self) -> Option<Millis> {
        let (first, last) = self.changed?;
        let busy = first.max(self.asked_at) + limits::PROOF_BUSY_MS;
        Some((last + limits::PROOF_QUIET_MS).min(busy))
    }

    pub(super) fn changed(&mut self, now: Millis) {
        let first = self.changed.map_or(now, |(first, _)| first);
        self.changed = Some((first, now));
        self.failures = 0;
    }

    /// The upstream was asked.
    pub(super) fn asked(&mut self, now: Millis) {
        self.asked_at = now;
        self.changed = None;
    }

    /// It answered; where that falls short it is asked again, less and less often.
    pub(super) fn judge(&mut self, now: Millis, proven: bool) {
        if proven {
            self.failures = 0;
        } else {
            let wait = limits::PROOF_QUIET_MS << self.failures.min(PROOF_DOUBLINGS_MAX);
            let since = now + wait - limits::PROOF_QUIET_MS;
            self.changed = Some((since, since));
            self.failures += 1;
        }
    }
}
