//! Messages as bytes, and in words.

use std::fmt::Write;

use bytes::Bytes;
use yrelay_core::decode::{Reader, put_var_bytes, put_varuint};
use yrelay_core::id_set::IdSet;
use yrelay_core::replica::{Replica, Want};
use yrelay_core::state_vector::StateVector;
use yrelay_core::update::Update;
use yrelay_core::wire::{self, Message};

pub(crate) fn parse(update: &[u8]) -> Update {
    Update::parse(Bytes::copy_from_slice(update)).unwrap()
}

/// A message in words.
pub(crate) fn show(frame: &Bytes) -> String {
    if frame.starts_with(b"gAAAA") {
        return String::from_utf8_lossy(frame).into_owned();
    }
    if frame == wire::QUERY {
        return "query".into();
    }
    let messages: Vec<_> = wire::messages(frame).map(Result::unwrap).collect();
    let [message] = messages.as_slice() else { panic!("one message in a frame: {messages:?}") };
    match message {
        Message::SyncStep1(vector) => {
            let vector = StateVector::decode(vector).unwrap();
            vector.iter().fold("step1".into(), |mut out, (client, clock)| {
                write!(out, " {client}:{clock}").unwrap();
                out
            })
        }
        Message::SyncStep2(update) => format!("step2{}", show_update(update)),
        Message::Update { update, .. } => format!("update{}", show_update(update)),
        Message::Awareness(body) => format!("aware{}", show_awareness(body)),
        Message::QueryAwareness => "query".into(),
        Message::SyncStatus(payload) => format!("status {payload:?}"),
        Message::Unknown(kind) => format!("unknown {kind}"),
    }
}

fn show_update(update: &[u8]) -> String {
    let Want { structs, deletes } = Want::of(&parse(update));
    let mut out = show_ids("", &structs);
    out += &show_ids("-", &deletes);
    if out.is_empty() { " nothing".into() } else { out }
}

fn show_ids(sign: &str, ids: &IdSet) -> String {
    ids.iter().fold(String::new(), |mut out, (client, range)| {
        write!(out, " {sign}{client}:{}..{}", range.start, range.end).unwrap();
        out
    })
}

fn show_awareness(body: &[u8]) -> String {
    let mut reader = Reader::new(body);
    let mut out = String::new();
    for _ in 0..reader.varuint().unwrap() {
        let (id, clock) = (reader.varuint().unwrap(), reader.varuint().unwrap());
        write!(out, " {id}@{clock} {}", reader.var_str().unwrap()).unwrap();
    }
    if out.is_empty() { " nobody".into() } else { out }
}

/// An update of text by one client, at a clock of its own; later text follows its own.
pub(crate) fn insert(client: u64, clock: u32, text: &str) -> Vec<u8> {
    inserts(&[(client, clock, text)])
}

/// The same of several clients.
pub(crate) fn inserts(texts: &[(u64, u32, &str)]) -> Vec<u8> {
    let mut out = vec![texts.len() as u8];
    for (client, clock, text) in texts {
        out.push(1);
        put_varuint(&mut out, *client);
        put_varuint(&mut out, (*clock).into());
        put_text(&mut out, *client, *clock, text);
    }
    out.push(0);
    out
}

/// An update of so many structs of one client, one after the other.
pub(crate) fn letters(client: u64, clock: u32, count: u32) -> Vec<u8> {
    let mut out = vec![1];
    put_varuint(&mut out, count.into());
    put_varuint(&mut out, client);
    put_varuint(&mut out, clock.into());
    for clock in clock..clock + count {
        put_text(&mut out, client, clock, "x");
    }
    out.push(0);
    out
}

fn put_text(out: &mut Vec<u8>, client: u64, clock: u32, text: &str) {
    if clock == 0 {
        out.extend([0x04, 1, 1, b't']);
    } else {
        out.push(0x84);
        put_varuint(out, client);
        put_varuint(out, u64::from(clock) - 1);
    }
    put_var_bytes(out, text.as_bytes());
}

/// An update that only deletes.
pub(crate) fn delete(client: u64, clock: u32, len: u32) -> Vec<u8> {
    let mut out = vec![0, 1];
    put_varuint(&mut out, client);
    out.push(1);
    put_varuint(&mut out, clock.into());
    put_varuint(&mut out, len.into());
    out
}

/// The update that holds all of these.
pub(crate) fn merged(updates: &[Vec<u8>]) -> Vec<u8> {
    let mut replica = Replica::default();
    for update in updates {
        replica.apply(&parse(update));
    }
    let mut all = Want::everything(&replica);
    let chunk = replica.take_chunk(&mut all, usize::MAX).unwrap();
    assert!(all.is_empty());
    chunk.update.bytes().to_vec()
}

pub(crate) fn step1(vector: &[(u64, u32)]) -> Bytes {
    let vector: StateVector = vector.iter().copied().collect();
    wire::sync_step1(&vector.encode())
}

pub(crate) fn step2(update: &[u8]) -> Bytes {
    wire::sync_step2(update)
}

pub(crate) fn update(update: &[u8]) -> Bytes {
    wire::update(update)
}

/// The update that holds nothing.
pub(crate) const NOTHING: &[u8] = wire::EMPTY_UPDATE;

pub(crate) fn aware(entries: &[(u64, u64, &str)]) -> Bytes {
    let mut body = Vec::new();
    put_varuint(&mut body, entries.len() as u64);
    for (id, clock, json) in entries {
        put_varuint(&mut body, *id);
        put_varuint(&mut body, *clock);
        put_var_bytes(&mut body, json.as_bytes());
    }
    wire::awareness(&body)
}
