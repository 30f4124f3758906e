//! Documents that are loaded for the upstream's sake.

use yrelay_core::event::Input;
use yrelay_core::id::DocumentId;

use crate::network::Network;
use crate::service::Service;

impl Service {
    /// The link is up.
    pub(crate) fn offer_begin(&mut self, net: &mut Network) {
        let memory = self.memory();
        memory.offers.begin(memory.stored.iter().map(|(id, unconfirmed)| (id, *unconfirmed)));
        self.offer_next(net);
    }

    /// Where each document has a connection of its own, they are offered while the server takes them.
    pub(crate) fn plan_offers(&mut self, net: &mut Network) {
        let Some(link) = &mut self.memory().link else { return };
        if !link.has_lines() || !link.begins_or_ends_offers() {
            return;
        }
        if link.machine.takes_offers() {
            self.offer_begin(net);
        } else {
            self.memory().offers.end();
        }
    }

    /// The server has lost something: nothing that is stored is taken for confirmed any more.
    pub(crate) fn offer_all(&mut self, net: &mut Network) {
        let memory = self.memory.as_mut().expect("the service runs");
        if memory.offers.lost(memory.stored.keys()) {
            for (id, unconfirmed) in &mut memory.stored {
                *unconfirmed = true;
                self.disk.unconfirm(id);
            }
            let ids: Vec<DocumentId> = memory.documents.keys().cloned().collect();
            for id in ids {
                self.input(net, &id, Input::Lost);
            }
            self.offer_next(net);
        }
    }

    /// Loads the next document of those that the server may lack.
    pub(crate) fn offer_next(&mut self, net: &mut Network) {
        let Some(link) = &self.memory().link else { return };
        if (link.has_lines() && !link.machine.takes_offers())
            || (!link.has_lines() && link.end().is_none())
        {
            return;
        }
        let now = self.now(net);
        let memory = self.memory();
        let (stored, documents, link) = (&memory.stored, &memory.documents, memory.link.as_ref());
        let wanted = |id: &DocumentId| {
            let parked = link.is_some_and(|link| link.machine.parked_because(id).is_some());
            stored.contains_key(id) && !documents.contains_key(id) && !parked
        };
        if let Some(id) = memory.offers.next(now, wanted) {
            // Nobody uses it: it leaves as soon as it may.
            self.open(net, &id).used_at = 0;
        }
    }
}
