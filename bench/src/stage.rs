//! One scenario, carried out against one contender, once.

mod cast;
mod come;
mod join;
mod outage;
mod proxy;
mod reconnect;
mod start;
mod status;
mod talk;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

pub use self::cast::Cast;
use crate::contender::{Abilities, Contender};
use crate::crowd::Crowd;
use crate::ledger::{Ledger, Seat};
use crate::process::{self, Process};
use crate::results::{Figures, Outcome};
use crate::scenario::{Load, Message, Scenario};

/// What has to happen in the end happens within this, or the run has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for thousands that come.
const COME_MAX: Duration = Duration::from_secs(300);
/// Clients that are on their way in at the same time.
const JOIN_AT_ONCE: usize = 64;
/// After the last one has joined, what a server does then is let come to rest.
const SETTLE: Duration = Duration::from_millis(300);

/// How it is carried out.
#[derive(Debug, Clone)]
pub struct Options {
    /// For how long the load goes on.
    pub seconds: f64,
    /// Servers and clients have a processor each.
    pub pins: bool,
    /// Where servers keep their data: on the disk that is to be measured.
    pub place: PathBuf,
    /// Clients that may be there at once.
    pub clients_max: usize,
}

impl Options {
    fn span(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// Why a contender is left out of a scenario.
pub fn left_out(scenario: &Scenario, abilities: Abilities) -> Option<&'static str> {
    let needs_relay = scenario.layout.far > 0;
    match scenario.load {
        Load::Talk(Message::Presence, _) if !abilities.has_presence => Some("has no presence"),
        Load::Talk(..) if needs_relay && !abilities.has_relay => Some("has no relay"),
        Load::Join { .. } if !abilities.has_documents => Some("keeps no documents"),
        Load::Reconnect { .. } if !abilities.works_alone => {
            Some("has no relay that takes clients while its server is away")
        }
        Load::Outage { .. } if !abilities.has_relay => Some("has no relay"),
        Load::Outage { .. } if !abilities.has_documents => Some("keeps no documents"),
        _ => None,
    }
}

/// Carries a scenario out. What cannot even begin is a fault, too.
pub fn run(
    scenario: &Scenario,
    contender: &dyn Contender,
    options: &Options,
    cast: &mut Cast,
) -> Outcome {
    let mut outcome = Outcome {
        scenario: scenario.name.into(),
        contender: contender.name().into(),
        round: 1,
        figures: Figures::default(),
        faults: Vec::new(),
    };
    let mut stage = Stage { scenario, contender, options, figures: Figures::default() };
    match stage.carry_out(cast) {
        Ok(faults) => outcome.faults = faults,
        Err(error) => outcome.faults.push(format!("{error:#}")),
    }
    outcome.figures = stage.figures;
    outcome
}

/// What a run needs.
struct Stage<'a> {
    scenario: &'a Scenario,
    contender: &'a dyn Contender,
    options: &'a Options,
    figures: Figures,
}

/// The servers of a run, each with a directory of its own, which goes with them.
struct Servers {
    server: Process,
    relay: Option<Process>,
    place: TempDir,
}

impl Servers {
    /// Where clients go: the relay, where there is one.
    fn near(&self) -> &Process {
        self.relay.as_ref().unwrap_or(&self.server)
    }

    /// All processes.
    fn ids(&self) -> Vec<u32> {
        self.relay.iter().chain([&self.server]).map(Process::id).collect()
    }

    /// Ends all at once.
    fn kill(&mut self) {
        self.relay.iter_mut().chain([&mut self.server]).for_each(Process::kill);
    }
}

impl Stage<'_> {
    fn carry_out(&mut self, cast: &mut Cast) -> Result<Vec<String>> {
        match self.scenario.load {
            Load::Talk(message, pace) => talk::run(self, cast, message, pace),
            Load::Come => come::run(self, cast),
            Load::Join { updates, joins } => join::run(self, cast, updates, joins),
            Load::Reconnect { edits } => reconnect::run(self, cast, edits),
            Load::Outage { what, rate, away } => outage::run(self, cast, what, rate, away),
            Load::Rest => come::rest(self, cast),
            Load::Start => start::run(self),
        }
    }

    /// An empty directory for this run.
    fn place(&self) -> Result<TempDir> {
        std::fs::create_dir_all(&self.options.place)?;
        let place = tempfile::tempdir_in(&self.options.place);
        place.with_context(|| format!("nothing can be kept in {}", self.options.place.display()))
    }

    /// Starts what the scenario needs: a server, and a relay below it for two tiers.
    fn servers(&self) -> Result<Servers> {
        let place = self.place()?;
        let server = self.server(&place, process::free_port()?)?;
        let relay = if self.scenario.layout.far > 0 || self.contender.abilities().is_relay {
            Some(self.relay(&place, process::free_port()?, server.port)?)
        } else {
            None
        };
        Ok(Servers { server, relay, place })
    }

    /// Starts all again after they were killed. Returns how long that took.
    fn restart(&self, servers: &mut Servers) -> Result<u64> {
        servers.server = self.server(&servers.place, servers.server.port)?;
        let mut took = servers.server.start_ns;
        if let Some(relay) = &mut servers.relay {
            *relay = self.relay(&servers.place, relay.port, servers.server.port)?;
            took += relay.start_ns;
        }
        Ok(took)
    }

    /// Starts a server, perhaps again.
    fn server(&self, place: &TempDir, port: u16) -> Result<Process> {
        let data = place.path().join("server");
        std::fs::create_dir_all(&data)?;
        let command = self.contender.server(port, &data)?;
        Process::start("server", command, port, None, place.path(), self.options.pins)
    }

    /// Starts a relay, perhaps again, and waits until it is connected.
    fn relay(&self, place: &TempDir, port: u16, server: u16) -> Result<Process> {
        self.relay_alone(place, port, server, true)
    }

    /// Starts a relay, and waits until it is connected if that can be.
    fn relay_alone(&self, place: &TempDir, port: u16, server: u16, waits: bool) -> Result<Process> {
        let data = place.path().join("relay");
        std::fs::create_dir_all(&data)?;
        let command = self.contender.relay(port, &data, server)?;
        let says = self.contender.relay_says(server).filter(|_| waits);
        Process::start("relay", command, port, says.as_deref(), place.path(), self.options.pins)
    }

    /// All clients of the layout, not connected yet: those near come first in each document.
    fn crowd(&self, ledger: Ledger, near: u16, far: u16) -> Result<Crowd> {
        let layout = self.scenario.layout;
        let mut crowd = Crowd::new(ledger)?;
        'all: for document in 0..layout.documents {
            let name = document_name(document);
            for client in 0..layout.clients + layout.far {
                if crowd.connections.len() == self.options.clients_max {
                    break 'all;
                }
                let tier = usize::from(client >= layout.clients);
                let authors = crowd.ledger.authors_of(document);
                let author = (client < authors.len()).then_some(authors.start + client);
                let seat = Seat { document, author, tier, is_counted: true, ..Seat::default() };
                let address = match tier {
                    0 => self.contender.address(near, &name),
                    _ => self.contender.far_address(far, &name),
                };
                crowd.add(address, seat);
            }
        }
        Ok(crowd)
    }

    /// Everybody comes in.
    fn join_all(&self, crowd: &mut Crowd) -> Result<()> {
        let everybody: Vec<usize> = (0..crowd.connections.len()).collect();
        self.join(crowd, &everybody)
    }

    /// Some come in.
    fn join(&self, crowd: &mut Crowd, numbers: &[usize]) -> Result<()> {
        crowd.join(numbers, JOIN_AT_ONCE, COME_MAX)?;
        let faults = crowd.ledger.take_faults();
        ensure!(faults.is_empty(), "joining: {}", faults.join("; "));
        crowd.rest(SETTLE)?;
        Ok(())
    }

    /// What went wrong in the end, servers included.
    fn faults(&self, crowd: &mut Crowd, servers: &mut Servers) -> Vec<String> {
        let mut faults = crowd.ledger.take_faults();
        let missing = crowd.ledger.missing();
        if missing > 0 && !crowd.ledger.may_lose {
            faults.push(format!("{missing} deliveries are missing"));
        }
        for process in servers.relay.iter_mut().chain([&mut servers.server]) {
            if !process.is_alive() {
                faults.push(format!("a process has ended:\n{}", process.output()));
            }
        }
        faults
    }
}

/// Documents have such names: all servers take them.
fn document_name(number: usize) -> String {
    format!("bench-{number:05}")
}
