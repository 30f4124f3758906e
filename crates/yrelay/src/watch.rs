//! What no socket tells: that the machine has slept, and that another password is there.

use std::rc::Rc;

use yrelay_core::upstream::Event;

use crate::relay::Relay;
use crate::{clock, limits};

/// The two clocks at one moment. While the machine sleeps the wall clock goes on and the monotonic
/// one stands still.
struct Clocks {
    now_ms: u64,
    unix_ms: u64,
}

impl Clocks {
    fn read() -> Self {
        Self { now_ms: clock::now_ms(), unix_ms: clock::unix_ms() }
    }

    /// How long the machine has slept between then and now, in milliseconds. A wall clock that was
    /// set forward looks the same; one that was set back does not matter.
    fn slept_ms(&self, now: &Self) -> Option<u64> {
        let passed = now.now_ms.saturating_sub(self.now_ms);
        let ahead = now.unix_ms.saturating_sub(self.unix_ms).saturating_sub(passed);
        (ahead >= limits::SLEPT_MS).then_some(ahead)
    }
}

impl Relay {
    /// Wakes the link where there is a reason that it cannot see. Costs a look at two clocks every
    /// other second, and at a file while the login is refused, or is
    /// good for little.
    pub(crate) async fn watch(self: Rc<Self>) {
        let mut before = Clocks::read();
        loop {
            clock::sleep(limits::WATCH_MS).await;
            let now = Clocks::read();
            if let Some(ms) = before.slept_ms(&now) {
                tracing::info!(seconds = ms / 1_000, "the machine has slept, or its clock was set");
                self.with(|state, relay| state.link_events(relay, || Event::Woke));
            } else {
                for number in self.links_with_another_login().await {
                    tracing::info!("there is another password to try");
                    self.with(|state, relay| state.login_changed(relay, number));
                }
            }
            before = now;
        }
    }

    async fn links_with_another_login(&self) -> Vec<usize> {
        let doors: Vec<_> = {
            let state = self.state.borrow();
            let links = state.above.iter().enumerate();
            let wanting = links.filter(|(_, link)| link.wants_another_login());
            wanting.map(|(number, link)| (number, link.door.clone())).collect()
        };
        let mut changed = Vec::new();
        for (number, door) in doors {
            if door.has_news().await {
                changed.push(number);
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_told_from_time_that_passes_and_from_clocks_that_are_set_back() {
        let before = Clocks { now_ms: 1_000, unix_ms: 1_700_000_000_000 };
        let slept = |passed: u64, wall: i64| {
            let unix_ms = before.unix_ms.saturating_add_signed(wall);
            before.slept_ms(&Clocks { now_ms: 1_000 + passed, unix_ms })
        };
        assert_eq!(slept(2_000, 2_000), None);
        assert_eq!(slept(2_000, 2_000 + limits::SLEPT_MS as i64 - 1), None);
        assert_eq!(slept(2_000, 2_000 + limits::SLEPT_MS as i64), Some(limits::SLEPT_MS));
        assert_eq!(slept(1_500, 1_500 + 8 * 3_600_000), Some(8 * 3_600_000));
        assert_eq!(slept(60_000, 60_000), None, "stopped, or busy: both clocks go on");
        assert_eq!(slept(2_000, -86_400_000), None);
    }
}
