//! The gate, and the replica behind it.

use bytes::Bytes;
use yrelay_core::id_set::IdSet;
use yrelay_core::replica::{Compaction, Replica, Want};
use yrelay_core::update::Update;

use crate::tape::Tape;

const COMPACTIONS: [Compaction; 2] = [Compaction::Full, Compaction::KeepDeleted];

/// One update.
pub(crate) fn one(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let Ok(update) = Update::parse(Bytes::copy_from_slice(bytes)) else { return };
    exercise(&mut Replica::default(), &update, 1 + usize::from(*first));
}

/// Several, in two orders: both come to the same.
pub(crate) fn many(bytes: &[u8]) {
    let mut tape = Tape(bytes);
    let mut updates = Vec::new();
    while !tape.has_ended() {
        let Ok(update) = Update::parse(Bytes::copy_from_slice(tape.bytes())) else { continue };
        updates.push(update);
    }
    let mut forwards = Replica::default();
    updates.iter().for_each(|update| exercise(&mut forwards, update, 64));
    let mut backwards = Replica::default();
    updates.iter().rev().for_each(|update| drop(backwards.apply(update)));
    assert_eq!(forwards.held(), backwards.held());
    assert_eq!(forwards.deletes(), backwards.deletes());
    assert_eq!(forwards.state_vector(), backwards.state_vector());
}

/// Everything that is done with an update that has passed, in parts of so many bytes. Nothing of it
/// may panic or run on.
pub fn exercise(replica: &mut Replica, update: &Update, bytes_max: usize) {
    let before = replica.held().clone();
    let applied = replica.apply(update);
    assert!(applied.structs.intersection(&before).is_empty(), "what is new was not held");
    assert!(!replica.apply(update).changed(), "twice is once");
    assert!(replica.held().contains_all(&update.structs()));
    assert!(replica.deletes().contains_all(&update.deletes()));
    for mode in COMPACTIONS {
        let compacted = replica.compact(mode);
        assert!(replica.equivalent(&compacted));
        assert_eq!(compacted.snapshot(), compacted.compact(mode).snapshot());
    }
    let mut copy = Replica::default();
    let mut everything =
        Want { structs: all_that_is_held(replica), deletes: replica.deletes().clone() };
    while let Some(chunk) = replica.take_chunk(&mut everything, bytes_max) {
        copy.apply(&chunk.update);
    }
    assert_eq!((copy.held(), copy.deletes()), (replica.held(), replica.deletes()));
    // Passing on what was new ends as well.
    let mut news = Want { structs: applied.structs, deletes: applied.deletes };
    while replica.take_chunk(&mut news, bytes_max).is_some() {}
    assert!(news.is_empty());
}

fn all_that_is_held(replica: &Replica) -> IdSet {
    replica.missing_from(&Default::default())
}
