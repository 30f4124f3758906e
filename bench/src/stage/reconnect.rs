//! A relay was worked at while its server was away, and then it is there.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::proxy::Proxy;
use super::{Cast, PATIENCE, Servers, Stage, status};
use crate::clock;
use crate::crowd::Crowd;
use crate::process;
use crate::scenario::{Message, figure as f};
use crate::script;
use crate::usage::Usage;

pub(super) fn run(stage: &mut Stage<'_>, cast: &mut Cast, edits: usize) -> Result<Vec<String>> {
    let layout = stage.scenario.layout;
    let ledger = cast.ledger(layout, stage.contender, Message::Text(1), edits);
    let place = stage.place()?;
    let server_port = process::free_port()?;
    let proxy = Proxy::to(server_port)?;
    let relay = stage.relay_alone(&place, process::free_port()?, proxy.port, false)?;
    let mut crowd = stage.crowd(ledger, relay.port, server_port)?;
    let (below, above) = (crowd.of_tier(0), crowd.of_tier(1));
    stage.join(&mut crowd, &below)?;
    write(stage, &mut crowd, edits)?;

    let before = Usage::of([relay.id()]);
    let server = stage.server(&place, server_port)?;
    let mut servers = Servers { server, relay: Some(relay), place };
    crowd.until(PATIENCE, |_| proxy.through_ns().is_some())?;
    let through_ns = proxy.through_ns().unwrap_or_else(clock::now_ns);
    let since = || (clock::now_ns() - through_ns) as f64 / 1e9;
    if stage.contender.abilities().confirms {
        let relay = servers.near().port;
        let is_confirmed =
            |_: &Crowd| status::is_confirmed(relay, layout.documents).unwrap_or(false);
        if crowd.until(PATIENCE, is_confirmed)? {
            stage.figures.put(f::CONFIRMED, since());
        } else {
            crowd.ledger.fault("not everything was confirmed".into());
        }
        report(stage, &proxy, Usage::of([servers.near().id()]) - before, edits);
        stage.join(&mut crowd, &above)?;
        crowd.until(PATIENCE, |crowd| crowd.ledger.is_done())?;
    } else {
        stage.join(&mut crowd, &above)?;
        crowd.until(PATIENCE, |crowd| crowd.ledger.is_done())?;
        stage.figures.put(f::CAUGHT_UP, since());
        report(stage, &proxy, Usage::of([servers.near().id()]) - before, edits);
    }
    stage.figures.put(f::MISSING, crowd.ledger.missing() as f64);
    Ok(stage.faults(&mut crowd, &mut servers))
}

/// Everybody writes, and is told that it is saved.
fn write(stage: &Stage<'_>, crowd: &mut Crowd, edits: usize) -> Result<()> {
    for _ in 0..edits {
        for author in 0..crowd.ledger.authors.len() {
            crowd.say(author, 1, clock::now_ns())?;
        }
        crowd.turn(Some(Duration::ZERO))?;
    }
    if stage.contender.abilities().acknowledges {
        let saved = crowd.until(PATIENCE, |crowd| crowd.ledger.is_echoed())?;
        ensure!(saved, "not everything was saved");
    } else {
        crowd.rest(Duration::from_secs(1))?;
    }
    Ok(())
}

fn report(stage: &mut Stage<'_>, proxy: &Proxy, cost: Usage, edits: usize) {
    let documents = stage.scenario.layout.documents;
    // What a document lacks, in one frame.
    let net: usize = (0..documents)
        .map(|document| {
            let id = script::author_id(document, 0);
            script::typing(id, &[], edits, 1).frames(0, 1).len()
        })
        .sum();
    stage.figures.put(f::WIRE, proxy.bytes() as f64 / net as f64);
    stage.figures.put(f::CPU, cost.cpu_s * 1e6 / (documents * edits) as f64);
}
