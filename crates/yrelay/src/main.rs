//! The program: from the command line to the exit code.

mod banner;
mod cli;
mod log;
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
use yrelay::{clock, limits};

use crate::cli::Task;
use crate::settings::PASSWORD;
use crate::settings::gather::{Given, Settings, Variables};
use crate::settings::value::Origin;
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
    let variables = Variables::of_the_process();
    let settings = |role, given: Given| {
        Settings::gather(role, given, &variables, env::current_dir().unwrap_or_default())
    };
    let mut stdout = io::stdout();
    match task {
        Task::Run(role, given) => run(settings(role, given)?, &variables)?,
        Task::Config(role, given) => {
            let mut settings = settings(role, given)?;
            settings.config()?;
            settings.log()?;
            for warning in &settings.warnings {
                log::say("warning", warning);
            }
            let _ = stdout.write_all(settings.show().as_bytes());
        }
        Task::Status { url, json, given } => {
            let asked = settings(Role::Service, given).and_then(|settings| {
                let url = url.map_or_else(|| settings.own_url(), Ok)?;
                Ok((url, settings.authorities()?))
            });
            let code = match asked {
                Ok((url, trusted)) => {
                    query::run(&url, trusted, json, &mut stdout, &mut io::stderr())
                }
                Err(fault) => {
                    log::say("error", &fault.to_string());
                    query::USAGE
                }
            };
            return Ok(ExitCode::from(code));
        }
        Task::Completions(shell) => {
            clap_complete::generate(shell, &mut cli::command(), "yrelay", &mut stdout);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a relay until a signal ends it.
fn run(mut settings: Settings, variables: &Variables) -> anyhow::Result<()> {
    log::start(&settings.log()?, variables.get("RUST_LOG").as_deref())?;
    let config = settings.config()?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let relay = handle::start(config.clone())?;
        announce(&relay, &settings, &config);
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        attend(relay, &mut signals).await
    })
}

/// Says where it listens; at a terminal, the rest too.
fn announce(relay: &Handle, settings: &Settings, config: &Config) {
    let mut text = format!("listening on {}\n", relay.url);
    let mut stdout = io::stdout();
    if stdout.is_terminal() {
        text += &banner::banner(settings, config, &relay.url, relay.stored);
    }
    // Whoever closed our output does not want to know.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    if settings.get(&PASSWORD).is_some_and(|value| matches!(value.origin, Origin::Option(_))) {
        tracing::warn!(
            "everybody on this machine can see the password in the list of processes; \
             --password-file FILE keeps it to yourself"
        );
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
