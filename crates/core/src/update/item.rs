//! One struct of an update: where its parts begin, how many clocks it takes.

use crate::decode::{DecodeError, Fault, Reader, put_varuint, varuint_bytes};
use crate::{json, limits};

/// Info bit: an origin follows.
const ORIGIN: u8 = 0x80;
/// Info bit: a right origin follows.
const RIGHT_ORIGIN: u8 = 0x40;
/// Info bit: the value of a map key. The key itself follows only where no origin does.
const KEYED: u8 = 0x20;
/// Info bits of the kind.
const KIND: u8 = 0x1f;

/// The name of one element of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) client: u64,
    pub(crate) clock: u32,
}

impl Id {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { client: reader.varuint()?, clock: reader.clock()? })
    }

    fn put(self, out: &mut Vec<u8>) {
        put_varuint(out, self.client);
        put_varuint(out, u64::from(self.clock));
    }

    /// Bytes of its encoding.
    pub(crate) fn bytes(self) -> usize {
        varuint_bytes(self.client) + varuint_bytes(u64::from(self.clock))
    }
}

/// What a struct holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Collected: neither content nor place.
    Gc,
    /// A tombstone: a place without content.
    Deleted,
    Json,
    Binary,
    String,
    Embed,
    Format,
    Type,
    Any,
    Doc,
    /// Clocks that the writer left out.
    Skip,
}

impl Kind {
    fn from_info(info: u8) -> Option<Self> {
        Some(match info & KIND {
            // Readers other than Yjs know these two by the whole byte.
            0 if info == 0 => Self::Gc,
            10 if info == 10 => Self::Skip,
            1 => Self::Deleted,
            2 => Self::Json,
            3 => Self::Binary,
            4 => Self::String,
            5 => Self::Embed,
            6 => Self::Format,
            7 => Self::Type,
            8 => Self::Any,
            9 => Self::Doc,
            _ => return None,
        })
    }

    /// Whether it has a length and nothing else.
    pub(crate) fn is_bare(self) -> bool {
        matches!(self, Self::Gc | Self::Deleted | Self::Skip)
    }

    /// Whether it says by itself that its ids are deleted.
    pub(crate) fn implies_deletion(self) -> bool {
        matches!(self, Self::Gc | Self::Deleted)
    }
}

/// One struct as it stands in an update.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    /// All its bytes.
    pub(crate) raw: &'a [u8],
    /// Bytes before its content.
    pub(crate) header_bytes: usize,
    pub(crate) kind: Kind,
    /// Clocks it takes; zero only for an empty string.
    pub(crate) len: u32,
    pub(crate) origin: Option<Id>,
    pub(crate) right_origin: Option<Id>,
    /// The item that holds it, where it is written: only without origins, and not for a root.
    pub(crate) parent: Option<Id>,
    /// Whether it is known to be the value of a map key.
    pub(crate) keyed: bool,
}

impl<'a> Item<'a> {
    /// Reads one struct. Without `GATE` the bytes are known to be good, and only measured.
    #[inline]
    pub(crate) fn read<const GATE: bool>(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.offset();
        let mut item = Self::read_header::<GATE>(reader)?;
        let len = content::<GATE>(reader, item.kind)?;
        item.len = match u32::try_from(len) {
            Ok(len) if u64::from(len) < limits::CLOCK_END => len,
            _ => return Err(reader.fault(Fault::ClockTooLarge)),
        };
        item.raw = reader.since(start);
        Ok(item)
    }

    /// Takes the bytes of one whole struct whose length is known: its content is not walked.
    #[inline]
    pub(crate) fn known(raw: &'a [u8], len: u32) -> Self {
        let item = Self::read_header::<false>(&mut Reader::new(raw));
        Item { raw, len, ..item.expect("the bytes were read or written as a struct before") }
    }

    /// Reads what stands before the content.
    #[inline]
    fn read_header<const GATE: bool>(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.offset();
        let info = reader.u8()?;
        let kind = Kind::from_info(info).ok_or(reader.fault(Fault::UnknownContent))?;
        let mut item = Item {
            raw: &[],
            header_bytes: 1,
            kind,
            len: 0,
            origin: None,
            right_origin: None,
            parent: None,
            keyed: info & KEYED != 0,
        };
        if !matches!(kind, Kind::Gc | Kind::Skip) {
            item.read_place::<GATE>(reader, info)?;
            item.header_bytes = reader.offset() - start;
        }
        Ok(item)
    }

    #[inline]
    fn read_place<const GATE: bool>(
        &mut self,
        reader: &mut Reader<'a>,
        info: u8,
    ) -> Result<(), DecodeError> {
        if info & ORIGIN != 0 {
            self.origin = Some(Id::read(reader)?);
        }
        if info & RIGHT_ORIGIN != 0 {
            self.right_origin = Some(Id::read(reader)?);
        }
        if info & (ORIGIN | RIGHT_ORIGIN) == 0 {
            if reader.varuint()? == 1 {
                text::<GATE>(reader)?;
            } else {
                self.parent = Some(Id::read(reader)?);
            }
            if self.keyed {
                text::<GATE>(reader)?;
            }
        }
        Ok(())
    }

    /// Checks what depends on where it stands: its clocks stay below the limit, and what it names
    /// of its own client comes before it (Yjs throws where it does not).
    pub(crate) fn check_place(&self, id: Id) -> Result<(), Fault> {
        if u64::from(id.clock) + u64::from(self.len) >= limits::CLOCK_END {
            return Err(Fault::ClockTooLarge);
        }
        let named = [self.origin, self.right_origin, self.parent];
        if named.iter().flatten().any(|name| name.client == id.client && name.clock >= id.clock) {
            return Err(Fault::OriginNotBefore);
        }
        Ok(())
    }

    /// The ids that must be there before it.
    pub(crate) fn needs(&self) -> impl Iterator<Item = Id> {
        [self.origin, self.right_origin, self.parent].into_iter().flatten()
    }

    /// The bytes before its content.
    pub(crate) fn header(&self) -> &'a [u8] {
        self.raw.get(..self.header_bytes).unwrap_or_default()
    }

    /// The bytes of its content.
    pub(crate) fn content(&self) -> &'a [u8] {
        self.raw.get(self.header_bytes..).unwrap_or_default()
    }

    /// The info byte of a tombstone in place of a struct with this one.
    pub(crate) fn deleted_info(info: u8) -> u8 {
        info & !KIND | 1
    }

    /// Writes the header of what follows `origin` when this struct is cut.
    pub(crate) fn put_right_header(&self, origin: Id, out: &mut Vec<u8>) {
        let info = self.raw.first().copied().unwrap_or_default();
        out.push(info | ORIGIN);
        origin.put(out);
        if let Some(right_origin) = self.right_origin {
            right_origin.put(out);
        }
    }
}

/// Reads content; says how many clocks it takes.
#[inline]
fn content<const GATE: bool>(reader: &mut Reader<'_>, kind: Kind) -> Result<u64, DecodeError> {
    match kind {
        kind if kind.is_bare() => {
            let len = reader.varuint()?;
            if len == 0 { Err(reader.fault(Fault::ZeroLength)) } else { Ok(len) }
        }
        Kind::String => text::<GATE>(reader).map(utf16_units),
        Kind::Json | Kind::Any => {
            let count = reader.count(1)?;
            if count == 0 {
                return Err(reader.fault(Fault::ZeroLength));
            }
            for _ in 0..count {
                match kind {
                    Kind::Any => any::<GATE>(reader).map(|_| ())?,
                    _ => json_text::<GATE>(reader, true)?,
                }
            }
            Ok(count as u64)
        }
        _ => single::<GATE>(reader, kind).map(|()| 1),
    }
}

/// Reads content that takes one clock.
fn single<const GATE: bool>(reader: &mut Reader<'_>, kind: Kind) -> Result<(), DecodeError> {
    match kind {
        Kind::Binary => {
            reader.var_bytes()?;
        }
        Kind::Embed => json_text::<GATE>(reader, false)?,
        Kind::Format => {
            text::<GATE>(reader)?;
            json_text::<GATE>(reader, false)?;
        }
        Kind::Type => match reader.varuint()? {
            // Array, map, text, fragment, XML text.
            0 | 1 | 2 | 4 | 6 => {}
            // Element and hook, with their names.
            3 | 5 => {
                text::<GATE>(reader)?;
            }
            _ => return Err(reader.fault(Fault::UnknownType)),
        },
        _ => {
            text::<GATE>(reader)?;
            if any::<GATE>(reader)? != Some(MAP) {
                return Err(reader.fault(Fault::NotAMap));
            }
        }
    }
    Ok(())
}

/// Reads a text, as bytes: without `GATE` they need no second look.
#[inline]
fn text<'a, const GATE: bool>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    if GATE { reader.var_str().map(str::as_bytes) } else { reader.var_bytes() }
}

fn json_text<const GATE: bool>(
    reader: &mut Reader<'_>,
    or_undefined: bool,
) -> Result<(), DecodeError> {
    if !GATE {
        return reader.var_bytes().map(|_| ());
    }
    let text = reader.var_str()?;
    if or_undefined && text == "undefined" {
        return Ok(());
    }
    json::check(text, limits::ANY_DEPTH_MAX).map_err(|fault| reader.fault(fault))
}

/// The length of UTF-8 in UTF-16 units: one for each character, one more beyond the first plane.
#[inline]
pub(crate) fn utf16_units(text: &[u8]) -> u64 {
    text.iter().map(|&byte| u64::from(byte & 0xc0 != 0x80) + u64::from(byte >= 0xf0)).sum()
}

const MAP: u8 = 118;
const ARRAY: u8 = 117;

/// Passes over one `Any` value that is known to be good.
pub(crate) fn skip_any(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    any::<false>(reader).map(|_| ())
}

/// Reads one `Any` value, by iteration; gives its tag if it is a container.
#[inline]
fn any<const GATE: bool>(reader: &mut Reader<'_>) -> Result<Option<u8>, DecodeError> {
    let Some(outer) = any_head::<GATE>(reader)? else { return Ok(None) };
    let tag = outer.tag;
    if outer.left > 0 {
        any_nested::<GATE>(reader, outer)?;
    }
    Ok(Some(tag))
}

/// A container that is being read.
#[derive(Clone, Copy)]
struct Container {
    tag: u8,
    /// Values to come.
    left: usize,
}

fn any_nested<const GATE: bool>(
    reader: &mut Reader<'_>,
    outer: Container,
) -> Result<(), DecodeError> {
    let mut outers = [Container { tag: 0, left: 0 }; limits::ANY_DEPTH_MAX - 1];
    let mut depth = 0;
    let mut current = outer;
    loop {
        while current.left == 0 {
            if depth == 0 {
                return Ok(());
            }
            depth -= 1;
            current = *outers.get(depth).ok_or(reader.fault(Fault::TooDeep))?;
        }
        current.left -= 1;
        if current.tag == MAP {
            text::<GATE>(reader)?;
        }
        if let Some(inner) = any_head::<GATE>(reader)? {
            *outers.get_mut(depth).ok_or(reader.fault(Fault::TooDeep))? = current;
            depth += 1;
            current = inner;
        }
    }
}

/// Reads a scalar whole, or the beginning of a container.
#[inline]
fn any_head<const GATE: bool>(reader: &mut Reader<'_>) -> Result<Option<Container>, DecodeError> {
    let tag = reader.u8()?;
    match tag {
        127 | 126 | 121 | 120 => {}
        125 => reader.skip_varint()?,
        124 => {
            reader.take(4)?;
        }
        123 | 122 => {
            reader.take(8)?;
        }
        119 => {
            text::<GATE>(reader)?;
        }
        116 => {
            reader.var_bytes()?;
        }
        MAP => return Ok(Some(Container { tag, left: reader.count(2)? })),
        ARRAY => return Ok(Some(Container { tag, left: reader.count(1)? })),
        _ => return Err(reader.fault(Fault::UnknownAny)),
    }
    Ok(None)
}
