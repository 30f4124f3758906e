//! An upstream that seemed to keep documents, and does not.

use yrelay_core::event::{Dialect, Habit};
use yrelay_core::limits;
use yrelay_core::wire::QUERY;

use crate::script::{A, NOTHING, Script, aware, insert, step1, step2};

/// Somebody behind the server answered our step 1, and somebody else joined right then: that
/// looks like a server that holds it all.
fn trusting() -> Script {
    let mut t = Script::with(&[insert(1, 0, "a")]);
    t.join(A);
    t.greeted(NOTHING);
    assert_eq!(t.confirmed(), Some(true));
    t
}

#[test]
fn misplaced_trust_is_mended_by_pushing_everything() {
    for evidence in [aware(&[(9, 1, "{}")]), step2(NOTHING), step1(&[(1, 1)])] {
        let mut t = trusting();
        t.tell(evidence);
        t.wait(600);
        t.expect_up(&["step2 1:0..1"]);
        assert_eq!(t.confirmed(), None);
    }
}

#[test]
fn what_seemed_confirmed_is_marked_on_disk_again() {
    let mut t = trusting();
    t.tell(aware(&[(9, 1, "{}")]));
    assert_eq!(t.appended.last(), Some(&(NOTHING.to_vec().into(), true)));
    t.save();
    t.link_down();
    assert_eq!(t.confirmed(), Some(false));
}

#[test]
fn half_an_answer_is_nobody_who_keeps() {
    let mut t = trusting();
    t.frame(A, crate::script::update(&insert(1, 1, "b")));
    t.expect_up(&["update 1:1..2"]);
    t.wait(2_000);
    t.expect_up(&["step1 1:2"]);
    t.tell(step2(NOTHING));
    t.wait(limits::UPSTREAM_KEEPER_ANSWER_MS + 500);
    assert_eq!(t.confirmed(), None);
    t.expect_up(&["step2 1:0..2"]);
}

/// A document that is attached to a server of which nothing is known.
fn attached(dialect: Dialect) -> Script {
    let mut t = Script::loading();
    t.loaded(&[insert(1, 0, "a")], true);
    t.attach_above(Habit::Unknown, dialect);
    t
}

#[test]
fn in_plain_yjs_a_question_for_awareness_is_of_somebody_behind_one_that_passes_on() {
    let mut t = attached(Dialect::Yjs);
    t.expect_up(&["step1 1:1", "query"]);
    // Who joined just before looks like a server that greets, and answers.
    t.tell(step1(&[(1, 1)]));
    t.tell(step2(NOTHING));
    assert_eq!(t.confirmed(), Some(true));
    t.tell(QUERY);
    assert_eq!(t.confirmed(), None);
    // Whoever came since is shown it, too: once.
    t.expect_up(&["query"]);
    t.wait(1);
    t.expect_up(&["step2 1:0..1"]);
    t.tell(QUERY);
    t.expect_up(&[]);
}

#[test]
fn elsewhere_it_is_no_sign() {
    for dialect in [Dialect::YSweet, Dialect::Hocuspocus] {
        let mut t = attached(dialect);
        t.expect_up(&["step1 1:1"]);
        t.tell(step1(&[(1, 1)]));
        t.tell(QUERY);
        t.tell(step2(NOTHING));
        assert_eq!(t.confirmed(), Some(true), "{dialect:?}");
    }
}

#[test]
fn nothing_comes_before_a_greeting() {
    // Programs of ELVA begin with awareness.
    let mut t = attached(Dialect::Yjs);
    t.pull();
    t.tell(aware(&[(9, 1, "{}")]));
    t.tell(step1(&[(1, 1)]));
    assert_eq!(t.confirmed(), None);
}
