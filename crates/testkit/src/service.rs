//! A service: documents of the core, driven as yrelay's shell drives them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use yrelay_core::Millis;
use yrelay_core::document::Document;
use yrelay_core::event::Input;
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::offers::Offers;
use yrelay_core::replica::{Replica, Want};
use yrelay_core::upstream::{self, Failure};

use crate::below::{Below, COUNT_MS};
use crate::disk::Disk;
use crate::jobs::SWEEP_MS;
use crate::link::Link;
use crate::memory::{Memory, Slot};
use crate::network::{End, Event, Network, Packet};
use crate::outputs::{is_routine_input, is_routine_output};
use crate::peer::Peer;
use crate::server::Mode;
use crate::sleep::Sleep;

/// What a service does at a time of its own.
#[derive(Debug)]
pub(crate) enum Timer {
    /// Tick a document, or the link.
    Document(DocumentId),
    Link,
    /// The so many-th attempt to connect to the server ends.
    Connect(u64),
    /// It is noticed that the machine has slept.
    Woke,
    /// Another login is there.
    Login,
    Commit,
    News,
    Loaded(DocumentId),
    Compacted {
        id: DocumentId,
        frozen: Box<Replica>,
        upto_seq: u64,
    },
    Sweep,
    /// The other ends of links are told how many frames were sent.
    Counts,
}

/// A machine with a disk, and the relay on it while that runs.
pub(crate) struct Service {
    pub(crate) number: usize,
    pub(crate) disk: Disk,
    /// What is in memory; none while it is down.
    pub(crate) memory: Option<Memory>,
    /// Timers of a former life are void.
    pub(crate) life: u32,
    /// What its upstream is.
    pub(crate) server: Option<Mode>,
    /// The service above, where that is one.
    pub(crate) parent: Option<usize>,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) sleep: Sleep,
    /// Messages of the server that were refused.
    pub(crate) refused: usize,
    pub(crate) loads_fail_until: Millis,
    /// Documents of which the server seems to have another history.
    pub(crate) diverged: Vec<DocumentId>,
    /// What it takes to be on the server, as that has said over this connection: to be verified.
    pub(crate) proofs: Vec<(DocumentId, Want, Option<End>)>,
}

/// The server, or what stands before it, does not let a service in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) failure: Failure,
    pub(crate) until: Millis,
}

impl Service {
    /// Where the server is a yrelay, `parent` is that.
    pub(crate) fn new(number: usize, server: Option<Mode>, parent: Option<usize>) -> Self {
        let is_top = matches!(server, Some(Mode::Relay(_))) && parent.is_none();
        let server = server.filter(|_| !is_top);
        Self {
            number,
            disk: Disk::default(),
            memory: None,
            life: 0,
            server,
            parent,
            refusal: None,
            sleep: Sleep::default(),
            refused: 0,
            loads_fail_until: 0,
            diverged: Vec::new(),
            proofs: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self, net: &mut Network) {
        let seed = net.random.draw();
        let stored = self.disk.documents().map(|(id, marked)| (id.clone(), marked)).collect();
        self.memory = Some(Memory {
            documents: BTreeMap::new(),
            stored,
            link: self.server.map(|server| Link::new(self.now(net), seed, server)),
            below: Below::default(),
            clients: BTreeMap::new(),
            liars: BTreeSet::new(),
            offers: Offers::new(seed),
            peers: 0,
            outcomes: Vec::new(),
            held_back: Vec::new(),
            commit_due: false,
        });
        self.after(net, SWEEP_MS, Timer::Sweep);
        self.after(net, COUNT_MS, Timer::Counts);
        self.link_event(net, upstream::Event::Tick);
    }

    /// `kill -9`, or the power goes.
    pub(crate) fn crash(&mut self, net: &mut Network) {
        let Some(memory) = self.memory.take() else { return };
        self.life += 1;
        self.disk.lose_power();
        let link = memory.link.map(|link| link.ends()).unwrap_or_default();
        let clients = memory.clients.values().map(|client| client.end);
        for end in clients.chain(link).chain(memory.below.ends()) {
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
            Timer::Link => {
                self.link_event(net, upstream::Event::Tick);
                self.enter_next(net);
            }
            Timer::Connect(_) => unreachable!("the world connects"),
            Timer::Woke => self.link_event(net, upstream::Event::Woke),
            Timer::Login => self.change_login(net),
            Timer::Commit => self.commit(net),
            Timer::News => self.news(net),
            Timer::Loaded(id) => self.loaded(net, &id),
            Timer::Compacted { id, frozen, upto_seq } => {
                self.compacted(net, &id, &frozen, upto_seq);
            }
            Timer::Sweep => self.sweep(net),
            Timer::Counts => self.tell_counts(net),
        }
    }

    pub(crate) fn has_lines(&self) -> bool {
        self.server.is_some_and(Mode::has_lines)
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
        if let Some(id) = memory.link.as_ref().and_then(|link| link.line_at(end)) {
            self.line_packet(net, end, id);
            return;
        }
        if memory.below.has(end) {
            self.packet_from_below(net, end);
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
            Some(Packet::Garbage(bytes)) => self.take_lie(net, &id, peer, bytes),
            None => {}
        }
    }

    /// Whoever lies is sent away, or not listened to.
    fn take_lie(&mut self, net: &mut Network, id: &DocumentId, peer: PeerId, bytes: Bytes) {
        let memory = self.memory();
        memory.liars.insert(peer);
        let loaded = memory.documents.get(id).is_some_and(|slot| slot.loaded);
        self.input(net, id, Input::Frame { peer, bytes });
        assert!(!loaded || !self.memory().liars.contains(&peer), "{id}: a lie of {peer} was taken");
    }

    /// A reader waits while the document cannot take its frame.
    pub(crate) fn holds_back(&mut self, net: &mut Network, end: End, id: &DocumentId) -> bool {
        let memory = self.memory();
        let waits = memory.documents.get(id).is_some_and(|slot| !slot.document.takes_input())
            && matches!(net.peek(end), Some(Packet::Frame(_) | Packet::Garbage(_)));
        if waits {
            memory.held_back.push(end);
        }
        waits
    }

    fn leave(&mut self, net: &mut Network, id: &DocumentId, peer: PeerId) {
        let now = self.now(net);
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
                document: match self.server {
                    Some(_) => Document::new(net.random.draw()),
                    None => Document::new(net.random.draw()).at_the_top(),
                },
                clients: Vec::new(),
                used_at: self.now(net),
                load_once_saved,
                compacted: None,
                loaded: false,
                appended: Want::default(),
                local: Want::default(),
                garbage: 0,
            };
            self.memory().documents.insert(id.clone(), slot);
            if !load_once_saved {
                self.load(net, id);
            }
            self.attach_upstream(net, id);
            for (peer, dialect) in self.memory().below.of(id) {
                self.input(net, id, Input::AttachLink { peer, dialect });
            }
        }
        self.memory().documents.get_mut(id).expect("it is in memory now")
    }

    /// What the server has of a document is merged with what is here, whatever it is.
    pub(crate) fn merge(&mut self, net: &mut Network, id: &DocumentId) {
        self.input(net, id, Input::Merge);
        let Some(link) = &mut self.memory().link else { return };
        if link.has_lines() {
            self.unwant_line(net, id);
        } else if let Some(peer) = link.peer()
            && link.forget(net, id)
        {
            self.input(net, id, Input::Detach { peer });
        }
        self.attach_upstream(net, id);
    }

    /// Something happens to a document; one that is not in memory has nothing to do with it.
    pub(crate) fn input(&mut self, net: &mut Network, id: &DocumentId, input: Input) {
        let (number, now) = (self.number, self.now(net));
        let Some(slot) = self.memory().documents.get_mut(id) else { return };
        if !is_routine_input(&input) {
            net.note(|| format!("service {number} {id} < {input:?}"));
        }
        let mut outputs = Vec::new();
        slot.document.handle(now, input, &mut outputs);
        for output in outputs {
            if !is_routine_output(&output) {
                net.note(|| format!("service {number} {id} > {output:?}"));
            }
            self.carry_out(net, id, output);
        }
    }
}
