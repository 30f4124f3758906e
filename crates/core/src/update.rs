//! The grammar of a Yjs update (V1): one bounded pass that accepts or names the fault.

mod any;
mod content;
mod item;

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use crate::decode::{DecodeError, Fault, Reader};
use crate::id_set::IdSet;
use crate::limits;

pub(crate) use any::skip_any;
pub(crate) use content::utf16_units;
pub(crate) use item::{Id, Item, Kind};

/// An update that has passed the gate: every Yjs client takes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Update(Bytes);

impl Update {
    /// The gate: one pass over the bytes. What it accepts, Yjs accepts.
    pub fn parse(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > limits::UPDATE_BYTES_MAX {
            return Err(Reader::new(&bytes).fault(Fault::CountTooLarge));
        }
        let mut items = Items::<true>::begin(&bytes)?;
        let mut count = 0;
        while items.read()?.is_some() {
            count += 1;
            if count > limits::STRUCTS_PER_UPDATE_MAX {
                return Err(items.reader.fault(Fault::CountTooLarge));
            }
        }
        if !items.descending {
            distinct_clients(&bytes)?;
        }
        let mut deletes = items.deletes()?;
        let mut count = 0;
        while deletes.read()?.is_some() {
            count += 1;
            if count > limits::DELETES_PER_UPDATE_MAX {
                return Err(deletes.reader.fault(Fault::CountTooLarge));
            }
        }
        if !deletes.reader.is_empty() {
            return Err(deletes.reader.fault(Fault::TrailingBytes));
        }
        Ok(Self(bytes))
    }

    /// Takes bytes that this crate wrote.
    pub(crate) fn trusted(bytes: Vec<u8>) -> Self {
        let bytes = Bytes::from(bytes);
        debug_assert_eq!(Self::parse(bytes.clone()).err(), None);
        Self(bytes)
    }

    /// The update as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Its structs, and after them its deletions.
    pub(crate) fn items(&self) -> Items<'_, false> {
        Items::begin(&self.0).expect("the gate has read these bytes the same way")
    }

    /// Whether it has neither structs nor deletions.
    pub fn is_empty(&self) -> bool {
        let mut items = self.items();
        items.next().is_none() && items.into_deletes().next().is_none()
    }

    /// The ids of its structs, but for Skip.
    pub fn structs(&self) -> IdSet {
        let items = self.items().filter(|(_, item)| item.kind != Kind::Skip);
        items.map(|(id, item)| (id.client, id.clock..id.clock + item.len)).collect()
    }

    /// The ids that it deletes: those it names, and its structs without content.
    pub fn deletes(&self) -> IdSet {
        let mut items = self.items();
        let implied = items.by_ref().filter(|(_, item)| item.kind.implies_deletion());
        let mut ids: IdSet =
            implied.map(|(id, item)| (id.client, id.clock..id.clock + item.len)).collect();
        for (client, range) in items.into_deletes() {
            ids.insert(client, range);
        }
        ids
    }
}

impl Default for Update {
    /// The update that holds nothing.
    fn default() -> Self {
        Self(Bytes::from_static(&[0, 0]))
    }
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Update({} bytes)", self.0.len())
    }
}

/// Refuses a second section of a client. Writers sort their sections downwards, so this pass and
/// its memory are for others only.
#[cold]
fn distinct_clients(bytes: &[u8]) -> Result<(), DecodeError> {
    let mut clients = Vec::new();
    let mut items = Items::<false>::begin(bytes)?;
    while items.sections > 0 || items.structs > 0 {
        if items.structs == 0 {
            items.begin_section()?;
            clients.push(items.client);
        } else {
            items.read()?;
        }
    }
    clients.sort_unstable();
    if clients.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(items.reader.fault(Fault::DuplicateClient));
    }
    Ok(())
}

/// Reads the structs of an update; as the gate, or over bytes that have passed it.
pub(crate) struct Items<'a, const GATE: bool> {
    reader: Reader<'a>,
    /// Sections to come.
    sections: usize,
    /// Structs to come in this section.
    structs: usize,
    client: u64,
    clock: u32,
    /// Whether no client so far came after a smaller or equal one.
    descending: bool,
}

impl<'a, const GATE: bool> Items<'a, GATE> {
    fn begin(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let sections = reader.count(3)?;
        Ok(Self { reader, sections, structs: 0, client: u64::MAX, clock: 0, descending: true })
    }

    fn begin_section(&mut self) -> Result<(), DecodeError> {
        self.sections -= 1;
        self.structs = self.reader.count(2)?;
        let client = self.reader.varuint()?;
        self.clock = self.reader.clock()?;
        self.descending &= client < self.client;
        self.client = client;
        Ok(())
    }

    #[inline]
    fn read(&mut self) -> Result<Option<(Id, Item<'a>)>, DecodeError> {
        while self.structs == 0 {
            if self.sections == 0 {
                return Ok(None);
            }
            self.begin_section()?;
        }
        self.structs -= 1;
        let id = Id { client: self.client, clock: self.clock };
        let item = Item::read::<GATE>(&mut self.reader)?;
        if GATE {
            item.check_place(id).map_err(|fault| self.reader.fault(fault))?;
        }
        self.clock += item.len;
        Ok(Some((id, item)))
    }

    fn deletes(mut self) -> Result<Deletes<'a>, DecodeError> {
        while self.read()?.is_some() {}
        let sections = self.reader.count(2)?;
        Ok(Deletes { reader: self.reader, sections, ranges: 0, client: 0 })
    }
}

/// Reads the delete set of an update.
pub(crate) struct Deletes<'a> {
    reader: Reader<'a>,
    /// Sections to come.
    sections: usize,
    /// Ranges to come in this section.
    ranges: usize,
    client: u64,
}

impl Deletes<'_> {
    fn read(&mut self) -> Result<Option<(u64, Range<u32>)>, DecodeError> {
        while self.ranges == 0 {
            if self.sections == 0 {
                return Ok(None);
            }
            self.sections -= 1;
            self.client = self.reader.varuint()?;
            self.ranges = self.reader.count(2)?;
        }
        self.ranges -= 1;
        let start = self.reader.clock()?;
        let len = self.reader.varuint()?;
        if len == 0 {
            return Err(self.reader.fault(Fault::ZeroLength));
        }
        match u32::try_from(u64::from(start).saturating_add(len)) {
            Ok(end) if u64::from(end) < limits::CLOCK_END => Ok(Some((self.client, start..end))),
            _ => Err(self.reader.fault(Fault::ClockTooLarge)),
        }
    }
}

impl<'a> Items<'a, false> {
    /// Passes over what is left of the structs.
    pub(crate) fn into_deletes(self) -> Deletes<'a> {
        self.deletes().expect("the gate has read these bytes the same way")
    }
}

impl<'a> Iterator for Items<'a, false> {
    type Item = (Id, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.read().expect("the gate has read these bytes the same way")
    }
}

impl Iterator for Deletes<'_> {
    type Item = (u64, Range<u32>);

    fn next(&mut self) -> Option<Self::Item> {
        self.read().expect("the gate has read these bytes the same way")
    }
}
