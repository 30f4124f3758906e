//! The replica against a real Yjs in a child process: the documents of `data/replica.json` and
//! random ones, answered raw and compacted, at once and in parts.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::yjs::{ask, read};
use common::{COMPACTIONS, Random, answer, cases, live};
use serde_json::{Value, json};
use yrelay_core::id_set::IdSet;
use yrelay_core::replica::{Compaction, Replica, Want};
use yrelay_core::state_vector::StateVector;
use yrelay_core::update::Update;

/// What one reader must see.
struct Expectation {
    what: String,
    view: Value,
    /// Whether a surrogate pair was cut on the way: then texts may differ.
    pair_cut: bool,
}

/// Questions to Yjs, and what it must answer.
#[derive(Default)]
struct Questions {
    requests: Vec<Value>,
    expectations: Vec<Expectation>,
}

impl Questions {
    fn push(&mut self, what: String, updates: &[Update], gc: bool, view: &Value, pair_cut: bool) {
        self.requests.push(read(updates, gc));
        self.expectations.push(Expectation { what, view: view.clone(), pair_cut });
    }

    /// All readers of one replica.
    fn push_readers(&mut self, name: &str, replica: &Replica, view: &Value, random: &mut Random) {
        let empty = StateVector::default();
        let (bytes_max, gc) =
            [(usize::MAX, true), (usize::MAX, false), (1 + random.below(300), true)]
                [random.below(3)];
        let updates = answer(replica, &empty, bytes_max);
        self.push(format!("{name}, chunks of {bytes_max}, gc {gc}"), &updates, gc, view, false);
        let cut: StateVector = replica
            .state_vector()
            .iter()
            .map(|(client, clock)| (client, random.below(clock as usize + 1) as u32))
            .collect();
        let mut updates = below(replica, &cut);
        updates.extend(answer(replica, &cut, usize::MAX));
        let pair_cut = halves(&updates) > halves(&answer(replica, &empty, usize::MAX));
        self.push(format!("{name}, cut at {cut:?}"), &updates, true, view, pair_cut);
    }

    fn check(self) {
        let Some(answers) = ask(self.requests.clone()) else { return };
        for (expectation, (request, answer)) in
            self.expectations.iter().zip(self.requests.iter().zip(answers))
        {
            let context = || format!("{}\n{request}", expectation.what);
            assert_eq!(answer["error"], Value::Null, "{}", context());
            assert_eq!(answer["pending"], json!(false), "{}", context());
            for field in ["stateVector", "deleteSet", "json", "xml", "delta"] {
                let textual = !["stateVector", "deleteSet"].contains(&field);
                if !(expectation.pair_cut && textual) {
                    assert_eq!(answer[field], expectation.view[field], "{field} of {}", context());
                }
            }
        }
        println!("{} readers agree", self.requests.len());
    }
}

/// Everything below a state vector: structs that end where it says.
fn below(replica: &Replica, end: &StateVector) -> Vec<Update> {
    let structs: IdSet = end.iter().map(|(client, clock)| (client, 0..clock)).collect();
    let mut want = Want { structs, deletes: IdSet::new() };
    std::iter::from_fn(|| replica.take_chunk(&mut want, 1_000)).map(|chunk| chunk.update).collect()
}

/// How many halves of surrogate pairs stand for themselves.
fn halves(updates: &[Update]) -> usize {
    let windows = updates.iter().flat_map(|update| update.bytes().windows(3));
    windows.filter(|bytes| *bytes == "\u{fffd}".as_bytes()).count()
}

/// The replica after these updates, compacted now and then.
fn deliver(updates: &[Update], compaction: Option<Compaction>, random: &mut Random) -> Replica {
    let mut replica = Replica::default();
    for update in updates {
        replica.apply(update);
        if let Some(mode) = compaction
            && random.below(4) == 0
        {
            replica = replica.compact(mode);
        }
    }
    replica
}

/// The replica as delivered and as compacted, on the way and at the end.
fn variants(updates: &[Update], random: &mut Random) -> Vec<(&'static str, Replica)> {
    let raw = deliver(updates, None, random);
    let full = raw.compact(Compaction::Full);
    vec![
        ("compacted", full),
        ("joined", raw.compact(Compaction::KeepDeleted)),
        ("raw", raw),
        ("compacted on the way", deliver(updates, Some(Compaction::Full), random)),
        ("joined on the way", deliver(updates, Some(Compaction::KeepDeleted), random)),
    ]
}

#[test]
fn the_documents_of_the_vectors() {
    let mut questions = Questions::default();
    for (seed, case) in cases().iter().enumerate() {
        let mut random = Random::new(seed as u64);
        for (how, replica) in variants(&case.updates, &mut random) {
            questions.push_readers(
                &format!("{} {how}", case.name),
                &replica,
                &case.expect,
                &mut random,
            );
        }
    }
    questions.check();
}

#[test]
fn random_documents() {
    let seeds = 1..=200;
    let requests = seeds.map(|seed| json!({ "do": "write", "seed": seed })).collect();
    let Some(documents) = ask(requests) else { return };
    let mut questions = Questions::default();
    for (number, document) in documents.iter().enumerate() {
        assert_eq!(document["error"], Value::Null);
        let mut random = Random::new(number as u64);
        let updates = delivery(document, &mut random);
        let all = deliver(&updates, None, &mut random);
        assert!(!all.is_incomplete());
        for (how, replica) in variants(&updates, &mut random) {
            for mode in COMPACTIONS {
                let compacted = replica.compact(mode);
                assert!(replica.equivalent(&compacted));
                assert_eq!(compacted.snapshot(), compacted.compact(mode).snapshot());
            }
            questions.push_readers(
                &format!("document {number} {how}"),
                &replica,
                &document["view"],
                &mut random,
            );
        }
        for _ in 0..4 {
            let sent = live(&updates, &mut random);
            questions.push(
                format!("document {number} live"),
                &sent,
                true,
                &document["view"],
                false,
            );
        }
    }
    questions.check();
}

/// The updates of a document in the order of their arrival: some late, some twice, some merged.
fn delivery(document: &Value, random: &mut Random) -> Vec<Update> {
    let list = |name: &str| {
        let hexes = document[name].as_array().unwrap().iter();
        hexes.map(|hex| common::update(hex.as_str().unwrap())).collect::<Vec<_>>()
    };
    let mut updates = list("updates");
    updates.extend(list("overlaps"));
    if random.below(3) > 0 {
        for at in (1..updates.len()).rev() {
            updates.swap(at, random.below(at + 1));
        }
    }
    updates
}
