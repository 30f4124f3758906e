//! The hand-written vectors V1 to V10: what must come out, to the byte.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{COMPACTIONS, answer_hex, replica, update};
use yrelay_core::replica::{Compaction, Want};

#[test]
fn v1_child_of_a_deleted_type() {
    let updates = ["010101002701016d016b0100", "000101010001", "01010200280001000178017d0500"];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let replica = replica(order.map(|n| updates[n]));
        assert!(!replica.is_incomplete());
        let compacted = replica.compact(Compaction::Full);
        assert!(replica.equivalent(&compacted));
        assert!(compacted.deletes().contains(1, 0) && compacted.deletes().contains(2, 0));
        assert_eq!(
            answer_hex(&compacted, &[]),
            "0201020000010101002101016d016b01020201000101010001"
        );
    }
}

#[test]
fn v2_collected_prefix() {
    let mut replica = replica(["01010100000100"]);
    let applied = replica.apply(&update("01010100040101740361626300"));
    assert!(!applied.whole);
    assert_eq!(applied.structs.iter().collect::<Vec<_>>(), [(1, 1..3)]);
    assert_eq!(answer_hex(&replica, &[(1, 1)]), "010101018401000262630101010001");
    let mut forward = Want { structs: applied.structs, deletes: applied.deletes };
    let chunk = replica.take_chunk(&mut forward, 1 << 20).unwrap();
    assert_eq!(chunk.update, update("0101010184010002626300"));
    assert!(chunk.complete && forward.is_empty());
}

#[test]
fn v3_only_chained_structs_join() {
    let replica = replica(["01010b000401017402747400", "01010b02440b000a7af09f9880f09f98807700"]);
    for mode in COMPACTIONS {
        let compacted = replica.compact(mode);
        assert_eq!(
            answer_hex(&compacted, &[]),
            "01020b0004010174027474440b000a7af09f9880f09f98807700"
        );
    }
}

#[test]
fn v4_cuts_inside_a_surrogate_pair() {
    let replica = replica(["01010100040101740661f09f98806200"]);
    assert_eq!(answer_hex(&replica, &[(1, 1)]), "0101010184010005f09f98806200");
    assert_eq!(answer_hex(&replica, &[(1, 2)]), "0101010284010104efbfbd6200");
    assert_eq!(answer_hex(&replica, &[(1, 3)]), "01010103840102016200");
}

#[test]
fn v5_half_a_pair_again() {
    let mut replica = replica(["010101000401017404f09f988000"]);
    let applied = replica.apply(&update("0101010184010003efbfbd00"));
    assert!(!applied.changed() && !applied.whole);
    assert_eq!(answer_hex(&replica, &[]), "010101000401017404f09f988000");
}

#[test]
fn v6_collected_structs_imply_deletion() {
    let replica = replica(["01010100000100"]);
    assert_eq!(answer_hex(&replica, &[]), "0101010000010101010001");
    assert_eq!(answer_hex(&replica, &[(1, 1)]), "000101010001");
}

#[test]
fn v7_v8_old_content_passes() {
    for hex in ["010101000201017401013100", "01010100070101780502686b00"] {
        let replica = replica([hex]);
        assert_eq!(answer_hex(&replica, &[]), hex);
        for mode in COMPACTIONS {
            assert_eq!(answer_hex(&replica.compact(mode), &[]), hex);
        }
    }
}

#[test]
fn v9_passes() {
    let updates = [
        "0103bfa3be0601080101610175017f83bfa3be060102b81288bfa3be0602017e00",
        "0304848c8bb70e0200012101016d026b31010004a1848c8bb70e03010a8d87b1e407002801016d026b320175027e7e080101610275017f75017f838d87b1e4070204fee95209888d87b1e40703017b40f1e1a249249249888d87b1e40704017d0804010174022077c98d87b1e407048d87b1e40705076736303930383076000701017803017007008d87b1e407090604008d87b1e4070a0374787402d1f4cab505000401017408772077f09f9880772101016d026b310202848c8bb70e010009d1f4cab505010602",
        "0102848c8bb70e0007010161060400848c8bb70e0004f09f988000",
    ];
    let mut replica = yrelay_core::replica::Replica::default();
    let applied = updates.map(|hex| replica.apply(&update(hex)));
    assert!(applied.iter().all(yrelay_core::replica::Applied::changed));
    // The last brings a surrogate pair of which the second half was collected already.
    assert_eq!(applied.map(|applied| applied.whole), [true, true, false]);
    assert!(replica.is_incomplete());
    for mode in COMPACTIONS {
        assert!(replica.equivalent(&replica.compact(mode)));
    }
}

#[test]
fn v10_values_of_a_map_key_do_not_join() {
    let replica = replica(["010101002801016d016b017d0100", "01010101a80100017d0200"]);
    for mode in COMPACTIONS {
        assert_eq!(
            answer_hex(&replica.compact(mode), &[]),
            "010201002801016d016b017d01a80100017d0200"
        );
    }
}
