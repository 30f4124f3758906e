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

/// Exponential backoff with full jitter: a random delay up to a bound that doubles.
#[derive(Debug, Clone)]
pub struct Backoff {
    base_ms: Millis,
    max_ms: Millis,
    attempts: u32,
}

impl Backoff {
    /// The first delay is at most `base_ms`, none is above `max_ms`.
    pub fn new(base_ms: Millis, max_ms: Millis) -> Self {
        Self { base_ms, max_ms, attempts: 0 }
    }

    /// The delay before the next attempt.
    pub fn delay(&mut self, random: &mut Random) -> Millis {
        let bound = self.base_ms.saturating_mul(1 << self.attempts.min(32)).min(self.max_ms);
        self.attempts += 1;
        random.upto(bound)
    }

    /// An attempt succeeded.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_maximum_and_reset() {
        let mut random = Random::new(7);
        let mut backoff = Backoff::new(250, 30_000);
        let mut longest = [0; 12];
        for _ in 0..200 {
            backoff.reset();
            for longest in &mut longest {
                *longest = backoff.delay(&mut random).max(*longest);
            }
        }
        for (attempt, longest) in longest.into_iter().enumerate() {
            let bound = (250u64 << attempt).min(30_000);
            assert!(longest <= bound && longest > bound / 2, "attempt {attempt}: {longest}");
        }
    }
}
