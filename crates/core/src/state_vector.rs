//! State vectors: how many clocks of each client a peer holds without a gap.

use crate::decode::{DecodeError, Fault, Reader, put_varuint};
use crate::limits;

/// For each client the first clock not held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateVector {
    /// By client; clocks above zero only.
    entries: Vec<(u64, u32)>,
}

impl StateVector {
    /// Reads the body of a sync step 1.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let count = reader.count(2)?;
        if count > limits::STATE_VECTOR_ENTRIES_MAX {
            return Err(reader.fault(Fault::CountTooLarge));
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let client = reader.varuint()?;
            entries.push((client, reader.clock()?));
        }
        if !reader.is_empty() {
            return Err(reader.fault(Fault::TrailingBytes));
        }
        entries.sort_unstable();
        if entries.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
            return Err(reader.fault(Fault::DuplicateClient));
        }
        entries.retain(|&(_, clock)| clock > 0);
        Ok(Self { entries })
    }

    /// Writes the body of a sync step 1.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + 8 * self.entries.len());
        put_varuint(&mut out, self.entries.len() as u64);
        for &(client, clock) in self.entries.iter().rev() {
            put_varuint(&mut out, client);
            put_varuint(&mut out, u64::from(clock));
        }
        out
    }

    /// The first clock of `client` that is not held.
    pub fn get(&self, client: u64) -> u32 {
        let found = self.entries.binary_search_by_key(&client, |&(client, _)| client);
        found.ok().and_then(|at| self.entries.get(at)).map_or(0, |&(_, clock)| clock)
    }

    /// Whether everything that `other` holds is held here.
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|(client, clock)| clock <= self.get(client))
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Clients and clocks, by client.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        self.entries.iter().copied()
    }
}

impl FromIterator<(u64, u32)> for StateVector {
    /// Of a client that comes twice, the higher clock counts.
    fn from_iter<I: IntoIterator<Item = (u64, u32)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().filter(|&(_, clock)| clock > 0).collect();
        entries.sort_unstable_by(|a, b| b.cmp(a));
        entries.dedup_by_key(|&mut (client, _)| client);
        entries.reverse();
        Self { entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &[u8]) -> Fault {
        StateVector::decode(bytes).unwrap_err().fault
    }

    #[test]
    fn reads_and_writes_entries_in_descending_order() {
        let vector = StateVector::decode(&[3, 1, 5, 200, 1, 7, 9, 0]).unwrap();
        assert_eq!((vector.get(1), vector.get(200), vector.get(9), vector.get(3)), (5, 7, 0, 0));
        assert_eq!(vector.encode(), [2, 200, 1, 7, 1, 5]);
        assert_eq!(StateVector::default().encode(), [0]);
        assert_eq!(vector, [(200, 7), (1, 2), (1, 5), (4, 0)].into_iter().collect());
    }

    #[test]
    fn covers_compares_every_client() {
        let small = StateVector::decode(&[1, 1, 5]).unwrap();
        let large = StateVector::decode(&[2, 1, 5, 2, 1]).unwrap();
        assert!(
            large.covers(&small) && large.covers(&large) && small.covers(&StateVector::default())
        );
        assert!(!small.covers(&large));
        assert!(!StateVector::decode(&[1, 1, 4]).unwrap().covers(&small));
    }

    #[test]
    fn refuses_what_is_malformed() {
        assert_eq!(fault(&[]), Fault::EndOfInput);
        assert_eq!(fault(&[0, 0]), Fault::TrailingBytes);
        assert_eq!(fault(&[2, 1, 1, 1, 2]), Fault::DuplicateClient);
        assert_eq!(fault(&[2, 1, 1, 1, 0]), Fault::DuplicateClient);
        assert_eq!(fault(&[1, 1, 0x80, 0x80, 0x80, 0x80, 8]), Fault::ClockTooLarge);
        assert_eq!(
            StateVector::decode(&[1, 1, 0xff, 0xff, 0xff, 0xff, 7]).unwrap().get(1),
            (1 << 31) - 1
        );
    }

    #[test]
    fn count_bombs_cost_nothing() {
        assert_eq!(fault(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Fault::CountTooLarge);
        assert_eq!(fault(&[0x80, 0xc2, 0xd7, 0x2f]), Fault::CountTooLarge);
        assert_eq!(fault(&[2, 1, 1, 1]), Fault::CountTooLarge);
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        for (count, accepted) in [
            (limits::STATE_VECTOR_ENTRIES_MAX, true),
            (limits::STATE_VECTOR_ENTRIES_MAX + 1, false),
        ] {
            let mut bytes = Vec::new();
            put_varuint(&mut bytes, count as u64);
            for client in 0..count {
                put_varuint(&mut bytes, client as u64);
                bytes.push(1);
            }
            assert_eq!(StateVector::decode(&bytes).is_ok(), accepted);
        }
    }
}
