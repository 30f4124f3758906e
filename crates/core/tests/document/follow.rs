//! The upstream is up to date: follow, prove.

use yrelay_core::limits;

use crate::script::{A, B, NOTHING, Script, delete, insert, merged, show, step1, step2, update};

/// Two clients, and an upstream that keeps documents and holds what we hold.
fn live() -> Script {
    let mut t = Script::new();
    t.join(A);
    t.join(B);
    t.greeted(NOTHING);
    t
}

#[test]
fn live_updates_go_up_in_their_authors_bytes() {
    let mut t = live();
    for clock in 0..3 {
        let message = update(&insert(1, clock, "x"));
        t.frame(A, message.clone());
        assert_eq!(t.pull(), Some(message));
    }
    let message = update(&delete(1, 0, 2));
    t.frame(B, message.clone());
    assert_eq!(t.pull(), Some(message));
    t.expect_up(&[]);
    assert!(t.standing().sent);
}

#[test]
fn what_waits_for_room_goes_up_as_one() {
    let mut t = live();
    for clock in 0..50 {
        t.frame(A, update(&insert(1, clock, "x")));
        t.frame(B, update(&insert(2, clock, "y")));
    }
    t.frame(B, update(&delete(1, 3, 2)));
    assert!(!t.standing().sent);
    t.expect_up(&["update 1:0..50 2:0..50 -1:3..5"]);
    assert!(t.standing().sent);
}

#[test]
fn the_new_part_of_an_overlapping_update_goes_up() {
    let mut t = live();
    t.frame(A, update(&insert(1, 0, "ab")));
    t.expect_up(&["update 1:0..2"]);
    t.frame(A, update(&insert(1, 0, "abcd")));
    t.expect_up(&["update 1:2..4"]);
}

#[test]
fn much_that_waits_goes_up_in_pieces() {
    let mut t = live();
    let text = "x".repeat(limits::CHUNK_BYTES_MAX / 5 - 100);
    for client in 1..=12 {
        t.frame(A, update(&insert(client, 0, &text)));
    }
    let mut count = 0;
    while let Some(message) = t.pull() {
        assert!(
            message.len() <= limits::CHUNK_BYTES_MAX + 8 && show(&message).starts_with("update")
        );
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn what_comes_down_is_stored_and_passed_on_and_never_sent_back() {
    let mut t = live();
    let message = update(&insert(7, 0, "x"));
    t.tell(message.clone());
    assert_eq!(t.appended, [(insert(7, 0, "x").into(), false)]);
    assert_eq!(t.take(A), std::slice::from_ref(&message));
    assert_eq!(t.take(B), [message]);
    t.save();
    t.wait(60_000);
    t.expect_up(&[]);
    assert_eq!(t.confirmed(), Some(true));
}

#[test]
fn what_waits_to_go_up_does_not_once_it_came_down() {
    let mut t = live();
    t.frame(A, update(&insert(1, 0, "ab")));
    t.frame(A, update(&delete(1, 0, 1)));
    t.tell(update(&merged(&[insert(1, 0, "a"), delete(1, 0, 1)])));
    t.expect_up(&["update 1:1..2"]);
}

#[test]
fn a_gap_in_what_comes_down_is_asked_for() {
    let mut t = live();
    t.tell(update(&insert(7, 2, "c")));
    t.wait(limits::GAP_ASK_MS - 1);
    t.expect_up(&[]);
    t.wait(1);
    t.expect_up(&["step1"]);
    t.tell(step2(&insert(7, 0, "ab")));
    t.tell(step1(&[(7, 3)]));
    t.expect_up(&["step2 nothing"]);
    assert!(!t.standing().incomplete);
    assert_eq!(t.confirmed(), Some(true));
}

#[test]
fn a_malformed_frame_from_above_is_rejected_and_nobody_is_closed() {
    let mut t = live();
    t.tell(vec![0, 2, 9]);
    t.tell(vec![]);
    t.tell(vec![1, 1]);
    assert_eq!(t.rejected, 3);
    assert!(t.closed.is_empty() && t.appended.is_empty());
    t.tell(update(&insert(7, 0, "x")));
    t.expect(A, &["update 7:0..1"]);
}

fn written() -> Script {
    let mut t = live();
    t.frame(A, update(&insert(1, 0, "abc")));
    t.frame(A, update(&delete(1, 0, 1)));
    t.expect_up(&["update 1:0..3 -1:0..1"]);
    t
}

#[test]
fn proof_is_asked_for_after_two_quiet_seconds() {
    let mut t = written();
    assert_eq!(t.confirmed(), Some(false));
    t.wait(1_999);
    t.expect_up(&[]);
    t.wait(1);
    t.expect_up(&["step1 1:3"]);
    t.tell(step2(&delete(1, 0, 1)));
    assert_eq!(t.confirmed(), Some(false));
    t.tell(step1(&[(1, 3)]));
    assert_eq!((t.confirmed(), t.confirmed_seq), (Some(true), Some(2)));
    t.expect_up(&["step2 nothing"]);
    t.wait(120_000);
    t.expect_up(&[]);
}

#[test]
fn while_changes_keep_coming_proof_is_asked_for_each_half_minute() {
    let mut t = live();
    let mut asked = Vec::new();
    for clock in 0..70 {
        t.frame(A, update(&insert(1, clock, "x")));
        t.expect_up(&[&format!("update 1:{clock}..{}", clock + 1)]);
        t.wait(1_000);
        if t.is_ready(t.up) {
            t.expect_up(&[&format!("step1 1:{}", clock + 1)]);
            asked.push(clock);
            t.tell(step2(NOTHING));
            t.tell(step1(&[(1, clock + 1)]));
            assert_eq!(t.confirmed(), Some(true));
            t.expect_up(&["step2 nothing"]);
        }
    }
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[1] - asked[0] >= 29, "{asked:?}");
}

#[test]
fn a_state_vector_proves_nothing_about_deletions() {
    let mut t = written();
    t.wait(2_000);
    t.expect_up(&["step1 1:3"]);
    t.tell(step2(NOTHING));
    t.tell(step1(&[(1, 3)]));
    assert_eq!(t.confirmed(), Some(false));
    t.expect_up(&["step2 -1:0..1"]);
}

#[test]
fn what_is_written_during_a_proof_is_not_proved_by_it() {
    let mut t = written();
    t.wait(2_000);
    t.expect_up(&["step1 1:3"]);
    t.frame(B, update(&insert(2, 0, "x")));
    t.expect_up(&["update 2:0..1"]);
    t.tell(step2(&delete(1, 0, 1)));
    t.frame(B, update(&delete(1, 1, 1)));
    t.tell(step1(&[(1, 3)]));
    assert_eq!(t.confirmed(), Some(false));
    t.expect_up(&["step2 -1:1..2"]);
    t.wait(2_000);
    t.expect_up(&["step1 1:3 2:1"]);
    t.tell(step2(&delete(1, 0, 2)));
    t.tell(step1(&[(1, 3), (2, 1)]));
    assert_eq!(t.confirmed(), Some(true));
}

#[test]
fn proof_is_not_asked_for_while_an_answer_is_due() {
    let mut t = written();
    t.wait(2_000);
    t.expect_up(&["step1 1:3"]);
    t.frame(B, update(&insert(2, 0, "x")));
    t.expect_up(&["update 2:0..1"]);
    t.wait(5_000);
    t.expect_up(&[]);
    t.tell(step2(&delete(1, 0, 1)));
    t.tell(step1(&[(1, 3)]));
    t.expect_up(&["step2 nothing"]);
    t.wait(2_000);
    t.expect_up(&["step1 1:3 2:1"]);
    t.tell(step2(&delete(1, 0, 1)));
    t.tell(step1(&[(1, 3), (2, 1)]));
    assert_eq!(t.confirmed(), Some(true), "two answers to two questions: no broadcast");
}

#[test]
fn a_proof_that_falls_short_pushes_again_with_growing_pauses() {
    let mut t = written();
    let mut pauses = Vec::new();
    let mut last = t.now;
    for _ in 0..9 {
        while !t.is_ready(t.up) {
            t.wait(100);
            assert!(t.now - last < 100_000, "it gave up");
        }
        pauses.push((t.now - last) / 1_000);
        last = t.now;
        t.expect_up(&["step1 1:3"]);
        t.tell(step2(NOTHING));
        t.tell(step1(&[]));
        t.expect_up(&["step2 1:0..3 -1:0..1"]);
        t.take(A);
    }
    assert_eq!(pauses, [2, 2, 4, 8, 16, 32, 64, 64, 64]);
    assert_eq!(t.confirmed(), Some(false));
}

#[test]
fn structs_beyond_a_gap_are_sent_but_count_as_unconfirmed() {
    let mut t = live();
    t.frame(A, update(&insert(1, 5, "f")));
    t.expect_up(&["update 1:5..6"]);
    t.wait(2_000);
    t.expect_up(&["step1"]);
    t.tell(step2(NOTHING));
    t.tell(step1(&[]));
    assert_eq!(t.confirmed(), Some(false));
}

#[test]
fn what_an_answer_names_beyond_a_gap_is_not_sent_again() {
    let mut t = live();
    t.frame(A, update(&insert(1, 5, "f")));
    t.expect_up(&["update 1:5..6"]);
    t.wait(2_000);
    t.expect_up(&["step1"]);
    t.tell(step2(&insert(1, 5, "f")));
    t.tell(step1(&[]));
    t.expect_up(&["step2 nothing"]);
    assert_eq!(t.confirmed(), Some(false));
}

#[test]
fn what_comes_down_beyond_a_gap_counts_as_unconfirmed_too() {
    let mut t = live();
    t.tell(update(&insert(7, 5, "f")));
    assert_eq!((t.confirmed(), t.document.is_unconfirmed()), (Some(false), false));
}

#[test]
fn deletions_of_what_is_not_held_do_not_stand_in_the_way_of_a_proof() {
    let mut t = live();
    t.frame(A, update(&delete(5, 0, 1)));
    t.expect_up(&["update -5:0..1"]);
    t.wait(2_000);
    t.expect_up(&["step1"]);
    t.tell(step2(NOTHING));
    t.tell(step1(&[]));
    assert_eq!(t.confirmed(), Some(true));
}
