//! How long a server that does not let us in is to be left alone.

use yrelay_core::upstream::{Event, Failure};
use yrelay_core::{Millis, limits};

/// Until when, and how it refused.
#[derive(Debug, Default)]
pub(crate) struct Refused(Option<(Millis, Failure)>);

impl Refused {
    /// Something happens to the link. Who slept may be elsewhere now, and tries at once.
    pub(crate) fn note(&mut self, now: Millis, event: &Event) {
        match event {
            Event::Failed { failure, .. } => self.refuse(now, *failure),
            Event::Closed { code: Some(4401), .. } => self.refuse(now, Failure::Unauthorized),
            Event::LoginChanged => {
                self.0.take_if(|(_, failure)| *failure == Failure::Unauthorized);
            }
            Event::Woke | Event::Connected => self.0 = None,
            _ => {}
        }
    }

    fn refuse(&mut self, now: Millis, failure: Failure) {
        let wait = match failure {
            Failure::Unreachable => return,
            Failure::Busy { retry_after_ms } => retry_after_ms.min(limits::UPSTREAM_BUSY_MS_MAX),
            Failure::Unauthorized | Failure::Refused => limits::UPSTREAM_UNAUTHORIZED_MS,
        };
        self.0 = Some((now + wait, failure));
    }

    pub(crate) fn assert_over(&self, now: Millis) {
        if let Some((until, failure)) = self.0 {
            assert!(now >= until, "tried at {now}, but {failure:?} until {until}");
        }
    }
}
