//! What is measured: plain data. How each load is brought about stands below [`crate::stage`].

use std::time::Duration;

/// Something that is measured.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// What it is called on the command line; `--scenario fan-out` takes all that begin so.
    pub name: &'static str,
    /// What happens, for the head of its table.
    pub about: &'static str,
    /// Who is there.
    pub layout: Layout,
    /// What they do.
    pub load: Load,
    /// The figures that its table shows.
    pub reports: &'static [&'static str],
}

/// Who is there.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// How many documents.
    pub documents: usize,
    /// Clients of each, at the server; with two tiers, at the relay.
    pub clients: usize,
    /// Clients of each at the server above the relay: with any there are two tiers.
    pub far: usize,
    /// How many of the clients of each document write.
    pub writers: usize,
}

/// What they do.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// Everybody who writes says something.
    Talk(Message, Pace),
    /// They come, and stay.
    Come,
    /// One writes a large document; others come for it, before and after a `kill -9`.
    Join {
        /// Updates of ten edits.
        updates: usize,
        /// Clients that come one after the other.
        joins: usize,
    },
    /// They write while the server is away; then it is there.
    Reconnect {
        /// Edits to each document.
        edits: usize,
    },
    /// They write while something fails.
    Outage {
        /// What fails.
        what: Cut,
        /// Updates a second, over all documents.
        rate: u32,
        /// For how long.
        away: Duration,
    },
    /// They are there, and nothing happens.
    Rest,
    /// Nobody is there: a server is started.
    Start,
}

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// So many characters at the end of a text.
    Text(usize),
    /// Where a cursor is.
    Presence,
}

/// When it is said.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// The next update goes out once all others have the one so many before.
    Window(usize),
    /// So many a second over all writers, whatever becomes of those before.
    Rate(u32),
}

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The way from the relay to the server.
    Link,
    /// The relay, by `kill -9`.
    Relay,
    /// Relay and server, by `kill -9`.
    Both,
}

/// Names of figures, with their units. Where less is better a ratio is shown.
pub mod figure {
    #![expect(missing_docs, reason = "they say what they are")]

    pub const CPU: &str = "CPU per delivery, µs";
    pub const SERVER_CPU: &str = "CPU of the server, µs";
    pub const RATE: &str = "deliveries/s";
    pub const P50: &str = "p50, µs";
    pub const P99: &str = "p99, µs";
    pub const P50_MS: &str = "p50, ms";
    pub const MAX: &str = "most, µs";
    pub const FAR_P50: &str = "far p50, µs";
    pub const FAR_P99: &str = "far p99, µs";
    pub const PROMPT: &str = "within 50 ms, %";
    pub const ECHO_P50: &str = "acknowledged p50, µs";
    pub const ECHO_P99: &str = "acknowledged p99, µs";
    pub const PEAK: &str = "peak memory, MiB";
    pub const SWITCHES: &str = "switches per delivery";
    pub const CLIENTS_CPU: &str = "CPU of the clients, % of a core";
    pub const BYTES: &str = "bytes per delivery";
    pub const SUPERSEDED: &str = "superseded, %";
    pub const CONNECTIONS: &str = "connections";
    pub const CONNECT_RATE: &str = "connections/s";
    pub const CONNECT_CPU: &str = "CPU per connection, µs";
    pub const CONNECT_P99: &str = "connected p99, µs";
    pub const CONNECT_KIB: &str = "memory per connection, KiB";
    pub const IDLE_CPU: &str = "idle CPU, % of a core";
    pub const WAKE_UPS: &str = "wake-ups/s";
    pub const PUSH: &str = "taken in, s";
    pub const WARM: &str = "warm join p50, ms";
    pub const WARM_CPU: &str = "CPU per warm join, ms";
    pub const WARM_BYTES: &str = "bytes of a join, KiB";
    pub const COLD: &str = "cold join, ms";
    pub const COLD_START: &str = "start, ms";
    pub const MISSING: &str = "edits missing";
    pub const DOCUMENT: &str = "memory of the document, MiB";
    pub const YRS_DOCUMENT: &str = "memory of yrs' document, MiB";
    pub const CAUGHT_UP: &str = "caught up after, s";
    pub const CONFIRMED: &str = "confirmed after, s";
    pub const WIRE: &str = "bytes over net difference";
    pub const START: &str = "start, ms";
    pub const RSS: &str = "idle memory, MiB";
    pub const BINARY: &str = "binary, MB";
}

use figure as f;

const FAN_OUT: Layout = Layout { documents: 50, clients: 10, far: 0, writers: 1 };
const ROOMS: Layout = Layout { documents: 10, clients: 20, far: 0, writers: 20 };
const TIERS: Layout = Layout { documents: 50, clients: 5, far: 5, writers: 1 };
const QUIET: Layout = Layout { documents: 50, clients: 10, far: 0, writers: 0 };

const fn crowd(documents: usize) -> Layout {
    Layout { documents, clients: 10, far: 0, writers: 0 }
}

const CLOSED: &[&str] = &[f::CPU, f::RATE, f::P50, f::P99, f::ECHO_P50, f::PEAK, f::SWITCHES];
const OPEN: &[&str] =
    &[f::CPU, f::P50, f::P99, f::PROMPT, f::ECHO_P50, f::ECHO_P99, f::PEAK, f::SWITCHES];
const PRESENT: &[&str] = &[f::CPU, f::P50, f::P99, f::SUPERSEDED, f::PEAK, f::SWITCHES];
const CHAIN: &[&str] =
    &[f::CPU, f::SERVER_CPU, f::RATE, f::P50, f::P99, f::FAR_P50, f::FAR_P99, f::ECHO_P50];
const COMING: &[&str] =
    &[f::CONNECTIONS, f::CONNECT_RATE, f::CONNECT_CPU, f::CONNECT_KIB, f::CONNECT_P99, f::IDLE_CPU];
const JOINING: &[&str] = &[
    f::PUSH,
    f::WARM,
    f::WARM_CPU,
    f::WARM_BYTES,
    f::DOCUMENT,
    f::YRS_DOCUMENT,
    f::COLD,
    f::COLD_START,
    f::MISSING,
];
const RECONNECT: &[&str] = &[f::CAUGHT_UP, f::CONFIRMED, f::WIRE, f::CPU, f::MISSING];
const OUTAGE: &[&str] = &[f::MISSING, f::CAUGHT_UP];

const AWAY: Duration = Duration::from_secs(3);

/// All there are.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "fan-out-w1",
        about: "50 documents × 10 clients, one of them types; window 1",
        layout: FAN_OUT,
        load: Load::Talk(Message::Text(1), Pace::Window(1)),
        reports: CLOSED,
    },
    Scenario {
        name: "fan-out-w16",
        about: "50 documents × 10 clients, one of them types; window 16",
        layout: FAN_OUT,
        load: Load::Talk(Message::Text(1), Pace::Window(16)),
        reports: CLOSED,
    },
    Scenario {
        name: "fan-out-500",
        about: "50 documents × 10 clients, one of them types; 500 updates/s in all",
        layout: FAN_OUT,
        load: Load::Talk(Message::Text(1), Pace::Rate(500)),
        reports: OPEN,
    },
    Scenario {
        name: "fan-out-1k",
        about: "50 documents × 10 clients, one of them inserts 1 KiB each time; window 1",
        layout: FAN_OUT,
        load: Load::Talk(Message::Text(1 << 10), Pace::Window(1)),
        reports: CLOSED,
    },
    Scenario {
        name: "fan-out-64k",
        about: "50 documents × 10 clients, one of them inserts 64 KiB each time; 100 updates/s in all",
        layout: FAN_OUT,
        load: Load::Talk(Message::Text(64 << 10), Pace::Rate(100)),
        reports: OPEN,
    },
    Scenario {
        name: "presence",
        about: "10 documents × 20 clients, each moves its cursor 5 times a second",
        layout: ROOMS,
        load: Load::Talk(Message::Presence, Pace::Rate(1000)),
        reports: PRESENT,
    },
    Scenario {
        name: "connections-1000",
        about: "1,000 clients come, 10 to a document, 64 at a time, and stay",
        layout: crowd(100),
        load: Load::Come,
        reports: COMING,
    },
    Scenario {
        name: "connections-5000",
        about: "5,000 clients come, 10 to a document, 64 at a time, and stay",
        layout: crowd(500),
        load: Load::Come,
        reports: COMING,
    },
    Scenario {
        name: "connections-20000",
        about: "20,000 clients come (or as many as files may be open), 10 to a document, 64 at a time, and stay",
        layout: crowd(2000),
        load: Load::Come,
        reports: COMING,
    },
    Scenario {
        name: "join",
        about: "a document of 100,000 edits, pushed as 10,000 updates; 20 clients come one after the other; \
                pushed again elsewhere, kill -9 after 1 s, restart, one client comes",
        layout: Layout { documents: 1, clients: 2, far: 0, writers: 1 },
        load: Load::Join { updates: 10_000, joins: 20 },
        reports: JOINING,
    },
    Scenario {
        name: "two-tiers-300",
        about: "50 documents × 5 clients at the relay, one of them types, and 5 at the server; 300 updates/s \
                in all; CPU is the relay's",
        layout: TIERS,
        load: Load::Talk(Message::Text(1), Pace::Rate(300)),
        reports: CHAIN,
    },
    Scenario {
        name: "two-tiers-w1",
        about: "50 documents × 5 clients at the relay, one of them types, and 5 at the server; window 1; \
                CPU is the relay's",
        layout: TIERS,
        load: Load::Talk(Message::Text(1), Pace::Window(1)),
        reports: CHAIN,
    },
    Scenario {
        name: "reconnect",
        about: "1,000 documents get 10 edits each at a relay whose server is away; then it is there; CPU is \
                the relay's",
        layout: Layout { documents: 1000, clients: 1, far: 1, writers: 1 },
        load: Load::Reconnect { edits: 10 },
        reports: RECONNECT,
    },
    Scenario {
        name: "outage-link",
        about: "15 documents × 2 clients at the relay, one of them types, and 1 at the server; 150 updates/s \
                in all; the link is cut for 3 s",
        layout: Layout { documents: 15, clients: 2, far: 1, writers: 1 },
        load: Load::Outage { what: Cut::Link, rate: 150, away: AWAY },
        reports: OUTAGE,
    },
    Scenario {
        name: "outage-relay",
        about: "the same; kill -9 of the relay, which is away for 3 s",
        layout: Layout { documents: 15, clients: 2, far: 1, writers: 1 },
        load: Load::Outage { what: Cut::Relay, rate: 150, away: AWAY },
        reports: OUTAGE,
    },
    Scenario {
        name: "outage-both",
        about: "the same; kill -9 of relay and server, which are away for 3 s",
        layout: Layout { documents: 15, clients: 2, far: 1, writers: 1 },
        load: Load::Outage { what: Cut::Both, rate: 150, away: AWAY },
        reports: OUTAGE,
    },
    Scenario {
        name: "idle",
        about: "50 documents × 10 clients that do nothing",
        layout: QUIET,
        load: Load::Rest,
        reports: &[f::IDLE_CPU, f::WAKE_UPS, f::RSS],
    },
    Scenario {
        name: "start",
        about: "from exec until it listens; memory 1 s later",
        layout: Layout { documents: 0, clients: 0, far: 0, writers: 0 },
        load: Load::Start,
        reports: &[f::START, f::RSS, f::BINARY],
    },
];

impl Scenario {
    /// The same in small: what the smoke test runs.
    pub fn small(self) -> Self {
        let Layout { documents, clients, far, writers } = self.layout;
        let layout = Layout {
            documents: documents.min(4),
            clients: clients.min(4),
            far: far.min(2),
            writers: writers.min(4),
        };
        let load = match self.load {
            Load::Talk(message, Pace::Rate(rate)) => Load::Talk(message, Pace::Rate(rate.min(50))),
            Load::Join { .. } => Load::Join { updates: 200, joins: 3 },
            Load::Outage { what, .. } => {
                Load::Outage { what, rate: 50, away: Duration::from_millis(500) }
            }
            load => load,
        };
        Self { layout, load, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        let mut names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
