//! Updates: gate, apply, store, pass on, acknowledge.

use bytes::Bytes;
use yrelay_core::close::CloseReason;
use yrelay_core::wire;

use crate::script::{A, B, NOTHING, Script, aware, delete, insert, merged, step1, step2, update};

fn two() -> Script {
    let mut t = Script::new();
    t.join(A);
    t.join(B);
    t
}

fn joined(messages: &[Bytes]) -> Bytes {
    messages.concat().into()
}

#[test]
fn an_update_is_stored_then_passed_on_in_its_authors_bytes() {
    let mut t = two();
    let message = update(&insert(1, 0, "ab"));
    t.frame(A, message.clone());
    assert_eq!(t.appended, [(Bytes::from(insert(1, 0, "ab")), true)]);
    assert_eq!(t.take(B), [message]);
    assert!(!t.standing().saved && t.document.is_unconfirmed());
}

#[test]
fn its_author_hears_it_once_it_is_saved_and_once_only() {
    let mut t = two();
    let message = update(&insert(1, 0, "ab"));
    t.frame(A, message.clone());
    t.wait(100);
    t.expect(A, &[]);
    t.save();
    assert_eq!(t.take(A), [message]);
    assert_eq!(t.take(B).len(), 1);
    t.save();
    t.wait(1_000);
    t.expect(A, &[]);
    t.expect(B, &[]);
}

#[test]
fn acknowledgements_follow_the_watermark() {
    let mut t = two();
    for clock in 0..3 {
        t.frame(A, update(&insert(1, clock, "x")));
    }
    t.save_upto(2);
    t.expect(A, &["update 1:0..1", "update 1:1..2"]);
    assert!(!t.standing().saved);
    t.save_upto(3);
    t.expect(A, &["update 1:2..3"]);
    assert!(t.standing().saved);
}

#[test]
fn much_that_is_saved_at_once_is_told_of_as_there_is_room() {
    let mut t = two();
    for clock in 0..3_000 {
        t.frame(A, update(&insert(1, clock, "x")));
    }
    t.take(B);
    t.save_upto(2_999);
    let mut told = t.take(A);
    assert!((100..500).contains(&told.len()), "{} at once", told.len());
    // What is saved meanwhile waits behind them.
    t.save_upto(3_000);
    t.frame(A, wire::sync_status(b"and this"));
    assert_eq!(t.take(A), Vec::<Bytes>::new());
    while t.room(A) {
        let more = t.take(A);
        assert_eq!(more.len(), 1);
        told.extend(more);
    }
    let status = told.pop().unwrap();
    assert_eq!(status, wire::sync_status(b"and this"));
    let expected: Vec<Bytes> = (0..3_000).map(|clock| update(&insert(1, clock, "x"))).collect();
    assert_eq!(told, expected);
}

#[test]
fn who_writes_on_and_leaves_unread_what_is_said_of_it_is_too_slow() {
    let mut t = two();
    let mut count = 0;
    while t.closed.is_empty() && count < 100 {
        // One of two is told of at once.
        for half in 0..2 {
            let clock = (2 * count + half) << 20;
            t.frame(A, update(&insert(1, clock, &"x".repeat(1 << 20))));
        }
        t.save();
        count += 1;
    }
    assert_eq!(t.closed.remove(&A), Some(CloseReason::TooSlow));
}

#[test]
fn a_duplicate_is_acknowledged_once_what_it_repeats_is_saved() {
    let mut t = two();
    let message = update(&insert(1, 0, "ab"));
    t.frame(A, message.clone());
    t.frame(B, message.clone());
    t.frame(A, message.clone());
    t.expect(A, &[]);
    t.expect(B, &["update 1:0..2"]);
    t.save();
    assert_eq!(t.take(A), [message.clone(), message.clone()]);
    assert_eq!(t.take(B), std::slice::from_ref(&message));
    t.frame(B, message.clone());
    assert_eq!(t.take(B), [message]);
    assert_eq!(t.appended.len(), 1);
}

#[test]
fn the_new_part_of_a_step_2_is_stored_passed_on_and_echoed() {
    let mut t = two();
    t.frame(A, update(&insert(1, 0, "ab")));
    t.save();
    t.take(A);
    t.take(B);
    t.frame(B, step2(&merged(&[insert(1, 0, "ab"), insert(2, 0, "xy"), delete(1, 0, 1)])));
    t.expect(A, &["update 2:0..2 -1:0..1"]);
    t.expect(B, &[]);
    t.save();
    t.expect(B, &["update 2:0..2 -1:0..1"]);
    t.frame(B, step2(&insert(2, 0, "xy")));
    t.expect(A, &[]);
    t.expect(B, &[]);
    assert_eq!(t.appended.len(), 2);
}

#[test]
fn of_an_update_that_overlaps_only_the_new_is_stored_and_passed_on() {
    let mut t = two();
    t.frame(A, update(&insert(1, 0, "ab")));
    t.save();
    t.take(A);
    t.take(B);
    t.frame(A, update(&insert(1, 0, "abcd")));
    t.expect(B, &["update 1:2..4"]);
    assert_eq!(t.appended.len(), 2);
    t.expect(A, &[]);
    t.save();
    let echoed = t.take(A);
    assert_eq!(echoed.len(), 1);
}

#[test]
fn deletions_alone_are_stored_and_passed_on() {
    let mut t = two();
    t.frame(A, update(&insert(1, 0, "abc")));
    t.frame(B, update(&delete(1, 0, 2)));
    t.expect(A, &["update -1:0..2"]);
    assert_eq!(t.appended.len(), 2);
    t.frame(A, update(&delete(1, 1, 2)));
    t.expect(B, &["update 1:0..3", "update -1:2..3"]);
    assert_eq!(t.appended.len(), 3);
}

#[test]
fn what_changes_nothing_is_neither_stored_nor_passed_on() {
    let mut t = two();
    t.greeted(NOTHING);
    t.frame(A, update(&merged(&[insert(1, 0, "abc"), delete(1, 0, 1)])));
    t.save();
    t.take(A);
    t.take(B);
    t.expect_up(&["update 1:0..3 -1:0..1"]);
    for repeated in [insert(1, 0, "abc"), insert(1, 1, "b"), delete(1, 0, 1), NOTHING.to_vec()] {
        t.frame(B, step2(&repeated));
        t.frame(B, update(&repeated));
        t.expect(A, &[]);
    }
    t.expect_up(&[]);
    assert_eq!(t.appended.len(), 1);
}

#[test]
fn malformed_input_closes_its_sender_and_nobody_else() {
    let bad: [&[u8]; 7] = [
        &[0, 2, 2, 1, 1],
        &[0, 2, 3, 0, 0, 0],
        &[0, 0, 2, 1, 1],
        &[0, 5, 0],
        &[0],
        &[1, 3, 1, 1, 1],
        &[],
    ];
    for bad in bad {
        let mut t = two();
        t.frame(A, Bytes::copy_from_slice(bad));
        let reason = t.closed.remove(&A).unwrap();
        assert_eq!((reason.code(), reason.is_peers_fault()), (1007, true));
        t.expect(B, &[]);
        assert!(t.appended.is_empty() && t.closed.is_empty());
        t.frame(A, update(&insert(1, 0, "gone")));
        t.expect(B, &[]);
        t.frame(B, update(&insert(2, 0, "on")));
        assert_eq!(t.appended.len(), 1);
    }
}

#[test]
fn good_messages_before_a_malformed_one_stand() {
    let mut t = two();
    let frame = [update(&insert(1, 0, "ab")), Bytes::from_static(&[0, 2, 9])];
    t.frame(A, joined(&frame));
    t.expect(B, &["update 1:0..2"]);
    assert_eq!(t.closed.remove(&A).map(CloseReason::code), Some(1007));
    assert_eq!(t.appended.len(), 1);
    t.save();
}

#[test]
fn several_messages_in_a_frame_are_all_taken_and_sent_on_one_by_one() {
    let mut t = Script::new();
    t.join(B);
    t.attach(A);
    t.take(A);
    let frame = [
        aware(&[(1, 1, "{}")]),
        step1(&[]),
        update(&insert(1, 0, "a")),
        update(&insert(1, 1, "b")),
    ];
    t.frame(A, joined(&frame));
    t.expect(A, &["aware 1@1 {}", "step2 nothing"]);
    t.expect(B, &["aware 1@1 {}", "update 1:0..1", "update 1:1..2"]);
    t.save();
    t.expect(A, &["update 1:0..1", "update 1:1..2"]);
}

#[test]
fn an_unknown_type_is_ignored_with_the_rest_of_its_frame() {
    let mut t = two();
    for kind in [2, 9] {
        let unknown = Bytes::copy_from_slice(&[kind, 0, 0]);
        t.frame(A, joined(&[update(&insert(1, 0, "a")), unknown, update(&insert(1, 1, "b"))]));
    }
    assert_eq!(t.ignored, [2, 9]);
    t.expect(B, &["update 1:0..1"]);
    assert!(t.closed.is_empty());
}

#[test]
fn a_sync_status_comes_back_once_all_before_it_is_saved() {
    let mut t = two();
    t.frame(A, wire::sync_status(&[1]));
    t.expect(A, &["status b\"\\x01\""]);
    t.frame(A, update(&insert(1, 0, "a")));
    t.frame(A, wire::sync_status(&[2]));
    t.frame(B, wire::sync_status(&[3]));
    t.expect(A, &[]);
    t.take(B);
    t.save();
    t.expect(A, &["update 1:0..1", "status b\"\\x02\""]);
    t.expect(B, &["status b\"\\x03\""]);
}

#[test]
fn a_query_is_answered_with_the_awareness_table() {
    let mut t = two();
    t.frame(A, Bytes::from_static(&[3]));
    t.expect(A, &["aware nobody"]);
    t.frame(A, aware(&[(1, 1, "{}")]));
    t.frame(B, aware(&[(2, 1, "{}")]));
    t.take(A);
    t.take(B);
    t.frame(A, Bytes::from_static(&[3]));
    t.expect(A, &["aware 1@1 {} 2@1 {}"]);
    t.expect(B, &[]);
}

#[test]
fn nobody_is_written_to_after_leaving() {
    let mut t = two();
    t.frame(A, update(&insert(1, 0, "a")));
    t.detach(A);
    t.frame(A, update(&insert(1, 1, "b")));
    t.save();
    t.expect(B, &["update 1:0..1"]);
}

#[test]
fn too_much_unsaved_closes_whoever_writes_more() {
    let mut t = two();
    let text = "x".repeat(1024 * 1024);
    let mut clock = 0;
    while t.closed.is_empty() {
        t.frame(A, update(&insert(1, clock, &text)));
        t.take(B);
        clock += 1024 * 1024;
    }
    let bytes: usize = t.appended.iter().map(|(update, _)| update.len()).sum();
    assert!((60 << 20..=66 << 20).contains(&bytes), "{bytes}");
    assert_eq!(t.closed.remove(&A), Some(CloseReason::Unsaved));
    t.frame(B, step1(&[(1, clock)]));
    t.expect(B, &["step2 nothing"]);
    t.save();
    t.frame(B, update(&insert(2, 0, "again")));
    assert!(t.closed.is_empty());
}

#[test]
fn what_waits_to_be_acknowledged_is_bounded_too() {
    let mut t = two();
    t.frame(A, update(&insert(1, 0, &"x".repeat(1024 * 1024))));
    let mut count = 0;
    while t.closed.is_empty() && count < 200 {
        t.frame(B, update(&insert(1, 0, &"x".repeat(1024 * 1024))));
        count += 1;
    }
    assert_eq!(t.closed.remove(&B), Some(CloseReason::Unsaved));
    let mut t = two();
    t.frame(A, update(&insert(1, 0, "x")));
    let mut count = 0;
    while t.closed.is_empty() && count < 200 {
        t.frame(B, wire::sync_status(&vec![0; 1024 * 1024]));
        count += 1;
    }
    assert_eq!(t.closed.remove(&B), Some(CloseReason::Unsaved));
}

#[test]
fn what_was_acknowledged_does_not_count_any_more_and_what_was_not_does() {
    let mut t = two();
    let ask = |t: &mut Script, count: usize| {
        (0..count)
            .take_while(|_| {
                t.frame(B, wire::sync_status(&vec![0; 1024 * 1024]));
                t.closed.is_empty()
            })
            .count()
    };
    t.frame(A, update(&insert(1, 0, "x")));
    assert_eq!(ask(&mut t, 5), 5);
    t.frame(A, update(&insert(1, 1, "y")));
    assert_eq!(ask(&mut t, 20), 20);
    t.save_upto(1);
    while t.room(B) {
        t.take(B);
    }
    // 20 of 64 MiB are taken.
    let more = ask(&mut t, 200);
    assert!((42..=44).contains(&more), "{more}");
}
