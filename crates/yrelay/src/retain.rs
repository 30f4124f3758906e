//! Forgetting what nobody opens, where the server above has it.
//!
//! A mark from earlier does not do: the server may have lost the document since. So it is loaded
//! once more for the server's sake, and forgotten when it leaves memory, if the server has shown
//! on the present connection that it holds all of it.

use std::rc::Rc;

use yrelay_core::id::DocumentId;

use crate::relay::Relay;
use crate::state::{Slot, State};
use crate::{clock, limits};

impl Relay {
    /// Looks for documents that nobody opens, every now and then.
    pub(crate) async fn retain(self: Rc<Self>) {
        loop {
            clock::sleep(limits::RETAIN_SWEEP_MS).await;
            self.with(|state, relay| {
                let open = state.documents.iter().filter(|(_, slot)| !slot.clients.is_empty());
                let open: Vec<DocumentId> = open.map(|(id, _)| id.clone()).collect();
                open.iter().for_each(|id| state.note_opened(relay, id));
                state.offer_expired(relay);
                state.offer_next(relay);
            });
        }
    }
}

impl State {
    /// Somebody has it open now. That is noted to a day: each note is a write.
    pub(crate) fn note_opened(&mut self, relay: &Relay, id: &DocumentId) {
        let Some(slot) = self.documents.get_mut(id) else { return };
        let now = clock::unix_ms();
        // A clock that was ahead is set right.
        if now.abs_diff(slot.opened_ms) >= limits::OPENED_MS {
            slot.opened_ms = now;
            relay.store.note_opened(id, now);
        }
    }

    /// Has the server asked about documents that nobody opens and that it once confirmed.
    pub(crate) fn offer_expired(&mut self, relay: &Relay) {
        let expired = |opened_ms| is_expired(relay, opened_ms);
        let expired = self.stored.iter().filter(|(_, it)| !it.unconfirmed && expired(it.opened_ms));
        for (id, _) in expired {
            let link = relay.routes.of(id).and_then(|link| self.above.get_mut(link));
            if let Some(link) = link.filter(|link| link.machine.takes_offers()) {
                link.offers.again(id);
            }
        }
    }

    /// Whether a document that leaves memory is kept no more.
    pub(crate) fn is_to_be_forgotten(&self, relay: &Relay, slot: &Slot) -> bool {
        is_expired(relay, slot.opened_ms) && slot.upstream.is_some() && slot.document.is_proved()
    }
}

fn is_expired(relay: &Relay, opened_ms: u64) -> bool {
    let age_ms = clock::unix_ms().saturating_sub(opened_ms);
    relay.bounds.retain_ms.is_some_and(|retain_ms| age_ms >= retain_ms)
}
