//! The awareness table of a client, after the rules of y-protocols.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use yrelay_core::Millis;
use yrelay_core::decode::{DecodeError, Reader, put_var_bytes, put_varuint};
use yrelay_core::wire;

/// Others are forgotten after this time, and one's own entry is renewed after half of it.
const OUTDATED_MS: Millis = 30_000;

#[derive(Debug)]
struct Entry {
    clock: u64,
    present: bool,
    since: Millis,
}

/// Who is present, as one client sees it.
#[derive(Debug)]
pub(crate) struct Presence {
    own: u64,
    entries: BTreeMap<u64, Entry>,
}

impl Presence {
    pub(crate) fn new(now: Millis, own: u64) -> Self {
        let entry = Entry { clock: 1, present: true, since: now };
        Self { own, entries: BTreeMap::from([(own, entry)]) }
    }

    pub(crate) fn present(&self) -> BTreeSet<u64> {
        self.entries.iter().filter(|(_, entry)| entry.present).map(|(id, _)| *id).collect()
    }

    /// The message about one's own entry.
    pub(crate) fn own(&self) -> Option<Bytes> {
        self.encode(&[self.own])
    }

    fn encode(&self, ids: &[u64]) -> Option<Bytes> {
        if ids.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        put_varuint(&mut out, ids.len() as u64);
        for id in ids {
            let entry = self.entries.get(id).expect("its own ids are in the table");
            put_varuint(&mut out, *id);
            put_varuint(&mut out, entry.clock);
            let state = if entry.present { format!("{{\"n\":{id}}}") } else { "null".into() };
            put_var_bytes(&mut out, state.as_bytes());
        }
        Some(wire::awareness(&out))
    }

    /// Takes the body of a message. Returns what a y-websocket client sends on hearing it: every
    /// entry that changed, whoever told of it.
    pub(crate) fn apply(&mut self, now: Millis, body: &[u8]) -> Result<Option<Bytes>, DecodeError> {
        let mut reader = Reader::new(body);
        let mut changed = Vec::new();
        for _ in 0..reader.varuint()? {
            let (id, mut clock) = (reader.varuint()?, reader.varuint()?);
            let mut present = reader.var_str()? != "null";
            let known = self.entries.get(&id);
            let newer = known.is_none_or(|entry| {
                clock > entry.clock || (clock == entry.clock && !present && entry.present)
            });
            if !newer {
                continue;
            }
            let was_present = known.is_some_and(|entry| entry.present);
            if !present && id == self.own && was_present {
                present = true;
                clock += 1;
            }
            self.entries.insert(id, Entry { clock, present, since: now });
            if present || was_present {
                changed.push(id);
            }
        }
        Ok(self.encode(&changed))
    }

    /// Renews one's own entry and forgets who is silent, as every 3 s. Returns what is sent then.
    pub(crate) fn check(&mut self, now: Millis) -> Vec<Bytes> {
        let mut messages = Vec::new();
        if let Some(own) = self.entries.get_mut(&self.own)
            && own.present
            && now >= own.since + OUTDATED_MS / 2
        {
            own.clock += 1;
            own.since = now;
            messages.extend(self.encode(&[self.own]));
        }
        let own = self.own;
        let mut gone = Vec::new();
        for (id, entry) in &mut self.entries {
            if *id != own && entry.present && now >= entry.since + OUTDATED_MS {
                entry.present = false;
                gone.push(*id);
            }
        }
        messages.extend(self.encode(&gone));
        messages
    }

    /// The connection is gone, and with it everybody else.
    pub(crate) fn alone(&mut self) {
        let own = self.own;
        for (_, entry) in self.entries.iter_mut().filter(|(id, _)| **id != own) {
            entry.present = false;
        }
    }

    /// One leaves: the message that says so. The clock stays, as y-websocket does it.
    pub(crate) fn leave(&mut self) -> Option<Bytes> {
        let own = self.entries.get_mut(&self.own)?;
        own.present = false;
        self.encode(&[self.own])
    }

    /// One is back.
    pub(crate) fn enter(&mut self, now: Millis) {
        if let Some(own) = self.entries.get_mut(&self.own)
            && !own.present
        {
            own.present = true;
            own.clock += 1;
            own.since = now;
        }
    }
}
