//! Whatever happens, in whatever order: nothing acknowledged is lost, all ends alike.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use yrelay_core::event::Input;
use yrelay_core::id::PeerId;
use yrelay_core::limits;
use yrelay_core::replica::Replica;

use crate::model::{Client, Habit, Mode, Server};
use crate::script::{Script, insert};

const CLIENTS: usize = 3;

/// The awareness id of the client behind the upstream.
const REMOTE: u64 = 900;

#[derive(Debug, Clone)]
enum Op {
    Attach(usize),
    Detach(usize),
    Edit(usize, u64),
    /// Sends an old update, or everything, once more.
    Repeat(usize, bool),
    /// Messages reach a client, or come from it.
    Receive(usize, u8),
    Send(usize, u8),
    LinkUp,
    LinkDown,
    /// Messages reach the upstream, or come from it.
    Up(u8),
    Down(u8),
    RemoteEdit(u64),
    RemoteAnnounce,
    /// The upstream loses everything.
    Forget,
    Save(u8),
    SaveFails,
    Compact(bool),
    Wait(u64),
    /// The process is killed and starts again.
    Crash,
    Evict,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let client = 0..CLIENTS;
    let few = 1u8..6;
    let span = prop_oneof![
        Just(1u64),
        Just(100),
        Just(600),
        Just(1_100),
        Just(2_100),
        Just(11_000),
        Just(31_000)
    ];
    let op = prop_oneof![
        4 => client.clone().prop_map(Op::Attach),
        1 => client.clone().prop_map(Op::Detach),
        8 => (client.clone(), any::<u64>()).prop_map(|(c, n)| Op::Edit(c, n)),
        1 => (client.clone(), any::<bool>()).prop_map(|(c, all)| Op::Repeat(c, all)),
        6 => (client.clone(), few.clone()).prop_map(|(c, n)| Op::Receive(c, n)),
        6 => (client, few.clone()).prop_map(|(c, n)| Op::Send(c, n)),
        3 => Just(Op::LinkUp),
        1 => Just(Op::LinkDown),
        5 => few.clone().prop_map(Op::Up),
        5 => few.clone().prop_map(Op::Down),
        3 => any::<u64>().prop_map(Op::RemoteEdit),
        1 => Just(Op::RemoteAnnounce),
        1 => Just(Op::Forget),
        3 => few.prop_map(Op::Save),
        1 => Just(Op::SaveFails),
        1 => any::<bool>().prop_map(Op::Compact),
        4 => span.prop_map(Op::Wait),
        1 => Just(Op::Crash),
        1 => Just(Op::Evict),
    ];
    prop::collection::vec(op, 1..120)
}

struct World {
    t: Script,
    clients: Vec<Client>,
    server: Server,
    online: bool,
    /// The upstream's step 2 has arrived, and not yet the step 1 behind it.
    half_answered: bool,
    /// The upstream has lost everything and not said so yet.
    forgot: bool,
    peers: u64,
}

/// Whether `replica` has all of `other` that stands before gaps.
fn covers(replica: &Replica, other: &Replica) -> bool {
    replica.missing_from(&Default::default()).contains_all(other.held())
        && other.missing_deletes(replica.deletes()).is_empty()
}

impl World {
    /// The log begins so long that it is compacted soon.
    fn new(mode: Mode, seed: u64, stored: bool) -> Self {
        // Others may write at a server that has lost all: that is another history.
        let mut t = Script::seeded(seed).merging();
        let server = Server::new(mode);
        let rows = if stored { vec![insert(77, 0, "stored")] } else { Vec::new() };
        t.first = rows;
        t.first_unconfirmed = stored;
        t.load(limits::LOG_UPDATES_MAX - 5);
        let habits = [Habit::Browser, Habit::Browser, Habit::Python];
        let clients =
            habits.into_iter().enumerate().map(|(i, habit)| Client::new(10 + i as u64, habit));
        Self {
            t,
            clients: clients.collect(),
            server,
            online: false,
            half_answered: false,
            forgot: false,
            peers: 1_000,
        }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Attach(client) => self.attach(client),
            Op::Detach(client) => {
                if let Some(peer) = self.clients[client].peer {
                    self.clients[client].detach();
                    self.t.detach(peer);
                }
            }
            Op::Edit(client, choice) => self.clients[client].edit(choice),
            Op::Repeat(client, all) => self.repeat(client, all),
            Op::Receive(client, count) => {
                self.fetch();
                (0..count).for_each(|_| self.clients[client].read(self.t.now));
            }
            Op::Send(client, count) => (0..count).for_each(|_| self.send(client)),
            Op::LinkUp => self.link_up(),
            Op::LinkDown => self.link_down(),
            Op::Forget => {
                self.link_down();
                self.server.forget();
                self.forgot = true;
            }
            Op::Up(count) => (0..count).for_each(|_| self.up()),
            Op::Down(count) => (0..count).for_each(|_| self.down()),
            Op::RemoteEdit(choice) => self.server.edit(choice),
            Op::RemoteAnnounce => self.server.announce(),
            Op::Save(1) => self.t.save_some(),
            Op::Save(_) => self.t.save(),
            Op::SaveFails => self.t.handle(Input::SaveFailed),
            Op::Compact(works) => self.compact(works),
            Op::Wait(ms) => self.wait(ms),
            Op::Crash => self.restart(),
            Op::Evict => {
                if self.t.document.can_evict() {
                    let unsaved = self.t.unsaved_rows();
                    assert_eq!(unsaved, 0, "what leaves memory is saved");
                    self.restart();
                }
            }
        }
        self.fetch();
        self.check();
    }

    fn attach(&mut self, client: usize) {
        if self.clients[client].peer.is_none() {
            self.peers += 1;
            let peer = PeerId(self.peers);
            self.clients[client].attach(self.t.now, peer);
            self.t.attach(peer);
        }
    }

    fn link_up(&mut self) {
        if !self.online {
            self.online = true;
            self.t.link_up();
        }
    }

    fn link_down(&mut self) {
        self.server.link_down();
        if std::mem::take(&mut self.online) {
            self.t.link_down();
        }
    }

    fn repeat(&mut self, client: usize, all: bool) {
        let client = &mut self.clients[client];
        if client.peer.is_some() {
            let update = client.replicated.difference(&[0]);
            let message = if all {
                yrelay_core::wire::sync_step2(&update)
            } else {
                yrelay_core::wire::sync_step1(&client.replicated.vector())
            };
            client.outbox.push_back(message);
        }
    }

    /// What the relay sent is on its way.
    fn fetch(&mut self) {
        for client in &mut self.clients {
            if let Some(peer) = client.peer {
                while self.t.room(peer) {}
                client.inbox.extend(self.t.take(peer));
            }
        }
    }

    fn send(&mut self, client: usize) {
        let client = &mut self.clients[client];
        if let Some(frame) = client.outbox.pop_front() {
            self.t.frame(client.peer.unwrap(), frame);
        }
    }

    fn up(&mut self) {
        if let Some(message) = self.t.pull().filter(|_| self.online) {
            assert!(message.len() <= limits::CHUNK_BYTES_MAX + 16);
            self.server.inbox.push_back(message);
        }
        self.server.read();
    }

    fn down(&mut self) {
        if let Some(message) = self.server.outbox.pop_front() {
            self.half_answered = self.server.mode == Mode::Keeps && message.starts_with(&[0, 1]);
            self.forgot &= !message.starts_with(&[0, 0]);
            self.t.tell(message);
        }
    }

    fn compact(&mut self, works: bool) {
        if self.t.frozen.is_some() {
            if works {
                self.t.compact();
            } else {
                self.t.frozen = None;
                self.t.handle(Input::Compacted { result: None });
            }
        }
    }

    /// Time passes for everybody, in steps that let clients renew their presence.
    fn wait(&mut self, ms: u64) {
        // Two seconds between the halves of an answer would be too many.
        while std::mem::take(&mut self.half_answered) {
            self.down();
        }
        let end = self.t.now + ms;
        while self.t.now < end {
            self.t.wait(5_000.min(end - self.t.now));
            for client in &mut self.clients {
                client.renew(self.t.now);
            }
        }
    }

    fn restart(&mut self) {
        self.clients.iter_mut().for_each(Client::detach);
        self.server.link_down();
        self.online = false;
        self.t.restart();
    }

    /// What holds at every moment. What must not be sent is caught where it is sent.
    fn check(&self) {
        assert!(self.t.closed.is_empty() && self.t.rejected == 0, "nobody misbehaves");
        if self.t.confirmed() == Some(true) && !self.forgot {
            let upstream = self.server.replica();
            assert!(covers(&upstream, self.t.stored()), "confirmed: {upstream:?}");
        }
    }

    /// Everything on its way arrives, at once.
    fn deliver(&mut self) {
        for _ in 0..10_000 {
            self.fetch();
            let mut moved = false;
            for client in 0..CLIENTS {
                moved |= !self.clients[client].outbox.is_empty();
                moved |= !self.clients[client].inbox.is_empty();
                self.send(client);
                self.clients[client].read(self.t.now);
            }
            moved |= self.online && self.t.is_ready(self.t.up);
            moved |= !self.server.inbox.is_empty() || !self.server.outbox.is_empty();
            self.up();
            self.down();
            self.check();
            if !moved {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Everybody comes back, everything works, and time passes.
    fn settle(&mut self) {
        (0..CLIENTS).for_each(|client| self.attach(client));
        self.link_up();
        self.deliver();
        self.check_presence();
        for step in 0..100 {
            self.compact(true);
            self.t.save();
            self.deliver();
            self.wait(if step < 10 { 1_000 } else { 5_000 });
        }
        self.deliver();
        self.check_presence();
        let remote = |client: &Client| client.present.get(&REMOTE).is_some_and(|(_, alive)| *alive);
        assert!(!self.clients.iter().any(remote), "it was last heard of long ago");
    }

    /// With nothing under way, everybody sees exactly who is here.
    fn check_presence(&self) {
        let browsers = || self.clients.iter().filter(|client| client.habit == Habit::Browser);
        for client in browsers() {
            let seen = client.present.iter().filter(|(_, (_, alive))| *alive).map(|(id, _)| *id);
            let seen: Vec<u64> = seen.filter(|id| *id < REMOTE).collect();
            let here: Vec<u64> = browsers().filter(|c| c.peer.is_some()).map(|c| c.id).collect();
            assert_eq!(seen, here, "who {} sees", client.id);
        }
    }

    fn check_settled(&self) {
        let standing = self.t.standing();
        assert!(standing.saved && standing.sent, "{standing:?}");
        // What was in one place only may be gone with it, and what stood on it stands on nothing.
        assert!(!standing.incomplete || self.server.lives > 0, "{standing:?}");
        let ours = self.t.stored();
        let shown = self.clients[0].replicated.shown();
        let others = self.clients.iter().map(|client| &client.replicated);
        for replicated in others.chain([&self.server.remote]) {
            assert_eq!(replicated.shown(), shown);
            let theirs = replicated.replica();
            assert!(covers(&theirs, ours) && covers(ours, &theirs), "{theirs:?}\n{ours:?}");
        }
        for client in &self.clients {
            assert!(client.unacknowledged.values().all(|count| *count == 0), "acknowledged");
        }
        let written = self.t.document.is_unconfirmed();
        match self.server.mode {
            Mode::Keeps => assert_eq!(self.t.confirmed(), Some(!standing.incomplete)),
            Mode::Broadcasts => assert!(self.t.confirmed() != Some(true) || !written),
        }
    }
}

fn play(mode: Mode, seed: u64, stored: bool, ops: &[Op]) {
    let mut world = World::new(mode, seed, stored);
    for op in ops {
        world.run(op);
    }
    world.settle();
    world.check_settled();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn all_ends_alike_over_a_server_that_keeps(ops in ops(), seed: u64, stored: bool) {
        play(Mode::Keeps, seed, stored, &ops);
    }

    #[test]
    fn all_ends_alike_over_a_server_that_broadcasts(ops in ops(), seed: u64, stored: bool) {
        play(Mode::Broadcasts, seed, stored, &ops);
    }
}
