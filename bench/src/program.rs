//! The command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser, Subcommand};
use yrelay_bench::contender::{self, Contender, install};
use yrelay_bench::results::{Outcome, Session};
use yrelay_bench::scenario::{self, Scenario};
use yrelay_bench::stage::{self, Cast, Options};
use yrelay_bench::{bare, counts, machine, plot, table, yrs_memory};

/// Files that are no connections.
const OWN_FILES: u64 = 100;

/// yrelay beside its peers and the bare limit, measured
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure
    Run(Run),
    /// Draw what was measured
    Plot {
        /// What `run --json` wrote
        json: PathBuf,
        /// Where the drawings go, one for each scenario
        directory: PathBuf,
    },
    /// Say again, as tables, what was measured
    Table {
        /// What `run --json` wrote; of several, the last one counts for what is in more than one
        json: Vec<PathBuf>,
    },
    /// Count the instructions that the hot paths of the core take, with valgrind
    Counts {
        /// Make the new counts the accepted ones
        #[arg(long)]
        accept: bool,
    },
    /// Take one of these paths
    #[command(name = counts::COMMAND, hide = true)]
    Count { path: String },
    /// What a document takes in memory as yrs holds it
    #[command(name = yrs_memory::COMMAND, hide = true)]
    YrsMemory,
    /// Serve as the bare limit: pass bytes on, and nothing else
    Bare {
        /// Port of 127.0.0.1
        #[arg(long)]
        port: u16,
        /// A server of the same kind, which everything goes to as well
        #[arg(long)]
        upstream: Option<String>,
    },
}

#[derive(Args)]
struct Run {
    /// Only scenarios whose names begin so (repeatable; all)
    #[arg(long)]
    scenario: Vec<String>,
    /// Only this contender (repeatable; bare and yrelay); "all" is all there are; NAME=PATH is
    /// another build of yrelay
    #[arg(long)]
    contender: Vec<String>,
    /// How often each is run
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// For how long each load goes on
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Everything in small, to see whether it works
    #[arg(long)]
    small: bool,
    /// Servers keep their data below this directory (of the disk that is to be measured)
    #[arg(long)]
    place: Option<PathBuf>,
    /// Write all figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Run(run) => measure(&run),
        Command::Plot { json, directory } => {
            plot::draw(&read(&json)?, &directory)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Table { json } => {
            let sessions = json.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
            print!("{}", table::of(&table::merged(sessions)));
            Ok(ExitCode::SUCCESS)
        }
        Command::Counts { accept } => {
            Ok(if counts::count_all(accept)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Count { path } => {
            counts::run(&path)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::YrsMemory => {
            yrs_memory::run()?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Bare { port, upstream } => {
            machine::raise_files();
            bare::run(port, upstream.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn read(json: &Path) -> Result<Session> {
    let text = fs::read_to_string(json).with_context(|| json.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

fn measure(run: &Run) -> Result<ExitCode> {
    let scenarios = chosen(&run.scenario)?;
    let contenders = contenders(&run.contender)?;
    let files = machine::raise_files();
    let pins = machine::can_pin();
    if !pins {
        eprintln!("servers and clients share a processor: figures say little");
    }
    machine::as_client(pins)?;
    let place = run.place.clone().map_or_else(default_place, Ok)?;
    let clients_max = files.saturating_sub(OWN_FILES) as usize;
    let options = Options { seconds: run.seconds, pins, place, clients_max };
    let mut session = Session {
        machine: machine::description(),
        pinned: pins,
        seconds: run.seconds,
        rounds: run.rounds,
        outcomes: Vec::new(),
    };
    for scenario in scenarios {
        let scenario = if run.small { scenario.small() } else { scenario };
        let mut cast = Cast::default();
        for round in 1..=run.rounds {
            for contender in &contenders {
                let outcome = once(&scenario, &**contender, &options, &mut cast, round);
                session.outcomes.extend(outcome);
                save(run, &session)?;
            }
        }
    }
    print!("{}", table::of(&session));
    let failed = session.outcomes.iter().filter(|run| !run.faults.is_empty()).count();
    if failed > 0 {
        eprintln!("{failed} runs FAILED: see above");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn once(
    scenario: &Scenario,
    contender: &dyn Contender,
    options: &Options,
    cast: &mut Cast,
    round: usize,
) -> Option<Outcome> {
    let (name, what) = (contender.name(), scenario.name);
    if let Some(why) = stage::left_out(scenario, contender.abilities()) {
        if round == 1 {
            eprintln!("{what} {name}: left out, it {why}");
        }
        return None;
    }
    let mut outcome = stage::run(scenario, contender, options, cast);
    outcome.round = round;
    let reported = scenario.reports.iter().filter_map(|figure| {
        Some(format!("{figure}: {}", table::number(outcome.figures.get(figure)?)))
    });
    eprintln!("{what} {name} #{round}: {}", reported.collect::<Vec<_>>().join("; "));
    for fault in &outcome.faults {
        eprintln!("{what} {name} #{round}: FAILED: {fault}");
    }
    Some(outcome)
}

/// Written after each run, so that a session that is stopped is not lost.
fn save(run: &Run, session: &Session) -> Result<()> {
    if let Some(path) = &run.json {
        fs::write(path, serde_json::to_string_pretty(session)? + "\n")
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<Scenario>> {
    if names.is_empty() {
        return Ok(scenario::ALL.to_vec());
    }
    let is_chosen = |one: &&Scenario| names.iter().any(|name| one.name.starts_with(&**name));
    let chosen: Vec<Scenario> = scenario::ALL.iter().filter(is_chosen).copied().collect();
    let all = scenario::ALL.iter().map(|one| one.name).collect::<Vec<_>>().join(", ");
    ensure!(!chosen.is_empty(), "no scenario is called so; there are {all}");
    Ok(chosen)
}

fn contenders(names: &[String]) -> Result<Vec<Box<dyn Contender>>> {
    if names.is_empty() {
        return ["bare", "yrelay"].into_iter().map(contender::find).collect();
    }
    let mut found = Vec::new();
    for name in names {
        match name.as_str() {
            // One that cannot be installed here does not stop the others.
            "all" => found.extend(contender::names().filter_map(|name| {
                contender::find(name).inspect_err(|why| eprintln!("left out: {why:#}")).ok()
            })),
            name => found.push(contender::find(name)?),
        }
    }
    Ok(found)
}

/// Beside what cargo builds: on a disk, unlike many a directory for temporary files.
fn default_place() -> Result<PathBuf> {
    Ok(install::target().context("say --place")?.join("bench"))
}
