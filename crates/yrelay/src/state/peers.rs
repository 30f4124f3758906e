//! What goes to peers: clients, relays below, servers above.

use bytes::Bytes;
use yrelay_core::close::CloseReason;
use yrelay_core::hocuspocus;
use yrelay_core::id::{DocumentId, PeerId};

use super::{Client, State};
use crate::clock;
use crate::outbox::Outbox;
use crate::relay::Relay;
use crate::upstream::Link;
use crate::ws::Close;

impl Client {
    /// What a message is for it; nothing, if it is of a kind that it does not know.
    fn frame(&self, message: Bytes) -> Option<Bytes> {
        let Some(prefix) = &self.prefix else { return Some(message) };
        let message = hocuspocus::for_client(&message)?;
        Some([&prefix[..], &message].concat().into())
    }
}

impl State {
    /// The queues to all who are below.
    pub(crate) fn outboxes_below(&self) -> impl Iterator<Item = &Outbox> {
        self.clients.values().map(|client| &client.outbox).chain(self.links.outboxes())
    }

    /// Whether nobody is connected any more, neither below nor above.
    pub(crate) fn is_deserted(&self) -> bool {
        self.clients.is_empty() && self.links.is_empty() && self.above.iter().all(Link::is_down)
    }

    /// To whoever this is: above, below, or a relay below.
    pub(super) fn send_to(&mut self, relay: &Relay, id: &DocumentId, peer: PeerId, bytes: Bytes) {
        let slot = self.documents.get(id).filter(|slot| slot.upstream == Some(peer));
        if let Some(slot) = slot
            && let Some(link) = slot.link.and_then(|link| self.above.get_mut(link))
        {
            let sent = link.send(id, &slot.prefix, &bytes);
            count_sent(relay, sent);
        } else if let Some(sent) = self.links.send(peer, &bytes) {
            count_sent(relay, sent);
        } else {
            self.send(relay, peer, bytes);
        }
    }

    pub(super) fn send(&mut self, relay: &Relay, peer: PeerId, bytes: Bytes) {
        let Some(client) = self.clients.get(&peer) else { return };
        let Some(bytes) = client.frame(bytes) else { return };
        count_sent(relay, bytes.len());
        if let Err(full) = client.outbox.push(bytes) {
            let reason = CloseReason::TooSlow;
            relay.metrics.reject(reason.label());
            client.outbox.close(Close::new(reason.code(), full.to_string()));
        }
    }

    pub(super) fn ready(&mut self, relay: &Relay, id: &DocumentId, peer: PeerId) {
        if let Some(client) = self.clients.get(&peer) {
            client.ready.set(true);
            client.wanted.notify_one();
        } else if self.documents.get(id).is_some_and(|slot| slot.upstream == Some(peer)) {
            self.ready_above(relay, id);
        } else {
            self.links.ready(peer);
        }
    }

    pub(crate) fn close(
        &mut self,
        relay: &Relay,
        id: &DocumentId,
        peer: PeerId,
        reason: CloseReason,
    ) {
        relay.metrics.reject(reason.label());
        let code = self.refusals.code(clock::now_ms(), id, reason);
        tracing::info!(document = %id, %peer, %reason, code, "closing");
        match self.clients.get(&peer) {
            Some(client) => match &client.prefix {
                // It would come back after any code, and bring its other documents along.
                Some(prefix) if is_for_good(code) => {
                    let denied = hocuspocus::denied(&reason.to_string());
                    let _ = client.outbox.push([&prefix[..], &denied].concat().into());
                    self.clients.remove(&peer);
                    if let Some(slot) = self.documents.get_mut(id) {
                        slot.clients.retain(|client| *client != peer);
                    }
                }
                _ => client.outbox.close(Close::new(code, reason.to_string())),
            },
            None => self.links.close(peer, code, reason),
        }
    }

    /// A word of a program to the others that speak Hocuspocus, below and above.
    pub(crate) fn pass_on_stateless(
        &mut self,
        id: &DocumentId,
        from: Option<PeerId>,
        payload: &Bytes,
    ) {
        let Some(slot) = self.documents.get(id) else { return };
        let message = hocuspocus::stateless(payload);
        for peer in slot.clients.iter().filter(|peer| Some(**peer) != from) {
            if let Some(client) = self.clients.get(peer)
                && let Some(prefix) = &client.prefix
            {
                let _ = client.outbox.push([&prefix[..], &message].concat().into());
            }
        }
        if from.is_some()
            && slot.upstream.is_some()
            && let Some(link) = slot.link.and_then(|link| self.above.get_mut(link))
        {
            link.send_stateless(&slot.prefix, &message);
        }
    }
}

/// Whether a close code says not to come back.
fn is_for_good(code: u16) -> bool {
    (4400..=4499).contains(&code)
}

fn count_sent(relay: &Relay, bytes: usize) {
    relay.metrics.sent_messages.count();
    relay.metrics.sent_bytes.add(bytes as u64);
}
