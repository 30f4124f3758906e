//! A service's link to the server: the core's `Upstream`, driven as yrelay's shell drives it.

use std::collections::BTreeMap;

use bytes::Bytes;
use yrelay_core::event::{Habit, Input};
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::upstream::{Action, Event, Failure, Upstream};
use yrelay_core::wire::{self, Message};
use yrelay_core::{Millis, limits, link};

use crate::network::{self, End, Network, Packet};
use crate::service::{Service, Timer};

pub(crate) struct Link {
    pub(crate) machine: Upstream,
    connection: Option<Connection>,
    names: BTreeMap<String, DocumentId>,
    pub(crate) habit: Habit,
}

/// One connection.
struct Connection {
    peer: PeerId,
    end: End,
    /// Room will be given.
    room_due: bool,
    /// Every document was offered, as the server has lost some.
    offers_all: bool,
    greetings: BTreeMap<DocumentId, Greeting>,
}

/// How far a document's conversation came on this connection.
#[derive(Default)]
struct Greeting {
    /// When its first step 1 went up.
    asked_at: Option<Millis>,
    /// The server has sent a step 1.
    named: bool,
}

/// Small, so that documents wait for their turn.
const OUTBOX_MESSAGES_MAX: usize = 2;

impl Link {
    pub(crate) fn new(now: Millis, seed: u64) -> Self {
        let machine = Upstream::new(now, seed);
        Self { machine, connection: None, names: BTreeMap::new(), habit: Habit::Unknown }
    }

    pub(crate) fn end(&self) -> Option<End> {
        self.connection.as_ref().map(|connection| connection.end)
    }

    pub(crate) fn peer(&self) -> Option<PeerId> {
        self.connection.as_ref().map(|connection| connection.peer)
    }

    pub(crate) fn forget(&mut self, id: &DocumentId) {
        self.names.remove(&id.to_encoded());
        if let Some(connection) = &mut self.connection {
            connection.greetings.remove(id);
        }
    }
}

impl Service {
    /// Its end of the link.
    pub(crate) fn link(&self) -> Option<End> {
        self.memory.as_ref()?.link.as_ref()?.end()
    }

    /// A document is kept off its link.
    pub(crate) fn is_parked(&self) -> bool {
        let link = self.memory.as_ref().and_then(|memory| memory.link.as_ref());
        link.is_some_and(|link| link.machine.parked().next().is_some())
    }

    /// The attempt to connect has ended; here is the connection, if it succeeded.
    pub(crate) fn connected(&mut self, net: &mut Network, end: Option<End>) {
        let Some(end) = end else {
            let event = Event::Failed { failure: Failure::Unreachable, reason: "refused".into() };
            self.link_event(net, event);
            return;
        };
        let peer = self.next_peer();
        let Some(link) = &mut self.memory().link else { return };
        let greetings = BTreeMap::new();
        link.connection =
            Some(Connection { peer, end, room_due: false, offers_all: false, greetings });
        // Whoever was silent may have been away.
        if link.habit == Habit::Silent {
            link.habit = Habit::Unknown;
        }
        self.link_event(net, Event::Connected);
    }

    pub(crate) fn link_event(&mut self, net: &mut Network, event: Event) {
        let number = self.number;
        let Some(link) = &mut self.memory().link else { return };
        if !matches!(event, Event::Room | Event::Ready { .. }) {
            net.note(|| format!("link of service {number} < {event:?}"));
        }
        let mut actions = Vec::new();
        link.machine.handle(net.now, event, &mut actions);
        for action in actions {
            self.act(net, action);
        }
        self.plan_room(net);
    }

    /// Room is given as soon as the queue has some, but not in the same turn.
    fn plan_room(&mut self, net: &mut Network) {
        let Some(link) = &mut self.memory().link else { return };
        if let Some(connection) = &mut link.connection
            && link.machine.wants_room(net.now)
            && !std::mem::replace(&mut connection.room_due, true)
        {
            let at = net.room_at(connection.end, OUTBOX_MESSAGES_MAX);
            net.at(at, network::Event::Room(connection.end));
        }
    }

    pub(crate) fn link_room(&mut self, net: &mut Network, end: End) {
        let Some(link) = &mut self.memory().link else { return };
        if let Some(connection) = &mut link.connection {
            connection.room_due = false;
        }
        if link.machine.wants_room(net.now) && net.waiting(end) < OUTBOX_MESSAGES_MAX {
            self.link_event(net, Event::Room);
        } else {
            self.plan_room(net);
        }
    }

    fn act(&mut self, net: &mut Network, action: Action) {
        match action {
            Action::Connect => {
                let wait = net.random.upto(200);
                self.after(net, wait, Timer::Connect);
            }
            Action::Attach => {
                let memory = self.memory();
                let ids: Vec<DocumentId> = memory.documents.keys().cloned().collect();
                let confirmed = memory.stored.iter().find(|(_, unconfirmed)| !**unconfirmed);
                let marked = memory.stored.iter().filter(|(_, unconfirmed)| **unconfirmed);
                let marked = confirmed.into_iter().chain(marked);
                memory.to_push = marked.map(|(id, _)| id.clone()).collect();
                for id in ids {
                    self.attach_upstream(net, &id);
                }
                self.push_next(net);
            }
            Action::Detach => self.detach_upstream(net),
            Action::Pull { document } => {
                if let Some(peer) = self.memory().link.as_ref().and_then(Link::peer) {
                    self.input(net, &document, Input::Room { peer });
                }
            }
            Action::Park { document } => net.note(|| format!("{document} is parked")),
            Action::Unpark { document } => self.attach_upstream(net, &document),
            Action::WakeAt { at } => {
                net.at(at, network::Event::Service(self.number, self.life, Timer::Link));
            }
        }
    }

    /// Attaches a document to the upstream, if that is here and takes it.
    pub(crate) fn attach_upstream(&mut self, net: &mut Network, id: &DocumentId) {
        let memory = self.memory();
        let Some(link) = &mut memory.link else { return };
        let Some(connection) = &link.connection else { return };
        if link.machine.parked_because(id).is_some() || !memory.documents.contains_key(id) {
            return;
        }
        link.names.insert(id.to_encoded(), id.clone());
        let peer = connection.peer;
        let input = Input::AttachUpstream { peer, habit: link.habit, narrow: true };
        self.input(net, id, input);
    }

    fn detach_upstream(&mut self, net: &mut Network) {
        let memory = self.memory();
        memory.to_push.clear();
        let Some(link) = &mut memory.link else { return };
        link.names.clear();
        let Some(Connection { peer, .. }) = link.connection.take() else { return };
        let ids: Vec<DocumentId> = memory.documents.keys().cloned().collect();
        for id in ids {
            self.input(net, &id, Input::Detach { peer });
        }
    }

    /// The server has lost what it had: it is offered every document.
    pub(crate) fn push_all(&mut self, net: &mut Network) {
        let memory = self.memory();
        let connection = memory.link.as_mut().and_then(|link| link.connection.as_mut());
        if connection.is_some_and(|c| !std::mem::replace(&mut c.offers_all, true)) {
            memory.to_push = memory.stored.keys().cloned().collect();
            self.push_next(net);
        }
    }

    /// Loads the next document with changes that the upstream has not confirmed.
    pub(crate) fn push_next(&mut self, net: &mut Network) {
        while let Some(id) = self.memory().to_push.pop() {
            let memory = self.memory();
            if memory.stored.contains_key(&id) && !memory.documents.contains_key(&id) {
                self.open(net, &id);
                return;
            }
        }
    }

    pub(crate) fn link_packet(&mut self, net: &mut Network, end: End) {
        let target = match net.peek(end) {
            Some(Packet::Frame(frame)) => {
                let (name, _) = link::decode(&frame).expect("the server frames what it sends");
                self.memory().link.as_ref().and_then(|link| link.names.get(name)).cloned()
            }
            _ => None,
        };
        if let Some(id) = &target
            && self.holds_back(net, end, id)
        {
            return;
        }
        match (net.take(end), target) {
            (Some(Packet::Frame(frame)), Some(id)) => self.link_frame(net, &id, &frame),
            (Some(Packet::Closed(code)), _) => {
                let event = Event::Closed { code, reason: "gone".into() };
                self.link_event(net, event);
            }
            // Its document has left memory.
            (Some(Packet::Frame(_)), None) | (None, _) => {}
        }
    }

    fn link_frame(&mut self, net: &mut Network, id: &DocumentId, frame: &Bytes) {
        let (_, bytes) = link::decode(frame).expect("the server frames what it sends");
        let Some(connection) =
            self.memory().link.as_mut().and_then(|link| link.connection.as_mut())
        else {
            return;
        };
        let peer = connection.peer;
        if let Some(Ok(Message::SyncStep1(_))) = wire::messages(&bytes).next() {
            connection.greetings.entry(id.clone()).or_default().named = true;
        }
        self.input(net, id, Input::Frame { peer, bytes });
    }

    /// A document was given room and makes use of it.
    pub(crate) fn send_up(&mut self, net: &mut Network, id: &DocumentId, message: &Bytes) {
        let now = net.now;
        let Some(connection) =
            self.memory().link.as_mut().and_then(|link| link.connection.as_mut())
        else {
            return;
        };
        let mut messages = wire::messages(message);
        let first = messages.next().expect("a message").expect("the relay sends what parses");
        assert!(messages.next().is_none(), "servers read one message of a frame");
        connection.greetings.entry(id.clone()).or_default().judge(now, id, &first);
        let end = connection.end;
        assert!(
            net.waiting(end) < OUTBOX_MESSAGES_MAX,
            "{id}: a message went up without being given room"
        );
        let frame = [&link::prefix(&id.to_encoded())[..], message].concat();
        net.send(end, frame.into());
    }
}

impl Greeting {
    fn judge(&mut self, now: Millis, id: &DocumentId, message: &Message) {
        match message {
            Message::SyncStep1(_) => {
                self.asked_at.get_or_insert(now);
            }
            Message::SyncStep2(_) | Message::Update { .. } => {
                let patient = self
                    .asked_at
                    .is_some_and(|at| now >= at.saturating_add(limits::UPSTREAM_ANSWER_MS));
                assert!(
                    self.named || patient,
                    "{id}: an update went up before the server had named what it lacks"
                );
            }
            Message::Awareness(_) => {}
            other => panic!("{id}: {other:?} went up"),
        }
    }
}
