//! FNV-1a, 128 bits wide: against chance, not against whoever can write the document, who needs no
//! collision to spoil it.

/// A digest of what it is fed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fnv(u128);

impl Fnv {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    pub(crate) fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(Self::PRIME);
        }
    }

    pub(crate) fn digest(self) -> u128 {
        self.0
    }

    /// Of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> u128 {
        let mut fnv = Self::new();
        fnv.feed(bytes);
        fnv.digest()
    }
}
