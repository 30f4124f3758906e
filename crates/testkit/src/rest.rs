//! What must hold once all faults are over and time has passed.

use std::collections::BTreeSet;

use yrelay_core::Millis;
use yrelay_core::id::DocumentId;

use crate::client::{Client, Mood, Style};
use crate::editor::Image;
use crate::server::Server;
use crate::service::Service;
use crate::world::World;

impl World<'_> {
    pub(crate) fn assert_at_rest(&self, silence_ms: Millis) {
        for client in self.living() {
            client.assert_settled();
            self.assert_sees_who_is_there(client);
        }
        for id in &self.documents {
            self.assert_equal(id);
            for service in &self.services {
                self.assert_standing(service, id);
            }
        }
        self.assert_silent(silence_ms);
    }

    fn living(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter().filter(|client| client.mood != Mood::Gone)
    }

    fn server_keeps(&self) -> bool {
        self.server.as_ref().is_some_and(Server::is_persistent)
    }

    /// Every replica of a document is the same, wherever it is.
    fn assert_equal(&self, id: &DocumentId) {
        let mut images: Vec<(String, Option<usize>, Image)> = Vec::new();
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
        for (place, service, image) in &images {
            assert!(!image.incomplete, "{id}: the {place} waits for something");
            let same_world = |other: &Option<usize>| self.server.is_some() || other == service;
            let (first, _, expected) =
                images.iter().find(|(_, other, _)| same_world(other)).expect("at least itself");
            assert_eq!(expected, image, "{id}: {first} (left) and {place} (right)");
        }
        for client in self.clients.iter().filter(|client| client.document == *id) {
            let (place, _, image) = images
                .iter()
                .find(|(_, service, _)| *service == Some(client.service))
                .expect("each service has a disk");
            let (acknowledged, state) = (&client.acknowledged, &image.state);
            assert!(
                state.structs.contains_all(&acknowledged.structs)
                    && state.deletes.contains_all(&acknowledged.deletes),
                "{id}: {place} lacks what client {} was told is saved",
                client.number
            );
        }
    }

    fn assert_standing(&self, service: &Service, id: &DocumentId) {
        let number = service.number;
        let memory = service.memory.as_ref().expect("all services run");
        let slot = memory.documents.get(id).expect("somebody looks at each document");
        let standing = slot.document.standing();
        assert!(standing.saved && !standing.failing, "service {number} {id}: {standing:?}");
        assert!(!standing.incomplete && !standing.opaque, "service {number} {id}: {standing:?}");
        let marked = service.disk.documents().any(|(stored, marked)| stored == id && marked);
        if self.server_keeps() {
            assert_eq!(standing.confirmed, Some(true), "service {number} {id}: {standing:?}");
            assert!(!marked, "service {number} {id}: still marked unconfirmed on disk");
        } else if self.server.is_some() {
            assert_eq!(standing.confirmed, None, "service {number} {id}: {standing:?}");
        }
        assert!(self.server.is_none() || standing.sent, "service {number} {id}: {standing:?}");
    }

    /// Nobody is missing and nobody is a ghost.
    fn assert_sees_who_is_there(&self, client: &Client) {
        if client.style != Style::Js {
            return;
        }
        // ELVA's keeping server passes no awareness on.
        let together = self.server.is_some() && !self.server_keeps();
        let there: BTreeSet<u64> = self
            .living()
            .filter(|other| other.style == Style::Js && other.document == client.document)
            .filter(|other| together || other.service == client.service)
            .map(|other| other.editor.id())
            .collect();
        assert_eq!(client.presence.present(), there, "client {} sees (left)", client.number);
    }

    fn assert_silent(&self, silence_ms: Millis) {
        let traffic = &self.traffic;
        assert_eq!(traffic.updates, 0, "updates travel at rest: {traffic:?}");
        assert_eq!(traffic.step_1s, 0, "questions travel at rest: {traffic:?}");
        let people = self.living().count();
        let renewals = people * (silence_ms / 15_000 + 1) as usize;
        // Each goes to all, whose providers send it back; and over the link.
        let expected = renewals * (1 + 2 * people + 2 * self.services.len());
        let keep_alives = people * (silence_ms / 20_000 + 1) as usize;
        assert!(traffic.awareness <= expected + keep_alives, "storm at rest: {traffic:?}");
    }
}
