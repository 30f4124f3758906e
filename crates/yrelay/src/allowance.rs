//! How fast another machine may go. Beyond that it is read more slowly, and nothing is lost.

use std::net::SocketAddr;

use crate::config::{Rate, Strangers};
use crate::{clock, limits};

/// So much a second, and so much more at once after a rest.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Allowance {
    /// For programs of this machine.
    Endless,
    /// For all others.
    Limited(Bucket),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    rate: Rate,
    /// In thousandths, so that a millisecond gives back whole ones.
    spent: u64,
    at: u64,
}

impl Allowance {
    /// What may come in from there.
    pub(crate) fn of_bytes(strangers: &Strangers, address: SocketAddr) -> Self {
        Self::of(strangers, address, strangers.bytes)
    }

    /// Documents that a link from there may join.
    pub(crate) fn of_joins(strangers: &Strangers, address: SocketAddr) -> Self {
        Self::of(strangers, address, strangers.joins)
    }

    fn of(strangers: &Strangers, address: SocketAddr, rate: Rate) -> Self {
        match strangers.include(address.ip()) {
            true => Self::Limited(Bucket { rate, spent: 0, at: clock::now_ms() }),
            false => Self::Endless,
        }
    }

    /// Takes what a message costs, and waits for as long as that is too much.
    pub(crate) async fn spend_on(&mut self, message: &[u8]) {
        let wait_ms = self.wait_ms(message.len() as u64 + limits::PEER_MESSAGE_BYTES);
        if wait_ms > 0 {
            clock::sleep(wait_ms).await;
        }
    }

    /// Takes so much. Returns for how long that is too much.
    pub(crate) fn wait_ms(&mut self, amount: u64) -> u64 {
        match self {
            Self::Endless => 0,
            Self::Limited(bucket) => bucket.take(clock::now_ms(), amount),
        }
    }
}

impl Bucket {
    fn take(&mut self, now: u64, amount: u64) -> u64 {
        let regained = (now - self.at).saturating_mul(self.rate.per_second);
        self.at = now;
        self.spent = self.spent.saturating_sub(regained) + amount * 1_000;
        self.spent.saturating_sub(self.rate.burst * 1_000) / self.rate.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_comes_at_once_and_the_rest_at_its_pace() {
        let mut bucket = Bucket { rate: Rate { per_second: 100, burst: 400 }, spent: 0, at: 0 };
        assert_eq!(bucket.take(0, 399), 0);
        assert_eq!(bucket.take(0, 1), 0);
        assert_eq!(bucket.take(0, 1), 10, "one too much");
        assert_eq!(bucket.take(10, 100), 1_000);
        // A rest gives it all back, and no more than that.
        assert_eq!(bucket.take(1_000_000, 400), 0);
        assert_eq!(bucket.take(1_000_000, 1), 10);
    }

    #[test]
    fn what_takes_less_than_a_millisecond_adds_up() {
        let mut bucket = Bucket { rate: Rate { per_second: 10_000, burst: 0 }, spent: 0, at: 0 };
        let waited: u64 = (0..1_000).fold(0, |now, _| now + bucket.take(now, 1));
        assert!((90..=101).contains(&waited), "{waited}");
    }
}
