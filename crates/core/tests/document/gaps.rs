//! What comes before its predecessors.

use yrelay_core::fellow;
use yrelay_core::id::PeerId;
use yrelay_core::limits::{self, PENDING_BYTES_MAX, PENDING_STRUCTS_MAX};
use yrelay_core::state_vector::StateVector;
use yrelay_core::wire;

use crate::script::{A, B, C, Script, insert, inserts, letters, show, step1, step2, update};

const L: PeerId = PeerId(7);

fn two() -> Script {
    let mut t = Script::new();
    t.join(A);
    t.join(B);
    t
}

#[test]
fn the_author_of_a_gap_is_asked_at_most_once_a_second() {
    let mut t = two();
    t.frame(A, update(&insert(1, 5, "f")));
    t.expect(A, &["step1"]);
    t.expect(B, &["update 1:5..6"]);
    assert!(t.standing().incomplete && t.appended.len() == 1);
    t.frame(A, update(&insert(1, 7, "h")));
    t.expect(A, &[]);
    t.frame(B, update(&insert(2, 0, "no gap of mine")));
    t.expect(B, &["update 1:7..8"]);
    t.wait(limits::GAP_ASK_MS);
    t.frame(A, update(&insert(1, 9, "j")));
    t.expect(A, &["update 2:0..14", "step1 2:14"]);
    t.take(B);
    t.frame(A, step2(&insert(1, 0, "abcdefghij")));
    assert!(!t.standing().incomplete);
    t.expect(B, &["update 1:0..5", "update 1:6..7", "update 1:8..9"]);
    t.frame(C, step1(&[]));
}

/// What may wait, but for one struct: 9's first change is missing.
fn nearly_full(t: &mut Script) -> u32 {
    let count = PENDING_STRUCTS_MAX as u32 - 1;
    t.frame(B, update(&letters(9, 1, count)));
    t.save();
    t.take(A);
    t.take(B);
    1 + count
}

/// As much as may waits, and 9 is to go on here.
fn full(t: &mut Script) -> u32 {
    let next = nearly_full(t);
    t.frame(B, update(&insert(9, next, "z")));
    t.save();
    t.take(A);
    t.take(B);
    next + 1
}

#[test]
fn so_many_changes_may_wait_for_others_and_no_more() {
    let mut t = two();
    let next = nearly_full(&mut t);
    let last = update(&insert(9, next, "the last one"));
    t.frame(A, last.clone());
    t.save();
    t.expect(A, &["step1", &show(&last)]);
    t.expect(B, &[&show(&last)]);
    // One more is neither stored nor passed on nor acknowledged.
    t.wait(limits::GAP_ASK_MS);
    t.frame(A, update(&insert(9, next + 100, "one too many")));
    t.frame(A, update(&insert(9, next + 200, "another")));
    t.frame(A, wire::sync_status(&[1]));
    assert_eq!((t.unsaved_rows(), &t.left_out[..]), (0, &[A][..]), "it is said once");
    t.expect(A, &["step1"]);
    t.expect(B, &[]);
    // The answer brings no more than that, and nobody asks for ever.
    t.wait(2 * limits::GAP_ASK_MS);
    t.frame(A, step2(&insert(9, next + 100, "one too many")));
    t.wait(2 * limits::GAP_ASK_MS);
    t.expect(A, &[]);
    assert!(t.closed.is_empty(), "with all else that it says it is welcome");
}

#[test]
fn so_many_bytes_may_wait_for_others_and_no_more() {
    for (missing, left_out) in [(1, 0), (0, 1)] {
        let mut t = two();
        // Its header and its length take seven bytes.
        let text = "x".repeat(PENDING_BYTES_MAX - 7 - missing);
        t.frame(A, update(&insert(9, 1, &text)));
        t.frame(A, update(&insert(9, 10_000_000, "x")));
        assert_eq!((t.left_out.len(), t.appended.len()), (left_out, 2 - left_out));
    }
}

#[test]
fn what_fills_a_gap_is_taken_however_much_waits() {
    let mut t = two();
    let next = full(&mut t);
    // Who repeats what is held does nothing wrong, and who writes in peace none at all.
    t.frame(A, update(&insert(9, next - 1, "z")));
    t.frame(A, update(&insert(1, 0, "a")));
    t.save();
    t.expect(A, &[&show(&update(&insert(9, next - 1, "z"))), "update 1:0..1"]);
    assert!(t.left_out.is_empty());
    // One message may do both.
    t.frame(A, update(&inserts(&[(1, 1, "b"), (7, 5, "beyond a gap"), (9, 0, "0")])));
    t.expect(B, &["update 1:0..1", "update 1:1..2 9:0..1"]);
    assert!(!t.standing().incomplete);
    assert_eq!(t.stored().state_vector().get(9), next);
}

#[test]
fn whoever_had_something_left_out_is_asked_for_it_once_there_is_place() {
    let mut t = two();
    let next = full(&mut t);
    t.join(C);
    t.frame(A, update(&insert(7, 1, "b")));
    t.frame(C, update(&insert(8, 1, "b")));
    t.frame(C, step2(&insert(8, 0, "ab"))); // with what was left out
    t.frame(C, wire::sync_status(&[1]));
    t.save();
    t.expect(C, &["step1", "update 8:0..2", "status b\"\\x01\""]);
    t.take(A);
    t.frame(B, update(&insert(9, 0, "a")));
    let vector = format!("step1 8:2 9:{next}");
    t.expect(A, &["update 9:0..1", &vector]);
    t.expect(C, &["update 9:0..1"]);
    // It is told that all is saved only when all has come.
    t.frame(A, wire::sync_status(&[2]));
    t.save();
    t.expect(A, &[]);
    t.frame(A, step2(&insert(7, 1, "b")));
    t.frame(A, wire::sync_status(&[3]));
    t.save();
    t.expect(A, &["update 7:1..2", "status b\"\\x03\""]);
    assert!(t.stored().held().contains(7, 1));
}

/// A relay is told that all is saved, and may forget it then.
#[test]
fn a_relay_below_is_not_told_that_what_was_left_out_is_saved() {
    let mut t = two();
    let next = full(&mut t);
    t.fellow_joins(L);
    t.frame(L, fellow::have(&StateVector::default(), &Default::default()));
    while t.room(L) {}
    t.take(L);
    t.frame(L, update(&insert(7, 1, "b")));
    t.frame(L, step2(&insert(1, 0, "in peace")));
    t.frame(L, fellow::ask(4));
    t.save();
    t.wait(2 * limits::GAP_ASK_MS);
    while t.room(L) {}
    assert_eq!((t.take(L).len(), &t.left_out[..]), (0, &[L][..]));
    t.expect(A, &["update 1:0..8"]);
    // Once there is place it begins anew: that is what a relay does that is told what is held.
    t.frame(B, update(&insert(9, 0, "a")));
    t.save();
    let vector: StateVector = [(1, 8), (9, next)].into_iter().collect();
    let have = fellow::have(&vector, &Default::default());
    while t.room(L) {}
    assert_eq!(t.take(L), [have, update(&insert(9, 0, "a"))]);
    t.frame(L, step2(&insert(7, 1, "b")));
    t.frame(L, fellow::ask(5));
    t.save();
    while t.room(L) {}
    assert_eq!(t.take(L).last(), Some(&fellow::saved(5, fellow::Kept::Disk)));
    assert!(t.stored().held().contains(7, 1));
}

#[test]
fn what_comes_from_above_is_never_left_out() {
    let mut t = two();
    full(&mut t);
    t.link_up();
    t.tell(update(&insert(7, 1, "b")));
    assert!(t.left_out.is_empty() && t.stored().held().contains(7, 1));
}

#[test]
fn whoever_leaves_is_not_asked() {
    let mut t = two();
    full(&mut t);
    t.frame(A, update(&insert(7, 1, "b")));
    t.detach(A);
    t.frame(B, update(&insert(9, 0, "a")));
    t.join(A);
    t.frame(A, wire::sync_status(&[1]));
    t.save();
    t.expect(A, &["status b\"\\x01\""]);
}
