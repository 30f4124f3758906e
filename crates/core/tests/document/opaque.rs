//! End-to-end encrypted documents are relayed unread.

use bytes::Bytes;
use yrelay_core::close::CloseReason;
use yrelay_core::limits;

use crate::script::{A, B, C, Script, aware, insert, step1, update};

fn opaque() -> Script {
    let mut t = Script::new();
    t.attach(A);
    t.attach(B);
    t.take(A);
    t.take(B);
    t.frame(A, "gAAAAone");
    t
}

#[test]
fn a_first_frame_that_is_a_fernet_token_makes_a_document_opaque() {
    let mut t = opaque();
    assert!(t.standing().opaque && t.standing().confirmed.is_none());
    t.expect(A, &[]);
    t.expect(B, &["gAAAAone"]);
    t.frame(B, "gAAAAtwo");
    t.expect(A, &["gAAAAtwo"]);
    assert!(t.appended.is_empty() && !t.document.is_stored());
}

#[test]
fn a_joiner_of_an_opaque_document_is_asked_nothing() {
    let mut t = opaque();
    t.attach(C);
    t.expect(C, &[]);
    t.frame(A, "gAAAAlive at once");
    t.expect(C, &["gAAAAlive at once"]);
    t.wait(limits::KEEP_ALIVE_MS);
    t.expect(C, &["aware nobody"]);
}

#[test]
fn plaintext_in_an_opaque_document_is_passed_on_and_changes_nothing() {
    let mut t = opaque();
    t.take(B);
    t.frame(A, aware(&[(1, 2, "null")]));
    t.frame(A, update(&insert(1, 0, "a")));
    t.frame(A, step1(&[]));
    t.expect(B, &["aware 1@2 null", "update 1:0..1", "step1"]);
    t.frame(A, Bytes::from_static(&[0, 2, 9]));
    assert_eq!(t.take(B).len(), 1);
    assert!(t.standing().opaque && t.appended.is_empty() && t.closed.is_empty());
    t.expect(A, &[]);
}

#[test]
fn a_token_later_than_a_y_message_is_only_an_unknown_type() {
    for first in [update(&insert(1, 0, "a")), step1(&[]), aware(&[(1, 1, "{}")])] {
        let mut t = Script::new();
        t.join(B);
        t.attach(A);
        t.frame(A, first);
        t.frame(A, "gAAAAtoken");
        assert!(!t.standing().opaque);
        assert_eq!(t.ignored, [u64::from(b'g')]);
    }
    let mut t = Script::with(&[insert(1, 0, "a")]);
    t.attach(A);
    t.frame(A, "gAAAAtoken");
    assert!(!t.standing().opaque, "something is stored");
}

#[test]
fn the_upstream_gets_the_frames_unread_and_no_question() {
    let mut t = Script::new();
    t.link_up();
    t.attach(A);
    t.attach(B);
    t.expect_up(&[]);
    t.frame(A, "gAAAAone");
    t.frame(A, "gAAAAtwo");
    t.take(B);
    t.expect_up(&["gAAAAone", "gAAAAtwo"]);
    t.tell("gAAAAremote");
    t.expect(B, &["gAAAAremote"]);
    t.wait(60_000);
    t.expect_up(&[]);
    t.take(B);
    t.link_down();
    t.frame(A, "gAAAAmissed above");
    t.expect(B, &["gAAAAmissed above"]);
}

#[test]
fn too_many_frames_for_the_upstream_close_the_writer() {
    let mut t = Script::new();
    t.link_up();
    t.attach(A);
    for _ in 0..limits::OPAQUE_FRAMES_MAX {
        t.frame(A, "gAAAAx");
    }
    assert!(t.closed.is_empty());
    t.frame(A, "gAAAAx");
    assert_eq!(t.closed.remove(&A), Some(CloseReason::Backlogged));
    assert_eq!(CloseReason::Backlogged.code(), 1013);
    t.pull().unwrap();
    t.attach(B);
    t.frame(B, "gAAAAroom again");
    assert!(t.closed.is_empty());
}

#[test]
fn clients_of_an_opaque_document_come_anew_when_the_upstream_is_back() {
    let mut t = opaque();
    t.link_up();
    assert_eq!(t.closed.get(&A), Some(&CloseReason::Resync));
    assert_eq!(t.closed.get(&B), Some(&CloseReason::Resync));
    t.attach(C);
    t.frame(C, "gAAAAall that C has");
    assert_eq!(t.pull().unwrap(), "gAAAAall that C has");
    assert_eq!(t.closed.get(&C), None);
}

#[test]
fn a_document_that_is_named_opaque_is_so_from_its_first_frame() {
    let mut t = Script::named_opaque();
    t.link_up();
    t.attach(A);
    t.attach(B);
    t.expect(A, &[]);
    t.frame(A, update(&insert(1, 0, "looks like Yjs")));
    t.frame(B, "looks like nothing");
    assert_eq!(t.take(A), ["looks like nothing"]);
    assert_eq!(t.take(B).len(), 1);
    assert!(t.pull().is_some() && t.pull().is_some() && t.pull().is_none());
    assert!(t.appended.is_empty() && t.standing().opaque);
}
