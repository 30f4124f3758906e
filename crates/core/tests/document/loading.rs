//! While a document loads, everything waits; a failed load is no empty document.

use bytes::Bytes;
use yrelay_core::close::CloseReason;
use yrelay_core::event::Input;
use yrelay_core::limits;

use crate::script::{A, B, C, NOTHING, Script, insert, step1, step2, update};

#[test]
fn what_comes_while_loading_waits_in_order_and_is_not_answered_before() {
    let mut t = Script::loading();
    t.attach(A);
    t.frame(A, step1(&[]));
    t.frame(A, update(&insert(1, 0, "ab")));
    t.link_up();
    t.wait(5_000);
    t.expect(A, &[]);
    assert!(t.appended.is_empty() && !t.is_ready(t.up));
    t.loaded(&[insert(2, 0, "x")], false);
    t.expect(A, &["step1 2:1", "step2 2:0..1"]);
    t.expect_up(&["step1 1:2 2:1"]);
    t.save();
    t.expect(A, &["update 1:0..2"]);
}

#[test]
fn who_left_while_loading_is_not_there_afterwards() {
    let mut t = Script::loading();
    t.attach(A);
    t.attach(B);
    t.detach(A);
    t.link_up();
    t.link_down();
    t.loaded(&[insert(2, 0, "x")], false);
    assert_eq!(t.standing().clients, 1);
    t.expect(B, &["step1 2:1"]);
}

#[test]
fn a_failed_load_closes_all_who_wait_and_is_no_empty_document() {
    let mut t = Script::loading();
    t.attach(A);
    t.attach(B);
    t.frame(A, step1(&[]));
    t.frame(A, step2(NOTHING));
    t.detach(B);
    t.handle(Input::LoadFailed);
    assert_eq!(t.closed.remove(&A), Some(CloseReason::LoadFailed));
    assert!(t.closed.is_empty() && t.appended.is_empty());
    assert!(!t.document.can_evict(), "it is not a loaded document");
    t.attach(C);
    assert_eq!(t.closed.remove(&C), Some(CloseReason::LoadFailed), "nobody waits for ever");
}

#[test]
fn readers_pause_while_much_waits_for_the_load() {
    let mut t = Script::loading();
    t.attach(A);
    assert!(t.document.takes_input());
    t.frame(A, Bytes::from(vec![0; limits::HELD_BYTES_MAX]));
    assert!(!t.document.takes_input());

    let mut t = Script::loading();
    t.attach(A);
    for _ in 1..limits::HELD_INPUTS_MAX {
        assert!(t.document.takes_input());
        t.frame(A, step1(&[]));
    }
    assert!(!t.document.takes_input());
    t.loaded(&[], false);
    assert!(t.document.takes_input());
}

#[test]
fn what_is_stored_is_neither_appended_again_nor_unconfirmed() {
    let mut t = Script::with(&[insert(1, 0, "ab")]);
    t.join(A);
    t.frame(A, update(&insert(1, 0, "ab")));
    t.expect(A, &["update 1:0..2"]);
    assert!(t.appended.is_empty() && !t.document.is_unconfirmed() && t.standing().saved);
    t.frame(A, update(&insert(1, 2, "c")));
    t.save();
    assert_eq!(t.appended.len(), 1);
}

#[test]
fn nothing_is_claimed_of_a_document_that_is_not_loaded_yet() {
    let t = Script::loading();
    assert_eq!((t.standing().saved, t.standing().confirmed), (false, Some(false)));
}
