//! The structs of one client: raw bytes behind an index, in pages that copies share.

use std::ops::Range;
use std::sync::Arc;

use crate::update::Item;

/// Entries of a page that is not appended to any more: what the first change after a copy costs.
const PAGE_ENTRIES_MAX: usize = 512;

/// Bytes of such a page; one struct may be larger.
const PAGE_BYTES_MAX: usize = 16 * 1024;

/// Structs by clock, disjoint. Copies share pages; who changes a shared page copies that page.
#[derive(Clone, Default)]
pub(super) struct Structs {
    pages: Vec<Arc<Page>>,
}

#[derive(Clone, Default)]
struct Page {
    /// By clock; never empty.
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

/// Where one struct is.
#[derive(Clone, Copy)]
struct Entry {
    clock: u32,
    len: u32,
    /// Offset in the page's bytes.
    at: u32,
    /// Bytes of the struct.
    size: u32,
}

/// One stored struct.
#[derive(Clone, Copy)]
pub(super) struct Stored<'a> {
    pub(super) clock: u32,
    pub(super) len: u32,
    pub(super) raw: &'a [u8],
}

impl<'a> Stored<'a> {
    pub(super) fn end(&self) -> u32 {
        self.clock + self.len
    }

    pub(super) fn range(&self) -> Range<u32> {
        self.clock..self.end()
    }

    pub(super) fn item(&self) -> Item<'a> {
        Item::known(self.raw, self.len)
    }
}

/// Bytes of index for one struct.
pub(super) const ENTRY_BYTES: usize = size_of::<Entry>();

impl Structs {
    /// Stores the struct that `write` appends. None of its clocks may be held.
    #[inline]
    pub(super) fn insert(&mut self, clock: u32, len: u32, raw: &[u8]) {
        match self.pages.last_mut() {
            Some(page) if page.end() <= clock => {
                if page.is_full() {
                    self.pages.push(Arc::new(Page::of(clock, len, raw)));
                } else {
                    Arc::make_mut(page).insert(usize::MAX, clock, len, raw);
                }
            }
            Some(_) => self.insert_between(clock, len, raw),
            None => self.pages.push(Arc::new(Page::of(clock, len, raw))),
        }
    }

    #[cold]
    fn insert_between(&mut self, clock: u32, len: u32, raw: &[u8]) {
        let number = self.pages.partition_point(|page| page.start() <= clock).saturating_sub(1);
        let Some(page) = self.pages.get_mut(number) else { return };
        let at = page.entries.partition_point(|entry| entry.clock <= clock);
        if !page.is_full() {
            Arc::make_mut(page).insert(at, clock, len, raw);
            return;
        }
        let (before, after) = page.split(at);
        let pages = [before, Page::of(clock, len, raw), after];
        let pages = pages.into_iter().filter(|page| !page.entries.is_empty()).map(Arc::new);
        self.pages.splice(number..=number, pages);
    }

    /// All structs from the one that holds `clock`, or else the next, by clock.
    pub(super) fn from(&self, clock: u32) -> impl Iterator<Item = Stored<'_>> {
        let number = self.pages.partition_point(|page| page.end() <= clock);
        let skip = self
            .pages
            .get(number)
            .map_or(0, |page| page.entries.partition_point(|entry| entry.end() <= clock));
        let pages = self.pages.get(number..).unwrap_or_default().iter();
        pages.flat_map(|page| page.entries.iter().map(|entry| page.stored(entry))).skip(skip)
    }

    /// All structs that hold some of `range`.
    pub(super) fn over(&self, range: Range<u32>) -> impl Iterator<Item = Stored<'_>> {
        self.from(range.start).take_while(move |stored| stored.clock < range.end)
    }
}

impl Page {
    fn of(clock: u32, len: u32, raw: &[u8]) -> Self {
        let mut page = Self::default();
        page.insert(0, clock, len, raw);
        page
    }

    fn start(&self) -> u32 {
        self.entries.first().map_or(0, |entry| entry.clock)
    }

    fn end(&self) -> u32 {
        self.entries.last().map_or(0, Entry::end)
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= PAGE_ENTRIES_MAX || self.bytes.len() >= PAGE_BYTES_MAX
    }

    /// Stores a struct before entry `at`.
    #[inline]
    fn insert(&mut self, at: usize, clock: u32, len: u32, raw: &[u8]) {
        // Neither conversion can fail: a page is full long before, an update has a size limit.
        let offset = u32::try_from(self.bytes.len()).expect("pages are small");
        let size = u32::try_from(raw.len()).expect("updates are bounded");
        let entry = Entry { clock, len, at: offset, size };
        self.bytes.extend_from_slice(raw);
        if at >= self.entries.len() {
            self.entries.push(entry);
        } else {
            self.entries.insert(at, entry);
        }
    }

    /// Two pages: the first `at` entries, and the others.
    fn split(&self, at: usize) -> (Self, Self) {
        let (mut before, mut after) = (Self::default(), Self::default());
        for (number, entry) in self.entries.iter().enumerate() {
            let half = if number < at { &mut before } else { &mut after };
            let stored = self.stored(entry);
            half.insert(usize::MAX, stored.clock, stored.len, stored.raw);
        }
        (before, after)
    }

    fn stored(&self, entry: &Entry) -> Stored<'_> {
        let start = entry.at as usize;
        let raw = self.bytes.get(start..start + entry.size as usize);
        let raw = raw.expect("entries point into their page");
        Stored { clock: entry.clock, len: entry.len, raw }
    }
}

impl Entry {
    fn end(&self) -> u32 {
        self.clock + self.len
    }
}
