//! The ways up: carries out the core's [`Upstream`] for each server. What the servers speak decides
//! whether all documents share one WebSocket ([`shared`]) or each has its own ([`lines`]).

mod advice;
mod attempt;
mod connection;
mod entry;
mod lines;
mod offering;
mod shared;
#[cfg(test)]
mod tests;
mod ticket;

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use tokio::task::AbortHandle;
use yrelay_core::event::Input;
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::offers::Offers;
use yrelay_core::upstream::{Action, Connections, Event, LineEvent, LinkState, Upstream};

use crate::config::{self, Messages, OnReset};
use crate::connector::Connector;
use crate::jobs::Job;
use crate::relay::Relay;
use crate::state::{State, seed};
use crate::status::UpstreamState;
use crate::{clock, limits};

pub(crate) use attempt::Door;
use lines::Line;
use shared::Shared;

/// The way to one server.
pub(crate) struct Link {
    pub(crate) door: Door,
    pub(crate) machine: Upstream,
    upstream: Rc<config::Upstream>,
    /// The connection for all documents.
    shared: Shared,
    /// Those for one each.
    lines: HashMap<DocumentId, Line>,
    /// Documents that are loaded for this server's sake, while it takes them.
    pub(crate) offers: Offers,
    is_offered: bool,
    /// What it showed to want, if that is not what it is spoken to in.
    pub(crate) advice: Option<&'static str>,
    pub(crate) told: Told,
}

/// How it stands, as people were last told. An attempt that is under way changes nothing.
pub(crate) struct Told {
    pub(crate) state: UpstreamState,
    /// Milliseconds since 1970.
    pub(crate) since_ms: u64,
    reason: Option<String>,
}

impl Link {
    pub(crate) fn new(upstream: &config::Upstream, connector: Connector) -> Self {
        let upstream = Rc::new(upstream.clone());
        let state = UpstreamState::Offline;
        let connections = match upstream.speaks {
            Messages::Elva | Messages::Hocuspocus => Connections::Shared,
            Messages::Yjs => Connections::Separate,
        };
        Self {
            door: Door::new(connector, upstream.clone()),
            machine: Upstream::new(clock::now_ms(), seed(), connections),
            upstream,
            shared: Shared::default(),
            lines: HashMap::new(),
            offers: Offers::new(seed()),
            is_offered: false,
            advice: None,
            told: Told { state, since_ms: clock::unix_ms(), reason: None },
        }
    }

    /// How the frames of a document begin.
    pub(crate) fn prefix(&self, id: &DocumentId) -> Bytes {
        match self.upstream.speaks {
            Messages::Yjs => Bytes::new(),
            Messages::Elva | Messages::Hocuspocus => self.shared_prefix(id).unwrap_or_default(),
        }
    }

    /// A message of a document, which was given room for it. Returns how long its frame is.
    pub(crate) fn send(&mut self, id: &DocumentId, prefix: &[u8], message: &Bytes) -> usize {
        match self.lines.get(id) {
            Some(line) => line.send(message),
            None => self.shared.send(prefix, message),
        }
    }

    /// Whether documents that it has made anew are merged with what is here.
    pub(crate) fn merges(&self) -> bool {
        self.upstream.on_reset == OnReset::Merge
    }

    /// A word of a program, for others behind a server of Hocuspocus.
    pub(crate) fn send_stateless(&mut self, prefix: &[u8], message: &[u8]) {
        if self.upstream.speaks == Messages::Hocuspocus {
            self.shared.send(prefix, message);
        }
    }

    /// Whether another login may get further, and is to be looked for.
    pub(crate) fn wants_another_login(&self) -> bool {
        match self.machine.state() {
            LinkState::Unauthorized { .. } => true,
            // A program that prints tokens may print another one each time.
            _ => self.shared.is_restricted() && !self.door.has_costly_token(),
        }
    }

    /// Whether it has no connection at all.
    pub(crate) fn is_down(&self) -> bool {
        self.shared.peer().is_none() && self.lines.values().all(|line| line.peer().is_none())
    }

    /// Whether somebody waits for room.
    fn wants_room(&self) -> bool {
        self.shared.is_leaving()
            || self.machine.wants_room(clock::now_ms())
            || self.lines.values().any(Line::wants_room)
    }

    /// Tells people what has changed. The same failure is worth one line, however often it is met.
    fn tell(&mut self) {
        let state = match self.machine.state() {
            LinkState::Idle => UpstreamState::Idle,
            // The connection before was dropped for that.
            LinkState::Connecting if self.told.state == UpstreamState::Online => {
                UpstreamState::Offline
            }
            LinkState::Connecting => return,
            LinkState::Online => UpstreamState::Online,
            LinkState::Offline { .. } => UpstreamState::Offline,
            LinkState::Unauthorized { .. } => UpstreamState::Unauthorized,
        };
        let reason = self.machine.reason();
        let told = &mut self.told;
        if state == told.state && reason == told.reason.as_deref() {
            return;
        }
        let upstream = self.door.connector.target();
        let seconds = clock::unix_ms().saturating_sub(told.since_ms) / 1_000;
        match (state, reason) {
            (UpstreamState::Online, _) => tracing::info!(%upstream, after_s = seconds, "online"),
            (UpstreamState::Idle, _) => tracing::debug!(%upstream, "nobody needs it"),
            (_, None) => return, // it has not been tried yet
            (UpstreamState::Unauthorized, Some(reason)) => {
                tracing::warn!(%upstream, reason, "unauthorized; local work goes on");
            }
            (_, Some(reason)) => tracing::warn!(%upstream, reason, "offline; local work goes on"),
        }
        if state != told.state {
            told.since_ms = clock::unix_ms();
        }
        told.state = state;
        told.reason = reason.map(str::to_owned);
    }
}

/// Which connection of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Which {
    /// The link.
    pub(crate) link: usize,
    /// Whose connection, where each document has its own.
    pub(crate) document: Option<DocumentId>,
}

impl Relay {
    /// Opens a connection, and goes on with what comes of it.
    pub(crate) fn connect(self: &Rc<Self>, which: Which) {
        let Which { link, document } = which;
        let task = match &document {
            None => tokio::task::spawn_local(self.clone().run_link(link)),
            Some(id) => tokio::task::spawn_local(self.clone().run_line(link, id.clone())),
        };
        let task: AbortHandle = task.abort_handle();
        let mut state = self.state.borrow_mut();
        let Some(link) = state.above.get_mut(link) else { return };
        match document {
            None => link.shared.follow(task),
            Some(id) => drop(link.lines.insert(id, Line::opening(task))),
        }
    }

    pub(crate) fn link_wants_room(&self) -> bool {
        self.state.borrow().above.iter().any(Link::wants_room)
    }
}

impl State {
    /// Something happens to the way to a server.
    pub(crate) fn link_event(&mut self, relay: &Relay, number: usize, event: Event) {
        let Some(link) = self.above.get_mut(number) else { return };
        if is_withdrawal(&event) {
            link.door.was_refused();
        }
        let mut actions = Vec::new();
        link.machine.handle(clock::now_ms(), event, &mut actions);
        link.tell();
        if link.machine.wants_room(clock::now_ms()) {
            link.shared.notify();
        }
        for action in actions {
            self.act(relay, number, action);
        }
        self.plan_offers(relay, number);
    }

    /// There is another login for a server.
    pub(crate) fn login_changed(&mut self, relay: &Relay, number: usize) {
        let is_restricted = self.above.get(number).is_some_and(|it| it.shared.is_restricted());
        self.link_event(relay, number, Event::LoginChanged);
        if is_restricted && let Some(link) = self.above.get(number) {
            link.shared.close_for_token();
        }
    }

    /// Something happens to the way to the server of a document.
    pub(crate) fn link_event_of(&mut self, relay: &Relay, id: &DocumentId, event: Event) {
        if let Some(number) = relay.routes.of(id) {
            self.link_event(relay, number, event);
        }
    }

    /// A document has something for its server.
    pub(crate) fn ready_above(&mut self, relay: &Relay, id: &DocumentId) {
        let Some(slot) = self.documents.get(id) else { return };
        let Some(link) = slot.link.and_then(|link| self.above.get(link)) else { return };
        if let Some(line) = link.lines.get(id) {
            line.wants();
            return;
        }
        let open = !slot.clients.is_empty() || self.links.has(id);
        self.link_event_of(relay, id, Event::Ready { document: id.clone(), open });
    }

    /// The same happens to the ways to all servers.
    pub(crate) fn link_events(&mut self, relay: &Relay, event: impl Fn() -> Event) {
        (0..self.above.len()).for_each(|number| self.link_event(relay, number, event()));
    }

    fn act(&mut self, relay: &Relay, number: usize, action: Action) {
        match action {
            Action::Connect if relay.stopping.get() => {}
            Action::Connect => {
                self.spawn(Job::Connect(Which { link: number, document: None }));
            }
            Action::Attach => {
                self.documents_of(number).iter().for_each(|id| self.attach_upstream(relay, id));
            }
            Action::Detach => self.detach_shared(relay, number),
            Action::Pull { document } => self.pull(relay, number, &document),
            Action::Park { document } => {
                let link = self.above.get(number);
                let reason = link.and_then(|link| link.machine.parked_because(&document));
                tracing::warn!(%document, reason, "kept off the upstream");
                self.leave_upstream(relay, &document);
            }
            Action::Unpark { document } => self.unpark(relay, number, &document),
            Action::Line { document, action } => self.act_on_line(relay, number, document, action),
            Action::WakeAt { at } => self.wake_at(relay, at, Sleeper::Link(number)),
        }
    }

    fn unpark(&mut self, relay: &Relay, number: usize, document: &DocumentId) {
        let Some(link) = self.above.get_mut(number) else { return };
        if link.shared.was_denied(document) {
            // Older servers of Hocuspocus remember that for as long as the connection lasts.
            link.shared.close_for_token();
            return;
        }
        link.offers.again(document);
        self.attach_upstream(relay, document);
        self.offer_next(relay);
    }

    /// The documents in memory that go to this server.
    fn documents_of(&self, number: usize) -> Vec<DocumentId> {
        let slots = self.documents.iter().filter(|(_, slot)| slot.link == Some(number));
        slots.map(|(id, _)| id.clone()).collect()
    }

    /// Attaches a document to its server, if that is here and takes it.
    pub(crate) fn attach_upstream(&mut self, relay: &Relay, id: &DocumentId) {
        let Some(number) = self.documents.get(id).and_then(|slot| slot.link) else { return };
        let Some(link) = self.above.get_mut(number) else { return };
        if link.machine.parked_because(id).is_some() {
            return;
        }
        if link.upstream.name_of(id).is_none() {
            let reason = "it can have no name there: see `strip` and `prefix`".to_owned();
            self.link_event(relay, number, Event::Refused { document: id.clone(), reason });
        } else if link.upstream.speaks == Messages::Yjs {
            let event = Event::Line { document: id.clone(), event: LineEvent::Wanted };
            self.link_event(relay, number, event);
        } else if link.shared.connection.is_none() {
            self.link_event(relay, number, Event::Wanted);
        } else if link.enter_shared(id) {
            self.attach_shared(relay, number, id);
        } else if let Some(at) = link.shared.enters_at(id) {
            self.wake_at(relay, at, Sleeper::Link(number));
        }
    }

    /// The document is attached to its server by this peer.
    fn attach_as(&mut self, relay: &Relay, number: usize, id: &DocumentId, peer: PeerId) {
        let Some(slot) = self.documents.get_mut(id) else { return };
        let Some(link) = self.above.get(number) else { return };
        slot.upstream = Some(peer);
        let (habit, dialect) = (link.machine.habit(), link.dialect());
        self.input(relay, id, Input::AttachUpstream { peer, habit, dialect });
    }

    /// The document is attached to its server no more.
    fn detach_from(&mut self, relay: &Relay, id: &DocumentId) {
        let slot = self.documents.get_mut(id);
        if let Some(peer) = slot.and_then(|slot| slot.upstream.take()) {
            self.input(relay, id, Input::Detach { peer });
        }
    }

    /// A document that stays in memory begins anew with its server.
    pub(crate) fn attach_anew(&mut self, relay: &Relay, id: &DocumentId) {
        let Some(number) = self.documents.get(id).and_then(|slot| slot.link) else { return };
        self.leave_upstream(relay, id);
        self.forget_upstream(relay, id, number);
        self.attach_upstream(relay, id);
    }

    /// A document that stays in memory is kept off its server.
    fn leave_upstream(&mut self, relay: &Relay, id: &DocumentId) {
        let number = self.documents.get(id).and_then(|slot| slot.link);
        self.detach_from(relay, id);
        if let Some(number) = number {
            self.leave_shared(relay, id, number);
        }
    }

    fn leave_shared(&mut self, relay: &Relay, id: &DocumentId, number: usize) {
        if let Some(link) = self.above.get_mut(number) {
            link.shared.leave(id);
            self.enter_next(relay, number);
        }
    }

    /// A document has left memory.
    pub(crate) fn forget_upstream(&mut self, relay: &Relay, id: &DocumentId, number: usize) {
        self.leave_shared(relay, id, number);
        let Some(link) = self.above.get(number) else { return };
        if link.upstream.speaks == Messages::Yjs {
            let event = Event::Line { document: id.clone(), event: LineEvent::Unwanted };
            self.link_event(relay, number, event);
        }
    }

    /// Ends all connections to servers.
    pub(crate) fn end_links(&mut self) {
        for link in &self.above {
            link.shared.close();
            link.lines.values().for_each(Line::close);
        }
    }
}

/// Whether the server has let us in before, and does no more.
fn is_withdrawal(event: &Event) -> bool {
    let code = match event {
        Event::Closed { code, .. } => *code,
        Event::Line { event: LineEvent::Closed { code, .. }, .. } => *code,
        _ => None,
    };
    code == Some(4401)
}

/// Who has asked to be woken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sleeper {
    Document(DocumentId),
    /// The way to this server.
    Link(usize),
}

/// The queue to a server, as much as it has room for.
fn room_bytes() -> usize {
    limits::LINK_ROOM_BYTES
}
