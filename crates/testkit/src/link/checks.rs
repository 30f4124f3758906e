//! What is always true of a link.

use yrelay_core::Millis;
use yrelay_core::event::Dialect;
use yrelay_core::upstream::LinkState;

use super::Link;
use super::lines::Line;

impl Link {
    /// What stood before a long sleep is not trusted after it.
    pub(crate) fn assert_anew_since(&self, woke_at: Millis) {
        let shared = self.connection.iter().map(|connection| connection.opened_at);
        for opened_at in shared.chain(self.lines.values().filter_map(Line::opened_at)) {
            assert!(opened_at >= woke_at, "woke at {woke_at}, and goes on");
        }
    }

    /// What it says of itself is so.
    pub(crate) fn assert_truthful(&self, now: Millis) {
        if self.has_lines() {
            return self.assert_lines_truthful(now);
        }
        let (state, reason) = (self.machine.state(), self.machine.reason());
        let found = (self.connection.is_some(), self.attempt.is_some());
        let expected = match state {
            LinkState::Online => (true, false),
            LinkState::Connecting => (false, true),
            LinkState::Idle => {
                assert!(self.dialect == Dialect::Hocuspocus, "others need not be used");
                (false, false)
            }
            LinkState::Offline { next_try } | LinkState::Unauthorized { next_try } => {
                assert!(next_try >= now, "{state:?} and nobody tries at {now}");
                (false, false)
            }
        };
        assert_eq!(found, expected, "{state:?}, but the connection and the attempt are (left)");
        let tried = self.attempts > 0 && !matches!(state, LinkState::Connecting);
        let well = matches!(state, LinkState::Online | LinkState::Idle);
        let explained = reason.is_some() != well;
        assert!(!tried || explained, "{state:?} because of {reason:?}");
    }
}
