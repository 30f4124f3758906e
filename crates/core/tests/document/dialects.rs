//! Upstreams of other kinds: how they say what they hold, and what that proves.

use yrelay_core::event::{Dialect, Habit, Withheld};
use yrelay_core::limits;

use crate::script::{A, NOTHING, Script, aware, delete, insert, merged, step1, step2, update};

impl Script {
    pub(crate) fn attached(documents: &[Vec<u8>], dialect: Dialect) -> Self {
        let mut t = Script::loading();
        t.loaded(documents, true);
        t.attach_above(Habit::Unknown, dialect);
        t
    }
}

fn ours() -> Vec<Vec<u8>> {
    vec![insert(1, 0, "abcd"), insert(2, 0, "x"), delete(1, 0, 2)]
}

#[test]
fn a_server_that_begins_with_a_step_1_is_pushed_what_that_lacks() {
    for dialect in [Dialect::Yjs, Dialect::YSweet] {
        let mut t = Script::attached(&ours(), dialect);
        let asks = ["step1 1:4 2:1", "query"];
        t.expect_up(if dialect == Dialect::Yjs { &asks } else { &asks[..1] });
        t.tell(step1(&[(1, 3)]));
        t.tell(step2(&delete(1, 0, 1)));
        t.expect_up(&["step2 1:3..4 2:0..1 -1:1..2"]);
        assert_eq!(t.confirmed(), Some(false));
        // It says no more of itself: what it sends of the last clock of each client shows it.
        t.wait(limits::PROOF_QUIET_MS);
        t.expect_up(&["step1 1:3"]);
        let theirs = merged(&ours());
        t.tell(step2(&theirs));
        assert_eq!((t.confirmed(), t.confirmed_seq), (Some(true), Some(3)));
        t.expect_up(&[]);
    }
}

#[test]
fn one_that_greets_before_it_is_asked_is_asked_for_the_last_clocks_at_once() {
    let mut t = Script::attached(&ours(), Dialect::Yjs);
    t.tell(step1(&[(1, 4)]));
    t.expect_up(&["step1 1:3", "query"]);
    t.tell(step2(&merged(&[insert(1, 0, "abcd"), delete(1, 0, 2)])));
    t.expect_up(&["step2 2:0..1"]);
}

#[test]
fn one_that_has_lost_what_it_began_with_is_sent_it_all() {
    let mut t = Script::attached(&ours(), Dialect::Yjs);
    t.expect_up(&["step1 1:4 2:1", "query"]);
    t.tell(step1(&[(1, 4), (2, 1)]));
    t.tell(step2(&delete(1, 0, 2)));
    t.wait(limits::AUDIT_MS);
    t.expect_up(&["step1 1:3"]);
    t.tell(step2(&merged(&[insert(2, 0, "x"), delete(1, 0, 2)])));
    t.expect_up(&["step2 1:0..4"]);
}

#[test]
fn what_it_does_not_show_to_hold_it_is_sent_from_where_it_began() {
    let mut t = Script::attached(&ours(), Dialect::Yjs);
    t.expect_up(&["step1 1:4 2:1", "query"]);
    t.tell(step1(&[(1, 3)]));
    t.tell(step2(&merged(&[insert(1, 0, "abcd"), delete(1, 0, 2)])));
    t.expect_up(&["step2 2:0..1"]);
    t.wait(limits::PROOF_QUIET_MS);
    t.expect_up(&["step1 1:3"]);
    t.tell(step2(&merged(&[insert(2, 0, "x"), delete(1, 0, 2)])));
    assert_eq!(t.confirmed(), Some(false));
    t.expect_up(&["step2 1:3..4"]);
    // And a deletion that it does not show.
    t.wait(4 * limits::PROOF_QUIET_MS);
    t.expect_up(&["step1 1:3"]);
    t.tell(step2(&merged(&[insert(1, 0, "abcd"), insert(2, 0, "x"), delete(1, 0, 1)])));
    assert_eq!(t.confirmed(), Some(false));
    t.expect_up(&["step2 -1:1..2"]);
}

#[test]
fn what_is_written_while_it_is_asked_is_not_proven_and_not_sent_twice() {
    let mut t = Script::attached(&ours(), Dialect::Yjs);
    t.expect_up(&["step1 1:4 2:1", "query"]);
    t.tell(step1(&[(1, 4), (2, 1)]));
    t.join(A);
    t.tell(step2(&delete(1, 0, 2)));
    assert_eq!(t.confirmed(), Some(true));
    t.frame(A, update(&insert(1, 4, "e")));
    t.expect_up(&["update 1:4..5"]);
    t.wait(limits::PROOF_QUIET_MS);
    t.expect_up(&["step1 1:4"]);
    t.frame(A, update(&insert(1, 5, "f")));
    t.expect_up(&["update 1:5..6"]);
    t.tell(step2(&merged(&[insert(1, 0, "abcde"), insert(2, 0, "x"), delete(1, 0, 2)])));
    assert_eq!(t.confirmed(), Some(false));
    t.expect_up(&[]);
}

#[test]
fn what_the_answer_brings_is_no_gap_in_it() {
    let mut t = Script::attached(&ours(), Dialect::Yjs);
    t.expect_up(&["step1 1:4 2:1", "query"]);
    t.tell(step1(&[(1, 4), (2, 1), (3, 1)]));
    t.tell(step2(&merged(&[insert(3, 0, "z"), delete(1, 0, 2)])));
    assert_eq!(t.confirmed(), Some(true));
    t.expect_up(&[]);
}

#[test]
fn a_step_1_later_on_is_somebody_behind_a_server_that_only_passes_on() {
    let mut t = Script::attached(&ours(), Dialect::Yjs);
    t.expect_up(&["step1 1:4 2:1", "query"]);
    t.tell(step1(&[(1, 4), (2, 1)]));
    t.tell(step2(&delete(1, 0, 2)));
    assert_eq!(t.confirmed(), Some(true));
    t.tell(step1(&[]));
    assert_eq!(t.confirmed(), None);
    t.wait(1_000);
    t.expect_up(&["query", "step2 1:0..4 2:0..1 -1:0..2"]);
}

#[test]
fn elva_37_answers_with_both_steps_and_passes_awareness_on() {
    let mut t = Script::attached(&ours(), Dialect::Yjs);
    t.expect_up(&["step1 1:4 2:1", "query"]);
    t.tell(aware(&[(7, 1, "{}")]));
    t.tell(step2(&delete(1, 0, 2)));
    t.tell(step1(&[(1, 4)]));
    t.expect_up(&["step2 2:0..1"]);
    t.wait(limits::PROOF_QUIET_MS);
    t.expect_up(&["step1 1:4 2:1"]);
    t.tell(step2(&delete(1, 0, 2)));
    t.tell(step1(&[(1, 4), (2, 1)]));
    assert_eq!(t.confirmed(), Some(true));
    t.expect_up(&[]);
}

#[test]
fn hocuspocus_says_first_what_it_holds_and_then_what_we_lack() {
    let mut t = Script::attached(&ours(), Dialect::Hocuspocus);
    t.expect_up(&["step1 1:4 2:1"]);
    t.tell(step1(&[(1, 3), (3, 1)]));
    t.expect_up(&[]);
    t.tell(step2(&merged(&[insert(3, 0, "z"), delete(1, 0, 1)])));
    t.expect_up(&["step2 1:3..4 2:0..1 -1:1..2"]);
    t.wait(limits::PROOF_QUIET_MS);
    t.expect_up(&["step1 1:4 2:1 3:1"]);
    t.tell(step1(&[(1, 4), (2, 1), (3, 1)]));
    t.tell(step2(&delete(1, 0, 2)));
    assert_eq!(t.confirmed(), Some(true));
    t.expect_up(&[]);
}

#[test]
fn a_step_1_of_hocuspocus_that_nobody_asked_for_is_no_answer() {
    let mut t = Script::attached(&ours(), Dialect::Hocuspocus);
    t.tell(step1(&[(1, 4), (2, 1)]));
    t.expect_up(&["step1 1:4 2:1"]);
    t.tell(step2(&delete(1, 0, 2)));
    assert_eq!(t.confirmed(), Some(false), "it may have lost all since");
}

#[test]
fn hocuspocus_may_answer_what_was_asked_before_a_document_was_closed() {
    // What arrives at a closed document waits there until it is opened again.
    let mut t = Script::attached(&ours(), Dialect::Hocuspocus);
    t.expect_up(&["step1 1:4 2:1"]);
    for _ in 0..2 {
        t.tell(step1(&[(1, 4), (2, 1)]));
        t.tell(step2(&delete(1, 0, 2)));
        assert_eq!(t.confirmed(), Some(true));
    }
    // And half of it may come behind the next question.
    t.wait(limits::AUDIT_MS);
    t.expect_up(&["step1 1:4 2:1"]);
    t.tell(step2(&delete(1, 0, 2)));
    t.tell(step1(&[(1, 4)]));
    t.tell(step2(&delete(1, 0, 2)));
    assert_eq!(t.confirmed(), Some(false));
    t.expect_up(&["step2 2:0..1"]);
}

#[test]
fn documents_that_rest_are_asked_for_now_and_then() {
    for dialect in [Dialect::Yjs, Dialect::Hocuspocus] {
        let mut t = Script::attached(&ours(), dialect);
        let answer = |t: &mut Script| {
            t.pull().unwrap();
            t.tell(step1(&[(1, 4), (2, 1)]));
            t.tell(step2(&merged(&ours())));
        };
        answer(&mut t);
        assert_eq!(t.confirmed(), Some(true));
        t.wait(limits::AUDIT_MS);
        assert!(t.pull().is_some());
        if dialect == Dialect::Hocuspocus {
            t.tell(step1(&[(1, 4)]));
        }
        t.tell(step2(&merged(&[insert(1, 0, "abcd"), delete(1, 0, 2)])));
        assert_eq!((t.confirmed(), t.lost), (Some(false), 1));
    }
}

#[test]
fn a_greeting_does_not_spoil_an_encrypted_document() {
    let mut t = Script::new();
    t.attach_above(Habit::Unknown, Dialect::Yjs);
    t.tell(step1(&[]));
    t.expect_up(&[]);
    t.attach(A);
    t.frame(A, "gAAAAtoken");
    assert!(t.standing().opaque);
    // Such a server takes nothing that it cannot read.
    assert_eq!(t.standing().withheld, Some(Withheld::Encrypted));
    t.wait(10_000);
    t.expect_up(&[]);
}

#[test]
fn an_empty_answer_of_a_server_that_is_still_loading_costs_nothing() {
    // y-websocket's with LevelDB says that it is empty, and sends what is stored once it has read it.
    let mut t = Script::attached(&ours(), Dialect::Yjs);
    t.expect_up(&["step1 1:4 2:1", "query"]);
    t.tell(step1(&[]));
    t.tell(step2(NOTHING));
    t.expect_up(&["step2 1:0..4 2:0..1 -1:0..2"]);
    t.tell(update(&merged(&ours())));
    t.wait(limits::PROOF_QUIET_MS);
    t.expect_up(&["step1 1:3"]);
    t.tell(step2(&merged(&ours())));
    assert_eq!(t.confirmed(), Some(true));
}

#[test]
fn whoever_joins_behind_a_server_that_only_passes_on_is_answered_though_it_looks_like_a_greeting() {
    let mut t = Script::attached(&ours(), Dialect::Yjs);
    t.expect_up(&["step1 1:4 2:1", "query"]);
    t.wait(limits::UPSTREAM_ANSWER_MS + limits::PUSH_JITTER_MS);
    t.expect_up(&["step2 1:0..4 2:0..1 -1:0..2"]);
    // Somebody comes minutes later.
    t.wait(100_000);
    t.tell(step1(&[(1, 3)]));
    t.wait(limits::PUSH_JITTER_MS);
    t.expect_up(&["step2 1:3..4 2:0..1 -1:0..2"]);
}
