//! Pseudo-random numbers (splitmix64).

use std::thread;
use std::time::Duration;

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// Lets a random time pass: whatever happens next, happens at any moment.
    pub(crate) fn pause(&mut self, max: Duration) {
        let micros = self.below(usize::try_from(max.as_micros()).unwrap());
        thread::park_timeout(Duration::from_micros(micros as u64));
    }
}
