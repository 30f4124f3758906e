//! Links from below, driven as yrelay's shell drives them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use yrelay_core::close::CloseReason;
use yrelay_core::event::{Dialect, Input};
use yrelay_core::fellow::{self, Counts, Refusal};
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::{Millis, limits, link};

use crate::network::{End, Event, Network, Packet};
use crate::service::{Service, Timer};

/// All links from below.
#[derive(Default)]
pub(crate) struct Below {
    links: BTreeMap<End, LinkBelow>,
    members: BTreeMap<PeerId, Member>,
}

struct LinkBelow {
    dialect: Dialect,
    counts: Counts,
    peers: BTreeMap<Bytes, PeerId>,
    ready: VecDeque<PeerId>,
    /// Room will be given.
    room_due: bool,
}

struct Member {
    end: End,
    document: DocumentId,
    prefix: Bytes,
}

/// Small, so that documents wait for their turn.
const OUTBOX_MESSAGES_MAX: usize = 2;
/// How often the number of frames is told.
pub(crate) const COUNT_MS: Millis = 10_000;

impl Below {
    pub(crate) fn ends(&self) -> impl Iterator<Item = End> {
        self.links.keys().copied()
    }

    pub(crate) fn has(&self, end: End) -> bool {
        self.links.contains_key(&end)
    }

    pub(crate) fn is_member(&self, peer: PeerId) -> bool {
        self.members.contains_key(&peer)
    }

    /// Who has joined this document.
    pub(crate) fn of(&self, id: &DocumentId) -> Vec<(PeerId, Dialect)> {
        let joined = self.members.iter().filter(|(_, member)| member.document == *id);
        joined.map(|(peer, member)| (*peer, self.links[&member.end].dialect)).collect()
    }

    fn leave(&mut self, peer: PeerId) -> Option<DocumentId> {
        let member = self.members.remove(&peer)?;
        if let Some(link) = self.links.get_mut(&member.end) {
            link.peers.remove(&member.prefix);
        }
        Some(member.document)
    }
}

impl Service {
    pub(crate) fn link_from_below(&mut self, end: End, dialect: Dialect) {
        let link = LinkBelow {
            dialect,
            counts: Counts::default(),
            peers: BTreeMap::new(),
            ready: VecDeque::new(),
            room_due: false,
        };
        self.memory().below.links.insert(end, link);
    }

    pub(crate) fn packet_from_below(&mut self, net: &mut Network, end: End) {
        if let Some(Packet::Frame(frame)) = net.peek(end)
            && let Ok((name, _)) = link::decode(&frame)
            && let Ok(id) = DocumentId::from_encoded(name)
            && self.holds_back(net, end, &id)
        {
            return;
        }
        match net.take(end) {
            Some(Packet::Frame(frame)) => self.frame_from_below(net, end, &frame),
            Some(Packet::Closed(_)) => {
                let Some(link) = self.memory().below.links.remove(&end) else { return };
                for peer in link.peers.into_values() {
                    if let Some(id) = self.memory().below.leave(peer) {
                        self.input(net, &id, Input::Detach { peer });
                    }
                }
            }
            Some(Packet::Garbage(_)) => unreachable!("services are sound"),
            None => {}
        }
    }

    fn frame_from_below(&mut self, net: &mut Network, end: End, frame: &Bytes) {
        let now = self.now(net);
        let Some(link) = self.memory().below.links.get_mut(&end) else { return };
        let dialect = link.dialect;
        if dialect == Dialect::Own {
            match link.counts.received(frame) {
                Ok(false) => {}
                Ok(true) => return,
                Err(_) => return net.hang_up(end, CloseReason::FramesLost.code()),
            }
        }
        let parts = link::split(frame).expect("services frame what they send");
        let known = link.peers.get(&parts.prefix).copied();
        if dialect == Dialect::Own && fellow::is_leave(&parts.message) {
            if let Some(peer) = known
                && let Some(id) = self.memory().below.leave(peer)
            {
                self.input(net, &id, Input::Detach { peer });
            }
            return;
        }
        let id = DocumentId::from_encoded(parts.name).expect("services name documents");
        let peer = known.unwrap_or_else(|| {
            let peer = self.next_peer();
            let prefix = parts.prefix.clone();
            let below = &mut self.memory().below;
            let link = below.links.get_mut(&end).expect("it is here");
            link.peers.insert(prefix.clone(), peer);
            below.members.insert(peer, Member { end, document: id.clone(), prefix });
            self.open(net, &id);
            self.input(net, &id, Input::AttachLink { peer, dialect });
            peer
        });
        self.open(net, &id).used_at = now;
        self.input(net, &id, Input::Frame { peer, bytes: parts.message });
    }

    pub(crate) fn send_below(&mut self, net: &mut Network, peer: PeerId, message: &[u8]) {
        let below = &mut self.memory().below;
        let Some(member) = below.members.get(&peer) else { return };
        let Some(link) = below.links.get_mut(&member.end) else { return };
        assert!(
            net.waiting(member.end) < OUTBOX_MESSAGES_MAX,
            "a message went down without being given room"
        );
        link.counts.sent();
        net.send(member.end, [&member.prefix[..], message].concat().into());
    }

    pub(crate) fn ready_below(&mut self, net: &mut Network, peer: PeerId) {
        let below = &mut self.memory().below;
        let Some(member) = below.members.get(&peer) else { return };
        let end = member.end;
        if let Some(link) = below.links.get_mut(&end) {
            link.ready.push_back(peer);
            plan_room(net, end, link);
        }
    }

    pub(crate) fn room_below(&mut self, net: &mut Network, end: End) {
        loop {
            let below = &mut self.memory().below;
            let Some(link) = below.links.get_mut(&end) else { return };
            link.room_due = false;
            if net.waiting(end) >= OUTBOX_MESSAGES_MAX {
                return plan_room(net, end, link);
            }
            let Some(peer) = link.ready.pop_front() else { return };
            let Some(member) = below.members.get(&peer) else { continue };
            let id = member.document.clone();
            let bytes_max = limits::CHUNK_BYTES_MAX >> net.random.upto(5);
            self.input(net, &id, Input::Room { peer, bytes_max });
        }
    }

    /// A document does not go on with this peer.
    pub(crate) fn close_below(&mut self, net: &mut Network, peer: PeerId, reason: CloseReason) {
        let below = &mut self.memory().below;
        let Some(member) = below.members.get(&peer) else { return };
        let (end, prefix) = (member.end, member.prefix.clone());
        let Some(link) = below.links.get_mut(&end) else { return };
        if link.dialect == Dialect::Own && reason == CloseReason::LoadFailed {
            let refused = fellow::refused(Refusal::TryLater, &reason.to_string());
            link.counts.sent();
            net.send(end, [&prefix[..], &refused].concat().into());
            below.leave(peer);
        } else if reason != CloseReason::LoadFailed {
            net.hang_up(end, reason.code());
        }
    }

    /// It is told how many frames were sent, above and below.
    pub(crate) fn tell_counts(&mut self, net: &mut Network) {
        self.after(net, COUNT_MS, Timer::Counts);
        for (end, link) in &mut self.memory().below.links {
            if link.dialect == Dialect::Own
                && let Some(count) = link.counts.tell()
            {
                net.send(*end, count);
            }
        }
        self.tell_count_up(net);
    }
}

fn plan_room(net: &mut Network, end: End, link: &mut LinkBelow) {
    if !link.ready.is_empty() && !std::mem::replace(&mut link.room_due, true) {
        let at = net.room_at(end, OUTBOX_MESSAGES_MAX);
        net.at(at, Event::Room(end));
    }
}
