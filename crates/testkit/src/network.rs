//! Virtual time and the connections in it: every delay is drawn from the seed.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use yrelay_core::Millis;
use yrelay_core::backoff::Random;

use crate::{client, server, service};

/// What is due at some time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A packet may have arrived.
    Packet(End),
    /// The queue towards the other end may have room.
    Room(End),
    /// A client's timer.
    Client(usize, client::Timer),
    /// A timer of a service in its so many-th life.
    Service(usize, u32, service::Timer),
    /// The server does something.
    Server(server::Timer),
    /// A service, or the server, is started again.
    ServiceReturns(usize),
    ServerReturns,
    /// A machine that slept goes on.
    Wakes(usize),
    /// A service has been given another login, with which the server lets it in.
    LoginChanges(usize),
    /// A link's slow time is over.
    Speeds(usize),
    /// The next step of the script.
    Step(usize),
}

/// Who holds an end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    Client(usize),
    Service(usize),
    Server,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct End {
    pub(crate) connection: usize,
    side: usize,
}

impl End {
    pub(crate) fn other(self) -> Self {
        Self { side: 1 - self.side, ..self }
    }
}

/// What arrives.
#[derive(Debug, Clone)]
pub(crate) enum Packet {
    Frame(Bytes),
    /// A frame that no sound server sends.
    Garbage(Bytes),
    /// The connection is over, with a close code if the other side said so.
    Closed(Option<u16>),
}

#[derive(Debug)]
struct Flight {
    /// Until then it waits in the sender's queue.
    leaves_at: Millis,
    arrives_at: Millis,
    packet: Packet,
}

/// What is on its way to one end.
#[derive(Debug, Default)]
struct Lane {
    flights: VecDeque<Flight>,
    leaves_at: Millis,
    arrives_at: Millis,
    /// Nothing more can be sent.
    over: bool,
}

#[derive(Debug)]
struct Connection {
    parties: [Party; 2],
    /// Towards each side.
    lanes: [Lane; 2],
    latency_ms_max: Millis,
    write_ms_max: Millis,
    /// What every message takes besides, and to leave.
    slow_ms: Option<Millis>,
    cut: bool,
}

/// How late either side notices a connection that broke without a word.
pub(crate) const DEAD_MS: Millis = 35_000;
/// What is longer on its way than this is late.
const LATE_MS: Millis = 4_000;

pub(crate) struct Network {
    pub(crate) now: Millis,
    pub(crate) random: Random,
    due: BTreeMap<(Millis, u64), Event>,
    order: u64,
    connections: Vec<Connection>,
    /// When the last of what is late has arrived.
    pub(crate) late_until: Millis,
    /// All connections are as quick as this, if it is given.
    pub(crate) latency_ms_max: Option<Millis>,
    /// The latest happenings, kept only when a failure is looked into.
    trace: Option<VecDeque<String>>,
}

const TRACE_LINES: usize = 400;

impl Network {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        Self {
            now: 0,
            random: Random::new(seed),
            due: BTreeMap::new(),
            order: 0,
            connections: Vec::new(),
            late_until: 0,
            latency_ms_max: None,
            trace: traced.then(VecDeque::new),
        }
    }

    pub(crate) fn at(&mut self, at: Millis, event: Event) {
        self.order += 1;
        self.due.insert((at.max(self.now), self.order), event);
    }

    pub(crate) fn after(&mut self, ms: Millis, event: Event) {
        self.at(self.now + ms, event);
    }

    /// The next event up to `end`; the time moves on to it.
    pub(crate) fn next(&mut self, end: Millis) -> Option<Event> {
        let next = self.due.first_entry().filter(|next| next.key().0 <= end);
        match next {
            Some(next) => {
                let ((at, _), event) = next.remove_entry();
                self.now = at;
                Some(event)
            }
            None => {
                self.now = end;
                None
            }
        }
    }

    /// Whatever of this was planned happens so much later.
    pub(crate) fn postpone(&mut self, ms: Millis, which: impl Fn(&Event) -> bool) {
        for ((at, order), event) in std::mem::take(&mut self.due) {
            let at = if which(&event) { at + ms } else { at };
            self.due.insert((at, order), event);
        }
    }

    /// Connects two parties; the first one opened it.
    pub(crate) fn open(&mut self, parties: [Party; 2]) -> [End; 2] {
        let connection = self.connections.len();
        let drawn = [2, 30, 200, 1_500][self.random.upto(3) as usize];
        let latency_ms_max = self.latency_ms_max.unwrap_or(drawn);
        let write_ms_max = self.random.upto(4);
        let lanes = [Lane::default(), Lane::default()];
        self.connections.push(Connection {
            parties,
            lanes,
            latency_ms_max,
            write_ms_max,
            slow_ms: None,
            cut: false,
        });
        self.note(|| format!("connection {connection} between {parties:?}"));
        [End { connection, side: 0 }, End { connection, side: 1 }]
    }

    pub(crate) fn party(&self, end: End) -> Party {
        self.connections[end.connection].parties[end.side]
    }

    /// Whether the connection of this end leads to that party.
    pub(crate) fn is_between(&self, end: End, party: Party) -> bool {
        self.party(end) == party || self.party(end.other()) == party
    }

    pub(crate) fn send(&mut self, from: End, frame: Bytes) {
        self.launch(from.other(), Packet::Frame(frame));
    }

    /// Sends what is no sound frame.
    pub(crate) fn litter(&mut self, from: End, frame: Bytes) {
        self.launch(from.other(), Packet::Garbage(frame));
    }

    /// Closes in good order: what was sent arrives before.
    pub(crate) fn close(&mut self, from: End, code: Option<u16>) {
        self.launch(from.other(), Packet::Closed(code));
        self.abandon(from);
        self.lane(from.other()).over = true;
    }

    /// Closes from this side; its own reader is told when that is through.
    pub(crate) fn hang_up(&mut self, from: End, code: u16) {
        self.launch(from.other(), Packet::Closed(Some(code)));
        self.lane(from.other()).over = true;
        let arrives_at = self.now + self.random.upto(100);
        let lane = self.lane(from);
        lane.over = true;
        lane.flights.clear();
        let packet = Packet::Closed(None);
        lane.flights.push_back(Flight { leaves_at: arrives_at, arrives_at, packet });
        self.at(arrives_at, Event::Packet(from));
    }

    /// Forgets what has not left this end yet.
    pub(crate) fn drop_queue(&mut self, from: End) {
        let now = self.now;
        let lane = self.lane(from.other());
        lane.flights.retain(|flight| flight.leaves_at <= now);
        lane.leaves_at = now;
        lane.arrives_at = lane.flights.back().map_or(now, |last| last.arrives_at);
    }

    /// Whoever holds this end takes nothing more from it.
    pub(crate) fn abandon(&mut self, end: End) {
        let lane = self.lane(end);
        lane.flights.clear();
        lane.over = true;
    }

    fn lane(&mut self, to: End) -> &mut Lane {
        &mut self.connections[to.connection].lanes[to.side]
    }

    fn launch(&mut self, to: End, packet: Packet) {
        let now = self.now;
        let connection = &mut self.connections[to.connection];
        let lane = &mut connection.lanes[to.side];
        if lane.over || connection.cut {
            return;
        }
        let slow_ms = connection.slow_ms.map_or(0, |ms| ms / 15 + self.random.upto(ms));
        let write_ms = slow_ms + self.random.upto(connection.write_ms_max);
        lane.leaves_at = lane.leaves_at.max(now) + write_ms;
        let latency_ms = slow_ms + 1 + self.random.upto(connection.latency_ms_max);
        lane.arrives_at = lane.arrives_at.max(lane.leaves_at + latency_ms);
        if lane.arrives_at > now + LATE_MS {
            self.late_until = self.late_until.max(lane.arrives_at);
        }
        let flight = Flight { leaves_at: lane.leaves_at, arrives_at: lane.arrives_at, packet };
        let at = lane.arrives_at;
        lane.flights.push_back(flight);
        self.at(at, Event::Packet(to));
    }

    /// Breaks a connection: of what is in flight some arrives, what is sent from now on does not,
    /// and either side notices within `late_ms`.
    pub(crate) fn cut(&mut self, connection: usize, late_ms: Millis) {
        let noticed = [0, 0].map(|_| self.random.upto(late_ms));
        self.sever(connection, noticed);
    }

    /// See [`Network::cut`]; each side notices after its own time.
    pub(crate) fn sever(&mut self, connection: usize, noticed_ms: [Millis; 2]) {
        if std::mem::replace(&mut self.connections[connection].cut, true) {
            return;
        }
        self.note(|| format!("connection {connection} is cut"));
        for (side, noticed_ms) in noticed_ms.into_iter().enumerate() {
            let to = End { connection, side };
            let noticed_at = self.now + noticed_ms;
            let in_flight = self.lane(to).flights.len() as u64;
            let keep = self.random.upto(in_flight) as usize;
            let lane = self.lane(to);
            let closes = |flight: &Flight| matches!(flight.packet, Packet::Closed(_));
            lane.flights.truncate(keep);
            if lane.flights.back().is_some_and(closes) {
                continue;
            }
            let arrives_at = lane.flights.back().map_or(0, |last| last.arrives_at).max(noticed_at);
            let packet = Packet::Closed(None);
            lane.flights.push_back(Flight { leaves_at: arrives_at, arrives_at, packet });
            self.at(arrives_at, Event::Packet(to));
        }
    }

    /// The first frame on its way to this end never arrives.
    pub(crate) fn lose(&mut self, to: End) {
        let flights = &mut self.lane(to).flights;
        let is_frame = |flight: &Flight| matches!(flight.packet, Packet::Frame(_));
        if let Some(at) = flights.iter().position(is_frame) {
            flights.remove(at);
            self.note(|| format!("a frame to {to:?} is lost"));
        }
    }

    /// The other side reads nothing until then.
    pub(crate) fn stall(&mut self, from: End, until: Millis) {
        let to = from.other();
        self.late_until = self.late_until.max(until);
        let lane = self.lane(to);
        lane.leaves_at = lane.leaves_at.max(until);
        lane.arrives_at = lane.arrives_at.max(until);
        for flight in &mut lane.flights {
            flight.leaves_at = flight.leaves_at.max(until);
            flight.arrives_at = flight.arrives_at.max(until);
        }
        for _ in 0..lane.flights.len() {
            self.at(until, Event::Packet(to));
        }
    }

    /// From now on every message takes up to so long to leave, and again to arrive.
    pub(crate) fn slow(&mut self, connection: usize, ms: Option<Millis>) {
        self.connections[connection].slow_ms = ms;
    }

    /// All connections are as quick as they were.
    pub(crate) fn heal(&mut self) {
        for connection in &mut self.connections {
            connection.slow_ms = None;
        }
    }

    /// Takes what has arrived.
    pub(crate) fn take(&mut self, end: End) -> Option<Packet> {
        let now = self.now;
        let lane = self.lane(end);
        let flight = lane.flights.pop_front_if(|flight| flight.arrives_at <= now)?;
        if let Packet::Closed(_) = flight.packet {
            lane.over = true;
            self.lane(end.other()).over = true;
        }
        Some(flight.packet)
    }

    /// The frame that would be taken.
    pub(crate) fn peek(&mut self, end: End) -> Option<Packet> {
        let now = self.now;
        let first = self.lane(end).flights.front().filter(|flight| flight.arrives_at <= now);
        first.map(|flight| flight.packet.clone())
    }

    /// How many messages wait in this end's queue to the other.
    pub(crate) fn waiting(&mut self, from: End) -> usize {
        let now = self.now;
        self.lane(from.other()).flights.iter().filter(|flight| flight.leaves_at > now).count()
    }

    /// Whether something is on its way to this end.
    pub(crate) fn is_busy(&self, end: End) -> bool {
        !self.connections[end.connection].lanes[end.side].flights.is_empty()
    }

    /// Whether what this end sends leads nowhere.
    pub(crate) fn is_over(&mut self, end: End) -> bool {
        self.connections[end.connection].cut || self.lane(end.other()).over
    }

    /// Whether the silence of a connection has its reason.
    pub(crate) fn is_troubled(&self, end: End) -> bool {
        let connection = &self.connections[end.connection];
        let lane = &connection.lanes[end.side];
        connection.cut || lane.over || lane.arrives_at > self.now
    }

    /// When fewer than `count` messages wait.
    pub(crate) fn room_at(&mut self, from: End, count: usize) -> Millis {
        let now = self.now;
        let flights = &self.lane(from.other()).flights;
        let nth = flights.len().checked_sub(count).and_then(|at| flights.get(at));
        nth.map_or(now, |flight| flight.leaves_at.max(now))
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            if trace.len() == TRACE_LINES {
                trace.pop_front();
            }
            trace.push_back(format!("{now:>7} {}", line()));
        }
    }

    pub(crate) fn trace(&self) -> Vec<String> {
        self.trace.iter().flatten().cloned().collect()
    }
}
