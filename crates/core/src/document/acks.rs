//! Telling authors that what they wrote is saved.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Document;
use crate::event::Output;
use crate::id::PeerId;
use crate::peer::Acks;
use crate::replica::Want;
use crate::{Millis, limits};

impl Document {
    /// Whether a client is still to be told that what it wrote is saved.
    pub fn owes_acks(&self) -> bool {
        self.clients.values().any(|client| !client.acks.is_empty())
    }

    /// One commit may save more of an author than its queue takes at once, however well it reads:
    /// the rest goes as there is room.
    pub(super) fn saved(&mut self, now: Millis, seq: u64) {
        let mut at_once: BTreeMap<PeerId, usize> = BTreeMap::new();
        for ack in self.log.saved(seq) {
            let Some(client) = self.clients.get_mut(&ack.peer) else { continue };
            let bytes = at_once.entry(ack.peer).or_default();
            if client.acks.is_empty() && *bytes < limits::ACKS_AT_ONCE_BYTES {
                *bytes += Acks::cost(&ack.message);
                self.send(now, ack.peer, ack.message);
                continue;
            }
            if client.acks.is_empty() {
                self.out.push(Output::Ready { peer: ack.peer });
            }
            client.acks.push(ack.message);
        }
        for link in self.links.values_mut() {
            link.saved(seq);
        }
        if self.log.is_saved() {
            for client in self.clients.values_mut() {
                client.unsaved = Want::default();
            }
        }
    }

    /// Sends this to a client once all so far is saved. Nobody else expects it.
    pub(super) fn acknowledge(&mut self, now: Millis, peer: PeerId, message: Bytes) {
        if !self.clients.contains_key(&peer) {
            return;
        }
        let Some(message) = self.log.acknowledge(peer, message) else { return };
        match self.clients.get_mut(&peer) {
            Some(client) if !client.acks.is_empty() => client.acks.push(message),
            _ => self.send(now, peer, message),
        }
    }

    /// Tells a client that has room the next of what waits for that. Returns whether there was any.
    pub(super) fn acknowledge_on(&mut self, now: Millis, peer: PeerId) -> bool {
        let Some(client) = self.clients.get_mut(&peer) else { return false };
        let Some(message) = client.acks.pop() else { return false };
        if !client.acks.is_empty() || !client.want.is_empty() {
            self.out.push(Output::Ready { peer });
        }
        self.send(now, peer, message);
        true
    }
}
