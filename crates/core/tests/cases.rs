//! The documents of `data/replica.json`, made with Yjs: delivered to the replica, compacted at
//! several points, handed out, and read by yrs.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{COMPACTIONS, Case, Random, answer, cases};
use yrelay_core::id_set::IdSet;
use yrelay_core::replica::{Compaction, Replica};
use yrelay_core::state_vector::StateVector;

/// The replica after all updates of a case, compacted now and then.
fn deliver(case: &Case, compaction: Option<Compaction>, seed: u64) -> Replica {
    let mut random = Random::new(seed);
    let mut replica = Replica::default();
    for update in &case.updates {
        let before = replica.held().clone();
        let applied = replica.apply(update);
        assert_eq!(applied.structs.intersection(&before), IdSet::new(), "{}", case.name);
        if let Some(mode) = compaction
            && random.below(3) == 0
        {
            let compacted = replica.compact(mode);
            assert!(replica.equivalent(&compacted), "{}", case.name);
            replica = compacted;
        }
    }
    replica
}

fn all_variants(case: &Case) -> Vec<Replica> {
    let raw = deliver(case, None, 0);
    let mut variants =
        vec![raw.compact(Compaction::Full), raw.compact(Compaction::KeepDeleted), raw];
    for seed in 0..3 {
        variants.extend(COMPACTIONS.map(|mode| deliver(case, Some(mode), seed)));
        variants.push(deliver(case, Some(Compaction::Full), seed).compact(Compaction::Full));
    }
    variants
}

#[test]
fn every_case_ends_in_its_state() {
    for case in cases() {
        for mut replica in all_variants(&case) {
            assert_eq!(replica.state_vector(), case.state_vector, "{}", case.name);
            assert!(!replica.is_incomplete(), "{}", case.name);
            // What only integration deletes (overwritten values, late children) we need not know.
            let mut foreign = replica.deletes().clone();
            foreign.subtract(&case.delete_set);
            assert!(foreign.is_empty(), "{}: {foreign:?}", case.name);
            for update in &case.updates {
                assert!(!replica.apply(update).changed(), "{}", case.name);
            }
        }
    }
}

#[test]
fn answers_rebuild_the_replica() {
    for case in cases() {
        for replica in all_variants(&case) {
            for bytes_max in [1, 40, 200, usize::MAX] {
                let mut copy = Replica::default();
                for update in answer(&replica, &StateVector::default(), bytes_max) {
                    assert_eq!(copy.apply(&update).structs, update.structs(), "{}", case.name);
                }
                assert_eq!(copy.held(), replica.held(), "{}", case.name);
                assert_eq!(copy.deletes(), replica.deletes(), "{}", case.name);
            }
        }
    }
}

#[test]
fn compaction_is_idempotent_and_smaller_than_yjs() {
    let (mut ours, mut theirs) = (0, 0);
    for case in cases() {
        for mode in COMPACTIONS {
            let once = deliver(&case, None, 0).compact(mode);
            let twice = once.compact(mode);
            assert_eq!(once.snapshot(), twice.snapshot(), "{} {mode:?}", case.name);
        }
        let full = deliver(&case, None, 0).compact(Compaction::Full);
        ours += full.snapshot().iter().map(|update| update.bytes().len()).sum::<usize>();
        theirs += case.yjs_bytes;
    }
    println!("{ours} bytes, Yjs {theirs}");
    assert!(ours < theirs, "{ours} bytes, Yjs {theirs}");
}
