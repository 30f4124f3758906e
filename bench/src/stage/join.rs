//! A large document is pushed, and others come for it.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::{Cast, Servers, Stage, document_name};
use crate::clock;
use crate::connection::Phase;
use crate::crowd::Crowd;
use crate::ledger::{Ledger, Seat, histogram};
use crate::scenario::figure as f;
use crate::script::{self, Work};
use crate::usage::Usage;
use crate::yrs_memory;

/// Updates under way at once.
const WINDOW: usize = 64;
/// From the end of the push until the server is killed.
const GRACE: Duration = Duration::from_secs(1);
/// Who has nothing by then gets nothing.
const JOIN_MAX: Duration = Duration::from_secs(20);
/// The slowest known takes more than a minute.
const PUSH_MAX: Duration = Duration::from_secs(300);

pub(super) fn run(
    stage: &mut Stage<'_>,
    cast: &mut Cast,
    updates: usize,
    joins: usize,
) -> Result<Vec<String>> {
    let work = cast.work(stage.contender, updates);
    stage.figures.put(f::YRS_DOCUMENT, yrs_memory::of(&work.updates)? as f64 / 1024.0);
    let mut faults = warm(stage, &work, joins)?;
    if stage.contender.abilities().stores {
        faults.extend(cold(stage, &work)?);
    }
    Ok(faults)
}

/// The document is in memory.
fn warm(stage: &mut Stage<'_>, work: &Rc<Work>, joins: usize) -> Result<Vec<String>> {
    let mut servers = stage.servers()?;
    let empty = Usage::of(servers.ids());
    let begin = clock::now_ns();
    let mut crowd = push(stage, work, &servers)?;
    stage.figures.put(f::PUSH, (clock::now_ns() - begin) as f64 / 1e9);
    crowd.rest(GRACE)?;
    let before = Usage::of(servers.ids());
    let memory = before.rss_kib.saturating_sub(empty.rss_kib);
    stage.figures.put(f::DOCUMENT, memory as f64 / 1024.0);
    let mut took = histogram();
    let received = crowd.traffic.bytes_in;
    let mut newcomers = Vec::new();
    for _ in 0..joins {
        let newcomer = come(stage, &mut crowd, servers.near().port, false)?;
        took.saturating_record(took_us(&crowd, newcomer));
        newcomers.push(newcomer);
    }
    let joining = Usage::of(servers.ids()) - before;
    let received = (crowd.traffic.bytes_in - received) as f64;
    for newcomer in newcomers {
        let lacking = lacking(&crowd, newcomer, work);
        if lacking > 0 {
            crowd.ledger.fault(format!("a join brings {lacking} edits too few"));
        }
    }
    stage.figures.put(f::WARM, took.value_at_quantile(0.5) as f64 / 1e3);
    stage.figures.put(f::WARM_CPU, joining.cpu_s * 1e3 / joins as f64);
    stage.figures.put(f::WARM_BYTES, received / 1024.0 / joins as f64);
    Ok(stage.faults(&mut crowd, &mut servers))
}

/// The server was killed after the push, and has started again.
fn cold(stage: &mut Stage<'_>, work: &Rc<Work>) -> Result<Vec<String>> {
    let mut servers = stage.servers()?;
    let mut crowd = push(stage, work, &servers)?;
    crowd.rest(GRACE)?;
    servers.kill();
    drop(crowd);
    let start_ns = stage.restart(&mut servers)?;
    stage.figures.put(f::COLD_START, start_ns as f64 / 1e6);
    let mut crowd = Crowd::new(written(work))?;
    let newcomer = come(stage, &mut crowd, servers.near().port, true)?;
    if crowd.connections[newcomer].phase == Phase::Joined {
        stage.figures.put(f::COLD, took_us(&crowd, newcomer) as f64 / 1e3);
    }
    let lacking = lacking(&crowd, newcomer, work);
    stage.figures.put(f::MISSING, lacking as f64);
    let mut faults = crowd.ledger.take_faults();
    // Losing what was said is what is measured here, but nobody who says "saved" may.
    if lacking > 0 && stage.contender.abilities().acknowledges {
        faults.push(format!("{lacking} edits were lost with kill -9"));
    }
    Ok(faults)
}

/// A writer says all of it, and a reader hears it.
fn push(stage: &Stage<'_>, work: &Rc<Work>, servers: &Servers) -> Result<Crowd> {
    let mut ledger = Ledger::default();
    let script = Rc::new(work.script.clone());
    let count = script.len();
    ledger.add_document(&[script]);
    let port = servers.near().port;
    let mut crowd = stage.crowd(ledger, port, port)?;
    stage.join_all(&mut crowd)?;
    let deadline = clock::now_ns() + clock::ns(PUSH_MAX);
    while !(crowd.ledger.is_done() && crowd.ledger.authors[0].said == count) {
        let author = &crowd.ledger.authors[0];
        let next = count.min(author.done + WINDOW).saturating_sub(author.said);
        if next > 0 {
            crowd.say(0, next, clock::now_ns())?;
        }
        crowd.turn(Some(Duration::from_millis(100)))?;
        let faults = crowd.ledger.take_faults();
        ensure!(faults.is_empty(), "pushing: {}", faults.join("; "));
        if clock::now_ns() > deadline {
            bail!("pushing: {} of {count} after {PUSH_MAX:?}", crowd.ledger.authors[0].done);
        }
    }
    Ok(crowd)
}

/// A ledger in which all of it was said.
fn written(work: &Work) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.add_document(&[Rc::new(work.script.clone())]);
    for _ in 0..work.script.len() {
        ledger.say(0, 0);
    }
    ledger
}

/// Somebody new comes for the document, and waits for as long as there is nothing in it.
fn come(stage: &Stage<'_>, crowd: &mut Crowd, port: u16, may_lose: bool) -> Result<usize> {
    let seat = Seat { told: Some(Vec::new()), ..Seat::default() };
    let number = crowd.add(stage.contender.address(port, &document_name(0)), seat);
    crowd.dial(number)?;
    let joined = |crowd: &Crowd| crowd.connections[number].phase == Phase::Joined;
    crowd.ledger.may_lose = may_lose;
    crowd.until(JOIN_MAX, joined)?;
    let faults = crowd.ledger.take_faults();
    ensure!(faults.is_empty(), "a join fails: {}", faults.join("; "));
    Ok(number)
}

fn took_us(crowd: &Crowd, number: usize) -> u64 {
    let connection = &crowd.connections[number];
    connection.joined_ns.saturating_sub(connection.dialed_ns) / 1000
}

/// How many edits somebody was not told of: of what was typed, by clocks; if that is all there, one
/// for a text that differs, since then deletions are missing.
fn lacking(crowd: &Crowd, number: usize, work: &Work) -> u64 {
    let seat = &crowd.connections[number].seat;
    let told = seat.told.as_deref().unwrap_or_default();
    let differs = script::text_of(told).as_deref() != Some(&work.text);
    let all = work.script.len() as u64 * work.script.unit;
    (all - seat.known[0]).max(u64::from(differs))
}
