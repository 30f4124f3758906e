//! A service: documents of the core, driven as yrelay's shell drives them.

use std::collections::BTreeMap;

use bytes::Bytes;
use yrelay_core::Millis;
use yrelay_core::close::CloseReason;
use yrelay_core::document::Document;
use yrelay_core::event::{Input, Output};
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::replica::{Replica, Want};
use yrelay_core::update::Update;
use yrelay_core::upstream;

use crate::disk::{Disk, Outcome};
use crate::jobs::SWEEP_MS;
use crate::link::Link;
use crate::network::{End, Event, Network, Packet};
use crate::peer::Peer;

/// What a service does at a time of its own.
#[derive(Debug)]
pub(crate) enum Timer {
    /// Tick a document, or the link.
    Document(DocumentId),
    Link,
    /// An attempt to connect to the server ends.
    Connect,
    Commit,
    News,
    Loaded(DocumentId),
    Compacted {
        id: DocumentId,
        frozen: Box<Replica>,
        upto_seq: u64,
    },
    Sweep,
}

/// A machine with a disk, and the relay on it while that runs.
pub(crate) struct Service {
    pub(crate) number: usize,
    pub(crate) disk: Disk,
    /// What is in memory; none while it is down.
    pub(crate) memory: Option<Memory>,
    /// Timers of a former life are void.
    pub(crate) life: u32,
    pub(crate) has_upstream: bool,
    pub(crate) link_down_until: Millis,
    pub(crate) loads_fail_until: Millis,
    /// What it takes to be on the server: to be verified.
    pub(crate) proofs: Vec<(DocumentId, Want)>,
}

pub(crate) struct Memory {
    pub(crate) documents: BTreeMap<DocumentId, Slot>,
    /// Documents that are only on the disk, and whether they are unconfirmed.
    pub(crate) stored: BTreeMap<DocumentId, bool>,
    pub(crate) link: Option<Link>,
    pub(crate) clients: BTreeMap<PeerId, Peer>,
    pub(crate) to_push: Vec<DocumentId>,
    peers: u64,
    pub(crate) outcomes: Vec<(DocumentId, Outcome)>,
    /// Packets that wait until a document takes input.
    pub(crate) held_back: Vec<End>,
    pub(crate) commit_due: bool,
    /// A load has failed: what is unconfirmed of that document waits for somebody to open it.
    pub(crate) load_failed: bool,
}

pub(crate) struct Slot {
    pub(crate) document: Document,
    pub(crate) clients: Vec<PeerId>,
    pub(crate) used_at: Millis,
    pub(crate) load_once_saved: bool,
    pub(crate) compacted: Option<(Box<Replica>, usize)>,
    pub(crate) loaded: bool,
    /// All that was ever appended or loaded.
    pub(crate) appended: Want,
}

/// Small, so that a slow reader fills it.
const OUTBOX_MESSAGES_MAX: usize = 128;
const OUTBOX_ROOM: usize = 2;

impl Service {
    pub(crate) fn new(number: usize, has_upstream: bool) -> Self {
        Self {
            number,
            disk: Disk::default(),
            memory: None,
            life: 0,
            has_upstream,
            link_down_until: 0,
            loads_fail_until: 0,
            proofs: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self, net: &mut Network) {
        let seed = net.random.draw();
        let stored = self.disk.documents().map(|(id, marked)| (id.clone(), marked)).collect();
        self.memory = Some(Memory {
            documents: BTreeMap::new(),
            stored,
            link: self.has_upstream.then(|| Link::new(net.now, seed)),
            clients: BTreeMap::new(),
            to_push: Vec::new(),
            peers: 0,
            outcomes: Vec::new(),
            held_back: Vec::new(),
            commit_due: false,
            load_failed: false,
        });
        self.after(net, SWEEP_MS, Timer::Sweep);
        self.link_event(net, upstream::Event::Tick);
    }

    /// `kill -9`, or the power goes.
    pub(crate) fn crash(&mut self, net: &mut Network) {
        let Some(memory) = self.memory.take() else { return };
        self.life += 1;
        self.disk.lose_power();
        let link = memory.link.and_then(|link| link.end());
        for end in memory.clients.values().map(|client| client.end).chain(link) {
            net.cut(end.connection, 2_000);
            net.abandon(end);
        }
    }

    pub(crate) fn after(&self, net: &mut Network, ms: Millis, timer: Timer) {
        net.after(ms, Event::Service(self.number, self.life, timer));
    }

    pub(crate) fn timer(&mut self, net: &mut Network, timer: Timer) {
        match timer {
            Timer::Document(id) => self.input(net, &id, Input::Tick),
            Timer::Link => self.link_event(net, upstream::Event::Tick),
            Timer::Connect => unreachable!("the world connects"),
            Timer::Commit => self.commit(net),
            Timer::News => self.news(net),
            Timer::Loaded(id) => self.loaded(net, &id),
            Timer::Compacted { id, frozen, upto_seq } => {
                self.compacted(net, &id, &frozen, upto_seq);
            }
            Timer::Sweep => self.sweep(net),
        }
    }

    pub(crate) fn memory(&mut self) -> &mut Memory {
        self.memory.as_mut().expect("the service runs")
    }

    /// A client has connected.
    pub(crate) fn join(&mut self, net: &mut Network, id: &DocumentId, end: End, author: u64) {
        let peer = self.next_peer();
        let client = Peer { end, document: id.clone(), author, wrote: Want::default() };
        self.memory().clients.insert(peer, client);
        self.open(net, id).clients.push(peer);
        self.input(net, id, Input::Attach { peer });
        self.link_event(net, upstream::Event::ClientCame);
    }

    pub(crate) fn next_peer(&mut self) -> PeerId {
        let memory = self.memory();
        memory.peers += 1;
        PeerId(memory.peers)
    }

    /// Something has arrived at one of its ends.
    pub(crate) fn packet(&mut self, net: &mut Network, end: End) {
        let Some(memory) = &self.memory else { return };
        if memory.link.as_ref().and_then(Link::end) == Some(end) {
            self.link_packet(net, end);
            return;
        }
        let found = memory.clients.iter().find(|(_, client)| client.end == end);
        let Some((peer, id)) = found.map(|(peer, client)| (*peer, client.document.clone())) else {
            return;
        };
        if self.holds_back(net, end, &id) {
            return;
        }
        match net.take(end) {
            Some(Packet::Frame(bytes)) => {
                let Memory { clients, documents, .. } = self.memory();
                // (While it loads, frames wait: whose comes first shows later.)
                if let (Some(client), Some(slot)) = (clients.get_mut(&peer), documents.get(&id))
                    && slot.loaded
                {
                    client.note_written(&bytes, &slot.appended);
                }
                self.input(net, &id, Input::Frame { peer, bytes });
            }
            Some(Packet::Closed(_)) => self.leave(net, &id, peer),
            None => {}
        }
    }

    /// A reader waits while the document cannot take its frame.
    pub(crate) fn holds_back(&mut self, net: &mut Network, end: End, id: &DocumentId) -> bool {
        let memory = self.memory();
        let waits = memory.documents.get(id).is_some_and(|slot| !slot.document.takes_input())
            && matches!(net.peek(end), Some(Packet::Frame(_)));
        if waits {
            memory.held_back.push(end);
        }
        waits
    }

    fn leave(&mut self, net: &mut Network, id: &DocumentId, peer: PeerId) {
        let now = net.now;
        let memory = self.memory();
        memory.clients.remove(&peer);
        if let Some(slot) = memory.documents.get_mut(id) {
            slot.clients.retain(|client| *client != peer);
            slot.used_at = now;
            self.input(net, id, Input::Detach { peer });
        }
    }

    /// The document in memory; it begins to load if it is not.
    pub(crate) fn open(&mut self, net: &mut Network, id: &DocumentId) -> &mut Slot {
        if !self.memory().documents.contains_key(id) {
            let load_once_saved = self.disk.has_unsaved(id);
            let slot = Slot {
                document: Document::new(net.random.draw()),
                clients: Vec::new(),
                used_at: net.now,
                load_once_saved,
                compacted: None,
                loaded: false,
                appended: Want::default(),
            };
            self.memory().documents.insert(id.clone(), slot);
            if !load_once_saved {
                self.load(net, id);
            }
            self.attach_upstream(net, id);
        }
        self.memory().documents.get_mut(id).expect("it is in memory now")
    }

    /// Something happens to a document; one that is not in memory has nothing to do with it.
    pub(crate) fn input(&mut self, net: &mut Network, id: &DocumentId, input: Input) {
        let number = self.number;
        let Some(slot) = self.memory().documents.get_mut(id) else { return };
        if !is_routine_input(&input) {
            net.note(|| format!("service {number} {id} < {input:?}"));
        }
        let mut outputs = Vec::new();
        slot.document.handle(net.now, input, &mut outputs);
        for output in outputs {
            if !is_routine_output(&output) {
                net.note(|| format!("service {number} {id} > {output:?}"));
            }
            self.carry_out(net, id, output);
        }
    }

    fn carry_out(&mut self, net: &mut Network, id: &DocumentId, output: Output) {
        match output {
            Output::Broadcast { to, except, bytes } => {
                for peer in to.iter().filter(|peer| Some(**peer) != except) {
                    self.send(net, id, *peer, bytes.clone());
                }
            }
            Output::Send { peer, bytes } => {
                if self.memory().is_upstream(peer) {
                    self.send_up(net, id, &bytes);
                } else {
                    self.send(net, id, peer, bytes);
                }
            }
            Output::Ready { peer } => self.ready(net, id, peer),
            Output::Append { seq, update, local } => {
                let parsed = Update::parse(update.clone()).expect("the relay saves what parses");
                if let Some(slot) = self.memory().documents.get_mut(id) {
                    slot.appended.merge(&Want::of(&parsed));
                }
                self.disk.append(id, seq, update, local);
                self.commit_soon(net);
            }
            Output::Confirmed { seq } => {
                if let Some(slot) = self.memory().documents.get(id) {
                    let Want { structs, deletes } = &slot.appended;
                    let deletes = deletes.intersection(structs);
                    let proven = Want { structs: structs.clone(), deletes };
                    self.proofs.push((id.clone(), proven));
                }
                self.disk.confirm(id, seq);
                self.commit_soon(net);
            }
            Output::Habit(habit) => {
                if let Some(link) = &mut self.memory().link {
                    link.habit = habit;
                }
            }
            Output::Lost => self.push_all(net),
            Output::Compact { frozen, upto_seq } => {
                let wait = net.random.upto(200);
                self.after(net, wait, Timer::Compacted { id: id.clone(), frozen, upto_seq });
            }
            Output::Close { peer, reason } => self.close(net, id, peer, reason),
            Output::Rejected { reason, .. } => panic!("{id}: the server was refused: {reason}"),
            Output::Ignored { kind, .. } => panic!("{id}: a message of type {kind}"),
            Output::WakeAt { at } => {
                let event = Event::Service(self.number, self.life, Timer::Document(id.clone()));
                net.at(at, event);
            }
        }
    }

    fn send(&mut self, net: &mut Network, id: &DocumentId, peer: PeerId, bytes: Bytes) {
        let Some(client) = self.memory().clients.get(&peer) else { return };
        let end = client.end;
        if !net.is_over(end)
            && let Some(client) = self.memory.as_ref().and_then(|memory| memory.clients.get(&peer))
        {
            client.assert_committed(&self.disk, &bytes);
        }
        if net.waiting(end) >= OUTBOX_MESSAGES_MAX {
            net.drop_queue(end);
            self.hang_up(net, id, peer, CloseReason::TooSlow);
        } else {
            net.send(end, bytes);
        }
    }

    fn ready(&mut self, net: &mut Network, id: &DocumentId, peer: PeerId) {
        if let Some(client) = self.memory().clients.get(&peer) {
            let end = client.end;
            let at = net.room_at(end, OUTBOX_ROOM);
            net.at(at, Event::Room(end));
        } else if self.memory().is_upstream(peer) {
            let open = self.memory().documents.get(id).is_some_and(|s| !s.clients.is_empty());
            self.link_event(net, upstream::Event::Ready { document: id.clone(), open });
        }
    }

    /// One of its queues has room.
    pub(crate) fn room(&mut self, net: &mut Network, end: End) {
        let Some(memory) = &self.memory else { return };
        if memory.link.as_ref().and_then(Link::end) == Some(end) {
            self.link_room(net, end);
            return;
        }
        let found = memory.clients.iter().find(|(_, client)| client.end == end);
        if let Some((peer, id)) = found.map(|(peer, client)| (*peer, client.document.clone())) {
            self.input(net, &id, Input::Room { peer });
        }
    }

    fn close(&mut self, net: &mut Network, id: &DocumentId, peer: PeerId, reason: CloseReason) {
        assert!(!reason.is_peers_fault(), "a sound client was sent away: {reason}");
        self.hang_up(net, id, peer, reason);
    }

    /// Closes a connection. The document hears of it when the reader ends.
    fn hang_up(&mut self, net: &mut Network, id: &DocumentId, peer: PeerId, reason: CloseReason) {
        if let Some(client) = self.memory().clients.get(&peer) {
            net.note(|| format!("{id} {peer} is sent away: {reason}"));
            net.hang_up(client.end, reason.code());
        }
    }
}

impl Memory {
    pub(crate) fn drop_document(&mut self, id: &DocumentId) -> Option<Slot> {
        if let Some(link) = &mut self.link {
            link.forget(id);
        }
        self.documents.remove(id)
    }

    pub(crate) fn is_upstream(&self, peer: PeerId) -> bool {
        self.link.as_ref().and_then(Link::peer) == Some(peer)
    }
}

/// Not worth a line in a trace.
fn is_routine_input(input: &Input) -> bool {
    match input {
        Input::Tick | Input::Room { .. } => true,
        Input::Frame { bytes, .. } => bytes.starts_with(&[1]),
        _ => false,
    }
}

/// See [`is_routine_input`].
fn is_routine_output(output: &Output) -> bool {
    match output {
        Output::WakeAt { .. } | Output::Ready { .. } => true,
        Output::Broadcast { bytes, .. } | Output::Send { bytes, .. } => bytes.starts_with(&[1]),
        _ => false,
    }
}
