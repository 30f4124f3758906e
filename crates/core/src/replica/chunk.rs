//! Handing out what a peer lacks, in updates of bounded size.

mod causal;
mod encode;
mod room;

use std::collections::BTreeMap;
use std::ops::Range;

use super::Replica;
use super::structs::Stored;
use crate::fellow::{self, Digest};
use crate::id_set::IdSet;
use crate::state_vector::StateVector;
use crate::update::Update;

use causal::Search;
use room::Room;

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

    /// What somebody lacks who holds the structs of this vector and the deletions of this digest.
    pub fn lacking(vector: &StateVector, digest: &Digest, replica: &Replica) -> Self {
        let is_same = fellow::digest(replica.deletes()) == *digest;
        let deletes = if is_same { IdSet::new() } else { replica.deletes().clone() };
        Self { structs: replica.missing_from(vector), deletes }
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

/// One range of clocks for each client: what one update can hold without Skip.
type Picked = BTreeMap<u64, Range<u32>>;

impl Replica {
    /// Encodes a part of `want` as one update of about `bytes_max` at most, and takes it out of
    /// `want`; nothing if nothing that is held is wanted. Structs come after what they refer to,
    /// deletions after all structs, what lies beyond a gap last. One call costs about as much as
    /// it yields, however much is wanted.
    pub fn take_chunk(&self, want: &mut Want, bytes_max: usize) -> Option<Chunk> {
        let mut room = Room::new(bytes_max);
        let whole = room.bytes();
        let mut picked = self
            .pick_all(&want.structs, &mut room)
            .unwrap_or_else(|| Search::run(self, &want.structs, &mut room));
        remove(&mut want.structs, &picked);
        let settled = self.settled_clients(&want.structs).next().is_none();
        let mut deletes = IdSet::new();
        if settled {
            deletes = self.take_deletes(&mut want.deletes, &mut room);
        }
        if picked.is_empty() && deletes.is_empty() {
            picked = self.pick_islands(&mut want.structs, &mut room);
            remove(&mut want.structs, &picked);
        }
        if picked.is_empty() && deletes.is_empty() {
            return None;
        }
        let update = Update::trusted(self.encode(&picked, &deletes, whole - room.bytes()));
        Some(Chunk { update, complete: settled && want.deletes.is_empty() })
    }

    /// The first range that is wanted of each client and not beyond a gap.
    fn settled_clients(&self, wanted: &IdSet) -> impl Iterator<Item = (u64, Range<u32>)> {
        wanted.clients().filter_map(|client| Some((client, self.settled_range(wanted, client, 0)?)))
    }

    /// What is wanted of a client next, from a clock on, and not beyond a gap: all that is held.
    fn settled_range(&self, wanted: &IdSet, client: u64, from: u32) -> Option<Range<u32>> {
        wanted.overlaps(client, from..self.settled(client)).next()
    }

    /// All that is not beyond a gap, if it fits and needs no Skip: then order does not matter.
    fn pick_all(&self, wanted: &IdSet, room: &mut Room) -> Option<Picked> {
        let mut picked = Picked::new();
        let mut left = room.clone();
        for (client, range) in self.settled_clients(wanted) {
            if self.settled_range(wanted, client, range.end).is_some() {
                return None;
            }
            if self.pick_range(client, &range, &mut left) != range.end {
                return None;
            }
            picked.insert(client, range);
        }
        *room = left;
        Some(picked)
    }

    /// The first wanted range of each client, as far as they fit.
    fn pick_islands(&self, wanted: &mut IdSet, room: &mut Room) -> Picked {
        let mut picked = Picked::new();
        for client in wanted.clients().collect::<Vec<_>>() {
            let Some(range) = self.first_held(wanted, client) else { continue };
            let end = self.pick_range(client, &range, room);
            if end > range.start {
                picked.insert(client, range.start..end);
            }
            if end < range.end {
                break;
            }
        }
        picked
    }

    /// The first wanted range of a client; what comes before it is not held, and is dropped.
    fn first_held(&self, wanted: &mut IdSet, client: u64) -> Option<Range<u32>> {
        loop {
            let first = wanted.ranges(client).next();
            let range = first?;
            let (held, end) = self.held.span(client, range.start);
            let range = range.start..range.end.min(end);
            if held {
                return Some(range);
            }
            wanted.remove(client, &range);
        }
    }

    /// Puts as much of a range as fits in a section of its own; says where it ends.
    fn pick_range(&self, client: u64, range: &Range<u32>, room: &mut Room) -> u32 {
        let mut end = range.start;
        for stored in self.over(client, range.clone()) {
            match room.put_struct(client, &stored, range, end == range.start) {
                Some(fits) => end = fits,
                None => break,
            }
        }
        end
    }

    /// Takes all deletions if they fit; if nothing else is in the update, as many as fit. Those
    /// that we do not know are dropped at the end.
    fn take_deletes(&self, wanted: &mut IdSet, room: &mut Room) -> IdSet {
        // Whoever joins wants all of ours: then none is looked up.
        let mut left = room.clone();
        if *wanted == self.deletes && left.put_deletes(wanted.iter()) {
            *room = left;
            return std::mem::take(wanted);
        }
        let alone = room.is_empty();
        let (taken, all) = self.fitting_deletes(wanted, room);
        if all {
            *wanted = IdSet::new();
        } else if alone {
            wanted.subtract(&taken);
        } else {
            return IdSet::new();
        }
        taken
    }

    /// The first wanted deletions that fit, and whether that is all.
    fn fitting_deletes(&self, wanted: &IdSet, room: &mut Room) -> (IdSet, bool) {
        let mut taken = IdSet::new();
        let mut previous = None;
        for (client, range) in wanted.iter() {
            for part in self.deletes.overlaps(client, range) {
                if !room.put_delete(client, &part, previous.replace(client) != Some(client)) {
                    return (taken, false);
                }
                taken.insert(client, part);
            }
        }
        (taken, true)
    }

    fn over(&self, client: u64, range: Range<u32>) -> impl Iterator<Item = Stored<'_>> {
        self.clients.get(&client).into_iter().flat_map(move |structs| structs.over(range.clone()))
    }
}

fn remove(wanted: &mut IdSet, picked: &Picked) {
    for (&client, range) in picked {
        wanted.remove(client, range);
    }
}
