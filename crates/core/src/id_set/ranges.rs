//! The ranges of one client.

use std::ops::Range;

/// Ranges of one page: what an insertion moves at most.
const PAGE_RANGES_MAX: usize = 256;

/// Disjoint ranges that do not touch, by clock.
#[derive(Debug, Clone)]
pub(super) enum Ranges {
    /// Most clients have one: it costs no allocation.
    One(Range<u32>),
    /// In pages, none of them empty: an insertion in the middle stays cheap however many there are.
    Paged { pages: Vec<Vec<Range<u32>>>, count: usize },
}

/// Where a range is.
#[derive(Clone, Copy)]
struct Place {
    page: usize,
    at: usize,
}

impl Ranges {
    pub(super) fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Paged { count, .. } => *count,
        }
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u32>> {
        let (one, pages) = self.parts();
        one.cloned().into_iter().chain(pages.iter().flatten().cloned())
    }

    /// The parts of `range` that are held.
    pub(super) fn overlaps(&self, range: Range<u32>) -> impl Iterator<Item = Range<u32>> {
        let (one, pages) = self.parts();
        let place = place_of(pages, |held| held.end <= range.start);
        let first = pages.get(place.page).and_then(|page| page.get(place.at..)).unwrap_or_default();
        let others = pages.get(place.page + 1..).unwrap_or_default().iter().flatten();
        one.into_iter()
            .chain(first)
            .chain(others)
            .take_while(move |held| held.start < range.end)
            .map(move |held| held.start.max(range.start)..held.end.min(range.end))
            .filter(|part| part.start < part.end)
    }

    /// Whether `clock` is held, and the first clock after it of which the contrary holds.
    #[inline]
    pub(super) fn span(&self, clock: u32) -> (bool, u32) {
        let held = match self {
            Self::One(range) => (clock < range.end).then_some(range),
            Self::Paged { pages, .. } => {
                let place = place_of(pages, |held| held.end <= clock);
                pages.get(place.page).and_then(|page| page.get(place.at))
            }
        };
        match held {
            Some(range) if range.start <= clock => (true, range.end),
            Some(range) => (false, range.start),
            None => (false, u32::MAX),
        }
    }

    #[inline]
    pub(super) fn insert(&mut self, range: Range<u32>) {
        match self {
            Self::One(one) if range.start <= one.end && one.start <= range.end => {
                *one = one.start.min(range.start)..one.end.max(range.end);
            }
            Self::One(one) => {
                let one = one.clone();
                let page =
                    if one.start < range.start { vec![one, range] } else { vec![range, one] };
                *self = Self::Paged { pages: vec![page], count: 2 };
            }
            Self::Paged { pages, count } => insert_paged(pages, count, range),
        }
    }

    /// Takes out a range that is not empty; may leave nothing.
    pub(super) fn remove(&mut self, range: &Range<u32>) {
        match self {
            Self::One(one) => {
                let before = one.start..one.end.min(range.start);
                let after = one.start.max(range.end)..one.end;
                *self = match (before.is_empty(), after.is_empty()) {
                    (false, true) => Self::One(before),
                    (true, false) => Self::One(after),
                    (false, false) => Self::Paged { pages: vec![vec![before, after]], count: 2 },
                    (true, true) => Self::Paged { pages: Vec::new(), count: 0 },
                };
            }
            Self::Paged { pages, count } => remove_paged(pages, count, range),
        }
    }

    fn parts(&self) -> (Option<&Range<u32>>, &[Vec<Range<u32>>]) {
        match self {
            Self::One(range) => (Some(range), &[]),
            Self::Paged { pages, .. } => (None, pages),
        }
    }
}

/// The first range that is not `before`.
#[inline]
fn place_of(pages: &[Vec<Range<u32>>], before: impl Fn(&Range<u32>) -> bool) -> Place {
    let page = pages.partition_point(|page| page.last().is_some_and(&before));
    let at = pages.get(page).map_or(0, |page| page.partition_point(&before));
    Place { page, at }
}

fn get(pages: &[Vec<Range<u32>>], place: Place) -> Option<Range<u32>> {
    pages.get(place.page)?.get(place.at).cloned()
}

fn insert_paged(pages: &mut Vec<Vec<Range<u32>>>, count: &mut usize, mut range: Range<u32>) {
    // Most sets are written in order.
    if let Some(last) = pages.last_mut().and_then(|page| page.last_mut())
        && last.start <= range.start
    {
        if range.start <= last.end {
            last.end = last.end.max(range.end);
        } else {
            insert_at(pages, Place { page: pages.len(), at: 0 }, range);
            *count += 1;
        }
        return;
    }
    let mut place = place_of(pages, |held| held.end < range.start);
    // Takes in what it touches; the last of these gives the place to stay in.
    while let Some(held) = get(pages, place)
        && held.start <= range.end
    {
        range = held.start.min(range.start)..held.end.max(range.end);
        remove_at(pages, count, place);
        place = place_of(pages, |held| held.end < range.start);
    }
    insert_at(pages, place, range);
    *count += 1;
}

fn remove_paged(pages: &mut Vec<Vec<Range<u32>>>, count: &mut usize, range: &Range<u32>) {
    loop {
        let place = place_of(pages, |held| held.end <= range.start);
        let Some(held) = get(pages, place).filter(|held| held.start < range.end) else { return };
        remove_at(pages, count, place);
        for left in [held.start..range.start, range.end..held.end] {
            if left.start < left.end {
                insert_paged(pages, count, left);
            }
        }
    }
}

fn remove_at(pages: &mut Vec<Vec<Range<u32>>>, count: &mut usize, place: Place) {
    let Some(page) = pages.get_mut(place.page) else { return };
    page.remove(place.at);
    *count -= 1;
    if page.is_empty() {
        pages.remove(place.page);
    }
}

fn insert_at(pages: &mut Vec<Vec<Range<u32>>>, place: Place, range: Range<u32>) {
    let last = pages.len().saturating_sub(1);
    let Some(page) = pages.get_mut(place.page.min(last)) else {
        pages.push(vec![range]);
        return;
    };
    let at = if place.page > last { page.len() } else { place.at };
    if page.len() < PAGE_RANGES_MAX {
        page.insert(at, range);
        return;
    }
    let after = page.split_off(at);
    // At the end of a page a new one begins: what only grows fills its pages.
    if after.is_empty() {
        pages.insert(place.page.min(last) + 1, vec![range]);
    } else {
        page.push(range);
        pages.insert(place.page.min(last) + 1, after);
    }
}
