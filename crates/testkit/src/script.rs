//! What happens in one run: a list of steps.

use yrelay_core::Millis;
use yrelay_core::event::Dialect;

use crate::client::Style;
use crate::editor::Edit;
use crate::fault::Fault;
use crate::garbage::Garbage;
use crate::server::Mode;

/// Something that happens at a time of the script's choosing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Edit {
        client: usize,
        edit: Edit,
    },
    /// So many keystrokes, one after the other.
    Burst {
        client: usize,
        count: u32,
    },
    /// A client's connection breaks; each side notices within that time.
    CutClient {
        client: usize,
        late_ms: Millis,
    },
    /// A client says what no sound client says.
    Lie {
        client: usize,
        garbage: Garbage,
    },
    /// A client reads nothing for a while.
    StallClient {
        client: usize,
        ms: Millis,
    },
    Leave {
        client: usize,
    },
    ComeBack {
        client: usize,
    },
    /// A person goes on elsewhere, with all that was written.
    Move {
        client: usize,
        service: usize,
    },
    /// For good.
    Vanish {
        client: usize,
    },
    /// Something befalls a service's link.
    Link {
        service: usize,
        fault: Fault,
    },
    Crash {
        service: usize,
        down_ms: Millis,
    },
    DiskFails {
        service: usize,
        ms: Millis,
    },
    /// For a while what is saved is lost all the same if the power goes.
    DiskLies {
        service: usize,
        ms: Millis,
    },
    DiskSlow {
        service: usize,
        ms: Millis,
    },
    LoadsFail {
        service: usize,
        ms: Millis,
    },
}

/// One client of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person {
    pub(crate) id: u64,
    pub(crate) service: usize,
    pub(crate) document: usize,
    pub(crate) style: Style,
    /// It comes later, by a step.
    pub(crate) late: bool,
}

/// Who takes part in a run, and what happens.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) server: Option<Mode>,
    pub(crate) services: usize,
    pub(crate) documents: usize,
    pub(crate) people: Vec<Person>,
    pub(crate) steps: Vec<(Millis, Step)>,
    /// From then on nothing bad happens any more.
    pub(crate) calm_at: Millis,
    /// All connections are as quick as this, if it is given.
    pub(crate) latency_ms_max: Option<Millis>,
    /// What happens when the so many-th packet of a link arrives.
    pub(crate) trap: Option<Trap>,
}

/// A fault that strikes at a certain packet of the links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trap {
    /// How many packets arrive on any link before.
    pub(crate) packet: u64,
    pub(crate) strikes: Strikes,
    pub(crate) fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strikes {
    Before,
    After,
}

impl Script {
    /// Whether the relays stand in a ring, so that nobody is at the top.
    pub(crate) fn is_ring(&self) -> bool {
        self.server == Some(Mode::Relay(Dialect::Own))
            && self.services > 2
            && self.seed.is_multiple_of(4)
    }
}
