//! Who is present at a server, after the rules of y-protocols.

use std::collections::BTreeMap;

use bytes::Bytes;
use yrelay_core::Millis;
use yrelay_core::decode::{Reader, put_var_bytes, put_varuint};
use yrelay_core::wire;

use crate::network::End;

/// Whoever is silent for so long is not shown to newcomers.
const OUTDATED_MS: Millis = 30_000;
const GONE: &str = "null";
/// Ids from here on are of servers that announce themselves.
pub(crate) const PHANTOMS_FROM: u64 = 1 << 32;

struct Entry {
    clock: u64,
    /// None once it is gone.
    state: Option<String>,
    /// The connection with which it goes: the first that announced it, and none after it was gone.
    owner: Option<End>,
    since: Millis,
}

/// Who is present in one document.
#[derive(Default)]
pub(super) struct Present {
    entries: BTreeMap<u64, Entry>,
    /// Of y-sweet: of whom a connection first spoke alone.
    first: BTreeMap<End, u64>,
}

impl Present {
    /// Takes the body of a message, or what of it is news. Returns whom that concerns.
    pub(super) fn apply(&mut self, now: Millis, from: End, body: &[u8], nulls: bool) -> Vec<u64> {
        let mut changed = Vec::new();
        for (id, clock, state) in decode(body) {
            if state.is_none() && !nulls {
                continue;
            }
            let known = self.entries.get(&id);
            let before = known.map_or(0, |entry| entry.clock);
            let is_here = known.is_some_and(|entry| entry.state.is_some());
            if clock < before || (clock == before && (state.is_some() || !is_here)) {
                continue;
            }
            if known.is_some() || state.is_some() {
                changed.push(id);
            }
            let owner = match known {
                None => state.as_ref().map(|_| from),
                Some(entry) => entry.owner.filter(|_| state.is_some()),
            };
            self.entries.insert(id, Entry { clock, state, owner, since: now });
        }
        changed
    }

    /// The same at y-sweet: of whom nothing is known is taken, gone or not.
    pub(super) fn take(&mut self, now: Millis, from: End, body: &[u8]) -> Vec<u64> {
        let told = decode(body);
        if let [(id, ..)] = told.as_slice() {
            self.first.entry(from).or_insert(*id);
        }
        let mut changed = Vec::new();
        for (id, clock, state) in told {
            let known = self.entries.get(&id);
            let is_here = known.is_some_and(|entry| entry.state.is_some());
            let is_news = known.is_none_or(|entry| {
                clock > entry.clock || (clock == entry.clock && state.is_none() && is_here)
            });
            if !is_news {
                continue;
            }
            let state = if known.is_none() { state.or(Some(GONE.into())) } else { state };
            self.entries.insert(id, Entry { clock, state, owner: None, since: now });
            changed.push(id);
        }
        changed
    }

    /// Who goes with a connection at y-sweet: one, of as many as it may have brought.
    pub(super) fn leave_alone(&mut self, end: End) -> Vec<u64> {
        let gone = self.first.remove(&end);
        let entry = gone.and_then(|id| Some((id, self.entries.get_mut(&id)?)));
        let Some((id, entry)) = entry.filter(|(_, entry)| entry.state.is_some()) else {
            return Vec::new();
        };
        entry.clock += 1;
        entry.state = None;
        vec![id]
    }

    /// A connection is over. Returns who went with it.
    pub(super) fn leave(&mut self, end: End) -> Vec<u64> {
        let gone = self.entries.iter_mut().filter(|(_, entry)| entry.owner == Some(end));
        gone.map(|(id, entry)| {
            entry.owner = None;
            entry.state = None;
            *id
        })
        .collect()
    }

    pub(super) fn everybody(&self, now: Millis) -> Vec<u64> {
        let here = |entry: &Entry| entry.state.is_some() && now < entry.since + OUTDATED_MS;
        self.entries.iter().filter(|(_, entry)| here(entry)).map(|(id, _)| *id).collect()
    }

    /// See [`Present::take`]: nobody is ever outdated there.
    pub(super) fn everybody_ever(&self) -> Vec<u64> {
        let here = self.entries.iter().filter(|(_, entry)| entry.state.is_some());
        here.map(|(id, _)| *id).collect()
    }

    /// What is told of these, if there are any.
    pub(super) fn message(&self, ids: &[u64]) -> Option<Bytes> {
        if ids.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        put_varuint(&mut out, ids.len() as u64);
        for (id, entry) in ids.iter().filter_map(|id| Some((id, self.entries.get(id)?))) {
            put_varuint(&mut out, *id);
            put_varuint(&mut out, entry.clock);
            put_var_bytes(&mut out, entry.state.as_deref().unwrap_or(GONE).as_bytes());
        }
        Some(wire::awareness(&out))
    }
}

/// A server is there.
pub(super) fn phantom(id: u64, clock: u64) -> Bytes {
    let mut out = Vec::new();
    [1, id, clock].iter().for_each(|number| put_varuint(&mut out, *number));
    put_var_bytes(&mut out, b"{}");
    wire::awareness(&out)
}

/// Whether a message is of one who is gone, and of nobody else.
pub(super) fn is_one_departure(body: &[u8]) -> bool {
    matches!(decode(body).as_slice(), [(_, _, None)])
}

fn decode(body: &[u8]) -> Vec<(u64, u64, Option<String>)> {
    let mut reader = Reader::new(body);
    let mut read = || {
        let count = reader.varuint()?;
        let entry = |_| {
            let (id, clock) = (reader.varuint()?, reader.varuint()?);
            let state = reader.var_str()?.to_owned();
            Ok((id, clock, Some(state).filter(|state| state != GONE)))
        };
        (0..count).map(entry).collect()
    };
    let entries: Result<_, yrelay_core::decode::DecodeError> = read();
    entries.expect("services send sound awareness")
}
