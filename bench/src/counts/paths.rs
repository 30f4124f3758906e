//! The hot paths of the core, each taken by itself and checked.

use std::hint::black_box;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use yrelay_core::document::Document;
use yrelay_core::event::{Input, Output};
use yrelay_core::history::History;
use yrelay_core::id::PeerId;
use yrelay_core::replica::{Compaction, Replica, Want};
use yrelay_core::state_vector::StateVector;
use yrelay_core::update::Update;
use yrelay_core::wire::{self, Message};
use yrelay_core::{LogSize, limits};

use crate::{script, yjs};

/// Something that the core does for each update or each joiner.
pub struct Path {
    /// Its name in tables.
    pub name: &'static str,
    /// What one operation is.
    pub about: &'static str,
    /// Does it, checks what came of it, and says how many operations that was.
    pub run: fn(&Material) -> Result<usize>,
}

/// All of them.
pub const PATHS: &[Path] = &[
    Path { name: "gate-1", about: "check an update of one character", run: gate_1 },
    Path { name: "gate-64k", about: "check an insert of 64 KiB", run: gate_64k },
    Path { name: "gate-all", about: "check the whole document as one update", run: gate_all },
    Path { name: "apply-1", about: "take one character into the document", run: apply_1 },
    Path { name: "apply-64k", about: "take 64 KiB into it", run: apply_64k },
    Path { name: "apply-all", about: "take all its updates in, one by one", run: apply_all },
    Path { name: "difference-none", about: "answer a vector that is equal", run: difference_none },
    Path { name: "difference-ten", about: "... that lacks ten updates", run: difference_ten },
    Path { name: "difference-all", about: "... that is empty", run: difference_all },
    Path { name: "parse-1", about: "find one character's update in its frame", run: parse_1 },
    Path { name: "frame-1", about: "frame such an update", run: frame_1 },
    Path {
        name: "document-1",
        about: "all of it: of ten clients one types a character, nine are told, it is saved",
        run: document_1,
    },
];

/// Characters typed one after the other, where one is too little to count.
const TYPED: usize = 100;
/// Who types them.
const TYPIST: usize = 1;
const CLIENTS: u64 = 10;

/// A document, as its updates and as they stand in memory after a compaction.
pub struct Material {
    updates: Vec<Vec<u8>>,
    replica: Replica,
}

impl Material {
    /// Takes all updates of a document.
    pub fn new(updates: Vec<Vec<u8>>) -> Result<Self> {
        let mut replica = Replica::default();
        for update in &updates {
            replica.apply(&parse(update)?);
        }
        Ok(Self { updates, replica: replica.compact(Compaction::Full) })
    }
}

/// Valgrind counts while this runs, and nothing else.
#[inline(never)]
pub fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

fn parse(update: &[u8]) -> Result<Update> {
    Ok(Update::parse(Bytes::copy_from_slice(update))?)
}

/// What the typist's update is at a clock: so many characters, behind those typed before and
/// before what was there.
fn insert(clock: u64, length: usize) -> Vec<u8> {
    /// A string with both neighbours.
    const INFO: u8 = 0xc4;
    let (typist, author) = (script::author_id(0, TYPIST), script::author_id(0, 0));
    let origin = clock.checked_sub(1).map_or((author, 0), |before| (typist, before));
    let mut update = vec![1, 1];
    yjs::put_number(&mut update, typist);
    yjs::put_number(&mut update, clock);
    update.push(INFO);
    for number in [origin.0, origin.1, author, 1] {
        yjs::put_number(&mut update, number);
    }
    yjs::put_bytes(&mut update, script::letters(clock, length));
    update.push(0);
    update
}

fn typed() -> Vec<Bytes> {
    (0..TYPED as u64).map(|clock| insert(clock, 1).into()).collect()
}

fn gate(updates: Vec<Bytes>) -> Result<usize> {
    let count = updates.len();
    let parsed = counted(|| {
        updates.into_iter().map(Update::parse).filter(|parsed| black_box(parsed).is_ok()).count()
    });
    ensure!(parsed == count, "a good update is refused");
    Ok(count)
}

fn gate_1(_: &Material) -> Result<usize> {
    gate(typed())
}

fn gate_64k(_: &Material) -> Result<usize> {
    gate(vec![insert(0, 64 << 10).into()])
}

fn gate_all(material: &Material) -> Result<usize> {
    gate(material.replica.snapshot().iter().map(|update| update.bytes().clone()).collect())
}

fn apply(mut replica: Replica, updates: &[Update]) -> Result<Replica> {
    let whole = counted(|| updates.iter().all(|update| replica.apply_gapless(update).whole));
    ensure!(whole, "of something new not all is taken");
    Ok(replica)
}

fn apply_new(material: &Material, updates: &[Bytes]) -> Result<usize> {
    let parsed = updates.iter().map(|update| parse(update)).collect::<Result<Vec<_>>>()?;
    let before = material.replica.held().id_count();
    let after = apply(material.replica.clone(), &parsed)?.held().id_count();
    ensure!(after > before, "nothing is taken");
    Ok(updates.len())
}

fn apply_1(material: &Material) -> Result<usize> {
    apply_new(material, &typed())
}

fn apply_64k(material: &Material) -> Result<usize> {
    apply_new(material, &[insert(0, 64 << 10).into()])
}

fn apply_all(material: &Material) -> Result<usize> {
    let parsed = material.updates.iter().map(|update| parse(update)).collect::<Result<Vec<_>>>()?;
    let replica = apply(Replica::default(), &parsed)?;
    ensure!(replica.equivalent(&material.replica), "another document comes of it");
    Ok(1)
}

/// Answers somebody who holds all but so many clocks of the author.
fn difference(material: &Material, lacks: u32) -> Result<usize> {
    let author = script::author_id(0, 0);
    let replica = &material.replica;
    let clock = replica.state_vector().get(author) - lacks;
    let vector: StateVector = [(author, clock)].into_iter().collect();
    let vector = vector.encode();
    let answer = counted(|| {
        let theirs = StateVector::decode(&vector).ok()?;
        let mut want =
            Want { structs: replica.missing_from(&theirs), deletes: replica.deletes().clone() };
        let mut answer = Vec::new();
        while let Some(chunk) = replica.take_chunk(&mut want, limits::CLIENT_CHUNK_BYTES_MAX) {
            answer.push(wire::sync_step2(chunk.update.bytes()));
        }
        Some(answer)
    });
    let mut theirs = Replica::default();
    for message in answer.context("our own vector is refused")? {
        let Some(Ok(Message::SyncStep2(update))) = wire::messages(&message).next() else {
            anyhow::bail!("the answer is no step 2");
        };
        theirs.apply(&Update::parse(update)?);
    }
    ensure!(theirs.held().id_count() == u64::from(lacks), "another amount is answered");
    ensure!(theirs.deletes().contains_all(replica.deletes()), "deletions are missing");
    Ok(1)
}

fn difference_none(material: &Material) -> Result<usize> {
    difference(material, 0)
}

fn difference_ten(material: &Material) -> Result<usize> {
    difference(material, 10 * script::DELETED_TYPED.1 as u32)
}

fn difference_all(material: &Material) -> Result<usize> {
    difference(material, material.replica.state_vector().get(script::author_id(0, 0)))
}

fn parse_1(_: &Material) -> Result<usize> {
    let frames: Vec<Bytes> = typed().iter().map(|update| wire::update(update)).collect();
    let is_update =
        |frame: &Bytes| matches!(wire::messages(frame).next(), Some(Ok(Message::Update { .. })));
    let found = counted(|| frames.iter().filter(|frame| black_box(is_update(frame))).count());
    ensure!(found == frames.len(), "an update is not found");
    Ok(frames.len())
}

fn frame_1(_: &Material) -> Result<usize> {
    let updates = typed();
    let frames: Vec<Bytes> = counted(|| updates.iter().map(|one| wire::update(one)).collect());
    for (update, frame) in updates.iter().zip(&frames) {
        ensure!(frame.ends_with(update) && frame.len() > update.len(), "it is framed wrongly");
    }
    Ok(frames.len())
}

/// A document that ten clients have open and are up to date with.
fn open(replica: Replica) -> Result<(Document, Vec<Output>)> {
    let vector = wire::sync_step1(&replica.state_vector().encode());
    let mut document = Document::new(1).at_the_top();
    let (replica, log) = (Box::new(replica), LogSize { last_seq: 1, ..LogSize::default() });
    let mut out = Vec::new();
    let (tail, frames) = (Vec::new(), Vec::new());
    let loaded = Input::Loaded {
        replica,
        log,
        tail,
        frames,
        unconfirmed: false,
        history: History::default(),
    };
    document.handle(0, loaded, &mut out);
    for peer in (1..=CLIENTS).map(PeerId) {
        document.handle(0, Input::Attach { peer }, &mut out);
        document.handle(0, Input::Frame { peer, bytes: vector.clone() }, &mut out);
        while out.drain(..).any(|output| matches!(output, Output::Ready { .. })) {
            let bytes_max = limits::CLIENT_CHUNK_BYTES_MAX;
            document.handle(0, Input::Room { peer, bytes_max }, &mut out);
        }
    }
    Ok((document, out))
}

fn document_1(material: &Material) -> Result<usize> {
    let (mut document, mut out) = open(material.replica.clone())?;
    let frames: Vec<Bytes> = typed().iter().map(|update| wire::update(update)).collect();
    let peer = PeerId(1);
    let (mut told, mut acknowledged) = (0, 0);
    counted(|| {
        for (number, frame) in frames.iter().enumerate() {
            document.handle(1, Input::Frame { peer, bytes: frame.clone() }, &mut out);
            document.handle(1, Input::Saved { seq: number as u64 + 2 }, &mut out);
            for output in out.drain(..) {
                match black_box(output) {
                    Output::Broadcast { to, bytes, .. } if bytes == *frame => told += to.len() - 1,
                    Output::Send { bytes, .. } if bytes == *frame => acknowledged += 1,
                    _ => {}
                }
            }
        }
    });
    ensure!(told == frames.len() * 9 && acknowledged == frames.len(), "somebody is not told");
    Ok(frames.len())
}
