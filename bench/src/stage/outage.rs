//! Something fails while everybody writes.

use std::time::Duration;

use anyhow::Result;

use super::proxy::Proxy;
use super::{Cast, PATIENCE, Servers, Stage, talk};
use crate::clock;
use crate::crowd::Crowd;
use crate::process;
use crate::scenario::{Cut, Message, figure as f};

/// What has not arrived by then never will.
const CATCH_UP_MAX: Duration = Duration::from_secs(40);
/// All is well for so long, before and afterwards.
const CALM: Duration = Duration::from_millis(1000);

pub(super) fn run(
    stage: &mut Stage<'_>,
    cast: &mut Cast,
    what: Cut,
    rate: u32,
    away: Duration,
) -> Result<Vec<String>> {
    let layout = stage.scenario.layout;
    let spans = [CALM, away, CALM];
    let seconds: f64 = spans.iter().map(Duration::as_secs_f64).sum();
    let authors = layout.documents * layout.writers;
    let count = (f64::from(rate) * seconds) as usize / authors + spans.len();
    let ledger = cast.ledger(layout, stage.contender, Message::Text(1), talk::WARM_UP + count);
    let place = stage.place()?;
    let server = stage.server(&place, process::free_port()?)?;
    let proxy = Proxy::to(server.port)?;
    let relay = stage.relay(&place, process::free_port()?, proxy.port)?;
    let mut servers = Servers { server, relay: Some(relay), place };
    let mut crowd = stage.crowd(ledger, servers.near().port, servers.server.port)?;
    stage.join_all(&mut crowd)?;
    talk::warm_up(&mut crowd)?;

    talk::open(&mut crowd, rate, CALM)?;
    let is_killed = what != Cut::Link;
    (crowd.comes_back, crowd.ledger.may_repeat) = (is_killed, is_killed);
    // Who tells nobody that something is saved breaks no word.
    crowd.ledger.may_lose = !stage.contender.abilities().acknowledges;
    cut(&mut servers, &proxy, what);
    talk::open(&mut crowd, rate, away)?;
    mend(stage, &mut servers, &proxy, what)?;
    let mended = clock::now_ns();
    let is_done = crowd.until(CATCH_UP_MAX, |crowd| crowd.ledger.is_done())?;
    if is_done {
        stage.figures.put(f::CAUGHT_UP, (clock::now_ns() - mended) as f64 / 1e9);
        // And life goes on.
        go_on(&mut crowd, rate)?;
    }
    stage.figures.put(f::MISSING, crowd.ledger.missing() as f64);
    Ok(stage.faults(&mut crowd, &mut servers))
}

fn go_on(crowd: &mut Crowd, rate: u32) -> Result<()> {
    crowd.comes_back = false;
    talk::open(crowd, rate, CALM)?;
    crowd.until(PATIENCE, |crowd| crowd.ledger.is_done())?;
    Ok(())
}

fn cut(servers: &mut Servers, proxy: &Proxy, what: Cut) {
    if what == Cut::Link {
        proxy.cut();
    }
    if let Some(relay) = servers.relay.as_mut().filter(|_| what != Cut::Link) {
        relay.kill();
    }
    if what == Cut::Both {
        servers.server.kill();
    }
}

fn mend(stage: &Stage<'_>, servers: &mut Servers, proxy: &Proxy, what: Cut) -> Result<()> {
    proxy.mend();
    if what == Cut::Both {
        servers.server = stage.server(&servers.place, servers.server.port)?;
    }
    if what != Cut::Link {
        let port = servers.near().port;
        servers.relay = Some(stage.relay(&servers.place, port, proxy.port)?);
    }
    Ok(())
}
