//! Links from below: relays that carry many documents on one connection, each message behind the
//! document's prefix. Each document of a link is a peer of that document.
//!
//! A link joins a document with its first frame for it. One in ELVA's dialect leaves it with its
//! end; one of our own says so. What goes down is pulled, one message of one document after the other, as the link has room: however slow it
//! is, it holds up nobody and needs no queue.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::Notify;
use yrelay_core::close::CloseReason;
use yrelay_core::event::{Dialect, Input};
use yrelay_core::fellow::{self, Counts, Refusal};
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::link;

use crate::allowance::Allowance;
use crate::keeping::Asked;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::relay::Relay;
use crate::state::State;
use crate::ws::Close;
use crate::{clock, limits};

/// All links from below.
#[derive(Default)]
pub(crate) struct Links {
    links: HashMap<u64, LinkBelow>,
    members: HashMap<PeerId, Member>,
    /// Who has joined a document, be it in memory or not.
    joined: HashMap<DocumentId, Vec<PeerId>>,
    count: u64,
}

/// One connection.
struct LinkBelow {
    outbox: Outbox,
    /// What was offered, until the first frame shows what is spoken.
    dialect: Dialect,
    is_known: bool,
    counts: Counts,
    /// Documents that it may still join at once.
    joins: Allowance,
    /// By the prefix that the other side puts before the messages of a document: it is spelt the
    /// same on the way back.
    peers: HashMap<Bytes, PeerId>,
    /// Whose next message waits for room.
    ready: VecDeque<PeerId>,
    wanted: Rc<Notify>,
}

/// One document on one link.
struct Member {
    link: u64,
    document: DocumentId,
    prefix: Bytes,
}

impl Links {
    pub(crate) fn outboxes(&self) -> impl Iterator<Item = &Outbox> {
        self.links.values().map(|link| &link.outbox)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Who has joined this document, and how they speak.
    pub(crate) fn of(&self, id: &DocumentId) -> Vec<(PeerId, Dialect)> {
        let joined = self.joined.get(id).into_iter().flatten();
        joined.filter_map(|peer| Some((*peer, self.link_of(*peer)?.dialect))).collect()
    }

    /// Whether anybody has joined this document.
    pub(crate) fn has(&self, id: &DocumentId) -> bool {
        self.joined.contains_key(id)
    }

    fn link_of(&self, peer: PeerId) -> Option<&LinkBelow> {
        self.links.get(&self.members.get(&peer)?.link)
    }

    /// Sends a message of a document to this peer, if it is one of a link: it was given room, so
    /// the queue takes it. Returns how long the frame is.
    pub(crate) fn send(&mut self, peer: PeerId, message: &[u8]) -> Option<usize> {
        let member = self.members.get(&peer)?;
        let frame = [&member.prefix[..], message].concat();
        let bytes = frame.len();
        self.links.get_mut(&member.link)?.push(frame.into());
        Some(bytes)
    }

    /// A document does not go on with this peer. A relay of ours is told so, and tries again; for
    /// any other, what it would miss is reason to begin anew, but for its own faults.
    pub(crate) fn close(&mut self, peer: PeerId, code: u16, reason: CloseReason) {
        if reason == CloseReason::LoadFailed {
            self.refuse(peer, reason);
        } else if let Some(link) = self.members.get(&peer).map(|member| member.link)
            && let Some(link) = self.links.get(&link)
        {
            link.outbox.close(Close::new(code, reason.to_string()));
        }
    }

    /// A document is not taken from this peer, or not for now. A relay of ours is told so; returns
    /// whether it is one.
    pub(crate) fn refuse(&mut self, peer: PeerId, reason: CloseReason) -> bool {
        let Some(member) = self.members.get(&peer) else { return false };
        let link = self.links.get_mut(&member.link);
        let Some(link) = link.filter(|link| link.dialect == Dialect::Own) else { return false };
        let refused = fellow::refused(reason.into(), &reason.to_string());
        link.push([&member.prefix[..], &refused].concat().into());
        self.leave(peer);
        true
    }

    /// Nobody has joined this document any more.
    pub(crate) fn forget(&mut self, id: &DocumentId) {
        for peer in self.joined.get(id).cloned().unwrap_or_default() {
            self.leave(peer);
        }
    }

    fn join(&mut self, peer: PeerId, member: Member) {
        if let Some(link) = self.links.get_mut(&member.link) {
            link.peers.insert(member.prefix.clone(), peer);
        }
        self.joined.entry(member.document.clone()).or_default().push(peer);
        self.members.insert(peer, member);
    }

    /// Forgets a peer. Returns its document.
    fn leave(&mut self, peer: PeerId) -> Option<DocumentId> {
        let member = self.members.remove(&peer)?;
        if let Some(link) = self.links.get_mut(&member.link) {
            link.peers.remove(&member.prefix);
            // Who comes and goes and reads nothing is not to be remembered.
            link.ready.retain(|waiting| *waiting != peer);
        }
        if let Some(joined) = self.joined.get_mut(&member.document) {
            joined.retain(|other| *other != peer);
            if joined.is_empty() {
                self.joined.remove(&member.document);
            }
        }
        Some(member.document)
    }

    /// A document has something for this peer.
    pub(crate) fn ready(&mut self, peer: PeerId) {
        let Some(member) = self.members.get(&peer) else { return };
        if let Some(link) = self.links.get_mut(&member.link) {
            link.ready.push_back(peer);
            link.wanted.notify_one();
        }
    }

    fn connected(
        &mut self,
        outbox: &Outbox,
        dialect: Dialect,
        joins: Allowance,
    ) -> (u64, Rc<Notify>) {
        self.count += 1;
        if dialect == Dialect::Own {
            let _ = outbox.push(fellow::hello());
        }
        let link = LinkBelow {
            outbox: outbox.clone(),
            dialect,
            is_known: false,
            counts: Counts::default(),
            joins,
            peers: HashMap::new(),
            ready: VecDeque::new(),
            wanted: Rc::default(),
        };
        let wanted = link.wanted.clone();
        self.links.insert(self.count, link);
        (self.count, wanted)
    }

    fn ended(&mut self, number: u64) -> Vec<(PeerId, DocumentId)> {
        let Some(link) = self.links.remove(&number) else { return Vec::new() };
        let peers = link.peers.into_values();
        peers.filter_map(|peer| Some((peer, self.leave(peer)?))).collect()
    }

    fn next_ready(&mut self, number: u64) -> Option<(PeerId, DocumentId)> {
        let peer = self.links.get_mut(&number)?.ready.pop_front()?;
        let document = self.members.get(&peer)?.document.clone();
        Some((peer, document))
    }

    fn is_waiting(&self, number: u64) -> bool {
        self.links.get(&number).is_some_and(|link| !link.ready.is_empty())
    }
}

impl LinkBelow {
    fn is_full(&self) -> bool {
        self.peers.len() >= limits::LINK_DOCUMENTS_MAX
    }

    fn push(&mut self, frame: Bytes) {
        self.counts.sent();
        let _ = self.outbox.push(frame);
    }

    /// Learns from the first frame how the other side speaks, and counts on. Returns whether the
    /// frame was for that only. Where frames were lost, the connection ends.
    fn takes_for_itself(&mut self, frame: &[u8]) -> bool {
        if !std::mem::replace(&mut self.is_known, true) {
            let is_hello = self.dialect == Dialect::Own && fellow::is_hello(frame);
            if is_hello {
                return true;
            }
            // It did not wait for ours.
            self.dialect = Dialect::Elva;
        }
        if self.dialect == Dialect::Elva {
            return false;
        }
        self.counts.received(frame).unwrap_or_else(|lost| {
            let reason = CloseReason::FramesLost;
            tracing::warn!(%lost, "a link below is to be opened anew");
            self.outbox.close(Close::new(reason.code(), reason.to_string()));
            true
        })
    }
}

/// One connection, as long as it lasts.
pub(crate) struct Below {
    pub(crate) number: u64,
    wanted: Rc<Notify>,
}

impl Below {
    pub(crate) fn connected(
        relay: &Rc<Relay>,
        address: SocketAddr,
        outbox: &Outbox,
        dialect: Dialect,
    ) -> Self {
        let joins = Allowance::of_joins(&relay.bounds.strangers, address);
        let (number, wanted) = relay.with(|state, _| state.links.connected(outbox, dialect, joins));
        Self { number, wanted }
    }

    pub(crate) fn ended(&self, relay: &Rc<Relay>) {
        relay.with(|state, relay| {
            for (peer, document) in state.links.ended(self.number) {
                state.input(relay, &document, Input::Detach { peer });
            }
        });
    }
}

pub(crate) async fn tell_counts(relay: &Relay, number: u64) {
    loop {
        clock::sleep(limits::COUNT_MS).await;
        if let Some(link) = relay.state.borrow_mut().links.links.get_mut(&number)
            && link.is_known
            && link.dialect == Dialect::Own
            && let Some(count) = link.counts.tell()
        {
            let _ = link.outbox.push(count);
        }
    }
}

pub(crate) async fn give_room(relay: &Rc<Relay>, below: &Below, outbox: &Outbox) {
    let Below { number, wanted } = below;
    let number = *number;
    let mut pace = Pace::new();
    loop {
        wanted.notified().await;
        while relay.state.borrow().links.is_waiting(number) {
            pace.wait_for_room(outbox).await;
            let before = outbox.bytes();
            relay.with(|state, relay| {
                if let Some((peer, document)) = state.links.next_ready(number) {
                    let bytes_max = pace.bytes_max();
                    state.input(relay, &document, Input::Room { peer, bytes_max });
                }
            });
            pace.pulled(outbox.bytes() - before);
        }
        pace.rest();
    }
}

impl Relay {
    pub(crate) async fn frame_from_below(self: &Rc<Self>, number: u64, frame: &Bytes) {
        self.metrics.received_messages.count();
        self.metrics.received_bytes.add(frame.len() as u64);
        let joined = self.with(|state, relay| state.join_from_below(relay, number, frame));
        let (id, peer, bytes, wait_ms) = match joined {
            Ok(Some(joined)) => joined,
            Ok(None) => return,
            Err(error) => {
                self.metrics.reject("link_frame");
                tracing::warn!(link = number, error, "refused a frame of a relay below");
                return;
            }
        };
        if wait_ms > 0 {
            clock::sleep(wait_ms).await;
        }
        self.admit(&id).await;
        if !self.stopping.get() {
            self.with(|state, relay| {
                // It may have left memory while the frame waited.
                state.open(relay, &id, Asked::default()).used_at = Some(clock::now_ms());
                state.note_opened(relay, &id);
                state.input(relay, &id, Input::Frame { peer, bytes });
            });
        }
    }
}

impl State {
    /// The peer that a frame is from, which may just have come, and for how long nothing more is
    /// read then; nothing if the link is to end.
    fn join_from_below(
        &mut self,
        relay: &Relay,
        number: u64,
        frame: &Bytes,
    ) -> Result<Option<(DocumentId, PeerId, Bytes, u64)>, String> {
        let Some(link) = self.links.links.get_mut(&number) else { return Ok(None) };
        if link.takes_for_itself(frame) {
            return Ok(None);
        }
        let parts = link::split(frame).map_err(|error| error.to_string())?;
        let leaves = link.dialect == Dialect::Own && fellow::is_leave(&parts.message);
        if let Some(peer) = link.peers.get(&parts.prefix).copied() {
            if leaves {
                if let Some(document) = self.links.leave(peer) {
                    self.input(relay, &document, Input::Detach { peer });
                }
                return Ok(None);
            }
            let member = self.links.members.get(&peer);
            return Ok(member.map(|member| (member.document.clone(), peer, parts.message, 0)));
        }
        if leaves {
            return Ok(None);
        }
        if link.is_full() {
            let reason = CloseReason::TooManyDocuments;
            relay.metrics.reject(reason.label());
            let words = format!("{reason}: {} are as many as may be", limits::LINK_DOCUMENTS_MAX);
            link.outbox.close(Close::new(reason.code(), words));
            return Ok(None);
        }
        let dialect = link.dialect;
        let wait_ms = link.joins.wait_ms(1);
        let id = match DocumentId::from_encoded(parts.name) {
            Ok(id) => id,
            Err(error) => {
                if dialect == Dialect::Own {
                    let refused = fellow::refused(Refusal::BadIdentifier, &error.to_string());
                    link.push([&parts.prefix[..], &refused].concat().into());
                }
                return Err(error.to_string());
            }
        };
        let peer = self.next_peer();
        // Not a part of the frame, which would be held as long.
        let prefix = Bytes::copy_from_slice(&parts.prefix);
        self.links.join(peer, Member { link: number, document: id.clone(), prefix });
        self.open(relay, &id, Asked::default());
        self.input(relay, &id, Input::AttachLink { peer, dialect });
        tracing::debug!(link = number, document = %id, %peer, "joined by a relay");
        Ok(Some((id, peer, parts.message, wait_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked() -> (Links, u64) {
        let mut links = Links::default();
        let (link, _) = links.connected(&Outbox::new(), Dialect::Own, Allowance::Endless);
        (links, link)
    }

    fn join(links: &mut Links, link: u64, number: u64) {
        let name = number.to_string();
        let document = DocumentId::new(&name).unwrap();
        links.join(PeerId(number), Member { link, document, prefix: link::prefix(&name) });
    }

    #[test]
    fn who_comes_and_goes_and_reads_nothing_is_not_remembered() {
        let (mut links, link) = linked();
        for number in 0..100 {
            join(&mut links, link, number);
            links.ready(PeerId(number));
            assert!(links.leave(PeerId(number)).is_some());
        }
        assert!(!links.is_waiting(link) && links.members.is_empty() && links.joined.is_empty());
    }

    #[test]
    fn a_link_joins_so_many_documents_and_no_more() {
        let (mut links, link) = linked();
        for number in 0..limits::LINK_DOCUMENTS_MAX as u64 {
            assert!(!links.links[&link].is_full());
            join(&mut links, link, number);
        }
        assert!(links.links[&link].is_full());
        links.leave(PeerId(0));
        assert!(!links.links[&link].is_full());
    }
}
