//! What comes before its predecessors: whoever sends it is asked for those, and so much is kept.
//!
//! Beyond that it is left out: neither stored nor passed on, and nobody is told that it was. Who
//! sent it stays, with all else that it says, and is asked for all it has once there is place. From
//! above everything is taken: it is bounded there, and is what those below are to have.

use super::Document;
use crate::event::Output;
use crate::id::PeerId;
use crate::id_set::IdSet;
use crate::peer::Role;
use crate::replica::Applied;
use crate::update::Update;
use crate::{Millis, limits, wire};

/// How it stands with a peer of whom something was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftOut {
    /// There is no place for it.
    Waits,
    /// The client was asked for it.
    Asked,
}

impl Document {
    /// Stores what is new, or what of it there is place for.
    pub(super) fn store(&mut self, peer: PeerId, role: Role, update: &Update) -> Applied {
        let pending = self.replica.pending();
        if role == Role::Upstream || !pending.is_full() {
            return self.replica.apply(update);
        }
        let news = self.replica.apply_gapless(update);
        if news.left_out && self.left_out.insert(peer, LeftOut::Waits) != Some(LeftOut::Waits) {
            self.out.push(Output::LeftOut { peer, pending });
        }
        news
    }

    /// Whether nothing of what it said is missing here.
    pub(super) fn has_all_of(&self, peer: PeerId) -> bool {
        !self.left_out.contains_key(&peer)
    }

    /// A client has answered what we hold with all that it has, and that was taken.
    pub(super) fn took_all(&mut self, peer: PeerId) {
        if self.clients.contains_key(&peer) {
            self.left_out.remove(&peer);
        }
    }

    /// Where there is place again, whoever had something left out is asked for it. Of a relay
    /// nothing need be remembered then: it asks anew what is saved when it has answered.
    pub(super) fn ask_for_left_out(&mut self, now: Millis) {
        if self.left_out.is_empty() || self.replica.pending().is_full() {
            return;
        }
        let waiting = self.left_out.iter().filter(|(_, left_out)| **left_out == LeftOut::Waits);
        for peer in waiting.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            if let Some(link) = self.links.get_mut(&peer) {
                link.ask(now);
                self.left_out.remove(&peer);
            } else {
                self.ask_client(now, peer);
                self.left_out.insert(peer, LeftOut::Asked);
            }
        }
    }

    /// Whether some of this, which is held, stands beyond a gap.
    pub(super) fn is_beyond_gaps(&self, structs: &IdSet) -> bool {
        if !self.replica.is_incomplete() {
            return false;
        }
        let vector = self.replica.state_vector();
        structs.iter().any(|(client, range)| range.end > vector.get(client))
    }

    /// Whoever sent something beyond a gap is asked for what stands before it.
    pub(super) fn ask_for_gap(&mut self, now: Millis, peer: PeerId) {
        if self.clients.contains_key(&peer) {
            self.ask_client_for_gap(now, peer);
        } else if let Some(link) = self.links.get_mut(&peer) {
            link.ask_for_gap(now);
        } else if let Some(uplink) = &mut self.uplink {
            uplink.ask();
        }
    }

    /// The same where it is a client, which has not been asked just now.
    pub(super) fn ask_client_for_gap(&mut self, now: Millis, peer: PeerId) {
        let may_ask = |at: Millis| now >= at + limits::GAP_ASK_MS;
        if self.clients.get(&peer).is_some_and(|client| client.asked_at.is_none_or(may_ask)) {
            self.ask_client(now, peer);
        }
    }

    fn ask_client(&mut self, now: Millis, peer: PeerId) {
        if let Some(client) = self.clients.get_mut(&peer) {
            client.asked_at = Some(now);
            self.send(now, peer, wire::sync_step1(&self.replica.state_vector().encode()));
        }
    }
}
