//! What a document of many edits takes on the heap, here and as yrs holds it. Alone in its process,
//! as whatever else ran would count.
#![cfg(target_os = "linux")]

use std::alloc::System;

use bytes::Bytes;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use yrelay_bench::script;
use yrelay_core::replica::{Compaction, Replica};
use yrelay_core::update::Update;
use yrs::updates::decoder::Decode as _;
use yrs::{Doc, Transact as _};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Each of ten edits.
const UPDATES: usize = 2_000;

fn live() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// What is made, and the bytes that it takes.
fn weigh<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let before = live();
    let made = make();
    (made, live() - before)
}

#[test]
fn a_replica_takes_much_less_than_a_document_of_yrs() {
    let work = script::editing(script::author_id(0, 0), &[], UPDATES);
    let (_, yrs) = weigh(|| {
        let doc = Doc::new();
        for update in &work.updates {
            doc.transact_mut().apply_update(yrs::Update::decode_v1(update).unwrap()).unwrap();
        }
        doc
    });
    let (replica, single) = weigh(|| {
        let mut replica = Replica::default();
        for update in &work.updates {
            replica.apply(&Update::parse(Bytes::copy_from_slice(update)).unwrap());
        }
        replica
    });
    let (_, compacted) = weigh(|| replica.compact_rows(Compaction::Full).unwrap().0);
    println!("yrs {yrs}; of single updates {single}, compacted {compacted}");
    assert!(single < yrs / 5 && compacted < yrs / 5, "{single} and {compacted} of {yrs}");
    assert!(replica.bytes() < 2 * single, "what it says it takes: {}", replica.bytes());
}
