//! Damaged updates: what the gate lets through harms neither us nor Yjs.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::yjs::{ask, hexes};
use common::{COMPACTIONS, Random, answer, cases, hex};
use serde_json::{Value, json};
use yrelay_core::replica::Replica;
use yrelay_core::state_vector::StateVector;
use yrelay_core::update::Update;
use yrelay_fuzz::exercise;

const MUTATIONS: usize = 200_000;
/// Accepted ones that Yjs must take as well.
const SAMPLE: usize = 3_000;

/// Bytes that mean something: kinds, flags, tags, ends of varints.
const TELLING: [u8; 20] = [
    0, 1, 2, 4, 7, 8, 9, 10, 0x21, 0x27, 0x28, 0x44, 0x7f, 0x80, 0x81, 0x84, 0xa8, 0xc4, 0xf0, 0xff,
];

fn mutate(original: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len().max(1));
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(1),
            2 if at < bytes.len() => bytes[at] = bytes[at].wrapping_sub(1),
            3 if at < bytes.len() => bytes[at] = TELLING[random.below(TELLING.len())],
            4 => bytes.insert(at, TELLING[random.below(TELLING.len())]),
            5 if at < bytes.len() => {
                bytes.remove(at);
            }
            6 if at < bytes.len() => {
                // One id or number for another.
                bytes[at] = bytes[random.below(bytes.len())];
            }
            _ => {
                let from = random.below(other.len());
                let len = random.below((other.len() - from).min(12) + 1);
                let end = (at + random.below(12)).min(bytes.len());
                bytes.splice(at..end, other[from..from + len].iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn what_passes_the_gate_harms_nobody() {
    let corpus: Vec<Vec<Update>> = cases().into_iter().map(|case| case.updates).collect();
    let mut random = Random::new(7);
    let (mut accepted, mut requests) = (0, Vec::new());
    for _ in 0..MUTATIONS {
        let document = &corpus[random.below(corpus.len())];
        let original = document[random.below(document.len())].bytes();
        let other = document[random.below(document.len())].bytes();
        if original.len() > 400 {
            continue;
        }
        let bytes = mutate(original, other, &mut random);
        let Ok(update) = Update::parse(bytes.clone().into()) else { continue };
        accepted += 1;
        let sampled = random.below(MUTATIONS / 8) < SAMPLE;
        let mut replica = Replica::default();
        if random.below(4) == 0 {
            document.iter().for_each(|update| drop(replica.apply(update)));
        }
        exercise(&mut replica, &update, 1 + random.below(200));
        if sampled && requests.len() < 2 * SAMPLE {
            // What is not forwarded as it came may hold empty strings: Yjs fails on them.
            if Replica::default().apply(&update).whole {
                requests.push(json!({ "do": "take", "updates": [hex(&bytes)] }));
            }
            for replica in [replica.compact(COMPACTIONS[0]), replica] {
                let answer = answer(&replica, &StateVector::default(), usize::MAX);
                requests.push(json!({ "do": "take", "updates": hexes(&answer) }));
            }
        }
    }
    println!("{accepted} accepted, {} asked", requests.len());
    assert!(accepted > MUTATIONS / 20, "only {accepted} accepted: the mutator is too coarse");
    let Some(answers) = ask(requests.clone()) else { return };
    for (request, answer) in requests.iter().zip(&answers) {
        assert_eq!(answer["error"], Value::Null, "{request}");
    }
}
