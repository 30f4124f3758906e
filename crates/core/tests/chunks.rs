//! Handing out a replica in parts: order, islands, bounds.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{answer, bytes, replica, update, want};
use yrelay_core::decode::put_varuint;
use yrelay_core::id_set::IdSet;
use yrelay_core::replica::{Compaction, Replica, Want};
use yrelay_core::state_vector::StateVector;
use yrelay_core::update::Update;

fn ids(ranges: &[(u64, std::ops::Range<u32>)]) -> IdSet {
    ranges.iter().cloned().collect()
}

/// All chunks of a want: their updates' ids, and whether they say that they complete it.
fn chunks(replica: &Replica, mut want: Want, bytes_max: usize) -> Vec<(IdSet, IdSet, bool)> {
    std::iter::from_fn(|| replica.take_chunk(&mut want, bytes_max))
        .map(|chunk| (chunk.update.structs(), chunk.update.deletes(), chunk.complete))
        .collect()
}

/// Client 2 writes "abc" behind what client 1 wrote, client 1 goes on behind client 2.
fn woven() -> Replica {
    replica([
        "0101010004010174016100",
        "01010200840100016200",
        "01010101840200016300",
        "01010201840101016400",
    ])
}

#[test]
fn structs_come_after_what_they_refer_to() {
    let replica = woven();
    let got = chunks(&replica, want(&replica, &StateVector::default()), 1);
    let order: Vec<IdSet> = got.into_iter().map(|(structs, _, _)| structs).collect();
    assert_eq!(order, [ids(&[(1, 0..1)]), ids(&[(2, 0..1)]), ids(&[(1, 1..2)]), ids(&[(2, 1..2)])]);
}

#[test]
fn what_fits_comes_at_once() {
    let replica = woven();
    let got = chunks(&replica, want(&replica, &StateVector::default()), 1 << 20);
    assert_eq!(got, [(ids(&[(1, 0..2), (2, 0..2)]), IdSet::new(), true)]);
}

#[test]
fn nothing_wanted_nothing_taken() {
    let replica = woven();
    let covered = want(&replica, &replica.state_vector());
    assert!(chunks(&replica, covered, 1 << 20).is_empty());
    assert!(chunks(&Replica::default(), Want::default(), 1 << 20).is_empty());
}

#[test]
fn what_is_not_held_is_dropped() {
    let replica = woven();
    let mut want = Want { structs: ids(&[(1, 1..9), (7, 0..5)]), deletes: ids(&[(1, 0..1)]) };
    let chunk = replica.take_chunk(&mut want, 1 << 20).unwrap();
    assert_eq!(chunk.update.structs(), ids(&[(1, 1..2)]));
    assert!(chunk.complete);
    assert!(replica.take_chunk(&mut want, 1 << 20).is_none());
    assert!(want.is_empty());
}

#[test]
fn deletions_come_with_the_last_structs_or_after_them() {
    let mut replica = woven();
    replica.apply(&update("00020101000102010001"));
    let deletes = ids(&[(1, 0..1), (2, 0..1)]);
    let all = want(&replica, &StateVector::default());
    let got = chunks(&replica, all.clone(), 1 << 20);
    assert_eq!(got, [(ids(&[(1, 0..2), (2, 0..2)]), deletes.clone(), true)]);
    let got = chunks(&replica, all, 1);
    let (last_struct, _) =
        got.iter().enumerate().rfind(|(_, (structs, _, _))| !structs.is_empty()).unwrap();
    let mut seen = IdSet::new();
    for (number, (structs, deletes, complete)) in got.iter().enumerate() {
        assert!(deletes.is_empty() || number > last_struct, "{structs:?}");
        assert_eq!(*complete, number == got.len() - 1);
        seen.merge(deletes);
    }
    assert_eq!(seen, deletes);
}

#[test]
fn deletions_alone_make_an_update() {
    let replica = replica(["000101010001"]);
    let got = chunks(&replica, want(&replica, &StateVector::default()), 1 << 20);
    assert_eq!(got, [(IdSet::new(), ids(&[(1, 0..1)]), true)]);
}

/// Client 1 has "a", then a gap; behind gaps stand two islands of client 1 and one of client 2.
fn with_islands() -> Replica {
    let mut replica = replica([
        "0101010004010174016100",
        "01010105840104016600",
        "01010109840108016a00",
        "01010203840202016400",
        "000102010301",
    ]);
    assert!(!replica.apply(&update("01010109840108016a00")).changed());
    replica
}

#[test]
fn islands_come_last_and_without_skip() {
    let replica = with_islands();
    assert!(replica.is_incomplete());
    let vector: Vec<_> = replica.state_vector().iter().collect();
    assert_eq!(vector, [(1, 1)]);
    for bytes_max in [1, 1 << 20] {
        let got = chunks(&replica, want(&replica, &StateVector::default()), bytes_max);
        let islands =
            got.iter().position(|(structs, _, _)| !structs.contains(1, 0) && !structs.is_empty());
        let islands = islands.unwrap();
        assert!(got[..islands].iter().any(|(_, deletes, _)| !deletes.is_empty()));
        assert_eq!(got.iter().position(|(_, _, complete)| *complete), Some(islands - 1));
        assert!(got[islands..].iter().all(|(_, _, complete)| *complete));
        let mut seen = IdSet::new();
        for (structs, deletes, _) in &got[islands..] {
            assert!(deletes.is_empty());
            assert!([1, 2].iter().all(|&client| structs.ranges(client).count() <= 1));
            seen.merge(structs);
        }
        assert_eq!(seen, ids(&[(1, 5..6), (1, 9..10), (2, 3..4)]));
    }
}

#[test]
fn gaps_close() {
    let mut replica = with_islands();
    let applied = replica.apply(&update("01010101840100076262626262626200"));
    assert_eq!(applied.structs, ids(&[(1, 1..5), (1, 6..8)]));
    assert!(!applied.whole && replica.is_incomplete());
    let vector: Vec<_> = replica.state_vector().iter().collect();
    assert_eq!(vector, [(1, 8)]);
    let forward = Want { structs: applied.structs, deletes: applied.deletes };
    let got = chunks(&replica, forward, 1 << 20);
    // One range of a client per update: neither Skip nor what the others have.
    let expected =
        [(ids(&[(1, 1..5)]), IdSet::new(), false), (ids(&[(1, 6..8)]), IdSet::new(), true)];
    assert_eq!(got, expected);
    replica.apply(&update("01010108840107016300"));
    assert!(replica.is_incomplete());
    replica.apply(&update("01010200040101740361626300"));
    assert!(!replica.is_incomplete());
    let vector: Vec<_> = replica.state_vector().iter().collect();
    assert_eq!(vector, [(1, 10), (2, 4)]);
}

#[test]
fn an_update_is_whole_only_if_all_of_it_is_new() {
    for (hex, whole) in [
        ("0101010004010174016100", true),
        // Collected, and named again in the delete set: as Yjs writes a whole state.
        ("0101010000010101010001", true),
        ("000101010001", true),
        // The same range twice.
        ("00010102000100 01", false),
        ("01020100040101740161 84010000 00", false),
        // Skip.
        ("01020100 0a01 0001 00", false),
        ("0000", true),
    ] {
        let update = update(&hex.replace(' ', ""));
        let mut replica = Replica::default();
        assert_eq!(replica.apply(&update).whole, whole, "{hex}");
        let again = replica.apply(&update);
        assert!(!again.changed());
        assert_eq!(again.whole, update.is_empty(), "{hex}");
    }
}

#[test]
fn copies_do_not_see_each_other() {
    let mut replica = woven();
    let frozen = replica.clone();
    let before = frozen.snapshot();
    replica.apply(&update("01010102840101016500"));
    replica.apply(&update("000101010001"));
    assert_eq!(frozen.snapshot(), before);
    assert_eq!(replica.held().id_count(), frozen.held().id_count() + 1);
    assert!(frozen.deletes().is_empty());
}

#[test]
fn bytes_follow_content() {
    let empty = Replica::default();
    let woven = woven();
    assert!(woven.bytes() > empty.bytes());
    let compacted = woven.compact(Compaction::Full);
    assert!(compacted.bytes() <= woven.bytes());
    let mut large = woven.clone();
    let text =
        [&bytes("0101030004010174"), &[0x80, 0x80, 0x04][..], &[b'a'; 65_536], &[0]].concat();
    large.apply(&Update::parse(text.into()).unwrap());
    assert!(large.bytes() > woven.bytes() + 65_536 && large.bytes() < woven.bytes() + 70_000);
}

#[test]
fn missing_deletes_are_those_of_structs_we_hold() {
    let mut replica = woven();
    replica.apply(&update("00020101000102010004"));
    assert_eq!(replica.missing_deletes(&IdSet::new()), ids(&[(1, 0..1), (2, 0..2)]));
    assert_eq!(replica.missing_deletes(&ids(&[(1, 0..1), (2, 0..1)])), ids(&[(2, 1..2)]));
    assert!(replica.missing_deletes(&ids(&[(1, 0..9), (2, 0..2)])).is_empty());
}

#[test]
fn snapshots_rebuild_the_replica_in_bounded_updates() {
    let mut replica = with_islands();
    for client in 10..40u64 {
        let mut update = vec![1, 1];
        put_varuint(&mut update, client);
        update.extend([0, 4, 1, 1, b't']);
        put_varuint(&mut update, 300_000);
        update.extend(std::iter::repeat_n(b'x', 300_000));
        update.push(0);
        replica.apply(&Update::parse(update.into()).unwrap());
    }
    let snapshot = replica.snapshot();
    assert!(snapshot.iter().all(|update| update.bytes().len() <= 4 << 20));
    assert!(snapshot.len() >= 3);
    let mut copy = Replica::default();
    snapshot.iter().for_each(|update| drop(copy.apply(update)));
    assert_eq!((copy.held(), copy.deletes()), (replica.held(), replica.deletes()));
    assert_eq!(copy.bytes(), replica.bytes());
    assert_eq!(copy.is_incomplete(), replica.is_incomplete());
    assert!(answer(&copy, &copy.state_vector(), 1 << 20).len() >= 2, "islands and deletions");
}

/// One struct of kind 4 or 8 in the root `t`.
fn one_struct(kind: u8, length: usize, content: &[u8]) -> Replica {
    let mut update = vec![1, 1, 1, 0, kind, 1, 1, b't'];
    put_varuint(&mut update, length as u64);
    update.extend(content);
    update.push(0);
    let mut replica = Replica::default();
    replica.apply(&Update::parse(update.into()).unwrap());
    replica
}

#[test]
fn texts_and_lists_larger_than_a_chunk_are_cut() {
    let texts =
        ["x".repeat(100_000), "a€😀".repeat(12_000), "😀".repeat(20_000), "€".repeat(30_000)];
    let mut replicas: Vec<_> =
        texts.iter().map(|text| one_struct(4, text.len(), text.as_bytes())).collect();
    replicas.push(one_struct(8, 6_000, &[125, 1, 119, 3, b'a', b'b', b'c'].repeat(3_000)));
    for replica in replicas {
        for bytes_max in [200, 65_536] {
            let updates = answer(&replica, &StateVector::default(), bytes_max);
            let mut copy = Replica::default();
            for update in &updates {
                assert!(update.bytes().len() <= bytes_max);
                assert!(copy.apply(update).whole);
            }
            let fair = 2 * replica.bytes() / bytes_max + 2;
            assert!(updates.len() < fair, "{} of {fair}", updates.len());
            // Joined again it is the same: no pair was cut.
            let joined = |replica: &Replica| replica.compact(Compaction::KeepDeleted).snapshot();
            assert_eq!(joined(&copy), joined(&replica));
        }
    }
}

#[test]
fn what_cannot_be_cut_passes_alone() {
    let mut binary = Vec::new();
    put_varuint(&mut binary, 5_000);
    binary.extend([7; 5_000]);
    let mut replica = woven();
    let update = [&bytes("0101030003010174")[..], &binary, &[0]].concat();
    replica.apply(&Update::parse(update.into()).unwrap());
    let got = chunks(&replica, want(&replica, &StateVector::default()), 1_000);
    assert_eq!(
        got,
        [
            (ids(&[(1, 0..2), (2, 0..2)]), IdSet::new(), false),
            (ids(&[(3, 0..1)]), IdSet::new(), true)
        ]
    );
}
