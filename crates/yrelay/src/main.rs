//! The program: from the command line to the exit code.

mod cli;
mod log;
#[cfg_attr(not(test), expect(dead_code, reason = "no command leads here yet"))]
mod query;
mod signals;

use std::env;
use std::io::{self, Write as _};
use std::process::{self, ExitCode};

use clap::Parser as _;
use tokio::runtime;
use yrelay::handle::{self, Handle};
use yrelay::{clock, limits};

use crate::cli::Cli;
use crate::signals::Signals;

/// What shells show for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;
/// The relay keeps its own time; past this much more it hangs.
const GRACE_MS: u64 = 1_000;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = format!("{error:#}").replace('\n', " ");
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let variable = |name: &str| env::var(name).ok();
    let filter = variable("RUST_LOG").filter(|text| !text.is_empty());
    log::start(&cli.log.settings(), filter.as_deref())?;
    let shows_password = cli.shows_password();
    let config = cli.config(variable)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let relay = handle::start(config)?;
        let mut stdout = io::stdout();
        // Whoever closed our output does not want to know.
        let _ = writeln!(stdout, "listening on {}", relay.url).and_then(|()| stdout.flush());
        if shows_password {
            tracing::warn!(
                "everybody on this machine can see the password in the list of processes; \
                 --password-file FILE keeps it to yourself"
            );
        }
        attend(relay, &mut signals).await
    })
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
