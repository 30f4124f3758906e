//! Documents that go up though nobody has them open.

use yrelay_core::event::Input;
use yrelay_core::id::DocumentId;

use crate::clock;
use crate::keeping::Asked;
use crate::relay::Relay;
use crate::state::State;

impl State {
    /// The upstream has lost something: nothing that is stored is taken for confirmed any more.
    pub(crate) fn offer_all(&mut self, relay: &Relay) {
        if self.offers.lost(self.stored.keys()) {
            tracing::warn!("the upstream has lost what it had; every document is offered again");
            for (id, shelved) in &mut self.stored {
                shelved.unconfirmed = true;
                relay.store.unconfirm(id);
            }
            let ids: Vec<DocumentId> = self.documents.keys().cloned().collect();
            for id in ids {
                self.input(relay, &id, Input::Lost);
            }
            self.offer_next(relay);
        }
    }

    /// Loads the next document of those that the upstream may lack, while there is room.
    pub(crate) fn offer_next(&mut self, relay: &Relay) {
        if self.offer_bytes == 0 || self.upstream_peer().is_none() {
            return;
        }
        let (stored, documents, link) = (&self.stored, &self.documents, self.link.as_ref());
        let wanted = |id: &DocumentId| {
            let parked = link.is_some_and(|link| link.machine.parked_because(id).is_some());
            stored.contains_key(id) && !documents.contains_key(id) && !parked
        };
        let Some(id) = self.offers.next(clock::now_ms(), wanted) else { return };
        let bytes = self.stored.get(&id).map_or(0, |shelved| shelved.bytes);
        self.offer_bytes = self.offer_bytes.saturating_sub(bytes);
        // Nobody uses it: it leaves as soon as it may.
        self.open(relay, &id, Asked::default()).used_at = None;
    }
}
