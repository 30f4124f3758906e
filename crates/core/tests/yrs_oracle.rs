//! The replica against yrs: a client that takes our answer sees what one sees that took every
//! update.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::writers::{Writer, reader};
use common::{COMPACTIONS, Random, answer, cases, live};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use yrelay_core::replica::{Compaction, Replica};
use yrelay_core::state_vector::StateVector;
use yrelay_core::update::Update;

fn parse(bytes: Vec<u8>) -> Update {
    Update::parse(bytes.into()).unwrap()
}

/// A random document: its writers' updates in causal order.
fn write(writers: usize, pairs: bool, acts: &[(u8, u64)]) -> (Vec<Update>, Vec<Writer>) {
    let clients = [1, 77, 3_000_000_000, (1 << 53) - 1];
    let writers: Vec<Writer> =
        (0..writers).map(|n| Writer { pairs, ..reader(clients[n], n % 2 == 1) }).collect();
    let mut log = Vec::new();
    for &(who, seed) in acts {
        let mut random = Random::new(seed);
        let who = usize::from(who) % writers.len();
        if random.below(5) == 0 {
            writers[who].sync_from(&writers[(who + 1) % writers.len()]);
        } else {
            log.push(parse(writers[who].act(&mut random)));
        }
    }
    (log, writers)
}

/// Hands updates to a replica out of order, some twice, among differences that overlap them;
/// compacts now and then.
fn deliver(
    log: &[Update],
    writers: &[Writer],
    compaction: Option<Compaction>,
    seed: u64,
) -> Replica {
    let mut random = Random::new(seed);
    let mut updates = log.to_vec();
    for _ in 0..log.len() / 5 {
        updates.push(log[random.below(log.len())].clone());
        let writer = &writers[random.below(writers.len())];
        updates.push(parse(writer.some_difference(&mut random)));
    }
    for at in (1..updates.len()).rev() {
        updates.swap(at, random.below(at + 1));
    }
    let mut replica = Replica::default();
    for update in &updates {
        replica.apply(update);
        if let Some(mode) = compaction
            && random.below(10) == 0
        {
            let compacted = replica.compact(mode);
            assert!(replica.equivalent(&compacted));
            replica = compacted;
        }
    }
    assert!(updates.iter().all(|update| !replica.apply(update).changed()));
    assert!(!replica.is_incomplete());
    replica
}

/// Hands our answer out in small updates: none may wait for a later one.
fn check_chunks(replica: &Replica, expected: &Writer, bytes_max: usize) {
    let reader = reader(9_000, false);
    let theirs = StateVector::default();
    let updates = answer(replica, &theirs, bytes_max);
    for update in &updates {
        reader.apply(update.bytes());
        assert!(!reader.is_pending());
        let single = update.structs().range_count() <= 1 && update.deletes().range_count() <= 1;
        assert!(single || update.bytes().len() <= bytes_max, "{}", update.bytes().len());
    }
    assert_eq!(reader.view(), expected.view());
    assert_eq!(reader.state_vector(), expected.state_vector());
}

/// A client that saw some of it, cut anywhere, catches up.
fn check_differences(replica: &Replica, log: &[Update], expected: &Writer, random: &mut Random) {
    for skip_gc in [false, true] {
        let client = reader(9_001, skip_gc);
        client.apply_all(&log[..random.below(log.len() + 1)]);
        for update in answer(replica, &client.state_vector(), [100, 1 << 20][random.below(2)]) {
            client.apply(update.bytes());
        }
        assert!(!client.is_pending());
        assert_eq!(client.view(), expected.view());
    }
    // A reader whose state ends inside structs: it has taken another's difference.
    let cut: StateVector = replica
        .state_vector()
        .iter()
        .map(|(client, clock)| (client, random.below(clock as usize + 1) as u32))
        .collect();
    let mut partial = Replica::default();
    for update in answer(replica, &StateVector::default(), 60) {
        partial.apply(&update);
    }
    let mut joined = Replica::default();
    for update in answer(&partial, &cut, 500) {
        joined.apply(&update);
    }
    for (client, clock) in cut.iter() {
        assert!(!joined.held().contains(client, clock.saturating_sub(1)) || clock == 0);
    }
}

/// A client that joins while updates are still missing, and follows. yrs may wait for ever for
/// what it already has when updates come out of order, ours or the authors': then it asks again.
fn check_live(log: &[Update], expected: &Writer, random: &mut Random) {
    let mut updates = log.to_vec();
    for at in (1..updates.len()).rev() {
        updates.swap(at, random.below(at + 1));
    }
    let sent = live(&updates, random);
    let mut replica = Replica::default();
    sent.iter().for_each(|update| drop(replica.apply(update)));
    let client = reader(9_003, false);
    client.apply_all(&sent);
    if client.is_pending() {
        client.apply_all(&answer(&replica, &client.state_vector(), usize::MAX));
    }
    assert!(!client.is_pending());
    assert_eq!(client.view(), expected.view());
}

fn check_document(writers: usize, pairs: bool, acts: &[(u8, u64)], seed: u64) {
    let (log, writers) = write(writers, pairs, acts);
    if log.is_empty() {
        return;
    }
    let expected = reader(9_002, false);
    expected.apply_all(&log);
    let mut random = Random::new(seed);
    check_live(&log, &expected, &mut random);
    for compaction in [None, Some(Compaction::Full), Some(Compaction::KeepDeleted)] {
        let replica = deliver(&log, &writers, compaction, seed);
        assert_eq!(replica.state_vector(), expected.state_vector());
        for bytes_max in [1, 64, 1_000, usize::MAX] {
            check_chunks(&replica, &expected, bytes_max);
        }
        check_differences(&replica, &log, &expected, &mut random);
        for mode in COMPACTIONS {
            let once = replica.compact(mode);
            assert!(replica.equivalent(&once));
            assert_eq!(once.snapshot(), once.compact(mode).snapshot());
            check_chunks(&once, &expected, 200);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_documents(
        writers in 2usize..5,
        pairs in any::<bool>(),
        acts in prop::collection::vec((0u8..4, 0u64..1 << 40), 1..60),
        seed in 0u64..1 << 40,
    ) {
        check_document(writers, pairs, &acts, seed);
    }
}

#[test]
fn the_documents_of_yjs() {
    for case in cases().iter().filter(|case| case.yrs) {
        let mut replica = Replica::default();
        for update in &case.updates {
            replica.apply(update);
        }
        let delta = case.expect["delta"].as_array().unwrap();
        let text: String = delta.iter().filter_map(|insert| insert["insert"].as_str()).collect();
        let mut first = None;
        for replica in
            [replica.compact(Compaction::Full), replica.compact(Compaction::KeepDeleted), replica]
        {
            let client = reader(9_000, false);
            client.apply_all(&answer(&replica, &StateVector::default(), usize::MAX));
            assert!(!client.is_pending(), "{}", case.name);
            assert_eq!(client.state_vector(), case.state_vector, "{}", case.name);
            assert_eq!(client.text(), text, "{}", case.name);
            assert_eq!(first.get_or_insert(client.view()), &client.view(), "{}", case.name);
        }
    }
}
