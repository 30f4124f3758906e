//! Cutting a struct: an exact inverse of joining, as Yjs splits.

use std::ops::Range;

use crate::decode::{Reader, put_varuint};
use crate::update::{Id, Item, Kind, skip_any, utf16_units};

/// What stands for half of a surrogate pair.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Bytes of one character.
const CHAR_BYTES_MAX: usize = 4;

/// Writes parts of one struct, in ascending order: its content is walked once for all of them.
pub(super) struct Parts<'a> {
    id: Id,
    item: Item<'a>,
    /// The values (lists) or characters (strings) not walked over yet.
    rest: Reader<'a>,
    /// The UTF-16 units in `rest`, of a string.
    left: u32,
    /// The offset in the struct that `rest` begins at.
    at: u32,
    /// `rest` begins between the halves of a surrogate pair: after its bytes.
    in_pair: bool,
}

/// Some content of a string or list.
struct Slice<'a> {
    bytes: &'a [u8],
    /// It begins with the second half of a surrogate pair.
    half_before: bool,
    /// It ends with the first half of one.
    half_after: bool,
}

impl Slice<'_> {
    fn bytes_len(&self) -> usize {
        let halves = usize::from(self.half_before) + usize::from(self.half_after);
        self.bytes.len() + halves * REPLACEMENT.len()
    }
}

impl<'a> Parts<'a> {
    pub(super) fn new(id: Id, item: Item<'a>) -> Self {
        let mut rest = Reader::new(item.content());
        if matches!(item.kind, Kind::String | Kind::Json | Kind::Any) {
            rest.varuint().expect("content begins with its length");
        }
        Self { id, item, rest, left: item.len, at: 0, in_pair: false }
    }

    /// Writes the clocks `part` of the struct, counted from its own first clock.
    pub(super) fn put(&mut self, part: &Range<u32>, out: &mut Vec<u8>) {
        debug_assert!(self.at <= part.start && part.start < part.end && part.end <= self.item.len);
        if part.start == 0 && part.end == self.item.len {
            out.extend_from_slice(self.item.raw);
            return;
        }
        self.put_header(part.start, out);
        let len = part.end - part.start;
        match self.item.kind {
            kind if kind.is_bare() => put_varuint(out, u64::from(len)),
            Kind::String => {
                let slice = self.slice(part);
                put_varuint(out, slice.bytes_len() as u64);
                if slice.half_before {
                    out.extend_from_slice(REPLACEMENT);
                }
                out.extend_from_slice(slice.bytes);
                if slice.half_after {
                    out.extend_from_slice(REPLACEMENT);
                }
            }
            _ => {
                let slice = self.slice(part);
                put_varuint(out, u64::from(len));
                out.extend_from_slice(slice.bytes);
            }
        }
    }

    /// Writes a tombstone for the clocks `part`.
    pub(super) fn put_deleted(&self, part: &Range<u32>, out: &mut Vec<u8>) {
        let start = out.len();
        self.put_header(part.start, out);
        if let Some(info) = out.get_mut(start) {
            *info = Item::deleted_info(*info);
        }
        put_varuint(out, u64::from(part.end - part.start));
    }

    /// The bytes that the content of `part` takes.
    pub(super) fn content_bytes(&mut self, part: &Range<u32>) -> usize {
        if self.item.kind.is_bare() {
            return 0;
        }
        self.slice(part).bytes_len()
    }

    /// The end of the longest part from `start` to at most `end` whose content takes no more than
    /// `bytes_max`; no surrogate pair is cut, and at least one value or character is in it.
    pub(super) fn fit(mut self, start: u32, end: u32, bytes_max: usize) -> u32 {
        if self.item.kind.is_bare() {
            return end;
        }
        self.walk(start - self.at);
        if self.item.kind == Kind::String {
            let half = u32::from(self.in_pair);
            let some = floor_char(self.rest.rest(), bytes_max.max(CHAR_BYTES_MAX));
            return end.min(start + half + self.skip(some));
        }
        let first = self.rest.offset();
        let mut at = start;
        while at < end {
            self.walk(1);
            if at > start && self.rest.since(first).len() > bytes_max {
                break;
            }
            at += 1;
        }
        at
    }

    fn put_header(&self, offset: u32, out: &mut Vec<u8>) {
        if offset == 0 || matches!(self.item.kind, Kind::Gc | Kind::Skip) {
            out.extend_from_slice(self.item.header());
        } else {
            let origin = Id { clock: self.id.clock + offset - 1, ..self.id };
            self.item.put_right_header(origin, out);
        }
    }

    fn slice(&mut self, part: &Range<u32>) -> Slice<'a> {
        self.walk(part.start - self.at);
        let slice = self.walk(part.end - part.start);
        self.at = part.end;
        slice
    }

    fn walk(&mut self, len: u32) -> Slice<'a> {
        if self.item.kind == Kind::String { self.walk_string(len) } else { self.walk_list(len) }
    }

    fn walk_list(&mut self, len: u32) -> Slice<'a> {
        let start = self.rest.offset();
        for _ in 0..len {
            let walked = match self.item.kind {
                Kind::Json => self.rest.var_bytes().map(|_| ()),
                _ => skip_any(&mut self.rest),
            };
            walked.expect("a list holds as many values as it says");
        }
        Slice { bytes: self.rest.since(start), half_before: false, half_after: false }
    }

    /// Walks over UTF-16 units.
    fn walk_string(&mut self, mut len: u32) -> Slice<'a> {
        let half_before = self.in_pair && len > 0;
        if half_before {
            self.in_pair = false;
            len -= 1;
        }
        let start = self.rest.offset();
        if len == self.left {
            self.pass(self.rest.remaining(), len);
            len = 0;
        } else if self.left as usize == self.rest.remaining() {
            // A unit a byte: it is all ASCII, and however long it is there is nothing to count.
            self.pass(len as usize, len);
            len = 0;
        }
        while len > 0 {
            // No text holds more units than bytes.
            let some = floor_char(self.rest.rest(), len as usize);
            if !some.is_empty() {
                len -= self.skip(some);
                continue;
            }
            let first = first_char(self.rest.rest());
            debug_assert!(!first.is_empty(), "a string holds as many units as it says");
            if utf16_units(first) > u64::from(len) {
                let bytes = self.rest.since(start);
                self.skip(first);
                self.in_pair = true;
                return Slice { bytes, half_before, half_after: true };
            }
            len -= self.skip(first);
        }
        Slice { bytes: self.rest.since(start), half_before, half_after: false }
    }

    /// Passes over some of what is left; says how many units it was.
    fn skip(&mut self, some: &[u8]) -> u32 {
        let units = utf16_units(some) as u32;
        self.pass(some.len(), units);
        units
    }

    fn pass(&mut self, bytes: usize, units: u32) {
        self.rest.take(bytes).expect("a part of what is left");
        self.left -= units;
    }
}

/// The largest beginning of a text that ends between characters, of at most so many bytes.
fn floor_char(text: &[u8], bytes_max: usize) -> &[u8] {
    let inside = |at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let mut end = bytes_max.min(text.len());
    while inside(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The first character of a text.
fn first_char(text: &[u8]) -> &[u8] {
    let followers = text.iter().skip(1).take_while(|&byte| byte & 0xc0 == 0x80).count();
    text.get(..1 + followers).unwrap_or_default()
}
