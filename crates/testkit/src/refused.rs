//! How long a server that does not let us in is to be left alone.

use yrelay_core::upstream::{Event, Failure};
use yrelay_core::{Millis, limits};

/// Until when, and how it refused.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    until: Option<(Millis, Failure)>,
    connected_at: Millis,
    /// It has withdrawn a login, and another may be tried once.
    renewed: bool,
}

impl Refused {
    /// Something happens to the link. Who slept may be elsewhere now, and tries at once.
    pub(crate) fn note(&mut self, now: Millis, event: &Event) {
        match event {
            Event::Failed { failure, .. } => self.refuse(now, *failure),
            Event::Closed { code, .. } => self.closed(now, *code),
            Event::LoginChanged => {
                self.until.take_if(|(_, failure)| {
                    matches!(failure, Failure::Unauthorized | Failure::Refused)
                });
            }
            Event::Woke => self.until = None,
            Event::Connected => {
                self.until = None;
                self.connected_at = now;
            }
            _ => {}
        }
    }

    fn closed(&mut self, now: Millis, code: Option<u16>) {
        let was_stable = now >= self.connected_at + limits::UPSTREAM_STABLE_MS;
        let renewed = self.renewed && !was_stable;
        self.renewed = renewed || code == Some(4401);
        match code {
            Some(4401) if renewed => self.refuse(now, Failure::Unauthorized),
            Some(4401 | 4408) => {}
            Some(4400..=4499) => self.refuse(now, Failure::Refused),
            _ => {}
        }
    }

    fn refuse(&mut self, now: Millis, failure: Failure) {
        let wait = match failure {
            Failure::Unreachable => return,
            Failure::Busy { retry_after_ms } => retry_after_ms.min(limits::UPSTREAM_BUSY_MS_MAX),
            Failure::Unauthorized | Failure::Refused => limits::UPSTREAM_UNAUTHORIZED_MS,
        };
        self.until = Some((now + wait, failure));
    }

    pub(crate) fn assert_over(&self, now: Millis) {
        if let Some((until, failure)) = self.until {
            assert!(now >= until, "tried at {now}, but {failure:?} until {until}");
        }
    }
}
