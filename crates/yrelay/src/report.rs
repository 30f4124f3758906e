//! What the routes show of the relay, and the way in for WebSockets.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::task::spawn_local;
use yrelay_core::event::Withheld;
use yrelay_core::id::DocumentId;
use yrelay_core::upstream::LinkState;

use crate::http::{Many, Routes};
use crate::keeping::{Asked, Keeping};
use crate::metrics::Gauges;
use crate::relay::Relay;
use crate::state::{Shelved, Slot, State};
use crate::status::{Document, Room, Status, Upstream, UpstreamState};
use crate::upstream::Link;
use crate::ws::{Reader, Writer};
use crate::{clock, connection, root};

/// The relay as HTTP sees it.
pub struct Front(pub Rc<Relay>);

impl Routes for Front {
    fn status(&self) -> Status {
        let state = self.0.state.borrow();
        let loaded = state.documents.iter().map(|(id, slot)| state.loaded(id, slot));
        let shelved = state
            .stored
            .iter()
            .filter(|(id, _)| !state.documents.contains_key(*id))
            .map(|(id, shelved)| state.shelved(self.0.routes.of(id), id, *shelved));
        let mut documents: Vec<Document> = loaded.chain(shelved).collect();
        documents.sort_by(|a, b| a.identifier.cmp(&b.identifier));
        let version = env!("CARGO_PKG_VERSION").into();
        let (upstream, routes) = self.upstreams(&state);
        let store = self.0.store.trouble();
        Status { version, role: self.0.role, upstream, routes, store, documents }
    }

    fn metrics(&self) -> String {
        let state = self.0.state.borrow();
        let stats = self.0.store.stats();
        self.0.metrics.render(&Gauges {
            documents: state.documents.len() as u64,
            clients: state.documents.values().map(|slot| slot.clients.len() as u64).sum(),
            unsaved_bytes: stats.unsaved_bytes,
            commits: stats.commits,
            syncs: stats.syncs,
            unsaved_documents: stats.failing_documents as u64,
            upstreams: state.above.iter().map(Link::standing).collect(),
        })
    }

    fn rooms(&self) -> Vec<Room> {
        let state = self.0.state.borrow();
        let is_listed =
            |visible: Option<bool>| visible.unwrap_or(self.0.policies.visible.decide(None));
        let loaded = state.documents.iter().filter(|(_, slot)| is_listed(slot.visible));
        // What nobody keeps is there as long as somebody is.
        let loaded = loaded
            .filter(|(_, slot)| slot.keeping == Keeping::Stored || !slot.clients.is_empty())
            .map(|(id, slot)| room(id, slot));
        let shelved = state
            .stored
            .iter()
            .filter(|(id, shelved)| {
                is_listed(shelved.visible) && !state.documents.contains_key(*id)
            })
            .map(|(id, shelved)| Room {
                identifier: id.to_string(),
                clients: 0,
                persistent: true,
                permanent: true,
                secret: shelved.opaque,
            });
        let mut rooms: Vec<Room> = loaded.chain(shelved).collect();
        rooms.sort_by(|a, b| a.identifier.cmp(&b.identifier));
        rooms
    }

    fn attach(
        &self,
        id: DocumentId,
        asked: Asked,
        peer: SocketAddr,
        reader: Reader,
        writer: Writer,
    ) {
        spawn_local(connection::run(self.0.clone(), id, asked, peer, reader, writer));
    }

    fn attach_many(&self, peer: SocketAddr, who: Many, reader: Reader, writer: Writer) {
        spawn_local(root::run(self.0.clone(), peer, who, reader, writer));
    }
}

impl Front {
    /// The server for all others, and those of the routes.
    fn upstreams(&self, state: &State) -> (Upstream, Vec<Upstream>) {
        let default = self.0.routes.default_way();
        let number = |(number, _): &(usize, &Link)| Some(*number) == default;
        let (default, routes): (Vec<_>, Vec<_>) = state.above.iter().enumerate().partition(number);
        let default = default.first().map_or_else(Upstream::none, |(_, link)| link.report());
        (default, routes.iter().map(|(_, link)| link.report()).collect())
    }
}

/// Why a document does not go up.
fn words(withheld: Withheld) -> String {
    match withheld {
        Withheld::WideIds => {
            "holds client ids of more than 32 bits, which this kind of server garbles: its content \
             would be doubled"
        }
        Withheld::Encrypted => {
            "it is encrypted, and this kind of server takes nothing that it cannot read"
        }
        Withheld::Diverged => {
            "diverged: the server has made it anew, and to merge that would double it; work goes on \
             here, and `yrelay resolve` decides"
        }
        Withheld::ReadOnly => "the server lets us read only: what is written here stays here",
    }
    .to_owned()
}

fn room(id: &DocumentId, slot: &Slot) -> Room {
    Room {
        identifier: id.to_string(),
        clients: slot.clients.len(),
        persistent: slot.keeping >= Keeping::Memory,
        permanent: slot.keeping == Keeping::Stored,
        // What is passed on unread by our own wish may be readable.
        secret: slot.keeping != Keeping::Nothing && slot.document.standing().opaque,
    }
}

impl State {
    fn loaded(&self, id: &DocumentId, slot: &Slot) -> Document {
        let standing = slot.document.standing();
        let confirmed = standing.confirmed.filter(|_| slot.link.is_some());
        let up = slot.link.is_none() || confirmed.unwrap_or(standing.sent);
        Document {
            identifier: id.to_string(),
            clients: slot.clients.len(),
            links: standing.links,
            saved: standing.saved,
            confirmed,
            above: confirmed.map(|_| standing.above),
            synced: standing.saved && up,
            bytes: standing.bytes as u64,
            unsaved: standing.failing,
            incomplete: standing.incomplete,
            opaque: standing.opaque,
            volatile: slot.keeping != Keeping::Stored,
            parked: self.parked(slot.link, id).or_else(|| standing.withheld.map(words)),
        }
    }

    fn shelved(&self, link: Option<usize>, id: &DocumentId, shelved: Shelved) -> Document {
        let confirmed = link.is_some().then_some(!shelved.unconfirmed);
        Document {
            identifier: id.to_string(),
            clients: 0,
            links: 0,
            saved: true,
            confirmed,
            above: None,
            synced: confirmed.unwrap_or(true),
            bytes: shelved.bytes,
            unsaved: false,
            incomplete: false,
            opaque: shelved.opaque,
            volatile: false,
            parked: self.parked(link, id),
        }
    }

    fn parked(&self, link: Option<usize>, id: &DocumentId) -> Option<String> {
        let because = self.above.get(link?)?.machine.parked_because(id)?;
        Some(format!("{because}; tried again later"))
    }
}

impl Link {
    fn standing(&self) -> (String, UpstreamState) {
        (self.door.connector.target().to_string(), self.report().state)
    }

    fn report(&self) -> Upstream {
        let at = |next_try: u64| Some(clock::unix_ms() + next_try.saturating_sub(clock::now_ms()));
        let (state, next_try) = match self.machine.state() {
            LinkState::Idle => (UpstreamState::Idle, None),
            LinkState::Connecting => (UpstreamState::Connecting, None),
            LinkState::Online => (UpstreamState::Online, None),
            LinkState::Offline { next_try } => (UpstreamState::Offline, at(next_try)),
            LinkState::Unauthorized { next_try } => (UpstreamState::Unauthorized, at(next_try)),
        };
        Upstream {
            state,
            url: Some(self.door.connector.target().to_string()),
            reason: self.machine.reason().map(str::to_owned),
            advice: self.advice.map(str::to_owned),
            since: Some(self.told.since_ms),
            next_try,
        }
    }
}
