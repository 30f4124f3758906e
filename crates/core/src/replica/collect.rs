//! Which structs nobody can see any more, because what held them is deleted.

use std::ops::Range;

use super::Replica;
use crate::id_set::IdSet;
use crate::update::{Id, Kind};

/// The ids of all structs that every reader collects on arrival: the parent is deleted, or a
/// neighbour at birth is collected. A least fixpoint, found in one pass over the references.
pub(super) fn collectable(replica: &Replica) -> IdSet {
    let mut graph = Graph::default();
    let mut found = Vec::new();
    for (&client, structs) in &replica.clients {
        graph.clients.push((client, graph.ranges.len()));
        for stored in structs.from(0) {
            let item = stored.item();
            let deleted = |id: Id| {
                replica.deletes.contains(id.client, id.clock)
                    && replica.held.contains(id.client, id.clock)
            };
            if item.kind == Kind::Gc || item.parent.is_some_and(deleted) {
                found.push(graph.ranges.len());
            }
            graph.ranges.push(stored.range());
        }
    }
    if found.is_empty() {
        return IdSet::new();
    }
    graph.connect(replica);
    let mut collected = vec![false; graph.ranges.len()];
    while let Some(number) = found.pop() {
        let Some(seen) = collected.get_mut(number) else { continue };
        if !std::mem::replace(seen, true) {
            found.extend(graph.dependents(number).iter().map(|&number| number as usize));
        }
    }
    graph.ids(&collected)
}

/// All structs, numbered by client and clock, and who refers to whom.
#[derive(Default)]
struct Graph {
    /// Each client and the number of its first struct.
    clients: Vec<(u64, usize)>,
    ranges: Vec<Range<u32>>,
    /// For each struct where its dependents begin in `edges`; one more at the end.
    starts: Vec<u32>,
    edges: Vec<u32>,
}

impl Graph {
    /// Lists for each struct those that are born beside it or in it.
    fn connect(&mut self, replica: &Replica) {
        let mut edges = Vec::new();
        let mut number = 0;
        for structs in replica.clients.values() {
            for stored in structs.from(0) {
                for id in stored.item().needs() {
                    if let Some(needed) = self.number(id) {
                        edges.push((needed, number));
                    }
                }
                number += 1;
            }
        }
        edges.sort_unstable();
        self.starts = vec![0; self.ranges.len() + 1];
        let mut at = 0;
        for (number, start) in self.starts.iter_mut().enumerate() {
            while edges.get(at).is_some_and(|&(needed, _)| (needed as usize) < number) {
                at += 1;
            }
            *start = at as u32;
        }
        self.edges = edges.into_iter().map(|(_, dependent)| dependent).collect();
    }

    /// The struct that holds an id.
    fn number(&self, id: Id) -> Option<u32> {
        let at = self.clients.binary_search_by_key(&id.client, |&(client, _)| client).ok()?;
        let start = self.clients.get(at)?.1;
        let end = self.clients.get(at + 1).map_or(self.ranges.len(), |&(_, start)| start);
        let ranges = self.ranges.get(start..end)?;
        let within = ranges.partition_point(|range| range.end <= id.clock);
        let number =
            ranges.get(within).filter(|range| range.contains(&id.clock)).map(|_| start + within);
        number.and_then(|number| u32::try_from(number).ok())
    }

    fn dependents(&self, number: usize) -> &[u32] {
        let start = self.starts.get(number).map_or(0, |&start| start as usize);
        let end = self.starts.get(number + 1).map_or(0, |&end| end as usize);
        self.edges.get(start..end).unwrap_or_default()
    }

    fn ids(&self, chosen: &[bool]) -> IdSet {
        let mut clients = self.clients.iter().peekable();
        let mut client = 0;
        let mut ids = IdSet::new();
        for (number, (range, &chosen)) in self.ranges.iter().zip(chosen).enumerate() {
            while let Some((next, _)) = clients.next_if(|&&(_, start)| start <= number) {
                client = *next;
            }
            if chosen {
                ids.insert(client, range.clone());
            }
        }
        ids
    }
}
