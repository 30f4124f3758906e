//! What a document holds, comparable between implementations.

use std::collections::BTreeMap;

/// A state vector and a delete set, normalised: clients sorted, ranges sorted and joined.
#[derive(Debug, PartialEq, Eq)]
pub struct State {
    clocks: BTreeMap<u64, u64>,
    deleted: BTreeMap<u64, Vec<(u64, u64)>>,
}

impl State {
    /// Reads an encoded state vector, and an update that holds nothing but deletions.
    ///
    /// `None` if the update holds structs: the document misses what they depend on.
    pub(crate) fn decode(vector: &[u8], deletions: &[u8]) -> Option<State> {
        let mut vector = Varints(vector.iter());
        let clocks = (0..vector.next()).map(|_| (vector.next(), vector.next())).collect();
        let mut deletions = Varints(deletions.iter());
        if deletions.next() != 0 {
            return None;
        }
        let deleted = (0..deletions.next()).map(|_| {
            let client = deletions.next();
            let ranges = (0..deletions.next()).map(|_| (deletions.next(), deletions.next()));
            (client, joined(ranges.collect()))
        });
        Some(State { clocks, deleted: deleted.collect() })
    }
}

/// Joins the ranges (start, length) that touch.
fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, length) in ranges {
        match joined.last_mut() {
            Some(last) if last.0 + last.1 >= start => {
                last.1 = last.1.max(start + length - last.0);
            }
            _ => joined.push((start, length)),
        }
    }
    joined
}

/// lib0's unsigned integers: seven bits a byte, least significant first.
struct Varints<'a>(std::slice::Iter<'a, u8>);

impl Varints<'_> {
    fn next(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.0.next().expect("clients encode whole integers");
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                break;
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_cuts_make_no_difference() {
        let one = State::decode(&[2, 1, 5, 0x81, 1, 9], &[0, 1, 1, 1, 0, 3]);
        let other = State::decode(&[2, 0x81, 1, 9, 1, 5], &[0, 1, 1, 2, 2, 1, 0, 2]);
        assert!(one.is_some());
        assert_eq!(one, other);
    }

    #[test]
    fn another_deletion_is_another_state() {
        let one = State::decode(&[1, 1, 5], &[0, 1, 1, 1, 0, 3]);
        let other = State::decode(&[1, 1, 5], &[0, 1, 1, 1, 0, 2]);
        assert_ne!(one, other);
    }

    #[test]
    fn structs_beyond_a_gap_are_no_state() {
        assert_eq!(State::decode(&[0], &[1, 1, 1, 5]), None);
    }
}
