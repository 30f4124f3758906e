//! Sets of ids: which clocks of which clients.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of ids (client and clock), kept as disjoint ranges that do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdSet {
    /// Client and first clock, to the clock after the last.
    ranges: BTreeMap<(u64, u32), u32>,
}

impl IdSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Ranges in it.
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// Ids in it.
    pub fn id_count(&self) -> u64 {
        self.iter().map(|(_, range)| u64::from(range.end - range.start)).sum()
    }

    /// All ranges, by client and clock.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, Range<u32>)> {
        self.ranges.iter().map(|(&(client, start), &end)| (client, start..end))
    }

    /// The ranges of one client, by clock.
    pub fn ranges(&self, client: u64) -> impl DoubleEndedIterator<Item = Range<u32>> {
        let ranges = self.ranges.range((client, 0)..=(client, u32::MAX));
        ranges.map(|(&(_, start), &end)| start..end)
    }

    /// The parts of `range` that are in the set.
    pub fn overlaps(&self, client: u64, range: Range<u32>) -> impl Iterator<Item = Range<u32>> {
        let before = self.ranges.range(..(client, range.start)).next_back();
        let before = before.filter(|&(&(owner, _), _)| owner == client);
        let within = (client, range.start)..(client, range.end.max(range.start));
        before
            .into_iter()
            .chain(self.ranges.range(within))
            .map(move |(&(_, start), &end)| start.max(range.start)..end.min(range.end))
            .filter(|part| part.start < part.end)
    }

    /// Whether `clock` is in the set, and the first clock after it of which the contrary holds.
    pub fn span(&self, client: u64, clock: u32) -> (bool, u32) {
        let before = self.ranges.range(..=(client, clock)).next_back();
        if let Some((&(owner, _), &end)) = before
            && owner == client
            && clock < end
        {
            return (true, end);
        }
        let after = self.ranges.range((client, clock)..=(client, u32::MAX)).next();
        (false, after.map_or(u32::MAX, |(&(_, start), _)| start))
    }

    /// Whether the id is in the set.
    pub fn contains(&self, client: u64, clock: u32) -> bool {
        self.span(client, clock).0
    }

    /// Whether all of `range` is in the set.
    pub fn contains_range(&self, client: u64, range: &Range<u32>) -> bool {
        if range.is_empty() {
            return true;
        }
        let (held, end) = self.span(client, range.start);
        held && end >= range.end
    }

    /// Whether every id of `other` is in this set.
    pub fn contains_all(&self, other: &Self) -> bool {
        other.iter().all(|(client, range)| self.contains_range(client, &range))
    }

    /// Adds a range.
    pub fn insert(&mut self, client: u64, mut range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        let before = self.ranges.range_mut(..=(client, range.start)).next_back();
        if let Some((&(owner, start), end)) = before
            && owner == client
            && range.start <= *end
        {
            if range.end <= *end {
                return;
            }
            *end = range.end;
            range.start = start;
        } else {
            self.ranges.insert((client, range.start), range.end);
        }
        self.absorb_followers(client, &range);
    }

    /// Joins to the stored `range` those that begin in it or at its end.
    fn absorb_followers(&mut self, client: u64, range: &Range<u32>) {
        let mut end = range.end;
        loop {
            let after = (client, range.start + 1)..=(client, end);
            let Some((&key, &follower_end)) = self.ranges.range(after).next() else { break };
            self.ranges.remove(&key);
            end = end.max(follower_end);
        }
        if end > range.end {
            self.ranges.insert((client, range.start), end);
        }
    }

    /// Takes a range out.
    pub fn remove(&mut self, client: u64, range: &Range<u32>) {
        if range.is_empty() {
            return;
        }
        let before = self.ranges.range_mut(..(client, range.start)).next_back();
        if let Some((&(owner, _), end)) = before
            && owner == client
            && range.start < *end
        {
            let old_end = std::mem::replace(end, range.start);
            if range.end < old_end {
                self.ranges.insert((client, range.end), old_end);
                return;
            }
        }
        let within = (client, range.start)..(client, range.end);
        while let Some((&key, &end)) = self.ranges.range(within.clone()).next() {
            self.ranges.remove(&key);
            if range.end < end {
                self.ranges.insert((client, range.end), end);
            }
        }
    }

    /// Adds all ids of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (client, range) in other.iter() {
            self.insert(client, range);
        }
    }

    /// Takes all ids of `other` out.
    pub fn subtract(&mut self, other: &Self) {
        for (client, range) in other.iter() {
            self.remove(client, &range);
        }
    }

    /// The ids in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let (few, many) =
            if self.range_count() <= other.range_count() { (self, other) } else { (other, self) };
        let mut both = Self::new();
        for (client, range) in few.iter() {
            // Parts of disjoint ranges of two sets never touch: each can be stored as it is.
            both.ranges.extend(many.overlaps(client, range).map(|r| ((client, r.start), r.end)));
        }
        both
    }
}

impl FromIterator<(u64, Range<u32>)> for IdSet {
    fn from_iter<I: IntoIterator<Item = (u64, Range<u32>)>>(ranges: I) -> Self {
        let mut set = Self::new();
        for (client, range) in ranges {
            set.insert(client, range);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(ranges: &[(u64, Range<u32>)]) -> IdSet {
        ranges.iter().cloned().collect()
    }

    #[test]
    fn ranges_merge_where_they_touch() {
        let set = set(&[(1, 0..2), (1, 4..6), (2, 2..4), (1, 2..4), (1, 7..7)]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [(1, 0..6), (2, 2..4)]);
        assert_eq!((set.range_count(), set.id_count()), (2, 8));
    }

    #[test]
    fn the_edges_of_the_clock_are_safe() {
        let mut edge = set(&[(0, 0..u32::MAX), (u64::MAX, u32::MAX - 1..u32::MAX)]);
        edge.remove(0, &(5..u32::MAX));
        assert_eq!(edge.span(u64::MAX, 3), (false, u32::MAX - 1));
        assert_eq!(edge.span(u64::MAX, u32::MAX), (false, u32::MAX));
        assert!(!edge.contains(0, 5));
        assert!(edge.contains(0, 4));
    }

    type Ids = BTreeSet<(u64, u32)>;

    fn ids(set: &IdSet) -> Ids {
        set.iter().flat_map(|(client, range)| range.map(move |clock| (client, clock))).collect()
    }

    fn ranges() -> impl Strategy<Value = Vec<(u64, Range<u32>)>> {
        let range = (0u32..40, 0u32..6).prop_map(|(start, len)| start..start + len);
        prop::collection::vec((0u64..3, range), 0..25)
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_single_ids(a in ranges(), b in ranges(), client in 0u64..3, at in 0u32..50) {
            let (mut set, other) = (set(&a), set(&b));
            let single: Ids = a.iter().flat_map(|(c, r)| r.clone().map(move |k| (*c, k))).collect();
            let others = ids(&other);
            prop_assert_eq!(&ids(&set), &single);
            prop_assert_eq!(set.id_count(), single.len() as u64);
            prop_assert_eq!(set.contains_all(&other), single.is_superset(&others));
            prop_assert_eq!(ids(&set.intersection(&other)), single.intersection(&others).copied().collect::<Ids>());
            prop_assert_eq!(set.contains(client, at), single.contains(&(client, at)));
            let (held, end) = set.span(client, at);
            prop_assert!((at..end.min(60)).all(|clock| single.contains(&(client, clock)) == held));
            prop_assert!(end == u32::MAX || single.contains(&(client, end)) != held);
            let overlaps: Ids = set.overlaps(client, at..at + 7).flatten().map(|k| (client, k)).collect();
            prop_assert_eq!(overlaps, single.range((client, at)..(client, at + 7)).copied().collect::<Ids>());
            let before = set.clone();
            set.subtract(&other);
            prop_assert_eq!(ids(&set), single.difference(&others).copied().collect::<Ids>());
            set.merge(&other);
            let mut union = before;
            union.merge(&other);
            prop_assert_eq!(set, union);
        }

        #[test]
        fn ranges_never_touch(a in ranges()) {
            let ranges: Vec<_> = set(&a).iter().collect();
            prop_assert!(ranges.windows(2).all(|w| w[0].0 < w[1].0 || w[0].1.end < w[1].1.start));
        }
    }
}
