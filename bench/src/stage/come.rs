//! Clients come and stay: what that costs, and what they cost while nothing happens.

use std::time::Duration;

use anyhow::Result;

use super::{COME_MAX, Cast, JOIN_AT_ONCE, Servers, Stage};
use crate::clock;
use crate::crowd::Crowd;
use crate::ledger::histogram;
use crate::scenario::{Message, figure as f};
use crate::usage::Usage;

/// Before memory and idling are measured, what a server does after a rush comes to rest.
const CALM: Duration = Duration::from_secs(2);

/// Many come.
pub(super) fn run(stage: &mut Stage<'_>, cast: &mut Cast) -> Result<Vec<String>> {
    let (mut crowd, mut servers) = empty(stage, cast)?;
    let before = Usage::of(servers.ids());
    let begin = clock::now_ns();
    let everybody: Vec<usize> = (0..crowd.connections.len()).collect();
    crowd.join(&everybody, JOIN_AT_ONCE, COME_MAX)?;
    let seconds = (clock::now_ns() - begin) as f64 / 1e9;
    let coming = Usage::of(servers.ids()) - before;
    let count = crowd.connections.len() as f64;
    let mut took = histogram();
    for connection in &crowd.connections {
        took.saturating_record(connection.joined_ns.saturating_sub(connection.dialed_ns) / 1000);
    }
    stage.figures.put(f::CONNECTIONS, count);
    stage.figures.put(f::CONNECT_RATE, count / seconds);
    stage.figures.put(f::CONNECT_CPU, coming.cpu_s * 1e6 / count);
    stage.figures.put(f::CONNECT_P99, took.value_at_quantile(0.99) as f64);
    crowd.rest(CALM)?;
    let memory = Usage::of(servers.ids()).rss_kib.saturating_sub(before.rss_kib);
    stage.figures.put(f::CONNECT_KIB, memory as f64 / count);
    idle(stage, &mut crowd, &servers)?;
    Ok(stage.faults(&mut crowd, &mut servers))
}

/// Some are there.
pub(super) fn rest(stage: &mut Stage<'_>, cast: &mut Cast) -> Result<Vec<String>> {
    let (mut crowd, mut servers) = empty(stage, cast)?;
    stage.join_all(&mut crowd)?;
    crowd.rest(CALM)?;
    idle(stage, &mut crowd, &servers)?;
    Ok(stage.faults(&mut crowd, &mut servers))
}

/// A server, and clients that say nothing.
fn empty(stage: &Stage<'_>, cast: &mut Cast) -> Result<(Crowd, Servers)> {
    let layout = stage.scenario.layout;
    let ledger = cast.ledger(layout, stage.contender, Message::Text(1), 0);
    let servers = stage.servers()?;
    let crowd = stage.crowd(ledger, servers.near().port, servers.server.port)?;
    Ok((crowd, servers))
}

fn idle(stage: &mut Stage<'_>, crowd: &mut Crowd, servers: &Servers) -> Result<()> {
    let before = Usage::of(servers.ids());
    let begin = clock::now_ns();
    crowd.rest(stage.options.span())?;
    let seconds = (clock::now_ns() - begin) as f64 / 1e9;
    let idle = Usage::of(servers.ids()) - before;
    stage.figures.put(f::IDLE_CPU, 100.0 * idle.cpu_s / seconds);
    stage.figures.put(f::WAKE_UPS, idle.switches as f64 / seconds);
    stage.figures.put(f::RSS, idle.rss_kib as f64 / 1024.0);
    Ok(())
}
