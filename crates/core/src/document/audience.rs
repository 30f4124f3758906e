//! Sending to clients: one, those that are up to date, or all.

use bytes::Bytes;

use super::Document;
use crate::Millis;
use crate::event::Output;
use crate::id::PeerId;

/// Which clients a broadcast is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Audience {
    Everyone,
    /// Those that are up to date.
    Live,
}

impl Document {
    pub(super) fn send(&mut self, now: Millis, peer: PeerId, bytes: Bytes) {
        if let Some(client) = self.clients.get_mut(&peer) {
            client.heard_at = now;
            self.out.push(Output::Send { peer, bytes });
        }
    }

    pub(super) fn broadcast(
        &mut self,
        now: Millis,
        to: Audience,
        except: Option<PeerId>,
        bytes: Bytes,
    ) {
        let to = match to {
            Audience::Everyone => &self.everyone,
            Audience::Live => &self.live,
        };
        if to.iter().all(|peer| Some(*peer) == except) {
            return;
        }
        for peer in to.iter().filter(|peer| Some(**peer) != except) {
            if let Some(client) = self.clients.get_mut(peer) {
                client.heard_at = now;
            }
        }
        self.out.push(Output::Broadcast { to: to.clone(), except, bytes });
    }

    pub(super) fn reckon_audience(&mut self) {
        self.everyone = self.clients.keys().copied().collect();
        self.live = self.clients.iter().filter(|(_, c)| c.is_live()).map(|(id, _)| *id).collect();
    }
}
