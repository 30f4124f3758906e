//! Picking structs so that none comes before what it refers to.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Picked, Room};
use crate::id_set::IdSet;
use crate::replica::Replica;
use crate::update::Id;

/// A depth-first search through what structs refer to, with its own stack. It ends also where
/// structs refer to each other in a circle, which no honest writer makes.
pub(super) struct Search<'a> {
    replica: &'a Replica,
    wanted: &'a IdSet,
    picked: Picked,
    /// Clients that are being picked, each for the one before it on the stack, and the clock up
    /// to which that one needs them.
    waiting: Vec<(u64, u32)>,
    on_stack: BTreeSet<u64>,
}

impl<'a> Search<'a> {
    /// As much of what is wanted and not beyond a gap as fits.
    pub(super) fn run(replica: &'a Replica, wanted: &'a IdSet, room: &mut Room) -> Picked {
        let (picked, waiting, on_stack) = Default::default();
        let mut search = Search { replica, wanted, picked, waiting, on_stack };
        for (client, _) in replica.settled_clients(wanted) {
            if !search.pick_client(client, room) {
                break;
            }
        }
        search.picked
    }

    /// Picks all of a client; false when the update is full, or a client goes on after a hole.
    fn pick_client(&mut self, client: u64, room: &mut Room) -> bool {
        self.wait_for(client, u32::MAX);
        while let Some(&(client, until)) = self.waiting.last() {
            let picked_end = self.picked.get(&client).map(|picked| picked.end);
            let next =
                self.replica.settled_range(self.wanted, client, picked_end.unwrap_or_default());
            let Some(range) = next.filter(|range| range.start <= until) else {
                self.resume();
                continue;
            };
            if picked_end.is_some_and(|end| end < range.start) {
                return false;
            }
            if !self.pick_range(client, &range, until, room) {
                return false;
            }
        }
        true
    }

    /// Picks structs of a range until one of them has to wait; false when the update is full.
    fn pick_range(&mut self, client: u64, range: &Range<u32>, until: u32, room: &mut Room) -> bool {
        let replica = self.replica;
        for stored in replica.over(client, range.clone()) {
            let start = stored.clock.max(range.start);
            if start > until {
                return true;
            }
            if let Some(id) = stored.item().needs().find(|&id| self.is_unmet(id)) {
                self.wait_for(id.client, id.clock);
                return true;
            }
            let begins_section = !self.picked.contains_key(&client);
            let Some(end) = room.put_struct(client, &stored, range, begins_section) else {
                return false;
            };
            self.picked.entry(client).or_insert(start..start).end = end;
        }
        true
    }

    /// Whether an id is wanted and must come first. One that waits for us already cannot: so it
    /// is with the struct's own client, whose clocks come in order anyway.
    fn is_unmet(&self, id: Id) -> bool {
        !self.on_stack.contains(&id.client)
            && id.clock < self.replica.settled(id.client)
            && self.wanted.contains(id.client, id.clock)
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
