//! What the tests of the core share.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test binary uses its part"
)]

pub mod writers;
pub mod yjs;

use std::collections::BTreeMap;

use serde_json::Value;
use yrelay_core::id_set::IdSet;
use yrelay_core::replica::{Compaction, Replica, Want};
use yrelay_core::state_vector::StateVector;
use yrelay_core::update::Update;

pub fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn update(hex: &str) -> Update {
    Update::parse(bytes(hex).into()).unwrap_or_else(|error| panic!("{hex}: {error}"))
}

pub fn replica<'a>(updates: impl IntoIterator<Item = &'a str>) -> Replica {
    let mut replica = Replica::default();
    for hex in updates {
        replica.apply(&update(hex));
    }
    replica
}

/// What a peer with this state vector is to be sent.
pub fn want(replica: &Replica, theirs: &StateVector) -> Want {
    Want { structs: replica.missing_from(theirs), deletes: replica.deletes().clone() }
}

/// Our whole answer to a state vector, in updates of `bytes_max`.
pub fn answer(replica: &Replica, theirs: &StateVector, bytes_max: usize) -> Vec<Update> {
    let mut want = want(replica, theirs);
    std::iter::from_fn(|| replica.take_chunk(&mut want, bytes_max)).map(|c| c.update).collect()
}

/// What a client is sent that joins somewhere on the way: our answer, and then what is new as it
/// comes, in the author's bytes or, where we held a part of it, in ours.
pub fn live(updates: &[Update], random: &mut Random) -> Vec<Update> {
    let mut replica = Replica::default();
    let joins = random.below(updates.len());
    let mut sent = Vec::new();
    for (number, update) in updates.iter().enumerate() {
        if number == joins {
            sent = answer(&replica, &StateVector::default(), 1 + random.below(1_000));
        }
        let applied = replica.apply(update);
        if number >= joins && applied.changed() {
            if applied.whole {
                sent.push(update.clone());
            } else {
                let mut want = Want { structs: applied.structs, deletes: applied.deletes };
                let chunks = std::iter::from_fn(|| replica.take_chunk(&mut want, 1 << 16));
                sent.extend(chunks.map(|chunk| chunk.update));
            }
        }
        if random.below(5) == 0 {
            replica = replica.compact(COMPACTIONS[random.below(2)]);
        }
    }
    sent
}

/// Our answer in one update, in hex.
pub fn answer_hex(replica: &Replica, theirs: &[(u64, u32)]) -> String {
    let theirs = theirs.iter().copied().collect();
    let answer = answer(replica, &theirs, usize::MAX);
    assert!(answer.len() <= 1);
    answer.first().map_or("0000".to_owned(), |update| hex(update.bytes()))
}

/// A small generator of numbers: tests repeat exactly.
pub struct Random {
    state: u64,
    /// Whether surrogate pairs may come up in words.
    pub pairs: bool,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(2).wrapping_add(1), pairs: true }
    }

    pub fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

/// One document of `data/replica.json`.
pub struct Case {
    pub name: String,
    pub yrs: bool,
    pub split_pairs: bool,
    pub updates: Vec<Update>,
    pub yjs_bytes: usize,
    pub state_vector: StateVector,
    pub delete_set: IdSet,
    pub expect: Value,
}

pub fn cases() -> Vec<Case> {
    let text = include_str!("../data/replica.json");
    let all: Value = serde_json::from_str(text).unwrap();
    all["cases"].as_array().unwrap().iter().map(case).collect()
}

fn case(case: &Value) -> Case {
    let expect = &case["expect"];
    let number = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let clients: BTreeMap<u64, &Value> = expect["deleteSet"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(k, v)| (k.parse().unwrap(), v))
        .collect();
    let deleted = clients.iter().flat_map(|(&client, ranges)| {
        ranges.as_array().unwrap().iter().map(move |range| {
            let start = number(&range[0]);
            (client, start..start + number(&range[1]))
        })
    });
    let vector = expect["stateVector"].as_object().unwrap().iter();
    Case {
        name: case["name"].as_str().unwrap().to_owned(),
        yrs: case["yrs"].as_bool().unwrap(),
        split_pairs: case["splitPairs"].as_bool().unwrap(),
        updates: case["updates"]
            .as_array()
            .unwrap()
            .iter()
            .map(|u| update(u.as_str().unwrap()))
            .collect(),
        yjs_bytes: usize::try_from(case["yjsBytes"].as_u64().unwrap()).unwrap(),
        state_vector: vector
            .map(|(client, clock)| (client.parse().unwrap(), number(clock)))
            .collect(),
        delete_set: deleted.collect(),
        expect: expect.clone(),
    }
}

pub const COMPACTIONS: [Compaction; 2] = [Compaction::Full, Compaction::KeepDeleted];
