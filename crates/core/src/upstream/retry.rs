//! How a server stands, and when it is tried again.

use super::{Action, Failure, LinkState};
use crate::backoff::{Backoff, Random};
use crate::{Millis, limits};

/// How the server stands.
#[derive(Debug)]
pub(super) struct Retry {
    pub(super) state: LinkState,
    /// Why it is not online.
    pub(super) reason: Option<String>,
    backoff: Backoff,
    random: Random,
    tried_at: Millis,
    /// The server has asked not to be tried before.
    not_before: Millis,
    online_at: Millis,
    /// It has withdrawn a login, and another was fetched since.
    renewed: bool,
}

/// What a close code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing that would not pass.
    Passing,
    /// The login is not valid any more.
    Denied,
    /// "Do not come back."
    Refused,
}

impl Verdict {
    /// y-websocket's rule: 44xx is for ever, 45xx for a time. Hocuspocus says 4408 after a silence.
    pub(super) fn of(code: Option<u16>) -> Self {
        match code {
            Some(4401) => Self::Denied,
            Some(4408) => Self::Passing,
            Some(4400..=4499) => Self::Refused,
            _ => Self::Passing,
        }
    }
}

impl Retry {
    /// One that is to be tried now.
    pub(super) fn new(now: Millis, state: LinkState, seed: u64) -> Self {
        Self {
            state,
            reason: None,
            backoff: Backoff::new(limits::UPSTREAM_BACKOFF_MS, limits::UPSTREAM_BACKOFF_MS_MAX),
            random: Random::new(seed),
            tried_at: now,
            not_before: now,
            online_at: now,
            renewed: false,
        }
    }

    /// Somebody waits: now is a time to try, unless it was tried just now. Returns whether it is
    /// to be tried at once.
    pub(super) fn hurry(&mut self, now: Millis, actions: &mut Vec<Action>) -> bool {
        let LinkState::Offline { next_try } = &mut self.state else { return false };
        let soon = self.not_before.max(self.tried_at + limits::UPSTREAM_HURRY_MS);
        if now < soon && soon < *next_try {
            *next_try = soon;
            actions.push(Action::WakeAt { at: soon });
        }
        now >= soon
    }

    /// The network is another one.
    pub(super) fn renew(&mut self) {
        self.backoff.reset();
    }

    /// Whether it is to be tried now; if later, that is asked for.
    pub(super) fn is_due(&self, now: Millis, actions: &mut Vec<Action>) -> bool {
        match self.state {
            LinkState::Offline { next_try } | LinkState::Unauthorized { next_try } => {
                if next_try > now {
                    actions.push(Action::WakeAt { at: next_try });
                }
                next_try <= now
            }
            LinkState::Idle | LinkState::Connecting | LinkState::Online => false,
        }
    }

    pub(super) fn tries(&mut self, now: Millis) {
        self.tried_at = now;
        self.state = LinkState::Connecting;
    }

    pub(super) fn connected(&mut self, now: Millis) {
        self.state = LinkState::Online;
        self.reason = None;
        self.online_at = now;
        self.not_before = now;
    }

    /// Nobody needs it. Whoever does has it tried at once.
    pub(super) fn unneeded(&mut self) {
        self.state = LinkState::Idle;
        self.reason = None;
        self.backoff.reset();
    }

    pub(super) fn failed(
        &mut self,
        now: Millis,
        failure: Failure,
        reason: String,
        actions: &mut Vec<Action>,
    ) {
        self.reason = Some(reason);
        let at = match failure {
            Failure::Unreachable => now + self.delay(),
            Failure::Busy { retry_after_ms } => {
                let wait = retry_after_ms.min(limits::UPSTREAM_BUSY_MS_MAX);
                self.not_before = now + wait;
                self.not_before + self.delay()
            }
            Failure::Unauthorized | Failure::Refused => now + limits::UPSTREAM_UNAUTHORIZED_MS,
        };
        self.state = match failure {
            Failure::Unreachable | Failure::Busy { .. } => LinkState::Offline { next_try: at },
            Failure::Unauthorized | Failure::Refused => LinkState::Unauthorized { next_try: at },
        };
        actions.push(Action::WakeAt { at });
    }

    /// A connection that stood since then has ended with this code: what kind of failure that is.
    /// A login that is withdrawn gets one more try with a fresh one.
    pub(super) fn ended(&mut self, now: Millis, since: Millis, code: Option<u16>) -> Failure {
        // A server that lets in and hangs up at once is not to be hurried.
        if now >= since + limits::UPSTREAM_STABLE_MS {
            self.backoff.reset();
            self.renewed = false;
        }
        match Verdict::of(code) {
            Verdict::Passing => Failure::Unreachable,
            Verdict::Denied if !std::mem::replace(&mut self.renewed, true) => Failure::Unreachable,
            Verdict::Denied => Failure::Unauthorized,
            Verdict::Refused => Failure::Refused,
        }
    }

    /// Since when the connection that there is stands.
    pub(super) fn online_at(&self) -> Millis {
        self.online_at
    }

    pub(super) fn delay(&mut self) -> Millis {
        self.backoff.delay(&mut self.random)
    }

    /// A delay of one document's own.
    pub(super) fn delay_of(&mut self, backoff: &mut Backoff) -> Millis {
        backoff.delay(&mut self.random)
    }
}
