//! Clients that come back, and documents that are kept from the upstream.

use yrelay_core::event::Withheld;

use crate::script::{A, B, NOTHING, Script, delete, insert, step1, step2, update};

const WIDE: u64 = 1 << 40;

#[test]
fn a_returning_author_is_told_again_what_is_saved() {
    let mut t = Script::new();
    t.join(A);
    t.frame(A, update(&insert(1, 0, "ab")));
    t.frame(A, update(&delete(1, 0, 1)));
    t.detach(A);
    t.save();
    t.attach(B);
    t.take(B);
    t.frame(B, step1(&[(1, 2)]));
    t.expect(B, &["step2 -1:0..1", "update 1:0..2", "update -1:0..1"]);
}

#[test]
fn what_is_not_saved_or_not_held_is_no_reminder() {
    let mut t = Script::new();
    t.join(A);
    t.frame(A, update(&insert(1, 0, "ab")));
    t.save();
    t.frame(A, update(&insert(2, 0, "cd")));
    t.attach(B);
    t.take(B);
    t.frame(B, step1(&[(1, 1), (2, 2)]));
    t.expect(B, &["step2 1:1..2"]);
}

#[test]
fn a_stranger_is_not_reminded_of_anything() {
    let mut t = Script::new();
    t.join(A);
    t.frame(A, update(&insert(1, 0, "ab")));
    t.save();
    t.attach(B);
    t.take(B);
    t.frame(B, step1(&[]));
    t.expect(B, &["step2 1:0..2"]);
}

#[test]
fn wide_client_ids_stay_away_from_a_server_that_would_double_them() {
    let mut t = Script::new();
    t.join(A);
    t.greeted(NOTHING);
    t.frame(A, update(&insert(1, 0, "narrow")));
    t.expect_up(&["update 1:0..6"]);
    t.frame(A, update(&insert(WIDE, 0, "wide")));
    t.frame(A, update(&insert(1, 6, "!")));
    t.expect_up(&[]);
    let standing = t.standing();
    assert!(standing.withheld == Some(Withheld::WideIds) && standing.confirmed == Some(false));
}

#[test]
fn a_server_that_only_passes_on_may_have_wide_client_ids() {
    let mut t = Script::with(&[insert(WIDE, 0, "wide")]);
    t.link_up();
    assert!(t.pull().is_some(), "a step 1");
    t.expect_up(&[]);
    t.wait(3_000);
    let pushed = t.pull().expect("a push");
    assert_eq!(pushed, step2(&insert(WIDE, 0, "wide")));
    assert_eq!(t.standing().withheld, None);
}
