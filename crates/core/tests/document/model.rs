//! Real documents around ours: clients that edit, and an upstream server, both over links that
//! deliver in order, as late as the test likes, or not at all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use yrelay_core::decode::Reader;
use yrelay_core::id::PeerId;
use yrelay_core::replica::Replica;
use yrelay_core::wire::{self, Message};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    ClientID, Doc, GetString, Map, Options, ReadTxn, StateVector, Text, Transact, Update, WriteTxn,
};

use crate::script::{aware, parse, show};

/// A document as a library integrates it.
pub(crate) struct Replicated {
    doc: Doc,
    /// What changed since the last look, as updates.
    made: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Replicated {
    pub(crate) fn new(client: u64) -> Self {
        let client_id = ClientID::new(client);
        let doc = Doc::with_options(Options { client_id, ..Options::default() });
        let made = Arc::new(Mutex::new(Vec::new()));
        let sink = made.clone();
        doc.observe_update_v1("made", move |_, event| {
            sink.lock().unwrap().push(event.update.clone());
        })
        .unwrap();
        Self { doc, made }
    }

    fn made(&self) -> Vec<Vec<u8>> {
        let made = std::mem::take(&mut *self.made.lock().unwrap());
        made.into_iter().filter(|update| update != wire::EMPTY_UPDATE).collect()
    }

    /// An edit, chosen by a number. Returns the updates that tell of it.
    pub(crate) fn edit(&self, choice: u64) -> Vec<Vec<u8>> {
        {
            let mut txn = self.doc.transact_mut();
            let text = txn.get_or_insert_text("text");
            let len = text.len(&txn);
            let at = u32::try_from(choice / 8 % (u64::from(len) + 1)).unwrap();
            match choice % 8 {
                0..=2 if at < len => {
                    let count = (len - at).min(1 + u32::try_from(choice / 64 % 5).unwrap());
                    text.remove_range(&mut txn, at, count);
                }
                3 => {
                    let map = txn.get_or_insert_map("map");
                    map.insert(&mut txn, format!("k{}", choice / 8 % 3), choice.to_string());
                }
                _ => text.insert(&mut txn, at, &format!("{choice:x}")),
            }
        }
        self.made()
    }

    /// Takes an update; returns what it brought.
    pub(crate) fn apply(&self, update: &[u8]) -> Vec<Vec<u8>> {
        self.doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
        self.made()
    }

    pub(crate) fn vector(&self) -> Vec<u8> {
        self.doc.transact().state_vector().encode_v1()
    }

    pub(crate) fn difference(&self, vector: &[u8]) -> Vec<u8> {
        let vector = StateVector::decode_v1(vector).unwrap();
        self.doc.transact().encode_state_as_update_v1(&vector)
    }

    /// What it holds, as we would hold it.
    pub(crate) fn replica(&self) -> Replica {
        let mut replica = Replica::default();
        let all = self.doc.transact().encode_diff_v1(&StateVector::default());
        replica.apply(&parse(&all));
        replica
    }

    /// What people see.
    pub(crate) fn shown(&self) -> (String, BTreeMap<String, String>) {
        let mut txn = self.doc.transact_mut();
        let text = txn.get_or_insert_text("text").get_string(&txn);
        let map = txn.get_or_insert_map("map");
        let map = map.iter(&txn).map(|(key, value)| (key.into(), value.to_string(&txn))).collect();
        (text, map)
    }
}

/// The habits of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// As y-websocket: sends foreign awareness back.
    Browser,
    /// As pycrdt: sends every update that was news to it back, has no awareness.
    Python,
}

/// A client, whatever connection it is on.
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) habit: Habit,
    pub(crate) replicated: Replicated,
    pub(crate) peer: Option<PeerId>,
    /// On their way to the relay.
    pub(crate) outbox: VecDeque<Bytes>,
    /// On their way from the relay.
    pub(crate) inbox: VecDeque<Bytes>,
    /// Live updates sent over this connection that did not come back yet.
    pub(crate) unacknowledged: BTreeMap<Bytes, usize>,
    /// Who is present, as it was told: clock, and whether alive.
    pub(crate) present: BTreeMap<u64, (u64, bool)>,
    pub(crate) clock: u64,
    pub(crate) announced_at: u64,
}

impl Client {
    pub(crate) fn new(id: u64, habit: Habit) -> Self {
        Self {
            id,
            habit,
            replicated: Replicated::new(id),
            peer: None,
            outbox: VecDeque::new(),
            inbox: VecDeque::new(),
            unacknowledged: BTreeMap::new(),
            present: BTreeMap::new(),
            clock: 0,
            announced_at: 0,
        }
    }

    pub(crate) fn attach(&mut self, now: u64, peer: PeerId) {
        self.peer = Some(peer);
        let vector = self.replicated.vector();
        self.outbox.push_back(wire::sync_step1(&vector));
        if self.habit == Habit::Browser {
            if self.clock == 0 {
                self.clock = 1;
            }
            self.announce(now);
        }
    }

    pub(crate) fn detach(&mut self) {
        self.peer = None;
        self.outbox.clear();
        self.inbox.clear();
        self.unacknowledged.clear();
        self.present.clear();
    }

    fn announce(&mut self, now: u64) {
        self.announced_at = now;
        self.present.insert(self.id, (self.clock, true));
        self.outbox.push_back(aware(&[(self.id, self.clock, "{}")]));
    }

    pub(crate) fn renew(&mut self, now: u64) {
        if self.habit == Habit::Browser && self.peer.is_some() && now >= self.announced_at + 15_000
        {
            self.clock += 1;
            self.announce(now);
        }
    }

    pub(crate) fn edit(&mut self, choice: u64) {
        let made = self.replicated.edit(choice);
        self.tell(&made);
    }

    fn tell(&mut self, updates: &[Vec<u8>]) {
        if self.peer.is_none() {
            return;
        }
        for update in updates {
            let message = wire::update(update);
            // What others may have written in the same bytes cannot be told apart.
            if parse(update).structs().ranges(self.id).next().is_some() {
                *self.unacknowledged.entry(message.clone()).or_default() += 1;
            }
            self.outbox.push_back(message);
        }
    }

    /// Reads one message.
    pub(crate) fn read(&mut self, now: u64) {
        let Some(frame) = self.inbox.pop_front() else { return };
        if let Some(count) = self.unacknowledged.get_mut(&frame) {
            let once = count.checked_sub(1);
            *count = once.unwrap_or_else(|| panic!("{} twice: {}", self.id, show(&frame)));
        }
        let messages: Vec<_> = wire::messages(&frame).collect();
        assert_eq!(messages.len(), 1, "clients read one message of a frame");
        match messages.into_iter().next().unwrap().unwrap() {
            Message::SyncStep1(vector) => {
                self.outbox.push_back(wire::sync_step2(&self.replicated.difference(&vector)));
            }
            Message::SyncStep2(update) | Message::Update { update, .. } => {
                let news = self.replicated.apply(&update);
                if self.habit == Habit::Python {
                    self.tell(&news);
                }
            }
            Message::Awareness(body) => self.hear(now, &body),
            other => panic!("{other:?}"),
        }
    }

    /// The rules of y-protocols.
    fn hear(&mut self, now: u64, body: &[u8]) {
        let mut reader = Reader::new(body);
        for _ in 0..reader.varuint().unwrap() {
            let (id, clock) = (reader.varuint().unwrap(), reader.varuint().unwrap());
            let state = reader.var_str().unwrap();
            let alive = state != "null";
            let (known, was_alive) = self.present.get(&id).copied().unwrap_or((0, false));
            if clock < known || (clock == known && (alive || !was_alive)) {
                continue;
            }
            if id == self.id && !alive {
                self.clock = clock + 1;
                self.announce(now);
            } else if self.habit == Habit::Browser {
                self.present.insert(id, (clock, alive));
                self.outbox.push_back(aware(&[(id, clock, state)]));
            }
        }
    }
}

/// How the upstream treats what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It holds the document.
    Keeps,
    /// It passes everything on, unread.
    Broadcasts,
}

/// An ELVA server, and one client of its own behind it.
pub(crate) struct Server {
    pub(crate) mode: Mode,
    pub(crate) held: Replicated,
    pub(crate) remote: Replicated,
    remote_clock: u64,
    /// How often it lost everything.
    pub(crate) lives: u64,
    /// The relay has spoken over this link.
    joined: bool,
    /// On their way to the relay.
    pub(crate) outbox: VecDeque<Bytes>,
    /// On their way from the relay.
    pub(crate) inbox: VecDeque<Bytes>,
}

impl Server {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            held: Replicated::new(800),
            remote: Replicated::new(900),
            remote_clock: 0,
            lives: 0,
            joined: false,
            outbox: VecDeque::new(),
            inbox: VecDeque::new(),
        }
    }

    /// It starts anew, with nothing, and so does who was behind it.
    pub(crate) fn forget(&mut self) {
        self.lives += 1;
        self.held = Replicated::new(800);
        self.remote = Replicated::new(900 + self.lives);
    }

    pub(crate) fn link_down(&mut self) {
        self.joined = false;
        self.outbox.clear();
        self.inbox.clear();
    }

    fn send(&mut self, message: Bytes) {
        if self.joined {
            self.outbox.push_back(message);
        }
    }

    pub(crate) fn edit(&mut self, choice: u64) {
        let made = self.remote.edit(choice);
        self.take_remote(&made);
    }

    pub(crate) fn announce(&mut self) {
        if self.mode == Mode::Broadcasts {
            self.remote_clock += 1;
            self.send(aware(&[(900, self.remote_clock, "{}")]));
        }
    }

    fn take_remote(&mut self, updates: &[Vec<u8>]) {
        for update in updates {
            if self.mode == Mode::Keeps {
                self.held.apply(update);
            }
            self.send(wire::update(update));
        }
    }

    /// Reads one message of the relay.
    pub(crate) fn read(&mut self) {
        let Some(frame) = self.inbox.pop_front() else { return };
        self.joined = true;
        let messages: Vec<_> = wire::messages(&frame).collect();
        assert_eq!(messages.len(), 1, "servers read one message of a frame");
        match (messages.into_iter().next().unwrap().unwrap(), self.mode) {
            (Message::SyncStep1(vector), Mode::Keeps) => {
                self.send(wire::sync_step2(&self.held.difference(&vector)));
                self.send(wire::sync_step1(&self.held.vector()));
            }
            (Message::SyncStep1(vector), Mode::Broadcasts) => {
                self.send(wire::sync_step2(&self.remote.difference(&vector)));
            }
            (Message::SyncStep2(update) | Message::Update { update, .. }, mode) => {
                if mode == Mode::Keeps {
                    self.held.apply(&update);
                }
                // As all Python clients, the remote one sends back what was news.
                let news = self.remote.apply(&update);
                self.take_remote(&news);
            }
            (Message::Awareness(body), _) => assert_eq!(body[0], 1, "one client per message"),
            (other, _) => panic!("{other:?}"),
        }
    }

    /// What the upstream holds.
    pub(crate) fn replica(&self) -> Replica {
        match self.mode {
            Mode::Keeps => self.held.replica(),
            Mode::Broadcasts => self.remote.replica(),
        }
    }
}
