//! How much of a document goes up in one message: about what the link carries in half a second, so
//! that others and the answers to pings do not wait for long; and where it is fast much, since
//! servers take longer over many messages than over large ones.

use yrelay_core::limits::CHUNK_BYTES_MAX;

use crate::outbox::Outbox;
use crate::{clock, limits};

/// Grows and shrinks with the time that messages take to leave.
pub(crate) struct Pace {
    bytes_max: usize,
    /// The last message, if how long it takes says anything.
    pulled: usize,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { bytes_max: limits::LINK_PULL_BYTES, pulled: 0 }
    }

    /// The largest message that should be queued next.
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// A message of so many bytes was queued, and somebody waits for it to leave.
    pub(crate) fn pulled(&mut self, bytes: usize) {
        self.pulled = bytes;
    }

    /// Nobody waits: when it leaves will not be noticed.
    pub(crate) fn rest(&mut self) {
        self.pulled = 0;
    }

    /// Waits until there is room for the next message.
    pub(crate) async fn wait_for_room(&mut self, outbox: &Outbox) {
        if outbox.has_room() {
            self.rest();
            return;
        }
        let since = clock::now_ms();
        outbox.room().await;
        self.drained(clock::now_ms() - since);
    }

    /// It has left, after so long. Small ones say nothing.
    pub(crate) fn drained(&mut self, ms: u64) {
        if std::mem::take(&mut self.pulled) < self.bytes_max / 2 {
            return;
        }
        if ms <= limits::LINK_FAST_MS {
            self.bytes_max = (self.bytes_max * 2).min(CHUNK_BYTES_MAX);
        } else if ms >= limits::LINK_SLOW_MS {
            self.bytes_max = (self.bytes_max / 2).max(limits::LINK_PULL_BYTES_MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A backlog over a link of so many bytes a second; how large its messages become.
    fn settles_at(pace: &mut Pace, rate: usize) -> usize {
        let mut queued = 0;
        for _ in 0..60 {
            if queued <= limits::LINK_ROOM_BYTES {
                pace.rest();
            } else {
                let leaves = queued - limits::LINK_ROOM_BYTES;
                pace.drained((leaves * 1_000 / rate) as u64);
                queued -= leaves;
            }
            queued += pace.bytes_max();
            pace.pulled(pace.bytes_max());
        }
        pace.bytes_max()
    }

    #[test]
    fn messages_are_as_large_as_the_link_is_fast() {
        let mut pace = Pace::new();
        assert_eq!(settles_at(&mut pace, 100_000_000), CHUNK_BYTES_MAX);
        assert_eq!(settles_at(&mut pace, 5_000), limits::LINK_PULL_BYTES_MIN);
        let medium = settles_at(&mut pace, 200_000);
        assert!((16_000..100_000).contains(&medium), "{medium}");
    }

    #[test]
    fn small_messages_and_those_that_nobody_waits_for_say_nothing() {
        let mut pace = Pace::new();
        for _ in 0..20 {
            pace.pulled(60);
            pace.drained(0);
            pace.pulled(limits::LINK_PULL_BYTES);
            pace.rest();
            pace.drained(0);
        }
        assert_eq!(pace.bytes_max(), limits::LINK_PULL_BYTES);
    }
}
