//! One struct of an update: where its parts begin, how many clocks it takes.

use super::content::{content, text};
use crate::decode::{DecodeError, Fault, Reader, put_varuint, varuint_bytes};
use crate::limits;

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
