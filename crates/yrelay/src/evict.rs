//! Documents that nobody uses leave memory, and make room for others.

use yrelay_core::event::Standing;
use yrelay_core::id::DocumentId;

use crate::keeping::Keeping;
use crate::relay::Relay;
use crate::state::{Shelved, Slot, State};
use crate::{clock, limits};

impl Slot {
    /// About what it takes.
    fn bytes(&self) -> usize {
        self.document.memory_bytes() + limits::DOCUMENT_BYTES
    }
}

impl State {
    /// Whether so much has come into memory that it is worth looking before the time.
    pub(crate) fn has_grown(&self, relay: &Relay) -> bool {
        self.grown_bytes > relay.bounds.memory_bytes / limits::GROWTH_SHARE
    }

    /// Looks through those that are there.
    pub(crate) fn evict(&mut self, relay: &Relay) {
        let now = clock::now_ms();
        let memory: usize = self.documents.values().map(Slot::bytes).sum();
        self.grown_bytes = 0;
        let is_short = memory > relay.bounds.memory_bytes;
        // What is not stored is there for those who are there.
        let patience = |slot: &Slot| match is_short || slot.keeping != Keeping::Stored {
            true => 0,
            false => relay.bounds.idle_ms,
        };
        let idle: Vec<DocumentId> = self
            .documents
            .iter()
            .filter(|(_, slot)| slot.clients.is_empty())
            .filter(|(id, slot)| slot.keeping == Keeping::Stored || !self.links.has(id))
            .filter(|(_, slot)| {
                slot.used_at.is_none_or(|used_at| used_at.saturating_add(patience(slot)) <= now)
            })
            .filter(|(_, slot)| slot.compacted.is_none() && slot.document.can_evict())
            .map(|(id, _)| id.clone())
            .collect();
        for id in idle {
            let Some(slot) = self.drop_document(relay, &id) else { continue };
            tracing::debug!(document = %id, "left memory");
            if self.is_to_be_forgotten(relay, &slot) {
                tracing::info!(document = %id, "forgotten: nobody opens it, and the server has it");
                relay.store.forget(&id);
            } else if slot.document.is_stored() && slot.keeping == Keeping::Stored {
                let Standing { bytes, opaque, .. } = slot.document.standing();
                let (bytes, unconfirmed) = (bytes as u64, slot.document.is_unconfirmed());
                if unconfirmed {
                    self.offer_later(&id, slot.link);
                }
                let Slot { visible, opened_ms, .. } = slot;
                let shelved = Shelved { bytes, unconfirmed, opaque, opened_ms, visible };
                self.stored.insert(id, shelved);
            }
        }
        // The map, too, keeps no places for as many as there once were.
        self.documents.shrink_to(2 * self.documents.len());
        // Where memory is short, one document after the other.
        self.offer_bytes = if is_short { 1 } else { limits::OFFER_BYTES };
        self.offer_next(relay);
    }
}
