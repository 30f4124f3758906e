//! Handing out what a peer lacks, in updates of bounded size.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Replica;
use super::parts::Parts;
use super::structs::Stored;
use crate::decode::{put_varuint, varuint_bytes};
use crate::id_set::IdSet;
use crate::limits;
use crate::update::{Id, Update};

/// What a peer still lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Want {
    /// Ids of structs.
    pub structs: IdSet,
    /// Deleted ids.
    pub deletes: IdSet,
}

impl Want {
    /// Whether nothing is lacking.
    pub fn is_empty(&self) -> bool {
        self.structs.is_empty() && self.deletes.is_empty()
    }

    /// All that an update holds.
    pub fn of(update: &Update) -> Self {
        Self { structs: update.structs(), deletes: update.deletes() }
    }

    /// All that a replica holds.
    pub fn everything(replica: &Replica) -> Self {
        Self { structs: replica.held().clone(), deletes: replica.deletes().clone() }
    }

    /// Takes away what `other` wants.
    pub fn subtract(&mut self, other: &Self) {
        self.structs.subtract(&other.structs);
        self.deletes.subtract(&other.deletes);
    }

    /// Adds what `other` wants.
    pub fn merge(&mut self, other: &Self) {
        self.structs.merge(&other.structs);
        self.deletes.merge(&other.deletes);
    }
}

/// Some of what a peer lacks.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// To be sent.
    pub update: Update,
    /// After this nothing but structs beyond a gap is wanted any more.
    pub complete: bool,
}

/// One range of clocks for each client: what fits into sections of one update without Skip.
type Picked = BTreeMap<u64, Range<u32>>;

/// Bytes of a cut beyond those of the whole struct: ids of 13 bytes at most, two halves of a pair.
const CUT_BYTES_MAX: usize = 32;

/// Room in an update.
struct Room {
    bytes: usize,
    structs: usize,
    deletes: usize,
    /// Nothing was put in yet: the first struct passes whatever its size.
    empty: bool,
}

impl Room {
    fn new(bytes_max: usize) -> Self {
        /// The counts of sections and of clients in the delete set.
        const FRAME_BYTES: usize = 10;
        let bytes_max = bytes_max.min(limits::UPDATE_BYTES_MAX / 2);
        Self {
            bytes: bytes_max.saturating_sub(FRAME_BYTES),
            structs: limits::STRUCTS_PER_UPDATE_MAX,
            deletes: limits::DELETES_PER_UPDATE_MAX,
            empty: true,
        }
    }

    fn put_struct(&mut self, bytes: usize) -> bool {
        if self.structs == 0 || (bytes > self.bytes && !self.empty) {
            return false;
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        self.structs -= 1;
        self.empty = false;
        true
    }

    fn put_delete(&mut self, bytes: usize) -> bool {
        if self.deletes == 0 || (bytes > self.bytes && !self.empty) {
            return false;
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        self.deletes -= 1;
        self.empty = false;
        true
    }
}

/// Bytes of the header of a section.
fn section_bytes(client: u64, clock: u32) -> usize {
    /// The count of structs.
    const COUNT_BYTES: usize = 4;
    COUNT_BYTES + varuint_bytes(client) + varuint_bytes(u64::from(clock))
}

impl Replica {
    /// Encodes a part of `want` as one update of about `bytes_max` at most, and takes it out of
    /// `want`; nothing if nothing that is held is wanted. Structs come after what they refer to,
    /// deletions after all structs, what lies beyond a gap last.
    pub fn take_chunk(&self, want: &mut Want, bytes_max: usize) -> Option<Chunk> {
        if !self.held.contains_all(&want.structs) {
            want.structs = want.structs.intersection(&self.held);
        }
        let mut room = Room::new(bytes_max);
        let mut settled = self.settled_part(&want.structs);
        let mut picked = self
            .pick_all(&settled, &mut room)
            .unwrap_or_else(|| self.pick_causally(&settled, &mut room));
        for (&client, range) in &picked {
            settled.remove(client, range);
        }
        let mut deletes = IdSet::new();
        if settled.is_empty() {
            if !self.deletes.contains_all(&want.deletes) {
                want.deletes = want.deletes.intersection(&self.deletes);
            }
            deletes = take_deletes(&mut want.deletes, &mut room);
        }
        if picked.is_empty() && deletes.is_empty() {
            picked = self.pick_islands(&want.structs, &mut room);
        }
        if picked.is_empty() && deletes.is_empty() {
            return None;
        }
        for (&client, range) in &picked {
            want.structs.remove(client, range);
        }
        let update = Update::trusted(self.encode(&picked, &deletes));
        Some(Chunk { update, complete: settled.is_empty() && want.deletes.is_empty() })
    }

    /// The ids that are not beyond a gap.
    fn settled_part(&self, ids: &IdSet) -> IdSet {
        if !self.is_incomplete() {
            return ids.clone();
        }
        let settled = |client| self.settled(client);
        ids.iter()
            .map(|(client, range)| (client, range.start..range.end.min(settled(client))))
            .collect()
    }

    /// Everything, if it fits and needs no Skip: then order does not matter.
    fn pick_all(&self, ids: &IdSet, room: &mut Room) -> Option<Picked> {
        let mut picked = Picked::new();
        let mut all = Room { ..*room };
        for (client, range) in ids.iter() {
            all.bytes = all.bytes.checked_sub(section_bytes(client, range.start))?;
            for stored in self.over(client, range.clone()) {
                if !all.put_struct(piece_bytes(&stored, &range)) {
                    return None;
                }
            }
            if picked.insert(client, range).is_some() {
                return None;
            }
        }
        *room = all;
        Some(picked)
    }

    /// As much as fits, nothing before what it refers to. Terminates also where structs refer to
    /// each other in a circle, which no honest writer makes.
    fn pick_causally(&self, ids: &IdSet, room: &mut Room) -> Picked {
        let mut search = Search {
            replica: self,
            ids,
            picked: Picked::new(),
            waiting: Vec::new(),
            on_stack: BTreeSet::new(),
        };
        let mut previous = None;
        for (client, _) in ids.iter() {
            if previous.replace(client) != Some(client) && !search.run(client, room) {
                break;
            }
        }
        search.picked
    }

    /// The first wanted range of each client, as far as they fit.
    fn pick_islands(&self, ids: &IdSet, room: &mut Room) -> Picked {
        let mut picked = Picked::new();
        for (client, range) in ids.iter() {
            if picked.contains_key(&client) {
                continue;
            }
            let mut section = section_bytes(client, range.start);
            let mut end = range.start;
            for stored in self.over(client, range.clone()) {
                if !room.put_struct(section + piece_bytes(&stored, &range)) {
                    break;
                }
                section = 0;
                end = stored.end().min(range.end);
            }
            if end > range.start {
                picked.insert(client, range.start..end);
            }
            if end < range.end {
                break;
            }
        }
        picked
    }

    fn over(&self, client: u64, range: Range<u32>) -> impl Iterator<Item = Stored<'_>> {
        self.clients.get(&client).into_iter().flat_map(move |structs| structs.over(range.clone()))
    }

    fn encode(&self, picked: &Picked, deletes: &IdSet) -> Vec<u8> {
        let mut out = Vec::new();
        put_varuint(&mut out, picked.len() as u64);
        for (&client, range) in picked.iter().rev() {
            let count = self.over(client, range.clone()).count();
            put_varuint(&mut out, count as u64);
            put_varuint(&mut out, client);
            put_varuint(&mut out, u64::from(range.start));
            for stored in self.over(client, range.clone()) {
                put_piece(client, &stored, range, &mut out);
            }
        }
        put_deletes(deletes, &mut out);
        out
    }
}

/// Bytes of what `range` takes of a struct: at most that.
fn piece_bytes(stored: &Stored<'_>, range: &Range<u32>) -> usize {
    let whole = range.start <= stored.clock && stored.end() <= range.end;
    stored.raw.len() + if whole { 0 } else { CUT_BYTES_MAX }
}

/// Writes what `range` takes of a struct.
fn put_piece(client: u64, stored: &Stored<'_>, range: &Range<u32>, out: &mut Vec<u8>) {
    let start = range.start.max(stored.clock);
    let end = range.end.min(stored.end());
    if start == stored.clock && end == stored.end() {
        out.extend_from_slice(stored.raw);
        return;
    }
    let id = Id { client, clock: stored.clock };
    Parts::new(id, stored.item()).put(&(start - stored.clock..end - stored.clock), out);
}

/// Takes all deletions if they fit; if nothing else is in the update, as many as fit.
fn take_deletes(deletes: &mut IdSet, room: &mut Room) -> IdSet {
    let alone = room.empty;
    let mut previous = None;
    let mut fits = |client: u64, range: &Range<u32>| {
        let mut bytes = varuint_bytes(u64::from(range.start))
            + varuint_bytes(u64::from(range.end - range.start));
        if previous.replace(client) != Some(client) {
            bytes += section_bytes(client, 0);
        }
        room.put_delete(bytes)
    };
    let fitting = deletes.iter().take_while(|(client, range)| fits(*client, range)).count();
    if fitting == deletes.range_count() {
        return std::mem::take(deletes);
    }
    if !alone {
        return IdSet::new();
    }
    let taken: IdSet = deletes.iter().take(fitting).collect();
    deletes.subtract(&taken);
    taken
}

fn put_deletes(deletes: &IdSet, out: &mut Vec<u8>) {
    let ranges: Vec<_> = deletes.iter().collect();
    let sections: Vec<_> = ranges.chunk_by(|a, b| a.0 == b.0).collect();
    put_varuint(out, sections.len() as u64);
    for section in sections.into_iter().rev() {
        let Some((client, _)) = section.first() else { continue };
        put_varuint(out, *client);
        put_varuint(out, section.len() as u64);
        for (_, range) in section {
            put_varuint(out, u64::from(range.start));
            put_varuint(out, u64::from(range.end - range.start));
        }
    }
}

/// A depth-first search through what structs refer to, with its own stack.
struct Search<'a> {
    replica: &'a Replica,
    ids: &'a IdSet,
    picked: Picked,
    /// Clients of which structs are being picked, each for the one before it on the stack, and
    /// the clock up to which that one needs them.
    waiting: Vec<(u64, u32)>,
    on_stack: BTreeSet<u64>,
}

impl Search<'_> {
    /// Picks all of a client; false when the update is full, or a client goes on after a hole.
    fn run(&mut self, client: u64, room: &mut Room) -> bool {
        self.wait_for(client, u32::MAX);
        while let Some(&(client, until)) = self.waiting.last() {
            let Some((range, begun)) = self.next_range(client) else {
                self.resume();
                continue;
            };
            if range.start > until {
                self.resume();
                continue;
            }
            if begun && self.picked.get(&client).is_some_and(|picked| picked.end < range.start) {
                return false;
            }
            if !self.pick_range(client, &range, until, begun, room) {
                return false;
            }
        }
        true
    }

    /// Picks structs of a range until one of them has to wait; false when the update is full.
    fn pick_range(
        &mut self,
        client: u64,
        range: &Range<u32>,
        until: u32,
        begun: bool,
        room: &mut Room,
    ) -> bool {
        let mut section = if begun { 0 } else { section_bytes(client, range.start) };
        let replica = self.replica;
        for stored in replica.over(client, range.clone()) {
            let start = stored.clock.max(range.start);
            if start > until {
                return true;
            }
            let unmet = stored.item().needs().find(|&id| id.client != client && self.is_unmet(id));
            if let Some(id) = unmet {
                self.wait_for(id.client, id.clock);
                return true;
            }
            if !room.put_struct(section + piece_bytes(&stored, range)) {
                return false;
            }
            section = 0;
            let picked = self.picked.entry(client).or_insert(start..start);
            picked.end = stored.end().min(range.end);
        }
        true
    }

    /// What is still to be picked of a client, and whether some of it is picked already.
    fn next_range(&self, client: u64) -> Option<(Range<u32>, bool)> {
        let begun = self.picked.get(&client);
        let from = begun.map_or(0, |picked| picked.end);
        let range = self.ids.overlaps(client, from..u32::MAX).next()?;
        Some((range, begun.is_some()))
    }

    /// Whether an id is wanted and must come first. One that waits for us already cannot.
    fn is_unmet(&self, id: Id) -> bool {
        !self.on_stack.contains(&id.client)
            && self.ids.contains(id.client, id.clock)
            && self.picked.get(&id.client).is_none_or(|picked| picked.end <= id.clock)
    }

    fn wait_for(&mut self, client: u64, clock: u32) {
        self.waiting.push((client, clock));
        self.on_stack.insert(client);
    }

    fn resume(&mut self) {
        if let Some((client, _)) = self.waiting.pop() {
            self.on_stack.remove(&client);
        }
    }
}
