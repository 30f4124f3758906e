//! What other yrelays say of the document, above and below.

use super::{Document, Kind};
use crate::event::Output;
use crate::fellow::{Digest, Kept, Message};
use crate::id::PeerId;
use crate::replica::Want;
use crate::state_vector::StateVector;
use crate::{Millis, limits};

impl Document {
    /// Whether this peer is a yrelay, and says so.
    pub(super) fn is_fellow(&self, peer: PeerId) -> bool {
        match &self.uplink {
            Some(uplink) if uplink.peer == peer => uplink.is_fellow(),
            _ => self.links.get(&peer).is_some_and(|link| link.is_fellow()),
        }
    }

    pub(super) fn fellow_message(&mut self, now: Millis, peer: PeerId, message: Message) {
        if self.kind == Kind::Opaque {
            self.fellow_of_opaque(peer, message);
            return;
        }
        let is_above = self.uplink.as_ref().is_some_and(|uplink| uplink.peer == peer);
        match message {
            Message::Have { vector, digest } if is_above => self.upstream_has(&vector, &digest),
            Message::Have { vector, digest } => self.link_has(now, peer, vector, digest),
            Message::Saved { version, kept } if is_above => self.upstream_saved(version, kept),
            Message::Refused { reason, .. } if is_above => {
                self.out.push(Output::Refused { reason });
            }
            Message::Ask { version } if !is_above && self.has_all_of(peer) => {
                self.link_asks(peer, version);
            }
            // A leave is the shell's, frames are told elsewhere; the rest is for the other direction.
            _ => {}
        }
    }

    pub(super) fn link_asks(&mut self, peer: PeerId, version: u64) {
        let (after, is_saved) = (self.log.last_seq(), self.log.is_saved());
        if let Some(link) = self.links.get_mut(&peer) {
            link.question(version, after);
            if is_saved {
                link.saved(after);
            }
        }
    }

    fn upstream_has(&mut self, vector: &StateVector, digest: &Digest) {
        let Some(uplink) = &mut self.uplink else { return };
        let lacks = Want::lacking(vector, digest, &self.replica);
        // Other deletions may be more of them: that they are saved only the receipt will tell.
        let (some, structs) = (!lacks.is_empty(), !lacks.structs.is_empty());
        uplink.have(lacks);
        self.above = false;
        if some && !self.replica.is_incomplete() && self.unconfirm() && structs {
            self.out.push(Output::Lost);
        }
    }

    /// A relay below says what it holds. Where nothing is stored and the upstream may have
    /// something, that is waited for: programs below are not told that there is nothing.
    fn link_has(&mut self, now: Millis, peer: PeerId, vector: StateVector, digest: Digest) {
        self.is_yjs();
        let waits = self.upstream_may_answer() && self.replica.is_empty();
        let until = now + limits::UPSTREAM_FIRST_MS;
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.has(until, vector, digest);
        if waits {
            self.schedule(until);
        } else {
            link.answer(&self.replica);
        }
    }

    /// Answers the relays that wait for the upstream, where waiting is over.
    pub(super) fn answer_waiting_links(&mut self, now: Millis) {
        let over = !self.upstream_may_answer();
        let mut next = Millis::MAX;
        for link in self.links.values_mut() {
            match link.answer_due() {
                Some(until) if over || until <= now => link.answer(&self.replica),
                Some(until) => next = next.min(until),
                None => {}
            }
        }
        self.schedule(next);
    }

    /// How well it is kept here and above, once it is saved.
    pub(super) fn kept(&self) -> Kept {
        let on_a_disk = !self.is_volatile || !(self.is_top || self.unconfirmed);
        let on_a_disk = on_a_disk && (self.kind != Kind::Opaque || self.archive.takes_all());
        match (on_a_disk, self.has_above()) {
            (false, _) => Kept::Memory,
            (true, false) => Kept::Disk,
            (true, true) => Kept::Top,
        }
    }

    pub(super) fn upstream_saved(&mut self, version: u64, kept: Kept) {
        let Some(uplink) = &mut self.uplink else { return };
        let last = self.log.last_seq();
        let answer = uplink.saved(version);
        uplink.is_volatile = kept == Kept::Memory;
        match answer {
            Some(_) if kept == Kept::Memory => {
                self.above = false;
                self.unconfirm();
            }
            Some(true) => {
                // What came since came from there.
                self.out.push(Output::Confirmed { seq: last });
                self.unconfirmed = false;
                self.learn_history();
                self.above = kept == Kept::Top;
            }
            Some(false) => self.out.push(Output::Confirmed { seq: version }),
            None => {}
        }
    }
}
