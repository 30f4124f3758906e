//! What a document takes in memory as yrs holds it, for comparison: measured in a process of its
//! own, where nothing was allocated and freed before.

use std::io::{self, Read as _, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use yrs::updates::decoder::Decode as _;
use yrs::{Doc, Transact as _};

use crate::contender::bare;
use crate::usage::Usage;
use crate::yjs;

/// The command that [`run`] carries out.
pub const COMMAND: &str = "yrs-memory";

/// KiB that a document takes which came about by these updates.
pub fn of(updates: &[Vec<u8>]) -> Result<u64> {
    let mut command = Command::new(bare::program()?);
    command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut bytes = Vec::new();
    updates.iter().for_each(|update| yjs::put_bytes(&mut bytes, update));
    child.stdin.take().context("stdin is piped")?.write_all(&bytes)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{COMMAND}: {}", output.status);
    Ok(str::from_utf8(&output.stdout)?.trim().parse()?)
}

/// Reads updates, makes a document of them, and prints what it takes.
pub fn run() -> Result<()> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    let mut reader = yjs::Reader::new(&bytes);
    let rss_kib = || Usage::of([std::process::id()]).rss_kib;
    let before = rss_kib();
    let doc = Doc::new();
    while !reader.left().is_empty() {
        let update = reader.bytes().map_err(anyhow::Error::msg)?;
        doc.transact_mut().apply_update(yrs::Update::decode_v1(update)?)?;
    }
    println!("{}", rss_kib() - before);
    Ok(())
}
