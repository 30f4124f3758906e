//! What must hold at any time.

use yrelay_core::Millis;
use yrelay_core::event::Dialect;
use yrelay_core::replica::Want;

use crate::client::{CHECK_MS, Client, Mood, Style};
use crate::server::{Foreign, Mode, Server};
use crate::world::World;

/// Whoever is gone is seen no longer than this, where nothing is late: 30 s, a look every 3 s on
/// either way, and what is still on its way.
const GHOST_MS: Millis = 35_000 + 2 * CHECK_MS + 8_000;

/// Whoever is there is seen after this time, the next look included.
const SEEN_MS: Millis = 35_000 + CHECK_MS;
/// Where clocks are raised for a server, and then it and a relay forget how high they were, those
/// who have not wait for some renewals more.
const RAISED_MS: Millis = 60_000;

impl World<'_> {
    /// See [`SEEN_MS`].
    pub(crate) fn seen_ms(&self) -> Millis {
        match self.script.server.and_then(Mode::foreign) {
            Some(Foreign::Hocuspocus(_) | Foreign::YWebsocket { .. } | Foreign::YSweet) => {
                SEEN_MS + RAISED_MS
            }
            _ => SEEN_MS,
        }
    }

    /// After each event.
    pub(crate) fn watch(&mut self) {
        self.verify_proofs();
        self.resolve();
        for service in &self.services {
            let link = service.memory.as_ref().and_then(|memory| memory.link.as_ref());
            if let Some(link) = link.filter(|_| service.sleep.until.is_none()) {
                link.assert_truthful(service.now(&self.net));
                if let Some(woke_at) = service.sleep.anew_since(self.net.now) {
                    link.assert_anew_since(woke_at);
                }
            }
        }
    }

    /// What a service takes for proven, the server holds.
    fn verify_proofs(&mut self) {
        self.verify_receipts();
        for service in &mut self.services {
            for (id, what, end) in service.proofs.drain(..) {
                let can_prove = |server: &&Server| server.is_persistent();
                let Some(server) = self.server.as_ref().filter(can_prove) else { continue };
                let end = end.expect("the server has answered over a connection").other();
                assert!(
                    server.held_until(end, &id.to_encoded(), &what),
                    "{id}: taken for confirmed, but the server lacks some of it"
                );
            }
        }
    }

    /// What is written first at a server that has lost a document looks like another history to who
    /// knows nobody of those who wrote it. Somebody decides that it is none.
    fn resolve(&mut self) {
        for service in &mut self.services {
            for id in std::mem::take(&mut service.diverged) {
                let has_lost = self.server.as_ref().is_some_and(|server| server.rolled_back);
                assert!(has_lost, "{id}: nobody has made anything anew");
                service.merge(&mut self.net, &id);
            }
        }
    }

    /// What another yrelay has said to be saved is on its disk.
    fn verify_receipts(&mut self) {
        for number in 0..self.services.len() {
            let service = &mut self.services[number];
            let Some(parent) = service.parent.filter(|_| service.dialect() == Dialect::Own) else {
                continue;
            };
            let proofs = std::mem::take(&mut service.proofs);
            if self.services[parent].disk.has_lost {
                continue;
            }
            for (id, Want { structs, deletes }, _) in proofs {
                let held = self.services[parent].disk.held(&id);
                assert!(
                    held.structs.contains_all(&structs) && held.deletes.contains_all(&deletes),
                    "{id}: service {number} takes for saved what service {parent} has not"
                );
            }
        }
    }

    /// Since when each client cannot be heard of.
    pub(crate) fn note_absences(&mut self) {
        for client in &mut self.clients {
            let service = &self.services[client.service];
            let home_is_up = service.memory.is_some() && service.sleep.until.is_none();
            if client.mood == Mood::Here && home_is_up {
                client.absent_since = None;
            } else {
                client.absent_since.get_or_insert(self.net.now);
            }
        }
    }

    /// What this client sees of others who are gone has not been so for long.
    pub(crate) fn assert_no_ghosts(&self, client: &Client) {
        let woke_at = self.services[client.service].sleep.woke_at;
        let Some(end) = client.end.filter(|_| client.style == Style::Js) else { return };
        if self.net.is_troubled(end) {
            return;
        }
        let seen = client.presence.present();
        if self.script.server.and_then(Mode::foreign) == Some(Foreign::YSweet) {
            // It shows for ever whose departure nobody has told it of.
            return;
        }
        for other in self.clients.iter().filter(|other| seen.contains(&other.editor.id())) {
            let Some(since) = other.absent_since else { continue };
            let since = since.max(self.net.late_until).max(woke_at);
            assert!(
                other.number == client.number || self.net.now <= since + GHOST_MS,
                "client {} sees client {}, gone since {since}",
                client.number,
                other.number
            );
        }
    }

    /// Everybody who is there is seen by everybody.
    pub(crate) fn assert_all_are_seen(&self) {
        for client in &self.clients {
            self.assert_sees_who_is_there(client);
        }
    }
}
