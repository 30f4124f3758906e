//! The structs of one client: raw bytes behind an index, in pages that copies share.

use std::ops::Range;
use std::sync::Arc;

use super::Pending;
use super::join::{self, Ending};
use crate::decode::{Reader, varuint, varuint_bytes};
use crate::update::{Id, Item};

/// Entries of a page that is not appended to any more: what the first change after a copy costs.
const PAGE_ENTRIES_MAX: usize = 512;

/// Bytes of such a page; one struct may be larger.
const PAGE_BYTES_MAX: usize = 16 * 1024;

/// Structs by clock, disjoint. Copies share pages; who changes a shared page copies that page.
#[derive(Clone, Default)]
pub(super) struct Structs {
    pages: Vec<Arc<Page>>,
    /// Nothing where its bytes are not the last of their page.
    tail: Option<Tail>,
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

/// What has to be known of the last struct to join another to it.
#[derive(Clone, Copy)]
struct Tail {
    ending: Ending,
    header_bytes: usize,
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
    /// Stores a struct none of whose clocks is held. With `joins` it may become part of the one
    /// before it. Returns by how much the structs have grown.
    #[inline]
    pub(super) fn insert(&mut self, id: Id, item: &Item<'_>, joins: bool) -> Pending {
        let (clock, len, raw) = (id.clock, item.len, item.raw);
        match self.pages.last_mut() {
            Some(page) if page.end() > clock => {
                self.tail = None;
                self.insert_between(clock, len, raw);
                return Pending { structs: 1, bytes: raw.len() };
            }
            Some(page) if !page.is_full() => {
                let joins = joins && page.end() == clock;
                let page = Arc::make_mut(page);
                if let Some(tail) = self.tail.filter(|tail| joins && tail.ending.takes(id, item))
                    && let Some(bytes) = page.join(tail.header_bytes, item)
                {
                    return Pending { structs: 0, bytes };
                }
                page.insert(usize::MAX, clock, len, raw);
            }
            last => {
                // Hardly anything more comes to the last one. One that a copy shares stays as it is.
                if let Some(page) = last.and_then(Arc::get_mut) {
                    page.shrink();
                }
                self.pages.push(Arc::new(Page::of(clock, len, raw)));
            }
        }
        self.tail = Some(Tail { ending: Ending::of(item), header_bytes: item.header_bytes });
        Pending { structs: 1, bytes: raw.len() }
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

    /// Joins a struct to the last one, whose header is so long. Returns by how many bytes that
    /// grows; nothing where its writer took more bytes for a number than need be, as that would
    /// shrink.
    #[inline]
    fn join(&mut self, header_bytes: usize, item: &Item<'_>) -> Option<usize> {
        let (last, before) = (self.entries.last_mut()?, self.bytes.len());
        let start = last.at as usize + header_bytes;
        let mut content = Reader::new(self.bytes.get(start..)?);
        let count = content.varuint().ok()?;
        let place = start..start + content.offset();
        let values = join::values(item);
        let joined = count + join::count(item.kind, item.len, values.len())?;
        let bytes = varuint_bytes(joined);
        if place.len() == bytes {
            let number = self.bytes.get_mut(place)?.iter_mut();
            number.zip(varuint(joined)).for_each(|(old, new)| *old = new);
        } else if place.len() == varuint_bytes(count) {
            self.bytes.splice(place, varuint(joined));
        } else {
            return None;
        }
        self.bytes.extend_from_slice(values);
        let grown = self.bytes.len() - before;
        last.len += item.len;
        last.size += u32::try_from(grown).expect("updates are bounded");
        Some(grown)
    }

    /// Gives back what is held in reserve.
    fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        self.bytes.shrink_to_fit();
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
