//! A server is started, and nobody comes.

use std::fs;

use anyhow::Result;

use super::Stage;
use crate::clock;
use crate::scenario::figure as f;
use crate::usage::Usage;

pub(super) fn run(stage: &mut Stage<'_>) -> Result<Vec<String>> {
    let mut servers = stage.servers()?;
    let processes = servers.relay.iter().chain([&servers.server]);
    let start_ns: u64 = processes.map(|process| process.start_ns).sum();
    stage.figures.put(f::START, start_ns as f64 / 1e6);
    clock::pause(stage.options.span().min(std::time::Duration::from_secs(1)));
    let usage = Usage::of(servers.ids());
    stage.figures.put(f::RSS, usage.rss_kib as f64 / 1024.0);
    if let Some(program) = stage.contender.program() {
        stage.figures.put(f::BINARY, fs::metadata(program)?.len() as f64 / 1e6);
    }
    let mut faults = Vec::new();
    if !servers.server.is_alive() {
        faults.push(format!("it has ended:\n{}", servers.server.output()));
    }
    Ok(faults)
}
