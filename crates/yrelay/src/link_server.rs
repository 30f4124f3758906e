//! Links from below: relays that carry many documents on one connection, each message behind the
//! document's prefix. Each document of a link is a peer of that document.
//!
//! A link joins a document with its first frame for it and leaves it with its end. What goes down
//! is pulled, one message of one document after the other, as the link has room: however slow it
//! is, it holds up nobody and needs no queue.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::Notify;
use yrelay_core::close::CloseReason;
use yrelay_core::event::Input;
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::link;
use yrelay_core::upstream::Event;

use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::pump::pump;
use crate::relay::Relay;
use crate::state::State;
use crate::ws::{Close, Frame, Reader, Writer};
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

    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    /// Who has joined this document.
    pub(crate) fn of(&self, id: &DocumentId) -> Vec<PeerId> {
        self.joined.get(id).cloned().unwrap_or_default()
    }

    /// Whether anybody has joined this document.
    pub(crate) fn has(&self, id: &DocumentId) -> bool {
        self.joined.contains_key(id)
    }

    /// A message of a document as it goes to this peer, and the queue for it.
    pub(crate) fn framed(&self, peer: PeerId, message: &[u8]) -> Option<(Bytes, Outbox)> {
        let member = self.members.get(&peer)?;
        let link = self.links.get(&member.link)?;
        Some(([&member.prefix[..], message].concat().into(), link.outbox.clone()))
    }

    /// A document has something for this peer.
    pub(crate) fn ready(&mut self, peer: PeerId) {
        let Some(member) = self.members.get(&peer) else { return };
        if let Some(link) = self.links.get_mut(&member.link) {
            link.ready.push_back(peer);
            link.wanted.notify_one();
        }
    }

    /// The connection over which this peer is here, if it is one of a link.
    pub(crate) fn outbox(&self, peer: PeerId) -> Option<&Outbox> {
        let member = self.members.get(&peer)?;
        Some(&self.links.get(&member.link)?.outbox)
    }

    fn connected(&mut self, outbox: &Outbox) -> (u64, Rc<Notify>) {
        self.count += 1;
        let link = LinkBelow {
            outbox: outbox.clone(),
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
        let mut left = Vec::new();
        for peer in link.peers.into_values() {
            let Some(member) = self.members.remove(&peer) else { continue };
            if let Some(joined) = self.joined.get_mut(&member.document) {
                joined.retain(|other| *other != peer);
                if joined.is_empty() {
                    self.joined.remove(&member.document);
                }
            }
            left.push((peer, member.document));
        }
        left
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

/// Serves a link until one side ends it.
pub(crate) async fn run(relay: Rc<Relay>, address: SocketAddr, reader: Reader, writer: Writer) {
    let outbox = Outbox::with_room(limits::LINK_ROOM_BYTES);
    let (number, wanted) = relay.with(|state, _| state.links.connected(&outbox));
    relay.link_event(Event::ClientCame);
    tracing::info!(link = number, %address, "a relay has connected");
    let take = async |frame| match frame {
        Frame::Binary(bytes) => relay.frame_from_below(number, &bytes).await,
        Frame::Text(_) => relay.metrics.reject("text_frame"),
    };
    let ended = tokio::select! {
        ended = pump(reader, writer, &outbox, take) => ended,
        () = give_room(&relay, number, &outbox, &wanted) => return,
    };
    relay.with(|state, relay| {
        for (peer, document) in state.links.ended(number) {
            state.input(relay, &document, Input::Detach { peer });
        }
    });
    tracing::info!(link = number, %address, %ended, "a relay has left");
}

async fn give_room(relay: &Rc<Relay>, number: u64, outbox: &Outbox, wanted: &Notify) {
    let mut pace = Pace::new();
    loop {
        wanted.notified().await;
        while relay.state.borrow().links.is_waiting(number) {
            if outbox.has_room() {
                pace.rest();
            } else {
                let since = clock::now_ms();
                outbox.room().await;
                pace.drained(clock::now_ms() - since);
            }
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
    async fn frame_from_below(self: &Rc<Self>, number: u64, frame: &Bytes) {
        self.metrics.received_messages.count();
        self.metrics.received_bytes.add(frame.len() as u64);
        let joined = self.with(|state, relay| state.join_from_below(relay, number, frame));
        let (id, peer, bytes) = match joined {
            Ok(Some(joined)) => joined,
            Ok(None) => return,
            Err(error) => {
                self.metrics.reject("link_frame");
                tracing::warn!(link = number, error, "refused a frame of a relay below");
                return;
            }
        };
        self.admit(&id).await;
        if !self.stopping.get() {
            self.with(|state, relay| {
                // It may have left memory while the frame waited.
                state.open(relay, &id).used_at = Some(clock::now_ms());
                state.input(relay, &id, Input::Frame { peer, bytes });
            });
        }
    }
}

impl State {
    /// The peer that a frame is from, which may just have come; nothing if the link is to end.
    fn join_from_below(
        &mut self,
        relay: &Relay,
        number: u64,
        frame: &Bytes,
    ) -> Result<Option<(DocumentId, PeerId, Bytes)>, String> {
        let parts = link::split(frame).map_err(|error| error.to_string())?;
        let Some(link) = self.links.links.get(&number) else { return Ok(None) };
        if let Some(peer) = link.peers.get(&parts.prefix) {
            let member = self.links.members.get(peer);
            return Ok(member.map(|member| (member.document.clone(), *peer, parts.message)));
        }
        if link.peers.len() >= limits::LINK_DOCUMENTS_MAX {
            let reason = CloseReason::TooManyDocuments;
            relay.metrics.reject(reason.label());
            link.outbox.close(Close::new(reason.code(), reason.to_string()));
            return Ok(None);
        }
        let id = DocumentId::from_encoded(parts.name).map_err(|error| error.to_string())?;
        let peer = self.next_peer();
        // Not a part of the frame, which would be held as long.
        let prefix = Bytes::copy_from_slice(&parts.prefix);
        if let Some(link) = self.links.links.get_mut(&number) {
            link.peers.insert(prefix.clone(), peer);
        }
        let member = Member { link: number, document: id.clone(), prefix };
        self.links.members.insert(peer, member);
        self.links.joined.entry(id.clone()).or_default().push(peer);
        self.open(relay, &id);
        self.input(relay, &id, Input::AttachLink { peer });
        tracing::debug!(link = number, document = %id, %peer, "joined by a relay");
        Ok(Some((id, peer, parts.message)))
    }
}
