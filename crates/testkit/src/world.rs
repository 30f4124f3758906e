//! Everything that takes part in a run, and the loop that lets it happen.

use yrelay_core::id::DocumentId;
use yrelay_core::link;
use yrelay_core::wire::{self, Message};
use yrelay_core::{Millis, limits};

use crate::client::{self, Client, Mood, Style};
use crate::editor::Edit;
use crate::network::{DEAD_MS, End, Event, Network, Packet, Party};
use crate::script::{Person, Script, Step};
use crate::server::Server;
use crate::service::{self, Service};

pub(crate) struct World<'a> {
    pub(crate) net: Network,
    pub(crate) script: &'a Script,
    pub(crate) documents: Vec<DocumentId>,
    pub(crate) clients: Vec<Client>,
    pub(crate) services: Vec<Service>,
    pub(crate) server: Option<Server>,
    pub(crate) traffic: Traffic,
    pub(crate) events: u64,
}

/// What arrived since this was last reset.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Updates that hold anything.
    pub(crate) updates: usize,
    pub(crate) step_1s: usize,
    pub(crate) awareness: usize,
    /// Times a document was woken.
    pub(crate) ticks: usize,
}

/// Long enough for backoff, expiry of awareness, proofs, and one minute of silence.
const REST_MS: Millis = 180_000;
const SILENCE_MS: Millis = 60_000;
/// More than any run takes: beyond, messages breed messages.
const EVENTS_MAX: u64 = 400_000;

impl<'a> World<'a> {
    pub(crate) fn new(script: &'a Script, traced: bool) -> Self {
        let name = |n: usize| ["notes", "a b/ü", "plan?x=1"][n].to_owned();
        let document = |n| DocumentId::new(&name(n)).expect("a sound name");
        let mut world = Self {
            net: Network::new(script.seed, traced),
            script,
            documents: (0..script.documents).map(document).collect(),
            clients: Vec::new(),
            services: Vec::new(),
            server: script.server.map(Server::new),
            traffic: Traffic::default(),
            events: 0,
        };
        for number in 0..script.services {
            let mut service = Service::new(number, script.server.is_some());
            service.start(&mut world.net);
            world.services.push(service);
        }
        for person in &script.people {
            world.invite(*person);
        }
        for (index, (at, _)) in script.steps.iter().enumerate() {
            world.net.at(*at, Event::Step(index));
        }
        world
    }

    fn invite(&mut self, person: Person) {
        let Person { id, service, document, style, late } = person;
        let (number, document) = (self.clients.len(), self.documents[document].clone());
        let mut client = Client::new(number, id, service, document, style, self.net.now);
        if late {
            client.mood = Mood::Away;
        }
        client.start(&mut self.net);
        self.clients.push(client);
    }

    /// The script, the end of all faults, and some time to come to rest.
    pub(crate) fn run(&mut self) {
        self.run_until(self.script.calm_at);
        self.heal();
        self.run_until(self.net.now + REST_MS);
        self.assert_handed_up();
        self.gather();
        self.run_until(self.net.now + REST_MS - SILENCE_MS);
        while self.is_parked() {
            self.run_until(self.net.now + limits::PARK_MS / 10);
        }
        self.run_until(self.net.now + REST_MS - SILENCE_MS);
        self.traffic = Traffic::default();
        self.run_until(self.net.now + SILENCE_MS);
        self.assert_at_rest(SILENCE_MS);
    }

    fn is_parked(&self) -> bool {
        let links = self.services.iter().filter_map(|s| s.memory.as_ref()?.link.as_ref());
        links.into_iter().any(|link| link.machine.parked().next().is_some())
    }

    fn run_until(&mut self, end: Millis) {
        while let Some(event) = self.net.next(end) {
            self.events += 1;
            assert!(self.events < EVENTS_MAX, "messages breed messages");
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Packet(end) => self.packet(end),
            Event::Room(end) => {
                if let Party::Service(service) = self.net.party(end) {
                    self.services[service].room(&mut self.net, end);
                }
            }
            Event::Client(client, client::Timer::Connect) => self.connect_client(client),
            Event::Client(client, client::Timer::Check) => {
                self.clients[client].check(&mut self.net);
            }
            Event::Service(service, life, timer) => {
                if self.services[service].life == life {
                    self.traffic.ticks += usize::from(matches!(timer, service::Timer::Document(_)));
                    match timer {
                        service::Timer::Connect => self.connect_link(service),
                        timer => self.services[service].timer(&mut self.net, timer),
                    }
                }
            }
            Event::ServiceReturns(service) => self.start_service(service),
            Event::ServerReturns => self.start_server(),
            Event::Step(index) => {
                let (_, step) = &self.script.steps[index];
                self.net.note(|| format!("=== {step:?}"));
                self.step(step);
            }
        }
        self.verify_proofs();
    }

    fn packet(&mut self, end: End) {
        if let Some(Packet::Frame(frame)) = self.net.peek(end) {
            self.traffic.count(&frame);
        }
        match self.net.party(end) {
            Party::Client(client) => {
                let client = &mut self.clients[client];
                if client.end == Some(end)
                    && let Some(packet) = self.net.take(end)
                {
                    client.packet(&mut self.net, packet);
                }
            }
            Party::Service(service) => self.services[service].packet(&mut self.net, end),
            Party::Server => {
                if let Some(server) = &mut self.server {
                    server.packet(&mut self.net, end);
                }
            }
        }
    }

    fn connect_client(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if !client.wants_connection() {
            return;
        }
        let service = &mut self.services[client.service];
        if service.memory.is_none() {
            client.retry(&mut self.net);
            return;
        }
        let parties = [Party::Client(number), Party::Service(client.service)];
        let [near, far] = self.net.open(parties);
        service.join(&mut self.net, &client.document, far, client.editor.id());
        client.opened(&mut self.net, near);
    }

    fn connect_link(&mut self, number: usize) {
        let service = &mut self.services[number];
        let server = self.server.as_mut().filter(|server| server.up);
        let end = server.filter(|_| self.net.now >= service.link_down_until).map(|server| {
            let [near, far] = self.net.open([Party::Service(number), Party::Server]);
            server.joined(far);
            near
        });
        service.connected(&mut self.net, end);
    }

    fn start_service(&mut self, number: usize) {
        let service = &mut self.services[number];
        if service.memory.is_none() {
            service.start(&mut self.net);
        }
    }

    fn start_server(&mut self) {
        if let Some(server) = &mut self.server {
            server.start();
        }
    }

    fn step(&mut self, step: &Step) {
        let net = &mut self.net;
        let now = net.now;
        match *step {
            Step::Edit { client, ref edit } => self.write(client, edit),
            Step::Burst { client, count } => {
                for nth in 0..count {
                    self.write(client, &Edit::Insert { at: nth * 7, len: 0 });
                }
            }
            Step::CutClient { client, late_ms } => {
                if let Some(end) = self.clients[client].end {
                    net.cut(end.connection, late_ms);
                }
            }
            Step::StallClient { client, ms } => {
                if let Some(end) = self.clients[client].end {
                    net.stall(end.other(), now + ms);
                }
            }
            Step::Leave { client } => self.clients[client].leave(net),
            Step::ComeBack { client } => self.clients[client].come_back(net),
            Step::Vanish { client } => self.clients[client].vanish(net),
            Step::CutLink { service, late_ms } => self.cut_link(service, late_ms),
            Step::LinkDown { service, ms } => {
                self.services[service].link_down_until = now + ms;
                self.cut_link(service, 1_000);
            }
            Step::Kick { service } => {
                if let (Some(server), Some(end)) = (&mut self.server, self.services[service].link())
                {
                    server.kick(net, end.other(), 1000);
                }
            }
            Step::Crash { service, down_ms } => {
                self.services[service].crash(net);
                net.after(down_ms, Event::ServiceReturns(service));
            }
            Step::DiskFails { service, ms } => self.services[service].disk.fails_until = now + ms,
            Step::DiskSlow { service, ms } => self.services[service].disk.slow_until = now + ms,
            Step::LoadsFail { service, ms } => self.services[service].loads_fail_until = now + ms,
            Step::KillServer { down_ms, back } => {
                if let Some(server) = &mut self.server {
                    server.kill(net, back, DEAD_MS);
                    net.after(down_ms, Event::ServerReturns);
                }
            }
        }
    }

    /// Somebody writes, connected or not.
    fn write(&mut self, client: usize, edit: &Edit) {
        let client = &mut self.clients[client];
        if client.mood != Mood::Gone {
            client.edit(&mut self.net, edit);
        }
    }

    fn cut_link(&mut self, service: usize, late_ms: Millis) {
        if let Some(end) = self.services[service].link() {
            self.net.cut(end.connection, late_ms);
        }
    }

    /// All faults end.
    fn heal(&mut self) {
        self.net.note(|| "=== calm".into());
        self.start_server();
        for number in 0..self.services.len() {
            self.start_service(number);
            let service = &mut self.services[number];
            service.link_down_until = 0;
            service.loads_fail_until = 0;
            service.disk.fails_until = 0;
            service.disk.slow_until = 0;
        }
    }

    /// All who are alive are there, and somebody looks at each document everywhere.
    fn gather(&mut self) {
        self.net.note(|| "=== all come".into());
        for client in &mut self.clients {
            client.come_back(&mut self.net);
        }
        for service in 0..self.services.len() {
            for document in 0..self.documents.len() {
                let id = 4_000_000_000 + (8 * service + document) as u64;
                self.invite(Person { id, service, document, style: Style::Js, late: false });
            }
        }
    }

    /// What a service takes for proven, the server holds.
    fn verify_proofs(&mut self) {
        for service in &mut self.services {
            for (id, what) in service.proofs.drain(..) {
                let can_prove = |server: &&Server| server.is_persistent() && !server.rolled_back;
                let Some(server) = self.server.as_ref().filter(can_prove) else { continue };
                assert!(
                    server.holds(&id.to_encoded(), &what),
                    "{id}: taken for confirmed, but the server lacks some of it"
                );
            }
        }
    }
}

impl Traffic {
    fn count(&mut self, frame: &bytes::Bytes) {
        let body = link::decode(frame).map_or_else(|_| frame.clone(), |(_, body)| body);
        match wire::messages(&body).next() {
            Some(Ok(Message::SyncStep1(_))) => self.step_1s += 1,
            Some(Ok(Message::SyncStep2(update) | Message::Update { update, .. })) => {
                self.updates += usize::from(update != wire::EMPTY_UPDATE);
            }
            Some(Ok(Message::Awareness(_))) => self.awareness += 1,
            _ => {}
        }
    }
}
