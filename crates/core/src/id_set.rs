//! Sets of ids: which clocks of which clients.

mod ranges;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use ranges::Ranges;

/// A set of ids (client and clock), kept as disjoint ranges that do not touch.
#[derive(Debug, Clone, Default)]
pub struct IdSet {
    /// No client without a range.
    clients: BTreeMap<u64, Ranges>,
    range_count: usize,
}

impl IdSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Ranges in it.
    pub fn range_count(&self) -> usize {
        self.range_count
    }

    /// Ids in it.
    pub fn id_count(&self) -> u64 {
        self.iter().map(|(_, range)| u64::from(range.end - range.start)).sum()
    }

    /// All ranges, by client and clock.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Range<u32>)> {
        self.clients
            .iter()
            .flat_map(|(&client, ranges)| ranges.iter().map(move |range| (client, range)))
    }

    /// The clients of which it holds something, ascending.
    pub fn clients(&self) -> impl DoubleEndedIterator<Item = u64> {
        self.clients.keys().copied()
    }

    /// The ranges of one client, by clock.
    pub fn ranges(&self, client: u64) -> impl DoubleEndedIterator<Item = Range<u32>> {
        self.clients.get(&client).into_iter().flat_map(Ranges::iter)
    }

    /// The parts of `range` that are in the set.
    pub fn overlaps(&self, client: u64, range: Range<u32>) -> impl Iterator<Item = Range<u32>> {
        let ranges = self.clients.get(&client);
        ranges.into_iter().flat_map(move |ranges| ranges.overlaps(range.clone()))
    }

    /// Whether `clock` is in the set, and the first clock after it of which the contrary holds.
    #[inline]
    pub fn span(&self, client: u64, clock: u32) -> (bool, u32) {
        self.clients.get(&client).map_or((false, u32::MAX), |ranges| ranges.span(clock))
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
    #[inline]
    pub fn insert(&mut self, client: u64, range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        match self.clients.entry(client) {
            Entry::Vacant(vacant) => {
                vacant.insert(Ranges::One(range));
                self.range_count += 1;
            }
            Entry::Occupied(occupied) => {
                let ranges = occupied.into_mut();
                self.range_count -= ranges.count();
                ranges.insert(range);
                self.range_count += ranges.count();
            }
        }
    }

    /// Takes a range out.
    pub fn remove(&mut self, client: u64, range: &Range<u32>) {
        if range.is_empty() {
            return;
        }
        let Entry::Occupied(mut occupied) = self.clients.entry(client) else { return };
        self.range_count -= occupied.get().count();
        occupied.get_mut().remove(range);
        let left = occupied.get().count();
        if left == 0 {
            occupied.remove();
        }
        self.range_count += left;
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
            if self.range_count <= other.range_count { (self, other) } else { (other, self) };
        let overlaps = |(client, range)| many.overlaps(client, range).map(move |r| (client, r));
        few.iter().flat_map(overlaps).collect()
    }
}

impl PartialEq for IdSet {
    fn eq(&self, other: &Self) -> bool {
        self.range_count == other.range_count && self.iter().eq(other.iter())
    }
}

impl Eq for IdSet {}

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

    #[test]
    fn many_ranges_spread_over_pages() {
        let mut order: Vec<u32> = (0..5_000).map(|n| (n * 2_417) % 5_000).collect();
        let mut set = IdSet::new();
        for &n in &order {
            set.insert(7, 4 * n..4 * n + 2);
        }
        assert_eq!(set.range_count(), 5_000);
        assert!(set.ranges(7).eq((0..5_000).map(|n| 4 * n..4 * n + 2)));
        assert!((0..20_000).all(|clock| set.contains(7, clock) == (clock % 4 < 2)));
        assert!(
            set.overlaps(7, 4_001..12_001)
                .eq((1_000..3_001).map(|n| (4 * n).max(4_001)..(4 * n + 2).min(12_001)))
        );
        let mut half = set.clone();
        half.remove(7, &(5..15_001));
        assert_eq!(half.range_count(), 2 + 1_250);
        assert_eq!(half.ranges(7).nth(2), Some(15_001..15_002));
        set.insert(7, 9..15_001);
        assert_eq!(set.ranges(7).nth(2), Some(8..15_002));
        order.reverse();
        for n in order {
            set.remove(7, &(4 * n..4 * n + 4));
        }
        assert!(set.is_empty() && set.range_count() == 0);
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
