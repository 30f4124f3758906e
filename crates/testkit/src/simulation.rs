//! Runs of whole worlds, one after the other, each from its seed.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use yrelay_core::Millis;

use crate::script::Script;
use crate::server::Mode;
use crate::world::World;

/// What a run came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    /// Virtual time that passed.
    pub virtual_ms: Millis,
    /// Events that were handled.
    pub events: u64,
    /// Runs.
    pub worlds: u64,
    /// Packets of links up to the end of all faults.
    pub packets: u64,
    /// Messages of the server that were refused.
    pub refused: u64,
    /// What people wrote.
    pub edits: u64,
    /// What arrived until all had come to rest: frames, their bytes, and questions in them for what
    /// is missing.
    pub frames: u64,
    /// See `frames`.
    pub bytes: u64,
    /// See `frames`.
    pub resyncs: u64,
}

impl Summary {
    /// Adds another run.
    pub fn add(&mut self, other: Self) {
        self.virtual_ms += other.virtual_ms;
        self.events += other.events;
        self.worlds += other.worlds;
        self.packets += other.packets;
        self.refused += other.refused;
        self.edits += other.edits;
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.resyncs += other.resyncs;
    }
}

/// Re-runs that are spent on making a failing script shorter.
const RERUNS_MAX: usize = 400;
/// The latest happenings that are shown of a failing run.
const TRACE_LINES_SHOWN: usize = 120;

/// Runs the world of this seed. A failure comes back in words, with its script made short.
pub fn simulate(server: Option<Mode>, seed: u64) -> Result<Summary, String> {
    play(&Script::write(server, seed))
}

/// Runs this script. A failure comes back in words, with the script made short.
pub(crate) fn play(script: &Script) -> Result<Summary, String> {
    run(script).map_err(|first| {
        let script = minimise(script.clone(), &first);
        let (reason, trace) = run_traced(&script);
        describe(&first, &script, &reason, &trace)
    })
}

fn run(script: &Script) -> Result<Summary, String> {
    caught(|| {
        let mut world = World::new(script, false);
        world.run();
        Summary {
            virtual_ms: world.net.now,
            events: world.events,
            worlds: 1,
            packets: world.calm_packets,
            refused: world.services.iter().map(|service| service.refused as u64).sum(),
            edits: world.edits,
            frames: world.busy.frames,
            bytes: world.busy.bytes,
            resyncs: world.busy.step_1s as u64,
        }
    })
}

fn run_traced(script: &Script) -> (String, Vec<String>) {
    let mut world = World::new(script, true);
    let reason = caught(|| world.run()).err().unwrap_or_else(|| "passes now".into());
    (reason, world.net.trace())
}

thread_local! {
    /// Where the panic of a run happened; `None` outside of runs.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Turns a panic into words, and keeps it off the screen.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic| match PLACE.take() {
            Some(_) => PLACE.set(panic.location().map(ToString::to_string)),
            None => loud(panic),
        }));
    });
    PLACE.set(Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(work));
    let place = PLACE.take().unwrap_or_default();
    result.map_err(|panic| format!("{} ({place})", words(&*panic)))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic")
}

/// Drops steps as long as it goes on failing in the same place: halves first, then ever fewer.
fn minimise(mut script: Script, failure: &str) -> Script {
    let place = |failure: &str| failure.rsplit(' ').next().map(str::to_owned);
    let fails = |script: &Script| run(script).is_err_and(|other| place(&other) == place(failure));
    let mut reruns = 0;
    let mut size = script.steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < script.steps.len() && reruns < RERUNS_MAX {
            let mut tried = script.clone();
            tried.steps.drain(at..(at + size).min(script.steps.len()));
            reruns += 1;
            if fails(&tried) {
                script = tried;
                shorter = true;
            } else {
                at += size;
            }
        }
        if reruns >= RERUNS_MAX || (size == 1 && !shorter) {
            break;
        }
        size = if size == 1 { 1 } else { size.div_ceil(2) };
    }
    script
}

fn describe(first: &str, script: &Script, reason: &str, trace: &[String]) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let Script { seed, server, services, documents, calm_at, people, steps, trap, .. } = script;
    let _ = writeln!(out, "seed {seed} with server {server:?} fails: {first}");
    let _ = writeln!(out, "{services} services, {documents} documents, calm at {calm_at} ms");
    for (number, person) in people.iter().enumerate() {
        let _ = writeln!(out, "  client {number}: {person:?}");
    }
    if let Some(trap) = trap {
        let _ = writeln!(out, "{trap:?}");
    }
    let _ = writeln!(out, "shortest script found:");
    for (at, step) in steps {
        let _ = writeln!(out, "  {at:>7} {step:?}");
    }
    let _ = writeln!(out, "which fails: {reason}\nand ends so:");
    for line in &trace[trace.len().saturating_sub(TRACE_LINES_SHOWN)..] {
        let _ = writeln!(out, "  {line:.300}");
    }
    out
}
