//! A smaller replica that stands for the same document.

use std::ops::Range;

use bytes::Bytes;

use super::Replica;
use super::collect::collectable;
use super::join::{self, Ending};
use super::parts::Parts;
use super::structs::Structs;
use crate::decode::put_varuint;
use crate::id_set::IdSet;
use crate::update::{Id, Item, Kind, Update};

/// What compaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compaction {
    /// Join structs, drop deleted content where that saves bytes, collect what deleted types held.
    Full,
    /// Join structs only: for readers that look at deleted content.
    KeepDeleted,
}

impl Replica {
    /// The same document in fewer structs and bytes. Compacting again changes nothing.
    pub fn compact(&self, mode: Compaction) -> Replica {
        let mut deletes = self.deletes.clone();
        let mut collected = IdSet::new();
        if mode == Compaction::Full {
            collected = collectable(self);
            deletes.merge(&collected);
        }
        let mut out = Replica {
            held: self.held.clone(),
            gapped_clients: self.gapped_clients,
            ..Replica::default()
        };
        for (&client, structs) in &self.clients {
            let mut compactor = Compactor {
                client,
                collected: &collected,
                deletes: (mode == Compaction::Full).then_some(&deletes),
                joined: Run::default(),
                cut: Run::default(),
                out: &mut out,
            };
            compactor.run(structs);
        }
        out.deletes = deletes;
        out.pending = out.count_pending();
        out
    }

    /// Compacts for the store: the rows, and the replica that was read back from them. `None` if
    /// they do not hold the same document: then they must not replace anything.
    pub fn compact_rows(&self, mode: Compaction) -> Option<(Box<Replica>, Vec<Bytes>)> {
        let snapshot = self.compact(mode).snapshot();
        let rows: Vec<Bytes> = snapshot.iter().map(|update| update.bytes().clone()).collect();
        let mut reread = Box::new(Replica::default());
        for row in &rows {
            reread.apply(&Update::parse(row.clone()).ok()?);
        }
        self.equivalent(&reread).then_some((reread, rows))
    }
}

/// Takes the structs of one client through three steps: collect and join, cut out what is
/// deleted, join the tombstones.
struct Compactor<'a> {
    client: u64,
    /// Ids of structs that lose content and place.
    collected: &'a IdSet,
    /// Ids that lose their content where that saves bytes.
    deletes: Option<&'a IdSet>,
    joined: Run,
    cut: Run,
    out: &'a mut Replica,
}

impl Compactor<'_> {
    fn run(&mut self, structs: &Structs) {
        let mut raw = Vec::new();
        for stored in structs.from(0) {
            let mut item = stored.item();
            if item.kind != Kind::Gc && self.collected.contains(self.client, stored.clock) {
                raw.clear();
                put_gc(stored.len, &mut raw);
                item = Item::known(&raw, stored.len);
            }
            if !self.joined.join(self.client, stored.clock, &item) {
                self.cut_out();
                self.joined.begin(stored.clock, &item);
            }
        }
        self.cut_out();
        self.store();
    }

    /// Hands the joined struct on, in pieces where parts of it are to lose their content.
    fn cut_out(&mut self) {
        if self.joined.len == 0 {
            return;
        }
        let mut raw = Vec::new();
        self.joined.put(&mut raw);
        let item = Item::known(&raw, self.joined.len);
        let id = Id { client: self.client, clock: self.joined.clock };
        let mut parts = Parts::new(id, item);
        let mut piece = Vec::new();
        let mut take = |compactor: &mut Self, part: Range<u32>, deleted: bool| {
            piece.clear();
            if deleted {
                parts.put_deleted(&part, &mut piece);
            } else {
                parts.put(&part, &mut piece);
            }
            compactor
                .take_piece(id.clock + part.start, &Item::known(&piece, part.end - part.start));
        };
        let mut done = 0;
        for gone in self.worth_cutting(id, item) {
            if done < gone.start {
                take(self, done..gone.start, false);
            }
            done = gone.end;
            take(self, gone, true);
        }
        if done < item.len {
            take(self, done..item.len, false);
        }
    }

    /// The parts of a struct that had better be tombstones.
    fn worth_cutting(&self, id: Id, item: Item<'_>) -> Vec<Range<u32>> {
        let Some(deletes) = self.deletes else { return Vec::new() };
        if item.kind.implies_deletion() {
            return Vec::new();
        }
        let mut parts = Parts::new(id, item);
        deletes
            .overlaps(id.client, id.clock..id.clock + item.len)
            .map(|gone| gone.start - id.clock..gone.end - id.clock)
            .filter(|gone| {
                *gone == (0..item.len) || parts.content_bytes(gone) > cut_bytes(id, &item, gone)
            })
            .collect()
    }

    fn take_piece(&mut self, clock: u32, item: &Item<'_>) {
        if !self.cut.join(self.client, clock, item) {
            self.store();
            self.cut.begin(clock, item);
        }
    }

    fn store(&mut self) {
        if self.cut.len > 0 {
            let mut raw = Vec::new();
            self.cut.put(&mut raw);
            let id = Id { client: self.client, clock: self.cut.clock };
            self.out.store(id, &Item::known(&raw, self.cut.len), false);
        }
    }
}

/// What the headers cost that a cut adds: one at an end of the struct, two in its middle.
fn cut_bytes(id: Id, item: &Item<'_>, gone: &Range<u32>) -> usize {
    /// The info byte and the length.
    const FRAME_BYTES: usize = 2;
    let header = |offset: u32| {
        let origin = Id { clock: id.clock + offset - 1, ..id };
        FRAME_BYTES + origin.bytes() + item.right_origin.map_or(0, Id::bytes)
    };
    let before = if gone.start > 0 { header(gone.start) } else { 0 };
    let after = if gone.end < item.len { header(gone.end) } else { 0 };
    before + after
}

fn put_gc(len: u32, out: &mut Vec<u8>) {
    out.push(0);
    put_varuint(out, u64::from(len));
}

/// Structs of one client being joined to one.
#[derive(Default)]
struct Run {
    clock: u32,
    /// Zero before the first.
    len: u32,
    ending: Option<Ending>,
    header: Vec<u8>,
    /// The content without the length that strings and lists begin with.
    values: Vec<u8>,
}

impl Run {
    fn begin(&mut self, clock: u32, item: &Item<'_>) {
        self.clock = clock;
        self.len = 0;
        self.ending = Some(Ending::of(item));
        self.header.clear();
        self.header.extend_from_slice(item.header());
        self.values.clear();
        self.extend(item);
    }

    /// Takes a struct in if it is what a cut of this one would have left.
    fn join(&mut self, client: u64, clock: u32, item: &Item<'_>) -> bool {
        let joins = self.clock + self.len == clock
            && self.ending.is_some_and(|ending| ending.takes(Id { client, clock }, item));
        if joins {
            self.extend(item);
        }
        joins
    }

    fn extend(&mut self, item: &Item<'_>) {
        self.len += item.len;
        self.values.extend_from_slice(join::values(item));
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header);
        let kind = self.ending.map(|ending| ending.kind);
        if let Some(count) = kind.and_then(|kind| join::count(kind, self.len, self.values.len())) {
            put_varuint(out, count);
        }
        out.extend_from_slice(&self.values);
    }
}
