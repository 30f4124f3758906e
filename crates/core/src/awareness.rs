//! Who is present in one document: a table of raw JSON states with clocks, announcers and expiry.
//!
//! Clients forward what they hear of others (y-websocket does, for every change), so an
//! announcement alone does not show whose state it is. A client's own id is the one of its first
//! message about a single living state; only its owner, or whoever brought news, keeps an entry
//! alive.

mod above;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::decode::{DecodeError, Fault, Reader, put_var_bytes, put_varuint};
use crate::id::PeerId;
use crate::peer::Role;
use crate::{Millis, json, limits};

use above::Above;

/// The awareness table of one document.
#[derive(Debug, Default)]
pub struct Awareness {
    entries: BTreeMap<u64, Entry>,
    /// The id that each local client announced as its own.
    own: BTreeMap<PeerId, u64>,
    /// What all living entries count.
    bytes: usize,
    /// The first of what was told above is to have come back by then.
    due_at: Option<Millis>,
    /// Its word counts of who is there, whatever was heard before.
    follows_above: bool,
    /// The upstream has sent back what it was told: it does so with all that it takes.
    comes_back: bool,
}

#[derive(Debug)]
struct Entry {
    clock: u64,
    /// JSON; `None` once its client is gone.
    state: Option<Bytes>,
    /// Who announced this clock.
    announcers: BTreeSet<PeerId>,
    /// When it is withdrawn without renewal; for one that is gone, when it left.
    until: Millis,
    /// The link is away over which it came, from this side: it is withdrawn by then, unless it
    /// comes again.
    missed: Option<(Role, Millis)>,
    above: Above,
}

/// What one awareness message did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Ids whose entry changed: everyone is to hear of them.
    pub changed: Vec<u64>,
    /// Everything in the message was news: its own bytes may be passed on.
    pub whole: bool,
    /// Ids announced at or below the clock of their departure: the sender is to hear of that.
    pub departed: Vec<u64>,
    /// Ids that the upstream takes for gone, though they are here: it is to hear of that.
    pub contested: Vec<u64>,
    /// Entries beyond a limit, left out.
    pub refused: usize,
}

struct Announcement {
    id: u64,
    clock: u64,
    state: Option<Bytes>,
}

enum Verdict {
    News,
    Known,
    Departed,
    Contested,
    Refused,
}

impl Awareness {
    /// Takes the body of an awareness message.
    pub fn announce(
        &mut self,
        now: Millis,
        peer: PeerId,
        role: Role,
        body: &Bytes,
    ) -> Result<Announced, DecodeError> {
        let announcements = decode(body)?;
        if let [Announcement { id, state: Some(_), .. }] = announcements.as_slice()
            && role == Role::Client
        {
            self.own.entry(peer).or_insert(*id);
        }
        let mut result = Announced { whole: true, ..Announced::default() };
        for mut announcement in announcements {
            let id = announcement.id;
            if role == Role::Upstream {
                result.whole &= !self.heard_above(&mut announcement);
            } else {
                self.heard_below(&announcement);
            }
            let verdict = self.judge(peer, role, &announcement);
            result.whole &= matches!(verdict, Verdict::News);
            match verdict {
                Verdict::News => {
                    self.store(now, peer, role, announcement);
                    result.changed.push(id);
                }
                Verdict::Known => self.known(peer, role, &announcement),
                Verdict::Departed => result.departed.push(id),
                Verdict::Contested => result.contested.push(id),
                Verdict::Refused => result.refused += 1,
            }
        }
        self.forget_tombstones();
        Ok(result)
    }

    fn judge(&self, peer: PeerId, role: Role, news: &Announcement) -> Verdict {
        let news_if = |fits| if fits { Verdict::News } else { Verdict::Refused };
        let Some(entry) = self.entries.get(&news.id) else {
            // A departure of somebody unknown tells nothing.
            return match &news.state {
                None => Verdict::Known,
                Some(_) if news.clock > limits::AWARENESS_CLOCK_JUMP_MAX => Verdict::Refused,
                Some(_) => news_if(self.has_room(peer, role, news)),
            };
        };
        if news.clock.saturating_sub(entry.clock) > limits::AWARENESS_CLOCK_JUMP_MAX {
            Verdict::Refused
        } else if news.clock > entry.clock {
            news_if(self.has_room(peer, role, news))
        } else if entry.state.is_none() && news.state.is_some() {
            Verdict::Departed
        } else if news.clock == entry.clock
            && news.state.is_none()
            && entry.state.is_some()
            && (role != Role::Client || entry.announcers.contains(&peer))
        {
            // A client that has lost its connection removes all others, for itself; providers of
            // Hocuspocus say so when they are back. Who leaves raises its clock.
            let is_here = || entry.announcers.iter().any(|announcer| *announcer != peer);
            if role == Role::Upstream && entry.above.is_seen() && is_here() {
                // A server withdraws whom a lost connection announced, perhaps an earlier one.
                Verdict::Contested
            } else {
                Verdict::News
            }
        } else {
            Verdict::Known
        }
    }

    fn has_room(&self, peer: PeerId, role: Role, news: &Announcement) -> bool {
        let held = self.entries.get(&news.id);
        let held_bytes = held.map_or(0, |entry| cost(&entry.state));
        let announced = |entry: &Entry| entry.announcers.contains(&peer);
        news.state.as_ref().map_or(0, Bytes::len) <= limits::AWARENESS_STATE_BYTES_MAX
            && self.bytes - held_bytes + cost(&news.state) <= limits::AWARENESS_BYTES_MAX
            && (role != Role::Client
                || held.is_some_and(announced)
                || self.entries.values().filter(|entry| announced(entry)).count()
                    < limits::AWARENESS_IDS_PER_PEER_MAX)
    }

    fn store(&mut self, now: Millis, peer: PeerId, role: Role, news: Announcement) {
        let mut announcers: BTreeSet<PeerId> =
            self.own.iter().filter(|(_, own)| **own == news.id).map(|(peer, _)| *peer).collect();
        // What comes from above may be a client that has moved there: its socket here may die.
        if announcers.is_empty() || role != Role::Client {
            announcers.insert(peer);
        }
        if news.state.is_none() {
            announcers.clear();
        }
        let until = match news.state {
            Some(_) => now + limits::AWARENESS_EXPIRY_MS,
            None => now,
        };
        self.bytes += cost(&news.state);
        // A part of the message would hold all of it.
        let state = news.state.map(|state| Bytes::copy_from_slice(&state));
        let above = self.entries.get(&news.id).map(|old| old.above).unwrap_or_default();
        let entry = Entry { clock: news.clock, state, announcers, until, missed: None, above };
        if let Some(old) = self.entries.insert(news.id, entry) {
            self.bytes -= cost(&old.state);
        }
    }

    /// A living entry announced again at its clock: its owner on a new connection, another way
    /// through a mesh, or an echo, which counts for nothing.
    fn known(&mut self, peer: PeerId, role: Role, news: &Announcement) {
        let owner = self.own.get(&peer) == Some(&news.id);
        let Some(entry) = self.entries.get_mut(&news.id) else { return };
        if entry.clock != news.clock || entry.state.is_none() {
            return;
        }
        let owned = entry.announcers.iter().any(|peer| self.own.contains_key(peer));
        if owner || (role != Role::Client && !owned) {
            entry.announcers.insert(peer);
            entry.missed = None;
        }
    }

    /// Forgets a peer. Returns the ids whose entry was withdrawn: everyone is to hear of them.
    pub fn detach(&mut self, now: Millis, peer: PeerId, role: Role) -> Vec<u64> {
        self.own.remove(&peer);
        let mut alone = Vec::new();
        for (id, entry) in &mut self.entries {
            if entry.announcers.remove(&peer) && entry.announcers.is_empty() {
                if role == Role::Client {
                    alone.push(*id);
                } else {
                    entry.missed = Some((role, now + limits::AWARENESS_LINK_GRACE_MS));
                }
            }
        }
        self.withdraw(now, &alone);
        alone
    }

    /// Withdraws what was not renewed. Returns the ids: everyone is to hear of them.
    pub fn expire(&mut self, now: Millis) -> Vec<u64> {
        let due: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.state.is_some() && entry.ends() <= now)
            .map(|(id, _)| *id)
            .collect();
        self.withdraw(now, &due);
        due
    }

    /// Withdraws these entries.
    pub fn withdraw(&mut self, now: Millis, ids: &[u64]) {
        for id in ids {
            if let Some(entry) = self.entries.get_mut(id) {
                self.bytes -= cost(&entry.state.take());
                // Of whom a link has not brought nobody knows that they have left: they are seen
                // again with their next renewal.
                if entry.missed.take().is_none() {
                    entry.clock = (entry.clock + 1).min(limits::AWARENESS_CLOCK_MAX);
                }
                entry.announcers.clear();
                entry.until = now;
            }
        }
    }

    /// When [`Awareness::expire`] has something to do.
    pub fn next_expiry(&self) -> Option<Millis> {
        self.entries.values().filter(|entry| entry.state.is_some()).map(Entry::ends).min()
    }

    /// Ids of all who are present.
    pub fn living(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().filter(|(_, entry)| entry.state.is_some()).map(|(id, _)| *id)
    }

    /// Ids of all who are present and were announced by someone other than `peer`, be it over a link
    /// from below that is away.
    pub fn living_not_from(&self, peer: PeerId) -> impl Iterator<Item = u64> {
        self.entries
            .iter()
            .filter(move |(_, entry)| {
                let is_missed_below = matches!(entry.missed, Some((Role::Link, _)));
                let is_from_others = || entry.announcers.iter().any(|other| *other != peer);
                entry.state.is_some() && (is_missed_below || is_from_others())
            })
            .map(|(id, _)| *id)
    }

    /// The body of an awareness message about `ids`; `None` if none of them is known.
    pub fn encode(&self, ids: impl IntoIterator<Item = u64>) -> Option<Vec<u8>> {
        let known: Vec<(u64, &Entry)> =
            ids.into_iter().filter_map(|id| Some((id, self.entries.get(&id)?))).collect();
        if known.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        put_varuint(&mut out, known.len() as u64);
        for (id, entry) in known {
            entry.put(id, entry.clock, &mut out);
        }
        Some(out)
    }

    fn forget_tombstones(&mut self) {
        let gone = self.entries.values().filter(|entry| entry.state.is_none()).count();
        for _ in limits::AWARENESS_TOMBSTONES_MAX..gone {
            let oldest = self
                .entries
                .iter()
                .filter(|(_, entry)| entry.state.is_none())
                .min_by_key(|(_, entry)| entry.until)
                .map(|(id, _)| *id);
            if let Some(id) = oldest {
                self.entries.remove(&id);
            }
        }
    }
}

impl Entry {
    /// When it is withdrawn without renewal.
    fn ends(&self) -> Millis {
        self.missed.map_or(self.until, |(_, missed)| missed.min(self.until))
    }

    fn put(&self, id: u64, clock: u64, out: &mut Vec<u8>) {
        put_varuint(out, id);
        put_varuint(out, clock);
        put_var_bytes(out, self.state.as_deref().unwrap_or(b"null"));
    }
}

/// What a living entry counts.
fn cost(state: &Option<Bytes>) -> usize {
    state.as_ref().map_or(0, |state| state.len() + limits::AWARENESS_ENTRY_BYTES)
}

/// Reads the body of an awareness message: `count` times client id, clock, JSON.
fn decode(body: &Bytes) -> Result<Vec<Announcement>, DecodeError> {
    let mut reader = Reader::new(body);
    // An entry has an id, a clock, a length and at least one byte of JSON.
    let count = reader.count(4)?;
    let mut announcements = Vec::with_capacity(count);
    for _ in 0..count {
        let id = reader.varuint()?;
        let clock = reader.varuint()?;
        if clock > limits::AWARENESS_CLOCK_MAX {
            return Err(reader.fault(Fault::NumberTooLarge));
        }
        let text = reader.var_str()?;
        let state = match text.trim_ascii() {
            "null" => None,
            json => {
                json::check(json, limits::AWARENESS_DEPTH_MAX)
                    .map_err(|fault| reader.fault(fault))?;
                Some(body.slice_ref(text.as_bytes()))
            }
        };
        announcements.push(Announcement { id, clock, state });
    }
    if !reader.is_empty() {
        return Err(reader.fault(Fault::TrailingBytes));
    }
    Ok(announcements)
}
