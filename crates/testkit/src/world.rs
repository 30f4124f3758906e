//! Everything that takes part in a run, and the loop that lets it happen.

use bytes::Bytes;
use yrelay_core::event::Dialect;
use yrelay_core::id::DocumentId;
use yrelay_core::upstream::Failure;
use yrelay_core::{Millis, hocuspocus, link};

use crate::client::{self, Client, Mood, Style};
use crate::link::Which;
use crate::network::{End, Event, Network, Packet, Party};
use crate::script::{Person, Script, Strikes};
use crate::server::{Mode, Server};
use crate::service::{self, Service};
use crate::traffic::Traffic;

pub(crate) struct World<'a> {
    pub(crate) net: Network,
    pub(crate) script: &'a Script,
    pub(crate) documents: Vec<DocumentId>,
    pub(crate) clients: Vec<Client>,
    pub(crate) services: Vec<Service>,
    pub(crate) server: Option<Server>,
    pub(crate) traffic: Traffic,
    /// What it was until all had come to rest.
    pub(crate) busy: Traffic,
    pub(crate) edits: u64,
    /// Packets that arrived over links.
    pub(crate) link_packets: u64,
    /// As many had when all faults ended.
    pub(crate) calm_packets: u64,
    pub(crate) events: u64,
}

/// Long enough for backoff, expiry of awareness, proofs, and one minute of silence.
const REST_MS: Millis = 180_000;
const SILENCE_MS: Millis = 60_000;
/// More than any run takes: beyond, messages breed messages.
const EVENTS_MAX: u64 = 400_000;
/// And one more for so much time.
const EVENT_MS: Millis = 20;
/// Longer than any server or document is left alone.
const CONNECTED_MS: Millis = 3_600_000;

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
            server: script.server.filter(|mode| !mode.is_relay()).map(Server::new),
            traffic: Traffic::default(),
            busy: Traffic::default(),
            edits: 0,
            link_packets: 0,
            calm_packets: 0,
            events: 0,
        };
        world.net.latency_ms_max = script.latency_ms_max;
        for number in 0..script.services {
            let parent = parent(script, number);
            let mut service = Service::new(number, script.server, parent);
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
        while let Some(end) = self.last_waking() {
            self.run_until(end);
        }
        self.heal();
        self.calm_packets = self.link_packets;
        self.see_each_other();
        self.run_until(self.net.now + REST_MS - self.seen_ms());
        self.assert_handed_up();
        self.gather();
        self.see_each_other();
        self.run_until(self.net.now + REST_MS - SILENCE_MS);
        self.busy = std::mem::take(&mut self.traffic);
        self.run_until(self.net.now + SILENCE_MS);
        self.assert_at_rest(SILENCE_MS);
    }

    /// All are connected again, all documents at the server, too, and a little later all see each
    /// other.
    fn see_each_other(&mut self) {
        let latest = self.net.now + CONNECTED_MS;
        loop {
            while self.services.iter().any(Service::is_parked) || !self.is_connected() {
                assert!(self.net.now < latest, "somebody is kept out for ever");
                self.run_until(self.net.now + 1_000);
            }
            self.run_until(self.net.now.max(self.net.late_until) + self.seen_ms());
            // What was refused as the faults ended is on its way to be parked.
            if !self.services.iter().any(Service::is_parked) {
                break;
            }
        }
        self.assert_all_are_seen();
    }

    /// Whether everybody is connected who wants to be.
    fn is_connected(&mut self) -> bool {
        let links = self.services.iter().filter(|service| service.server.is_some());
        let clients = self.clients.iter().filter(|client| client.mood == Mood::Here);
        let links = links.flat_map(Service::ways_up);
        let ends: Vec<Option<End>> = links.chain(clients.map(|client| client.end)).collect();
        ends.into_iter().all(|end| end.is_some_and(|end| !self.net.is_over(end)))
    }

    pub(crate) fn run_until(&mut self, end: Millis) {
        while let Some(event) = self.net.next(end) {
            self.events += 1;
            assert!(self.events < EVENTS_MAX + self.net.now / EVENT_MS, "messages breed messages");
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        if let Some(until) = self.sleeps_until(&event) {
            self.net.at(until, event);
            return;
        }
        // (What arrives takes nobody away, unless it is trapped.)
        let arrives = matches!(event, Event::Packet(_) | Event::Room(_));
        match event {
            Event::Packet(end) => self.packet(end),
            Event::Room(end) => {
                if let Party::Service(service) = self.net.party(end) {
                    self.services[service].room(&mut self.net, end);
                }
            }
            Event::Client(client, client::Timer::Connect) => self.connect_client(client),
            Event::Client(client, client::Timer::Check) => self.check_client(client),
            Event::Service(service, life, timer) => self.service_timer(service, life, timer),
            Event::Server(timer) => self.server_timer(timer),
            Event::ServiceReturns(service) => self.start_service(service),
            Event::ServerReturns => self.start_server(),
            Event::Wakes(service) => self.wake(service),
            Event::LoginChanges(service) => self.change_login(service),
            Event::Speeds(connection) => self.net.slow(connection, None),
            Event::Step(index) => {
                let (_, step) = &self.script.steps[index];
                self.net.note(|| format!("=== {step:?}"));
                self.step(step);
            }
        }
        if !arrives || self.script.trap.is_some() {
            self.note_absences();
        }
        self.watch();
    }

    fn service_timer(&mut self, number: usize, life: u32, timer: service::Timer) {
        let service = &mut self.services[number];
        if service.life != life {
            return;
        }
        self.traffic.ticks += usize::from(matches!(timer, service::Timer::Document(_)));
        match timer {
            service::Timer::Connect(attempt) => self.connect_link(number, attempt),
            timer => service.timer(&mut self.net, timer),
        }
    }

    fn check_client(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let woke_at = self.services[client.service].sleep.woke_at;
        client.check(&mut self.net, woke_at);
        self.assert_no_ghosts(&self.clients[number]);
    }

    /// Something may have arrived. Where that is the trapped packet of a link, the fault strikes.
    fn packet(&mut self, end: End) {
        let packet = self.net.peek(end);
        match (&packet, self.net.party(end)) {
            (Some(Packet::Frame(frame)), Party::Server) => {
                self.traffic.count_up(frame, &self.body(end, frame));
            }
            (Some(Packet::Frame(frame)), _) => self.traffic.count(frame, &self.body(end, frame)),
            _ => {}
        }
        let Some(link) = self.link_of(end).filter(|_| packet.is_some()) else {
            return self.deliver(end);
        };
        let number = self.link_packets;
        self.link_packets += 1;
        let trap = self.script.trap.filter(|trap| trap.packet == number);
        if let Some(trap) = trap.filter(|trap| trap.strikes == Strikes::Before) {
            self.inflict(link, trap.fault);
        }
        // (Whoever fell asleep takes it later.)
        match self.sleeps_until(&Event::Packet(end)) {
            Some(until) => self.net.at(until, Event::Packet(end)),
            None => self.deliver(end),
        }
        if let Some(trap) = trap.filter(|trap| trap.strikes == Strikes::After) {
            self.inflict(link, trap.fault);
        }
    }

    /// What a frame says, without the name of the document.
    fn body(&self, end: End, frame: &Bytes) -> Bytes {
        let is_hocuspocus =
            self.script.server.is_some_and(|it| it.dialect() == Dialect::Hocuspocus)
                && self.net.is_between(end, Party::Server);
        match is_hocuspocus {
            true => hocuspocus::split(frame).map_or_else(|_| frame.clone(), |parts| parts.message),
            false => link::decode(frame).map_or_else(|_| frame.clone(), |(_, body)| body),
        }
    }

    /// The service whose link this is an end of.
    fn link_of(&self, end: End) -> Option<usize> {
        match (self.net.party(end), self.net.party(end.other())) {
            (Party::Service(service), Party::Server) | (Party::Server, Party::Service(service)) => {
                Some(service)
            }
            (Party::Service(one), Party::Service(other)) => {
                let is_child = |number: &usize| {
                    let ends = self.services[*number].ends_up();
                    ends.iter().any(|link| link.connection == end.connection)
                };
                [one, other].into_iter().find(is_child)
            }
            _ => None,
        }
    }

    fn deliver(&mut self, end: End) {
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

    fn connect_link(&mut self, number: usize, attempt: u64) {
        let service = &mut self.services[number];
        let Some(which) = service.awaits(attempt) else { return };
        let now = self.net.now;
        let refusal = service.refusal.filter(|refusal| now < refusal.until);
        if let Some(parent) = service.parent {
            let dialect = service.dialect();
            let is_up = self.services[parent].memory.is_some();
            let end = match refusal {
                Some(refusal) => Err(refusal.failure),
                None if !is_up => Err(Failure::Unreachable),
                None => {
                    let [near, far] =
                        self.net.open([Party::Service(number), Party::Service(parent)]);
                    self.services[parent].link_from_below(far, dialect);
                    Ok(near)
                }
            };
            self.services[number].connected(&mut self.net, end);
            return;
        }
        let name = match &which {
            Which::Shared => None,
            Which::Line(id) => Some(id.to_encoded()),
        };
        let server = self.server.as_mut().filter(|server| server.up);
        let end = match (refusal, server) {
            (Some(refusal), _) => Err(refusal.failure),
            (None, None) => Err(Failure::Unreachable),
            (None, Some(server)) if name.as_ref().is_some_and(|it| server.denies(now, it)) => {
                Err(Failure::Refused)
            }
            (None, Some(server)) => {
                let [near, far] = self.net.open([Party::Service(number), Party::Server]);
                server.joined(&mut self.net, far, name);
                Ok(near)
            }
        };
        match which {
            Which::Shared => service.connected(&mut self.net, end),
            Which::Line(id) => service.line_connected(&mut self.net, id, end),
        }
    }

    pub(crate) fn start_service(&mut self, number: usize) {
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

    /// All faults end.
    fn heal(&mut self) {
        self.net.note(|| "=== calm".into());
        self.start_server();
        self.net.heal();
        if let Some(server) = &mut self.server {
            server.denied.clear();
        }
        for number in 0..self.services.len() {
            self.start_service(number);
            let service = &mut self.services[number];
            service.refusal = None;
            service.loads_fail_until = 0;
            service.disk.fails_until = 0;
            service.disk.lies_until = 0;
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
}

/// Which service stands above this one: in ELVA's dialect the first, as only servers take links;
/// in ours a chain, a star or something between, and now and then they stand in a ring.
fn parent(script: &Script, number: usize) -> Option<usize> {
    let Some(Mode::Relay(dialect)) = script.server else { return None };
    let anybody = script.seed as usize + number / 2;
    match (number, dialect) {
        (0, Dialect::Own) if script.is_ring() => Some(script.services - 1),
        (0, _) => None,
        (_, dialect) if dialect != Dialect::Own => Some(0),
        (_, Dialect::Own) if script.is_ring() => Some(number - 1),
        _ => Some(anybody % number),
    }
}
