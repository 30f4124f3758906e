//! Where the log goes and how much of it.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::cli::Log;

/// Starts logging. `filter` is RUST_LOG.
pub(crate) fn start(log: &Log, filter: Option<&str>) -> anyhow::Result<()> {
    let levels = match (filter, log.verbose) {
        (Some(filter), _) => filter,
        (None, 0) => "warn,yrelay=info",
        (None, 1) => "info,yrelay=debug",
        (None, _) => "trace",
    };
    let levels = EnvFilter::try_new(levels)
        .context("RUST_LOG is not understood; write it like yrelay=debug")?;
    let builder = tracing_subscriber::fmt().with_env_filter(levels).with_timer(SystemTime);
    match &log.file {
        None => builder.with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).init(),
        Some(path) => {
            let file =
                OpenOptions::new().create(true).append(true).open(path).with_context(|| {
                    format!("cannot write the log to {}; choose another --log FILE", path.display())
                })?;
            builder.with_writer(file).with_ansi(false).init();
        }
    }
    Ok(())
}
