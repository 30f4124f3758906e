//! Cutting a struct: an exact inverse of joining, as Yjs splits.

use std::ops::Range;

use crate::decode::{Reader, put_varuint};
use crate::update::{Id, Item, Kind, skip_any};

/// What stands for half of a surrogate pair.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Writes parts of one struct, in ascending order: its content is walked once for all of them.
pub(super) struct Parts<'a> {
    id: Id,
    item: Item<'a>,
    /// The values (lists) or characters (strings) not walked over yet.
    rest: Reader<'a>,
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
        Self { id, item, rest, at: 0, in_pair: false }
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
            Kind::Gc | Kind::Skip | Kind::Deleted => put_varuint(out, u64::from(len)),
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
        self.slice(part).bytes_len()
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
        while len > 0 {
            let mut ahead = self.rest.clone();
            let first = ahead.u8().expect("a string holds as many units as it says");
            let bytes = match first {
                0..0x80 => 1,
                0x80..0xe0 => 2,
                0xe0..0xf0 => 3,
                _ if len == 1 => {
                    let bytes = self.rest.since(start);
                    self.rest.take(4).expect("strings are UTF-8");
                    self.in_pair = true;
                    return Slice { bytes, half_before, half_after: true };
                }
                _ => 4,
            };
            self.rest.take(bytes).expect("strings are UTF-8");
            len -= if bytes == 4 { 2 } else { 1 };
        }
        Slice { bytes: self.rest.since(start), half_before, half_after: false }
    }
}
