//! Everybody who writes says something: as fast as others hear it, or at a fixed rate.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Cast, PATIENCE, Servers, Stage};
use crate::clock;
use crate::connection::Traffic;
use crate::crowd::Crowd;
use crate::scenario::{Message, Pace, figure as f};
use crate::usage::Usage;

/// Messages of each author before the figures count: the way up is open, buffers have their size.
pub(super) const WARM_UP: usize = 5;
/// Nobody gets further than this with a window.
const CLOSED_RATE_MAX: f64 = 2000.0;
/// What all scripts together may take.
const SCRIPTS_BYTES_MAX: usize = 256 << 20;
/// Of an update, beside what was typed.
const OVERHEAD_BYTES: usize = 40;

pub(super) fn run(
    stage: &mut Stage<'_>,
    cast: &mut Cast,
    message: Message,
    pace: Pace,
) -> Result<Vec<String>> {
    let layout = stage.scenario.layout;
    let count = messages(stage, message, pace);
    let ledger = cast.ledger(layout, stage.contender, message, WARM_UP + count);
    let mut servers = stage.servers()?;
    let mut crowd = stage.crowd(ledger, servers.near().port, servers.server.port)?;
    stage.join_all(&mut crowd)?;
    warm_up(&mut crowd)?;

    let echoes = message != Message::Presence && stage.contender.abilities().acknowledges;
    let before = Before::now(stage, &mut crowd, &servers);
    match pace {
        Pace::Window(window) => closed(&mut crowd, window, stage.options.span())?,
        Pace::Rate(rate) => open(&mut crowd, rate, stage.options.span())?,
    }
    let is_over = |crowd: &Crowd| crowd.ledger.is_done() && (!echoes || crowd.ledger.is_echoed());
    if !crowd.until(PATIENCE, is_over)? && crowd.ledger.is_done() {
        crowd.ledger.fault("not everything was acknowledged".into());
    }
    before.report(stage, &crowd, &servers);
    Ok(stage.faults(&mut crowd, &mut servers))
}

/// How many messages each author needs.
fn messages(stage: &Stage<'_>, message: Message, pace: Pace) -> usize {
    let layout = stage.scenario.layout;
    let authors = layout.documents * layout.writers;
    match pace {
        Pace::Rate(rate) => (f64::from(rate) * stage.options.seconds) as usize / authors + 1,
        Pace::Window(_) => {
            let size = if let Message::Text(size) = message { size } else { 100 };
            let room = SCRIPTS_BYTES_MAX / (authors * (size + OVERHEAD_BYTES));
            room.min((stage.options.seconds * CLOSED_RATE_MAX) as usize)
        }
    }
}

pub(super) fn warm_up(crowd: &mut Crowd) -> Result<()> {
    for _ in 0..WARM_UP {
        for author in 0..crowd.ledger.authors.len() {
            crowd.say(author, 1, clock::now_ns())?;
        }
        if !crowd.until(PATIENCE, |crowd| crowd.ledger.is_done())? {
            break;
        }
    }
    let missing = crowd.ledger.missing();
    let faults = crowd.ledger.take_faults();
    ensure!(
        missing == 0 && faults.is_empty(),
        "warming up: {missing} missing; {}",
        faults.join("; ")
    );
    Ok(())
}

/// Each author goes on once what it said so many messages before has been heard by all.
fn closed(crowd: &mut Crowd, window: usize, span: Duration) -> Result<()> {
    let deadline = clock::now_ns() + clock::ns(span);
    crowd.ledger.due.clear();
    let mut due: Vec<usize> = (0..crowd.ledger.authors.len()).collect();
    while clock::now_ns() < deadline {
        let now = clock::now_ns();
        let mut has_more = false;
        for author in due.drain(..) {
            let state = &crowd.ledger.authors[author];
            let end = state.script.len().min(state.done + window);
            let count = end.saturating_sub(state.said);
            has_more |= state.done < state.script.len();
            if count > 0 {
                crowd.say(author, count, now)?;
            }
        }
        if !has_more && crowd.ledger.is_done() {
            break;
        }
        crowd.turn(Some(Duration::from_millis(100)))?;
        std::mem::swap(&mut due, &mut crowd.ledger.due);
    }
    Ok(())
}

/// One author after the other says its next message, whatever became of those before. Latencies
/// count from when it was due, not from when this thread got round to it.
pub(super) fn open(crowd: &mut Crowd, rate: u32, span: Duration) -> Result<()> {
    let authors = crowd.ledger.authors.len();
    let begin = clock::now_ns();
    let total = (f64::from(rate) * span.as_secs_f64()) as usize;
    let due = |number: usize| begin + (number as u64 * 1_000_000_000) / u64::from(rate);
    let mut next = 0;
    while next < total {
        while next < total && due(next) <= clock::now_ns() {
            crowd.say(next % authors, 1, due(next))?;
            next += 1;
        }
        if next < total {
            crowd.turn_until(due(next))?;
        }
    }
    crowd.ledger.due.clear();
    Ok(())
}

/// How things stood before the part that counts.
struct Before {
    clients: Usage,
    near: Usage,
    server: Usage,
    traffic: Traffic,
    ns: u64,
}

impl Before {
    fn now(stage: &Stage<'_>, crowd: &mut Crowd, servers: &Servers) -> Self {
        crowd.ledger.reset_figures();
        Self {
            clients: clients(),
            near: Usage::of(measured(stage, servers)),
            server: Usage::of([servers.server.id()]),
            traffic: crowd.traffic,
            ns: clock::now_ns(),
        }
    }

    fn report(&self, stage: &mut Stage<'_>, crowd: &Crowd, servers: &Servers) {
        let seconds = (clock::now_ns() - self.ns) as f64 / 1e9;
        let clients = clients() - self.clients;
        let near = Usage::of(measured(stage, servers)) - self.near;
        let server = Usage::of([servers.server.id()]) - self.server;
        let ledger = &crowd.ledger;
        let delivered = ledger.delivered as f64;
        let each = |total: f64| total / delivered;
        let figures = &mut stage.figures;
        figures.put(f::CPU, each(near.cpu_s * 1e6));
        figures.put(f::RATE, delivered / seconds);
        figures.put(f::PROMPT, 100.0 * ledger.prompt as f64 / delivered);
        figures.put(f::CLIENTS_CPU, 100.0 * clients.cpu_s / seconds);
        figures.put(f::PEAK, near.peak_kib as f64 / 1024.0);
        figures.put(f::SWITCHES, each(near.switches as f64));
        let bytes = crowd.traffic.bytes_in - self.traffic.bytes_in;
        figures.put(f::BYTES, each(bytes as f64));
        figures.put(
            f::SUPERSEDED,
            100.0 * ledger.superseded as f64 / (delivered + ledger.superseded as f64),
        );
        let [near_latency, far_latency] = &ledger.latency;
        figures.put(f::P50, near_latency.value_at_quantile(0.5) as f64);
        figures.put(f::P99, near_latency.value_at_quantile(0.99) as f64);
        figures.put(f::MAX, near_latency.max() as f64);
        if stage.scenario.layout.far > 0 {
            figures.put(f::SERVER_CPU, each(server.cpu_s * 1e6));
            figures.put(f::FAR_P50, far_latency.value_at_quantile(0.5) as f64);
            figures.put(f::FAR_P99, far_latency.value_at_quantile(0.99) as f64);
        }
        if !ledger.echo.is_empty() && stage.contender.abilities().acknowledges {
            figures.put(f::ECHO_P50, ledger.echo.value_at_quantile(0.5) as f64);
            figures.put(f::ECHO_P99, ledger.echo.value_at_quantile(0.99) as f64);
        }
    }
}

/// What is measured: with two tiers, the relay; otherwise all there is.
fn measured(stage: &Stage<'_>, servers: &Servers) -> Vec<u32> {
    if stage.scenario.layout.far > 0 { vec![servers.near().id()] } else { servers.ids() }
}

/// The clients themselves: near 100 % of a core, it is they who are measured.
fn clients() -> Usage {
    Usage::of_one(std::process::id())
}
