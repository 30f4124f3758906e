//! Documents that go up though nobody has them open.

use yrelay_core::event::Input;
use yrelay_core::id::DocumentId;

use crate::clock;
use crate::config::Messages;
use crate::keeping::Asked;
use crate::relay::Relay;
use crate::state::State;

impl State {
    /// While a server is there, or may be, what it may lack is offered.
    pub(super) fn plan_offers(&mut self, relay: &Relay, number: usize) {
        let Some(link) = self.above.get_mut(number) else { return };
        let takes = link.machine.takes_offers();
        if std::mem::replace(&mut link.is_offered, takes) == takes {
            return;
        }
        if takes {
            let stored = self.stored.iter().filter(|(id, _)| relay.routes.of(id) == Some(number));
            link.offers.begin(stored.map(|(id, shelved)| (id, shelved.unconfirmed)));
            self.offer_expired(relay);
            self.offer_next(relay);
        } else {
            link.offers.end();
        }
    }

    /// A document leaves memory though its server may lack some of it. A connection for all tells
    /// by its next beginning when to offer it; one document's own is gone with it, and where each
    /// waits to be let in it may have waited all the time.
    pub(crate) fn offer_later(&mut self, id: &DocumentId, link: Option<usize>) {
        if let Some(link) = link.and_then(|number| self.above.get_mut(number))
            && link.upstream.speaks != Messages::Elva
        {
            link.offers.later(clock::now_ms(), id);
        }
    }

    /// A server has lost something of this document: nothing that is stored for it is taken for
    /// confirmed any more.
    pub(crate) fn offer_all(&mut self, relay: &Relay, lost: &DocumentId) {
        let Some(number) = relay.routes.of(lost) else { return };
        let Some(link) = self.above.get_mut(number) else { return };
        let goes_there = |id: &DocumentId| relay.routes.of(id) == Some(number);
        if !link.offers.lost(self.stored.keys().filter(|id| goes_there(id))) {
            return;
        }
        tracing::warn!("the upstream has lost what it had; every document is offered again");
        for (id, shelved) in self.stored.iter_mut().filter(|(id, _)| goes_there(id)) {
            shelved.unconfirmed = true;
            relay.store.unconfirm(id);
        }
        for id in self.documents_of(number) {
            self.input(relay, &id, Input::Lost);
        }
        self.offer_next(relay);
    }

    /// Loads the next document of those that a server may lack, while there is room.
    pub(crate) fn offer_next(&mut self, relay: &Relay) {
        for number in 0..self.above.len() {
            if self.offer_bytes > 0 {
                self.offer_next_of(relay, number);
            }
        }
    }

    fn offer_next_of(&mut self, relay: &Relay, number: usize) {
        let (stored, documents) = (&self.stored, &self.documents);
        let Some(link) = self.above.get_mut(number).filter(|it| it.machine.takes_offers()) else {
            return;
        };
        let machine = &link.machine;
        let wanted = |id: &DocumentId| {
            let parked = machine.parked_because(id).is_some();
            stored.contains_key(id) && !documents.contains_key(id) && !parked
        };
        let Some(id) = link.offers.next(clock::now_ms(), wanted) else { return };
        let bytes = self.stored.get(&id).map_or(0, |shelved| shelved.bytes);
        self.offer_bytes = self.offer_bytes.saturating_sub(bytes);
        // Nobody uses it: it leaves as soon as it may.
        self.open(relay, &id, Asked::default()).used_at = None;
    }
}
