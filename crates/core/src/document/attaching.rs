//! Peers come and go.

use super::guard::Waiting;
use super::{Document, Guard, Kind};
use crate::close::CloseReason;
use crate::downlink::Downlink;
use crate::event::{Dialect, Output};
use crate::id::PeerId;
use crate::peer::{Peer, Role};
use crate::uplink::Uplink;
use crate::{Millis, limits, wire};

impl Document {
    pub(super) fn attach(&mut self, now: Millis, peer: PeerId) {
        let live_at = now + limits::STEP_1_PATIENCE_MS;
        let known = self.clients.insert(peer, Peer::new(now, live_at));
        assert!(known.is_none(), "a peer attaches once");
        self.reckon_audience();
        self.schedule(live_at);
        if self.kind == Kind::Opaque {
            self.attach_to_opaque(now, peer);
            return;
        }
        self.send(now, peer, wire::sync_step1(&self.replica.state_vector().encode()));
        if let Some(entries) = self.awareness.encode(self.awareness.living()) {
            self.send(now, peer, wire::awareness(&entries));
        }
    }

    pub(super) fn attach_link(&mut self, peer: PeerId, dialect: Dialect) {
        let link = self.links.entry(peer).or_insert_with(|| Downlink::new(dialect));
        link.announce(self.awareness.living_not_from(peer));
        if self.kind == Kind::Opaque {
            self.attach_link_to_opaque(peer);
        }
    }

    /// Whether whoever is above, to the top, has all.
    pub(super) fn has_above(&self) -> bool {
        self.is_top || (self.above && !self.unconfirmed)
    }

    pub(super) fn attach_upstream(&mut self, now: Millis, mut uplink: Uplink) {
        assert!(self.uplink.is_none(), "one upstream at a time");
        uplink.note_ids(self.replica.held());
        // Servers of ELVA store what they are sent, and make nothing anew.
        if self.history.is_known() && !self.merges && uplink.dialect() != Dialect::Elva {
            uplink.guard = Guard::Waits(Waiting::default());
        }
        if self.kind == Kind::Yjs {
            uplink.wake(&self.awareness);
        }
        self.uplink = Some(uplink);
        self.uplink_ready = false;
        if self.kind == Kind::Opaque {
            self.attach_opaque_upstream(now);
        }
    }

    pub(super) fn detach(&mut self, now: Millis, peer: PeerId) {
        self.left_out.remove(&peer);
        self.end_opening(now, peer);
        if let Some(uplink) = self.uplink.take_if(|up| up.peer == peer) {
            self.detach_opaque_upstream(now, &uplink);
            self.awareness.leave_above();
            self.awareness.detach(now, peer, Role::Upstream);
            self.schedule(now + limits::AWARENESS_LINK_GRACE_MS);
            self.answer_waiting(now);
        } else if self.links.remove(&peer).is_some() {
            self.awareness.detach(now, peer, Role::Link);
            self.schedule(now + limits::AWARENESS_LINK_GRACE_MS);
        } else if self.clients.remove(&peer).is_some() {
            self.log.forget_acks_of(peer);
            self.reckon_audience();
            let gone = self.awareness.detach(now, peer, Role::Client);
            self.tell_awareness(now, &gone);
            if let Some(uplink) = &mut self.uplink {
                uplink.announce(gone);
            }
        }
    }

    /// Sends a client away and forgets it; the upstream carries other documents and stays.
    pub(super) fn close(&mut self, now: Millis, peer: PeerId, reason: CloseReason) {
        if self.clients.contains_key(&peer) {
            self.detach(now, peer);
            self.out.push(Output::Close { peer, reason });
        } else {
            self.out.push(Output::Rejected { peer, reason });
        }
    }
}
