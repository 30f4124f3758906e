//! What must hold once all faults are over and time has passed.

use std::collections::BTreeSet;

use yrelay_core::Millis;
use yrelay_core::event::{Dialect, Standing};
use yrelay_core::id::DocumentId;
use yrelay_core::replica::Want;

use crate::client::{Client, Mood, Style};
use crate::editor::Image;
use crate::server::{Foreign, Mode, PHANTOMS_FROM, Server};
use crate::service::Service;
use crate::world::World;

impl World<'_> {
    pub(crate) fn assert_at_rest(&self, silence_ms: Millis) {
        for client in self.living() {
            client.assert_settled();
            self.assert_sees_who_is_there(client);
        }
        for id in &self.documents {
            self.assert_kept(id);
            self.assert_equal(id);
            for service in &self.services {
                self.assert_standing(service, id);
            }
        }
        self.assert_silent(silence_ms);
    }

    /// What is saved went up, whether somebody looks or not.
    pub(crate) fn assert_handed_up(&self) {
        if self.services.iter().any(|service| service.disk.has_lost) {
            return; // what nobody looks at, nobody misses
        }
        self.assert_handed_on();
        // One that has lost all shows that in every document, but those that others have restored.
        let alone = self.services.len() == 1;
        let keeps = |server: &&Server| {
            server.is_persistent() && !server.partly && (!server.rolled_back || alone)
        };
        let Some(server) = self.server.as_ref().filter(keeps) else { return };
        for service in &self.services {
            for id in self.documents.iter().filter(|id| !self.is_bereft(id)) {
                let Want { structs, mut deletes } = service.disk.held(id);
                deletes = deletes.intersection(&structs);
                assert!(
                    server.holds(&id.to_encoded(), &Want { structs, deletes }),
                    "{id}: the server lacks some of what service {} has saved",
                    service.number
                );
            }
        }
    }

    /// Where relays stand below each other, each has what those below it have saved.
    fn assert_handed_on(&self) {
        for service in &self.services {
            let Some(parent) = service.parent else { continue };
            for id in self.documents.iter().filter(|id| !self.is_bereft(id)) {
                let Want { structs, mut deletes } = service.disk.held(id);
                deletes = deletes.intersection(&structs);
                let above = &self.services[parent].disk;
                // (In ELVA's dialect it has shown what it held, on the disk or not.)
                if service.dialect() == Dialect::Elva && above.dropped.contains(id) {
                    continue;
                }
                let above = above.held(id);
                assert!(
                    above.structs.contains_all(&structs) && above.deletes.contains_all(&deletes),
                    "{id}: service {parent} lacks some of what service {} has saved",
                    service.number
                );
            }
        }
    }

    /// All relays are connected with each other, over a server or directly.
    fn is_one_world(&self) -> bool {
        self.server.is_some() || self.services.iter().any(|service| service.parent.is_some())
    }

    fn standings(&self) -> impl Iterator<Item = Standing> {
        let memories = self.services.iter().filter_map(|service| service.memory.as_ref());
        memories.flat_map(|memory| memory.documents.values()).map(|slot| slot.document.standing())
    }

    fn living(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter().filter(|client| client.mood != Mood::Gone)
    }

    fn server_keeps(&self) -> bool {
        self.server.as_ref().is_some_and(Server::is_persistent)
    }

    /// Every replica of a document is the same, wherever it is.
    fn assert_equal(&self, id: &DocumentId) {
        let images = self.images(id);
        // (What stands beyond a gap, yrs shows or not depending on how it came.)
        if self.is_bereft(id) && images.iter().any(|(.., image)| image.incomplete) {
            return;
        }
        for (place, service, image) in &images {
            assert!(!image.incomplete, "{id}: the {place} waits for something");
            let same_world = |other: &Option<usize>| self.is_one_world() || other == service;
            let (first, _, expected) =
                images.iter().find(|(_, other, _)| same_world(other)).expect("at least itself");
            assert_eq!(expected, image, "{id}: {first} (left) and {place} (right)");
        }
    }

    /// What was acknowledged is still there.
    fn assert_kept(&self, id: &DocumentId) {
        for client in self.clients.iter().filter(|client| client.document == *id) {
            for (service, Want { structs, deletes }) in &client.acknowledged {
                if self.services[*service].disk.has_lost {
                    continue;
                }
                let held = self.services[*service].disk.held(id);
                assert!(
                    held.structs.contains_all(structs) && held.deletes.contains_all(deletes),
                    "{id}: service {service} lost what client {} was told is saved",
                    client.number
                );
            }
        }
    }

    /// A replica of each who has one, and of which service's world it is.
    fn images(&self, id: &DocumentId) -> Vec<(String, Option<usize>, Image)> {
        let mut images = Vec::new();
        for client in self.living().filter(|client| client.document == *id) {
            let place = format!("client {}", client.number);
            images.push((place, Some(client.service), client.editor.image()));
        }
        for service in &self.services {
            let place = format!("disk of service {}", service.number);
            images.push((place, Some(service.number), Image::of(service.disk.updates(id))));
        }
        if let Some(server) = self.server.as_ref().filter(|server| server.is_persistent()) {
            let image = server.image(&id.to_encoded()).expect("a document of the server");
            images.push(("server".into(), None, image));
        }
        images
    }

    /// An author is gone for good, and may have taken with it what others wait for.
    fn is_bereft(&self, id: &DocumentId) -> bool {
        self.clients.iter().any(|client| client.document == *id && client.mood == Mood::Gone)
    }

    fn assert_standing(&self, service: &Service, id: &DocumentId) {
        let number = service.number;
        let memory = service.memory.as_ref().expect("all services run");
        let slot = memory.documents.get(id).expect("somebody looks at each document");
        let standing = slot.document.standing();
        assert!(standing.saved && !standing.failing, "service {number} {id}: {standing:?}");
        assert!(!standing.opaque, "service {number} {id}: {standing:?}");
        assert!(!standing.incomplete || self.is_bereft(id), "service {number} {id}: {standing:?}");
        let marked = service.disk.documents().any(|(stored, marked)| stored == id && marked);
        let account = memory.link.as_ref().and_then(|link| link.account(id));
        if account.is_some_and(|account| account.is_mistaken(service.now(&self.net))) {
            // It takes the server for one that only passes on, until the next connection.
        } else if service.parent.is_some() && !standing.incomplete {
            let stands = (standing.confirmed, standing.above, marked);
            let is_own = service.dialect() == Dialect::Own;
            let has_top = !self.script.is_ring();
            assert!(
                !is_own || stands == (Some(true), has_top, false),
                "service {number} {id}: {standing:?}, marked: {marked}"
            );
        } else if self.server_keeps() && !standing.incomplete {
            assert_eq!(standing.confirmed, Some(true), "service {number} {id}: {standing:?}");
            assert!(!marked, "service {number} {id}: still marked unconfirmed on disk");
        } else if self.server.is_some() && !self.server_keeps() {
            assert_eq!(standing.confirmed, None, "service {number} {id}: {standing:?}");
        }
        assert!(self.server.is_none() || standing.sent, "service {number} {id}: {standing:?}");
    }

    /// Nobody is missing and nobody is a ghost.
    pub(crate) fn assert_sees_who_is_there(&self, client: &Client) {
        let is_here = |client: &Client| client.style == Style::Js && client.mood == Mood::Here;
        if !is_here(client) {
            return;
        }
        let passes = self.server.as_ref().is_none_or(Server::passes_awareness);
        let together = self.is_one_world() && passes;
        let there: BTreeSet<u64> = self
            .living()
            .filter(|other| is_here(other) && other.document == client.document)
            .filter(|other| together || other.service == client.service)
            .map(|other| other.editor.id())
            .collect();
        let mut seen = client.presence.present();
        seen.retain(|id| *id < PHANTOMS_FROM);
        assert_eq!(seen, there, "client {} sees (left)", client.number);
    }

    fn is_pycrdt(&self) -> bool {
        self.script.server.and_then(Mode::foreign) == Some(Foreign::Pycrdt)
    }

    fn assert_silent(&self, silence_ms: Millis) {
        let traffic = &self.traffic;
        // An incomplete document is asked for and offered for ever, once in a minute.
        let incomplete = self.standings().filter(|standing| standing.incomplete).count();
        let audits = match self.script.server.and_then(Mode::foreign) {
            // Once in a long while: a question, and an answer that may come with one.
            Some(_) => 2 * self.services.len() * self.documents.len(),
            None => 0,
        };
        let (asked, offered) = (4 * incomplete + audits, 4 * incomplete + audits);
        assert!(traffic.updates <= offered, "updates travel at rest: {traffic:?}");
        assert!(traffic.step_1s <= asked, "questions travel at rest: {traffic:?}");
        // Each wakes for what expires, for who is silent, and a few times for nothing.
        let wakes = 4 * self.standings().map(|standing| 4 * standing.clients + 4).sum::<usize>();
        assert!(traffic.ticks <= wakes, "ticks breed ticks: {traffic:?}");
        let people = self.living().count();
        let phantoms = if self.is_pycrdt() { self.documents.len() } else { 0 };
        let renewals = (people + phantoms) * (silence_ms / 15_000 + 1) as usize;
        // Each goes to all, whose providers send it back; and over the link.
        let expected = renewals * (1 + 2 * people + 2 * self.services.len());
        let keep_alives = people * (silence_ms / 20_000 + 1) as usize;
        assert!(traffic.awareness <= expected + keep_alives, "storm at rest: {traffic:?}");
    }
}
