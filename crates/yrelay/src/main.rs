//! The program: from the command line to the exit code.

mod banner;
mod cli;
mod commands;
mod log;
mod printable;
mod query;
mod settings;
mod signals;

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::{self, ExitCode};

use tokio::runtime;
use yrelay::config::Config;
use yrelay::handle::{self, Handle};
use yrelay::status::Role;
use yrelay::{clock, descriptors, limits};

use crate::cli::Task;
use crate::settings::gather::{Given, Settings, Variables};
use crate::settings::value::{Fault, Origin};
use crate::settings::{PASSWORD, TOKEN};
use crate::signals::Signals;

/// What shells show for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;
/// The relay keeps its own time; past this much more it hangs.
const GRACE_MS: u64 = 1_000;

fn main() -> ExitCode {
    match perform(cli::parse(env::args_os())) {
        Ok(code) => code,
        Err(error) => {
            log::say("error", &format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> anyhow::Result<ExitCode> {
    let variables = Variables::new(env::vars_os());
    let settings = |role, given: Given| {
        Settings::gather(role, given, &variables, env::current_dir().unwrap_or_default())
    };
    match task {
        Task::Run(role, given) => run(settings(role, given)?, &variables)?,
        Task::Config(role, given) => {
            let mut settings = settings(role, given)?;
            let checked = settings.config();
            warn(&settings);
            checked?;
            settings.log()?;
            print(&settings.show(variables.get("RUST_LOG").as_deref()))?;
        }
        Task::Status { url, json, given } => return Ok(status(url, json, given, settings)),
        Task::Documents(command, given) => {
            let settings = settings(Role::Service, given)?;
            warn(&settings);
            return commands::run(command, &settings);
        }
        Task::Render { format, root, seconds } => {
            return Ok(commands::render::run(&format, root.as_deref(), seconds));
        }
        Task::Completions(shell) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli::command(), "yrelay", &mut script);
            print(&String::from_utf8(script)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the relay at the address, or else the one that the settings name.
fn status(
    url: Option<String>,
    json: bool,
    given: Given,
    settings: impl Fn(Role, Given) -> Result<Settings, Fault>,
) -> ExitCode {
    let is_plain = |url: &String| !url.starts_with("https:") && !url.starts_with("wss:");
    let asked = match url {
        // Then no settings are needed, and none can be wrong.
        Some(url) if is_plain(&url) => Ok((url, Vec::new())),
        url => settings(Role::Service, given).and_then(|settings| {
            warn(&settings);
            Ok((url.map_or_else(|| settings.own_url(), Ok)?, settings.authorities()?))
        }),
    };
    let code = match asked {
        Ok((url, trusted)) => query::run(&url, trusted, json, &mut io::stdout(), &mut io::stderr()),
        Err(fault) => {
            log::say("error", &fault.to_string());
            query::USAGE
        }
    };
    ExitCode::from(code)
}

/// Writes to standard output. Whoever closed it does not want to know.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn warn(settings: &Settings) {
    for warning in &settings.warnings {
        log::say("warning", warning);
    }
}

/// Runs a relay until a signal ends it.
fn run(mut settings: Settings, variables: &Variables) -> anyhow::Result<()> {
    let log = settings.log()?;
    log::start(&log, variables.get("RUST_LOG").as_deref())?;
    let config = settings.config();
    if log.file.is_some() {
        warn(&settings);
    }
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let config = config?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        descriptors::raise();
        let mut signals = Signals::new()?;
        let relay = handle::start(config.clone())?;
        announce(&relay, &settings, &config);
        attend(relay, &mut signals).await
    })
}

/// Says where it listens; at a terminal, the rest too.
fn announce(relay: &Handle, settings: &Settings, config: &Config) {
    let mut text = format!("listening on {}\n", relay.url);
    if io::stdout().is_terminal() {
        text += &banner::banner(settings, config, &relay.url, relay.stored);
    }
    if let Err(error) = print(&text) {
        tracing::warn!(%error, "cannot say on standard output where it listens");
    }
    if config.accounts.is_some() && relay.addresses.iter().any(|at| !at.ip().is_loopback()) {
        tracing::warn!(
            "logins come to {} in the clear: let a proxy with TLS stand in front of it",
            relay.url
        );
    }
    for secret in [&PASSWORD, &TOKEN] {
        if settings.get(secret).is_some_and(|value| matches!(value.origin, Origin::Option(_))) {
            tracing::warn!(
                "everybody on this machine can see the {0} in the list of processes; \
                 --{0}-file FILE keeps it to yourself",
                secret.name
            );
        }
    }
}

/// Waits for the end of the relay, or for a signal and then the end.
async fn attend(mut relay: Handle, signals: &mut Signals) -> anyhow::Result<()> {
    tokio::select! {
        ended = relay.ended() => return Ok(ended?),
        () = signals.next() => {}
    }
    tracing::info!("stopping");
    relay.stop();
    tokio::select! {
        ended = relay.ended() => Ok(ended?),
        () = signals.next() => process::exit(INTERRUPTED),
        () = clock::sleep(limits::SHUTDOWN_MS + GRACE_MS) => {
            tracing::error!("the relay does not stop; what it acknowledged is on disk");
            process::exit(1);
        }
    }
}
