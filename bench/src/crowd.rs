//! All clients, on one thread and one poll.

use std::collections::HashSet;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use crate::alarm::Alarm;
use crate::clock;
use crate::connection::{Address, Connection, Phase, Shared, Traffic};
use crate::ledger::{Ledger, Seat};

/// What is read from a socket at once.
const SCRATCH_BYTES: usize = 256 << 10;
const EVENTS_MAX: usize = 1024;
const ALARM: Token = Token(usize::MAX);
/// With more, the system looks ever longer for a free port.
const CLIENTS_PER_ADDRESS: usize = 5000;
/// Who lost its connection tries again after this.
const RETRY_NS: u64 = 100_000_000;
/// Patience, once something has gone wrong.
const FAULTY_NS: u64 = 2_000_000_000;
/// With retries ahead, nobody waits longer than this for an event.
const RETRY_LOOK: Duration = Duration::from_millis(10);

/// All clients of a run.
pub struct Crowd {
    /// All of them, by number.
    pub connections: Vec<Connection>,
    /// What they say, and hear.
    pub ledger: Ledger,
    /// What went over all of them.
    pub traffic: Traffic,
    /// Clients that lose their connection come back; otherwise that is a fault.
    pub comes_back: bool,
    poll: Poll,
    events: Events,
    alarm: Alarm,
    scratch: Vec<u8>,
    retries: Vec<(u64, usize)>,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(ledger: Ledger) -> io::Result<Self> {
        let poll = Poll::new()?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        Ok(Self {
            connections: Vec::new(),
            ledger,
            traffic: Traffic::default(),
            comes_back: false,
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            alarm,
            scratch: vec![0; SCRATCH_BYTES],
            retries: Vec::new(),
        })
    }

    /// Adds a client that is not connected yet. Returns its number.
    pub fn add(&mut self, address: Address, mut seat: Seat) -> usize {
        let number = self.connections.len();
        self.ledger.seat(number, &mut seat);
        self.connections.push(Connection::new(address, seat));
        number
    }

    /// Begins to connect a client.
    pub fn dial(&mut self, number: usize) -> io::Result<()> {
        let host = (number / CLIENTS_PER_ADDRESS) as u8;
        let from = Ipv4Addr::new(127, 0, 0, 1 + host);
        let stream = self.connections[number].dial(from, clock::now_ns())?;
        let interests = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(stream, Token(number), interests)
    }

    /// Connects clients, so many at a time, until each has its document. The first of each document
    /// come first: some servers go wrong if two open a document at the same moment.
    pub fn join(
        &mut self,
        numbers: &[usize],
        at_once: usize,
        patience: Duration,
    ) -> io::Result<()> {
        let mut opened = HashSet::new();
        let is_first = |number: &&usize| opened.insert(self.connections[**number].seat.document);
        let (first, others): (Vec<usize>, Vec<usize>) = numbers.iter().partition(is_first);
        let deadline = clock::now_ns() + clock::ns(patience);
        for numbers in [first, others] {
            self.join_group(&numbers, at_once, deadline)?;
        }
        Ok(())
    }

    fn join_group(&mut self, numbers: &[usize], at_once: usize, deadline: u64) -> io::Result<()> {
        // Of the numbers, those before `first` have joined, those before `next` have set out.
        let (mut first, mut next) = (0, 0);
        while first < numbers.len() {
            while first < next && self.connections[numbers[first]].phase == Phase::Joined {
                first += 1;
            }
            while next < numbers.len() && next - first < at_once {
                self.dial(numbers[next])?;
                next += 1;
            }
            if first < numbers.len() {
                self.turn(Some(Duration::from_millis(50)))?;
            }
            if clock::now_ns() > deadline {
                let joined = |number: &&usize| self.connections[**number].phase == Phase::Joined;
                let here = numbers.iter().filter(joined).count();
                self.ledger.fault(format!("{here} of {} joined in time", numbers.len()));
                break;
            }
        }
        Ok(())
    }

    /// The clients of one tier.
    pub fn of_tier(&self, tier: usize) -> Vec<usize> {
        let all = self.connections.iter().enumerate();
        let those = all.filter(|(_, connection)| connection.seat.tier == tier);
        those.map(|(number, _)| number).collect()
    }

    /// An author says the next messages of its script, which were due at this time.
    pub fn say(&mut self, author: usize, count: usize, at_ns: u64) -> io::Result<()> {
        for _ in 0..count {
            self.ledger.say(author, at_ns);
        }
        let author = &self.ledger.authors[author];
        let connection = &mut self.connections[author.connection];
        if !connection.is_open() {
            return Ok(());
        }
        let frames = author.script.frames(author.said - count, author.said);
        let number = author.connection;
        let written = connection.write(frames, &mut self.traffic);
        self.settle(number, written);
        Ok(())
    }

    /// Waits for events, and works through them.
    pub fn turn(&mut self, wait: Option<Duration>) -> io::Result<()> {
        let wait = if self.retries.is_empty() {
            wait
        } else {
            Some(wait.map_or(RETRY_LOOK, |wait| wait.min(RETRY_LOOK)))
        };
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            if event.token() == ALARM {
                self.alarm.silence();
            } else {
                self.carry_out(event);
            }
        }
        self.events = events;
        self.retry()
    }

    /// Waits for events until this time, to the microsecond.
    pub fn turn_until(&mut self, at_ns: u64) -> io::Result<()> {
        let Some(left) = at_ns.checked_sub(clock::now_ns()).filter(|left| *left > 0) else {
            return self.turn(Some(Duration::ZERO));
        };
        self.alarm.set(Duration::from_nanos(left))?;
        self.turn(None)
    }

    /// Turns until `is_reached`; false after `patience`. Once something has gone wrong there is less
    /// of it: what is missing then mostly never comes.
    pub fn until(
        &mut self,
        patience: Duration,
        mut is_reached: impl FnMut(&Self) -> bool,
    ) -> io::Result<bool> {
        let mut deadline = clock::now_ns() + clock::ns(patience);
        let mut is_faulty = false;
        while !is_reached(self) {
            if self.ledger.has_faults() && !is_faulty {
                is_faulty = true;
                deadline = deadline.min(clock::now_ns() + FAULTY_NS);
            }
            if clock::now_ns() > deadline {
                return Ok(false);
            }
            self.turn(Some(Duration::from_millis(20)))?;
        }
        Ok(true)
    }

    /// Lets things happen for so long.
    pub fn rest(&mut self, span: Duration) -> io::Result<()> {
        self.until(span, |_| false).map(drop)
    }

    fn carry_out(&mut self, event: &Event) {
        let Token(number) = event.token();
        let mut shared = Shared {
            ledger: &mut self.ledger,
            traffic: &mut self.traffic,
            now_ns: clock::now_ns(),
        };
        let connection = &mut self.connections[number];
        let mut done = Ok(());
        if event.is_writable() {
            done = connection.writable(&mut shared);
        }
        if done.is_ok() && (event.is_readable() || event.is_read_closed()) {
            let ends = event.is_read_closed();
            done = connection.readable(&mut self.scratch, ends, &mut shared);
        }
        self.settle(number, done);
    }

    /// A connection that failed is at its end.
    fn settle(&mut self, number: usize, done: io::Result<()>) {
        let Err(error) = done else { return };
        let connection = &mut self.connections[number];
        connection.hang_up();
        if self.comes_back {
            self.retries.push((clock::now_ns() + RETRY_NS, number));
        } else {
            let path = &connection.address.path;
            self.ledger.fault(format!("{path}: connection lost: {error}"));
        }
    }

    fn retry(&mut self) -> io::Result<()> {
        if self.retries.is_empty() {
            return Ok(());
        }
        let now = clock::now_ns();
        let due: Vec<usize> =
            self.retries.extract_if(.., |retry| retry.0 <= now).map(|retry| retry.1).collect();
        due.into_iter().try_for_each(|number| self.dial(number))
    }
}
