//! Our replica of a document: it stores structs and deletions, and integrates nothing.

mod chunk;
mod collect;
mod compact;
mod join;
mod parts;
mod pending;
mod structs;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::id_set::IdSet;
use crate::state_vector::StateVector;
use crate::update::{Id, Item, Kind, Update};

pub use chunk::{Chunk, Want};
pub use compact::Compaction;
pub use pending::Pending;

use parts::Parts;
use structs::Structs;

/// Everything that is known of one document: the structs of every client as raw bytes, and the
/// ids that are deleted. Copies are cheap: they share what neither side changes.
#[derive(Clone, Default)]
pub struct Replica {
    clients: BTreeMap<u64, Structs>,
    held: IdSet,
    deletes: IdSet,
    struct_count: usize,
    struct_bytes: usize,
    /// Clients of which something beyond a gap is held.
    gapped_clients: usize,
    /// All that is held beyond gaps.
    pending: Pending,
}

/// What an update brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Ids that were not held before.
    pub structs: IdSet,
    /// Ids that were not deleted before.
    pub deletes: IdSet,
    /// Everything in the update was new: its own bytes may be passed on.
    pub whole: bool,
    /// Something beyond a gap was not stored, see [`Replica::apply_gapless`].
    pub left_out: bool,
}

impl Applied {
    /// Whether it brought anything.
    pub fn changed(&self) -> bool {
        !self.structs.is_empty() || !self.deletes.is_empty()
    }
}

impl Replica {
    /// Stores what is new. Where a clock is held already, what is held stays.
    pub fn apply(&mut self, update: &Update) -> Applied {
        self.take(update, true)
    }

    /// Stores what is new and stands beyond no gap: what fills one, too.
    pub fn apply_gapless(&mut self, update: &Update) -> Applied {
        self.take(update, false)
    }

    fn take(&mut self, update: &Update, takes_gapped: bool) -> Applied {
        let mut applied = Applied { whole: true, ..Applied::default() };
        let mut implied = IdSet::new();
        let mut items = update.items();
        let mut next = items.next();
        while let Some((Id { client, .. }, _)) = next {
            let mut section = Section::new(self, client, takes_gapped, &mut applied);
            while let Some((id, item)) = next
                && id.client == client
            {
                section.apply(self, id, item);
                if item.kind.implies_deletion() {
                    implied.insert(client, id.clock..id.clock + item.len);
                }
                next = items.next();
            }
            section.end(self);
        }
        for (client, range) in items.into_deletes() {
            let new = self.delete(client, range.clone(), &mut applied.deletes);
            applied.whole &= new == range.end - range.start;
        }
        for (client, range) in implied.iter() {
            self.delete(client, range, &mut applied.deletes);
        }
        applied
    }

    /// Adds a deletion; says how many of its ids are new, and adds those to `new`.
    fn delete(&mut self, client: u64, range: Range<u32>, new: &mut IdSet) -> u32 {
        let mut count = 0;
        let mut at = range.start;
        while at < range.end {
            let (deleted, end) = self.deletes.span(client, at);
            let end = end.min(range.end);
            if !deleted {
                new.insert(client, at..end);
                count += end - at;
            }
            at = end;
        }
        if count > 0 {
            self.deletes.insert(client, range);
        }
        count
    }

    /// What is held without a gap.
    pub fn state_vector(&self) -> StateVector {
        self.clients.keys().map(|&client| (client, self.settled(client))).collect()
    }

    /// Whether it knows nothing.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.deletes.is_empty()
    }

    /// Whether something beyond a gap is held.
    pub fn is_incomplete(&self) -> bool {
        self.gapped_clients > 0
    }

    /// How much is held beyond gaps.
    pub fn pending(&self) -> Pending {
        self.pending
    }

    /// The ids of all structs, also of those beyond a gap.
    pub fn held(&self) -> &IdSet {
        &self.held
    }

    /// The deleted ids, also those not held yet.
    pub fn deletes(&self) -> &IdSet {
        &self.deletes
    }

    /// The ids that a holder of `theirs` lacks, those beyond a gap included.
    pub fn missing_from(&self, theirs: &StateVector) -> IdSet {
        let ranges = self.held.iter();
        ranges
            .map(|(client, range)| (client, range.start.max(theirs.get(client))..range.end))
            .collect()
    }

    /// Our deletions of structs that we hold, without those in `theirs`.
    pub fn missing_deletes(&self, theirs: &IdSet) -> IdSet {
        let mut missing = self.deletes.intersection(&self.held);
        missing.subtract(theirs);
        missing
    }

    /// About the memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        /// A range in an [`IdSet`], its share of the tree included.
        const RANGE_BYTES: usize = 32;
        /// A client: its node, its page and what they have in reserve.
        const CLIENT_BYTES: usize = 256;
        self.struct_bytes
            + self.struct_count * structs::ENTRY_BYTES
            + (self.held.range_count() + self.deletes.range_count()) * RANGE_BYTES
            + self.clients.len() * CLIENT_BYTES
    }

    /// The whole state as updates, each of about 4 MiB at most; what lies beyond a gap comes last.
    pub fn snapshot(&self) -> Vec<Update> {
        const CHUNK_BYTES_MAX: usize = 4 << 20;
        let mut want = Want { structs: self.held.clone(), deletes: self.deletes.clone() };
        std::iter::from_fn(|| self.take_chunk(&mut want, CHUNK_BYTES_MAX))
            .map(|chunk| chunk.update)
            .collect()
    }

    /// Whether `compacted` can stand for this replica: the same ids, no deletion lost.
    pub fn equivalent(&self, compacted: &Self) -> bool {
        self.held == compacted.held && compacted.deletes.contains_all(&self.deletes)
    }

    /// The first clock of `client` that is not held.
    fn settled(&self, client: u64) -> u32 {
        match self.held.span(client, 0) {
            (true, end) => end,
            (false, _) => 0,
        }
    }

    fn is_gapped(&self, client: u64) -> bool {
        self.held.ranges(client).next_back().is_some_and(|last| last.start > 0)
    }

    /// All structs.
    fn all(&self) -> Pending {
        Pending { structs: self.struct_count, bytes: self.struct_bytes }
    }

    /// Stores a struct none of whose clocks is held, but for `held` itself.
    #[inline]
    fn store(&mut self, id: Id, item: &Item<'_>, joins: bool) {
        let grown = self.clients.entry(id.client).or_default().insert(id, item, joins);
        self.struct_count += grown.structs;
        self.struct_bytes += grown.bytes;
    }
}

/// The structs of one client in an update, on their way into the replica.
struct Section<'a> {
    client: u64,
    /// Clocks known to be free.
    free: Range<u32>,
    /// Clocks stored, not yet in the replica's `held`.
    run: Range<u32>,
    applied: &'a mut Applied,
    was_gapped: bool,
    /// Something is held beyond a gap, by now.
    gapped: bool,
    /// The first clock that was not held before the gap was there.
    was_settled: u32,
    /// All clocks below are held or in `run`.
    settled: u32,
    takes_gapped: bool,
    /// What `replica` held then, in all.
    held_before: Pending,
}

impl<'a> Section<'a> {
    #[inline]
    fn new(replica: &Replica, client: u64, takes_gapped: bool, applied: &'a mut Applied) -> Self {
        let settled = replica.settled(client);
        let was_gapped = replica.is_gapped(client);
        Self {
            client,
            free: 0..0,
            run: 0..0,
            applied,
            was_gapped,
            gapped: was_gapped,
            was_settled: settled,
            settled,
            takes_gapped,
            held_before: replica.all(),
        }
    }

    #[inline]
    fn apply(&mut self, replica: &mut Replica, id: Id, item: Item<'_>) {
        if item.len == 0 || item.kind == Kind::Skip {
            self.applied.whole = false;
            return;
        }
        let end = id.clock + item.len;
        if !self.takes_gapped && !self.reaches(replica, id.clock) {
            self.applied.whole = false;
            self.applied.left_out |= !replica.held.contains_range(self.client, &(id.clock..end));
            return;
        }
        if self.free.end <= id.clock {
            self.free = self.free_from(replica, id.clock);
        }
        if self.free.start <= id.clock && end <= self.free.end {
            self.store(replica, id, &item);
        } else {
            self.applied.whole = false;
            self.apply_parts(replica, id, item);
        }
    }

    /// Whether there is no gap before this clock.
    fn reaches(&mut self, replica: &Replica, clock: u32) -> bool {
        while self.settled < clock {
            self.settled = match replica.held.span(self.client, self.settled) {
                (true, end) => end,
                (false, _) if self.run.contains(&self.settled) => self.run.end,
                (false, _) => return false,
            };
        }
        true
    }

    /// Stores the parts of a struct that are not held.
    #[cold]
    fn apply_parts(&mut self, replica: &mut Replica, id: Id, item: Item<'_>) {
        let mut parts = Parts::new(id, item);
        let mut raw = Vec::new();
        let (mut at, end) = (id.clock, id.clock + item.len);
        while at < end {
            let (held, stop) = replica.held.span(self.client, at);
            let stop = stop.min(end);
            if !held {
                raw.clear();
                parts.put(&(at - id.clock..stop - id.clock), &mut raw);
                let part = Item::known(&raw, stop - at);
                self.store(replica, Id { client: self.client, clock: at }, &part);
            }
            at = stop;
        }
    }

    fn free_from(&self, replica: &Replica, clock: u32) -> Range<u32> {
        match replica.held.span(self.client, clock) {
            (false, end) => clock..end,
            (true, end) => end..end,
        }
    }

    /// Stores a struct none of whose clocks is held. What stands beyond a gap is bounded by its
    /// structs: it is not joined.
    #[inline]
    fn store(&mut self, replica: &mut Replica, id: Id, item: &Item<'_>) {
        let end = self.was_settled.max(self.run.end);
        if !self.gapped && id.clock > end {
            self.gapped = true;
            self.was_settled = end;
            self.held_before = replica.all();
        }
        replica.store(id, item, !self.gapped);
        self.extend(replica, id.clock..id.clock + item.len);
    }

    #[inline]
    fn extend(&mut self, replica: &mut Replica, stored: Range<u32>) {
        if self.run.end == stored.start {
            self.run.end = stored.end;
        } else {
            self.finish(replica);
            self.run = stored;
        }
    }

    fn finish(&mut self, replica: &mut Replica) {
        replica.held.insert(self.client, self.run.clone());
        self.applied.structs.insert(self.client, self.run.clone());
        self.run = 0..0;
    }

    /// Counts what has come to stand beyond a gap, and what no longer does.
    fn end(mut self, replica: &mut Replica) {
        self.finish(replica);
        let is_gapped = replica.is_gapped(self.client);
        if !self.was_gapped && !is_gapped {
            return;
        }
        replica.gapped_clients -= usize::from(self.was_gapped);
        replica.gapped_clients += usize::from(is_gapped);
        let stored = replica.all() - self.held_before;
        let settled = self.was_settled..replica.settled(self.client);
        replica.pending = replica.pending + stored - replica.amount(self.client, settled);
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("structs", &self.struct_count)
            .field("bytes", &self.struct_bytes)
            .field("held", &self.held)
            .field("deletes", &self.deletes)
            .finish()
    }
}
