//! How much is held beyond gaps: what nobody can read before something else comes.

use std::ops::{Add, Range, Sub};

use super::Replica;
use crate::limits;

/// An amount of structs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pending {
    /// How many.
    pub structs: usize,
    /// How long they are together.
    pub bytes: usize,
}

impl Pending {
    /// Whether no more is to be taken in until a gap is filled.
    pub fn is_full(self) -> bool {
        self.structs >= limits::PENDING_STRUCTS_MAX || self.bytes >= limits::PENDING_BYTES_MAX
    }
}

impl Add for Pending {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { structs: self.structs + other.structs, bytes: self.bytes + other.bytes }
    }
}

impl Sub for Pending {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { structs: self.structs - other.structs, bytes: self.bytes - other.bytes }
    }
}

impl Replica {
    /// The structs of a client in this range, of which none is cut by its ends.
    pub(super) fn amount(&self, client: u64, range: Range<u32>) -> Pending {
        let structs = self.clients.get(&client).into_iter();
        let amounts = structs
            .flat_map(|structs| structs.over(range.clone()))
            .map(|stored| Pending { structs: 1, bytes: stored.raw.len() });
        amounts.fold(Pending::default(), Pending::add)
    }

    /// Counts anew.
    pub(super) fn count_pending(&self) -> Pending {
        let gapped = self.clients.keys().filter(|client| self.is_gapped(**client));
        let amounts = gapped.map(|&client| self.amount(client, self.settled(client)..u32::MAX));
        amounts.fold(Pending::default(), Pending::add)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::put_varuint;
    use crate::replica::Compaction;
    use crate::update::Update;

    /// Collected structs of one client, of these lengths, one after the other.
    fn update(client: u8, clock: u32, lengths: &[u32]) -> Update {
        let mut bytes = vec![1, lengths.len() as u8, client];
        put_varuint(&mut bytes, clock.into());
        for length in lengths {
            bytes.push(0);
            put_varuint(&mut bytes, (*length).into());
        }
        bytes.push(0);
        Update::parse(bytes.into()).unwrap()
    }

    fn updates() -> impl Strategy<Value = Vec<(u8, u32, Vec<u32>, bool)>> {
        let lengths = prop::collection::vec(1u32..5, 1..4);
        prop::collection::vec((1u8..3, 0u32..40, lengths, any::<bool>()), 0..30)
    }

    proptest! {
        #[test]
        fn what_is_pending_is_known_at_any_time(updates in updates()) {
            let mut replica = Replica::default();
            for (client, clock, lengths, takes_gapped) in updates {
                let update = update(client, clock, &lengths);
                let ids = clock..clock + lengths.iter().sum::<u32>();
                let client = u64::from(client);
                let knew = replica.held().contains_range(client, &ids);
                let before = replica.clone();
                if takes_gapped {
                    prop_assert!(!replica.apply(&update).left_out);
                    prop_assert!(replica.held().contains_range(client, &ids));
                } else {
                    let left_out = replica.apply_gapless(&update).left_out;
                    let joins = before.settled(client) >= clock;
                    prop_assert_eq!(left_out, !joins && !knew && !replica.held().contains_range(client, &ids));
                    prop_assert!(!joins || replica.held().contains_range(client, &ids));
                    prop_assert!(joins || replica.settled(client) == before.settled(client));
                }
                prop_assert_eq!(replica.pending(), replica.count_pending());
                prop_assert_eq!(replica.pending() == Pending::default(), !replica.is_incomplete());
            }
            let compacted = replica.compact(Compaction::Full);
            prop_assert_eq!(compacted.pending(), compacted.count_pending());
        }
    }
}
