//! Delays between attempts, and the injected randomness behind them.

use crate::Millis;

/// Pseudo-random numbers from a seed (splitmix64): spread, not secrecy.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `end`, both included.
    pub fn upto(&mut self, end: u64) -> u64 {
        match end.checked_add(1) {
            Some(count) => self.draw() % count,
            None => self.draw(),
        }
    }
}

/// Backoff with full jitter: a random delay up to a third of what was waited so far. So whoever was
/// away for a time is found again within a third of it, and the delays grow exponentially.
#[derive(Debug, Clone)]
pub struct Backoff {
    base_ms: Millis,
    max_ms: Millis,
    waited_ms: Millis,
}

impl Backoff {
    /// The first delays are at most `base_ms`, none is above `max_ms`.
    pub fn new(base_ms: Millis, max_ms: Millis) -> Self {
        Self { base_ms, max_ms, waited_ms: 0 }
    }

    /// The delay before the next attempt.
    pub fn delay(&mut self, random: &mut Random) -> Millis {
        let bound = (self.waited_ms / 3).clamp(self.base_ms, self.max_ms);
        let delay = random.upto(bound);
        self.waited_ms = self.waited_ms.saturating_add(delay);
        delay
    }

    /// An attempt succeeded.
    pub fn reset(&mut self) {
        self.waited_ms = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_with_what_was_waited_up_to_the_maximum_and_reset() {
        let mut random = Random::new(7);
        let mut backoff = Backoff::new(250, 30_000);
        for _ in 0..100 {
            backoff.reset();
            let (mut waited, mut attempts, mut longest) = (0, 0, 0);
            while waited < 600_000 {
                let delay = backoff.delay(&mut random);
                assert!(delay <= (waited / 3).clamp(250, 30_000), "{delay} after {waited}");
                (waited, attempts, longest) = (waited + delay, attempts + 1, longest.max(delay));
            }
            assert!(longest > 20_000, "{longest}");
            assert!((40..150).contains(&attempts), "{attempts} attempts in ten minutes");
        }
    }
}
