//! Updates made to hurt: they pass the gate, and must cost no more than their size.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::{COMPACTIONS, answer, replica, update, want};
use yrelay_core::decode::put_varuint;
use yrelay_core::id_set::IdSet;
use yrelay_core::replica::{Compaction, Replica, Want};
use yrelay_core::state_vector::StateVector;
use yrelay_core::update::Update;

/// Far more than the work takes on a slow machine, far less than its square would.
const TOO_LONG: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "measures work, not the time of day")]
fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let start = std::time::Instant::now();
    let result = work();
    let took = start.elapsed();
    assert!(took < TOO_LONG, "took {took:?}");
    result
}

fn varuint(value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    put_varuint(&mut out, value as u64);
    out
}

/// One section of one client, from clock 0 on.
fn section(client: usize, structs: &[Vec<u8>]) -> Update {
    sections(&[(client, 0, structs.to_vec())])
}

fn sections(sections: &[(usize, usize, Vec<Vec<u8>>)]) -> Update {
    let mut out = varuint(sections.len());
    for (client, clock, structs) in sections {
        out.extend(varuint(structs.len()));
        out.extend(varuint(*client));
        out.extend(varuint(*clock));
        structs.iter().for_each(|bytes| out.extend(bytes));
    }
    out.push(0);
    Update::parse(out.into()).unwrap()
}

fn deletions(client: usize, ranges: impl Iterator<Item = (usize, usize)>) -> Update {
    let ranges: Vec<_> = ranges.collect();
    let mut out = [&[0, 1], &varuint(client)[..], &varuint(ranges.len())].concat();
    for (clock, len) in ranges {
        out.extend(varuint(clock));
        out.extend(varuint(len));
    }
    Update::parse(out.into()).unwrap()
}

fn take_all(replica: &Replica, mut want: Want, bytes_max: usize) -> usize {
    let chunks = std::iter::from_fn(|| replica.take_chunk(&mut want, bytes_max)).count();
    assert!(want.is_empty());
    chunks
}

#[test]
fn a_hundred_thousand_gaps_and_what_fills_them() {
    const ISLANDS: usize = 100_000;
    in_time(|| {
        let mut structs = Vec::new();
        for _ in 0..ISLANDS {
            structs.push(vec![10, 1]);
            structs.push(vec![4, 1, 1, b't', 1, b'a']);
        }
        let mut replica = Replica::default();
        replica.apply(&section(1, &structs));
        assert_eq!(replica.held().range_count(), ISLANDS);
        let joiner = want(&replica, &StateVector::default());
        assert_eq!(take_all(&replica, joiner, 1 << 20), ISLANDS);
        let text = [
            &[4, 1, 1, b't'],
            &varuint(4 * ISLANDS)[..],
            &[0xf0, 0x9f, 0x98, 0x80].repeat(ISLANDS),
        ];
        let applied = replica.apply(&section(1, &[text.concat()]));
        assert_eq!(applied.structs.range_count(), ISLANDS);
        assert_eq!(replica.held().range_count(), 1);
        let forward = Want { structs: applied.structs, deletes: applied.deletes };
        assert_eq!(take_all(&replica, forward, 1 << 20), ISLANDS);
        for mode in COMPACTIONS {
            assert!(replica.equivalent(&replica.compact(mode)));
        }
    });
}

#[test]
fn structs_that_come_backwards() {
    in_time(|| {
        let mut replica = Replica::default();
        for clock in (0..100_000).rev() {
            let gc = sections(&[(1, clock, vec![vec![0, 1]])]);
            assert!(replica.apply(&gc).changed());
        }
        assert!(!replica.is_incomplete());
        assert_eq!(
            replica.compact(Compaction::Full).snapshot(),
            [update("010101000 0a08d060101010 0a08d06".replace(' ', "").as_str())]
        );
    });
}

#[test]
fn deletions_of_every_other_character() {
    const LEN: usize = 600_000;
    in_time(|| {
        let text = [&[4, 1, 1, b't'], &varuint(LEN)[..], &vec![b'x'; LEN]].concat();
        let mut replica = Replica::default();
        replica.apply(&section(1, &[text]));
        // Backwards; and one in a hundred long enough to be cut out.
        let ranges = (0..LEN / 100).rev().map(|n| (100 * n, 50));
        replica.apply(&deletions(1, ranges));
        replica.apply(&deletions(1, (0..LEN / 2).rev().map(|n| (2 * n, 1))));
        let compacted = replica.compact(Compaction::Full);
        assert!(compacted.bytes() < replica.bytes());
        assert_eq!(compacted.snapshot(), compacted.compact(Compaction::Full).snapshot());
        take_all(&compacted, want(&compacted, &StateVector::default()), 1 << 14);
        let mut none = compacted.missing_deletes(&IdSet::new());
        none.subtract(compacted.deletes());
        assert!(none.is_empty());
    });
}

/// Every client's one struct stands behind the next client's.
fn chain(clients: usize) -> Update {
    let structs = (0..clients).rev().map(|client| {
        let place = if client + 1 == clients {
            vec![4, 1, 1, b't', 1, b'a']
        } else {
            [&[0x84], &varuint(client + 1)[..], &[0, 1, b'a']].concat()
        };
        (client, 0, vec![place])
    });
    sections(&structs.collect::<Vec<_>>())
}

#[test]
fn a_chain_through_fifty_thousand_clients() {
    in_time(|| {
        let mut replica = Replica::default();
        assert!(replica.apply(&chain(50_000)).whole);
        let mut before = IdSet::new();
        for update in answer(&replica, &StateVector::default(), 1 << 16) {
            let ids = update.structs();
            before.merge(&ids);
            // Self-consistent: whoever is in it follows someone who is in it or came before.
            for (client, _) in ids.iter().filter(|(client, _)| *client + 1 < 50_000) {
                assert!(before.contains(client + 1, 0));
            }
        }
        assert_eq!(&before, replica.held());
    });
}

#[test]
fn a_chain_of_what_is_collected() {
    in_time(|| {
        let mut replica = Replica::default();
        replica.apply(&chain(50_000));
        replica.apply(&update("000101010001"));
        assert_eq!(replica.compact(Compaction::Full).deletes().id_count(), 1);
        // The last of the chain, on which all others hang, is a collected one here.
        let mut replica = Replica::default();
        replica.apply(&sections(&[(49_999, 0, vec![vec![0, 1]])]));
        replica.apply(&chain(50_000));
        let compacted = replica.compact(Compaction::Full);
        assert_eq!(compacted.deletes().id_count(), 50_000);
        assert!(replica.equivalent(&compacted));
    });
}

#[test]
fn references_in_a_circle() {
    // 1:0 behind 2:0, 2:0 behind 1:0; 3 and 4 the same with right origins, and each other's parent.
    for hex in [
        "02010200840100016101010084020001620 0",
        "0201020044010001610101004402000162 00",
        "02010200070001 0000 0101000700020000 00",
    ] {
        let replica = replica([hex.replace(' ', "").as_str()]);
        for bytes_max in [1, 1 << 20] {
            let taken: IdSet = answer(&replica, &StateVector::default(), bytes_max)
                .iter()
                .flat_map(|update| update.structs().iter().collect::<Vec<_>>())
                .collect();
            assert_eq!(&taken, replica.held());
        }
        for mode in COMPACTIONS {
            assert!(replica.equivalent(&replica.compact(mode)));
        }
    }
}

#[test]
fn clocks_at_the_very_end() {
    const LAST: usize = (1 << 31) - 2;
    let mut replica = Replica::default();
    let origin = [&[0x84, 1], &varuint(LAST - 1)[..], &[1, b'a']].concat();
    replica.apply(&sections(&[(1, LAST, vec![origin])]));
    replica.apply(&sections(&[(1, 0, vec![[&[0], &varuint(LAST)[..]].concat()])]));
    assert!(!replica.is_incomplete());
    replica.apply(&deletions(1, [(0, LAST + 1)].into_iter()));
    for replica in
        [replica.compact(Compaction::Full), replica.compact(Compaction::KeepDeleted), replica]
    {
        assert_eq!(replica.state_vector().get(1) as usize, LAST + 1);
        let mut copy = Replica::default();
        for update in replica.snapshot() {
            assert!(copy.apply(&update).changed());
        }
        assert_eq!(copy.state_vector(), replica.state_vector());
    }
}
