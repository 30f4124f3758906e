//! Servers that begin anew: what is healed, and what is kept apart.

use yrelay_core::close::CloseReason;
use yrelay_core::event::{Dialect, Habit, Input, Withheld};
use yrelay_core::history::History;
use yrelay_core::limits;

use crate::script::{A, B, NOTHING, Script, aware, delete, insert, merged, step1, step2, update};

fn ours() -> Vec<Vec<u8>> {
    vec![insert(1, 0, "abcd"), insert(2, 0, "x"), delete(1, 0, 2)]
}

fn theirs() -> Vec<u8> {
    insert(7, 0, "abcdx")
}

/// A document that the upstream once held all of.
fn proven() -> Script {
    let mut t = Script::loading();
    t.history = History { known: [1, 2].into(), ..History::default() };
    t.loaded(&ours(), false);
    t
}

const DIALECTS: [Dialect; 2] = [Dialect::Yjs, Dialect::Hocuspocus];

/// The upstream says what it holds and what we lack, in its way.
fn answers(t: &mut Script, dialect: Dialect, vector: &[(u64, u32)], update: &[u8]) {
    if dialect == Dialect::Hocuspocus {
        t.tell(step1(vector));
        t.tell(step2(update));
    } else {
        t.tell(step2(update));
        t.tell(step1(vector));
    }
}

#[test]
fn the_clients_of_the_first_proof_are_remembered() {
    let mut t = Script::loading();
    t.loaded(&ours(), true);
    t.greeted(&merged(&ours()));
    assert_eq!(t.history.known, [1, 2].into());
}

#[test]
fn a_server_with_another_history_is_kept_apart() {
    for dialect in DIALECTS {
        let mut t = proven();
        t.join(A);
        t.attach_above(Habit::Unknown, dialect);
        assert!(t.pull().is_some());
        answers(&mut t, dialect, &[(7, 5)], &theirs());
        assert_eq!((t.diverged, t.standing().withheld), (1, Some(Withheld::Diverged)));
        assert_eq!(t.confirmed(), Some(false));
        t.expect(A, &[]);
        // Local work goes on, and nothing goes up or comes down.
        t.join(B);
        t.take(B);
        t.frame(A, update(&insert(1, 4, "e")));
        t.frame(A, aware(&[(1, 1, "{}")]));
        t.expect(B, &["update 1:4..5", "aware 1@1 {}"]);
        t.tell(update(&insert(7, 5, "y")));
        t.tell(aware(&[(7, 1, "{}")]));
        t.wait(10_000);
        t.expect_up(&[]);
        t.expect(B, &[]);
    }
}

#[test]
fn one_that_greets_with_another_history_is_kept_apart_at_once() {
    let mut t = proven();
    t.attach_above(Habit::Unknown, Dialect::Yjs);
    t.tell(step1(&[(7, 5)]));
    t.tell(step2(&theirs()));
    assert_eq!(t.diverged, 1);
    t.expect_up(&[]);
}

#[test]
fn a_server_that_is_empty_or_behind_is_healed() {
    for dialect in DIALECTS {
        for (vector, update, lacks) in [
            (&[][..], NOTHING.to_vec(), "step2 1:0..4 2:0..1 -1:0..2"),
            (&[(2, 1)], NOTHING.to_vec(), "step2 1:0..4 -1:0..2"),
            (&[(1, 2), (7, 5)], theirs(), "step2 1:2..4 2:0..1 -1:0..2"),
        ] {
            let mut t = proven();
            t.attach_above(Habit::Unknown, dialect);
            t.pull_all();
            answers(&mut t, dialect, vector, &update);
            assert_eq!(t.diverged, 0, "{dialect:?} {vector:?}");
            t.wait(limits::EMPTY_GRACE_MS);
            t.expect_up(&[lacks]);
        }
    }
}

#[test]
fn a_server_that_loads_late_shows_its_history_then() {
    for (late, diverged) in [(merged(&ours()), 0), (theirs(), 1)] {
        let mut t = proven();
        t.join(A);
        t.attach_above(Habit::Unknown, Dialect::Yjs);
        t.tell(step1(&[]));
        t.pull_all();
        t.tell(step2(NOTHING));
        t.tell(update(&late));
        t.expect_up(&[]);
        t.wait(limits::EMPTY_GRACE_MS);
        assert_eq!(t.diverged, diverged);
        t.expect(A, &[]);
    }
}

#[test]
fn what_the_server_says_before_it_has_shown_its_history_is_not_lost() {
    let mut t = proven();
    t.join(A);
    t.attach_above(Habit::Unknown, Dialect::Hocuspocus);
    assert!(t.pull().is_some());
    t.tell(update(&insert(3, 0, "z")));
    t.expect(A, &[]);
    answers(&mut t, Dialect::Hocuspocus, &[(1, 4), (2, 1), (3, 1)], &delete(1, 0, 2));
    t.expect(A, &["update 3:0..1"]);
    assert_eq!(t.confirmed(), Some(true));
}

#[test]
fn an_answer_of_any_size_waits_and_what_had_no_place_is_asked_for() {
    let large = |client| insert(client, 0, &"x".repeat(limits::HELD_BYTES_MAX + 1));
    let mut t = proven();
    t.attach_above(Habit::Unknown, Dialect::Yjs);
    assert!(t.pull().is_some());
    t.tell(update(&insert(3, 0, "z")));
    t.tell(step2(&merged(&[large(4), delete(1, 0, 2)])));
    t.tell(step1(&[(1, 4), (2, 1), (3, 1), (4, limits::HELD_BYTES_MAX as u32 + 1)]));
    assert_eq!(t.confirmed(), Some(true));

    let mut t = proven();
    t.attach_above(Habit::Unknown, Dialect::Yjs);
    assert!(t.pull().is_some());
    t.tell(update(&large(3)));
    t.tell(step2(&merged(&[large(4), delete(1, 0, 2)])));
    t.wait(limits::UPSTREAM_ANSWER_MS + limits::PROOF_QUIET_MS);
    while let Some(message) = t.pull() {
        if message.starts_with(&[0, 0]) {
            return;
        }
    }
    panic!("it is not asked for");
}

#[test]
fn a_server_that_shows_nothing_keeps_nothing() {
    let mut t = proven();
    t.join(A);
    t.attach_above(Habit::Unknown, Dialect::Yjs);
    assert!(t.pull().is_some());
    t.tell(update(&insert(3, 0, "z")));
    t.wait(limits::UPSTREAM_ANSWER_MS);
    t.expect(A, &["update 3:0..1"]);
}

#[test]
fn a_server_that_says_nothing_at_all_is_pushed_what_is_here() {
    let mut t = proven();
    t.attach_above(Habit::Unknown, Dialect::Yjs);
    t.expect_up(&["step1 1:4 2:1", "query"]);
    t.wait(limits::UPSTREAM_ANSWER_MS + limits::PUSH_JITTER_MS);
    t.expect_up(&["step2 1:0..4 2:0..1 -1:0..2"]);
}

#[test]
fn an_empty_step_1_behind_a_step_2_is_an_answer() {
    let mut t = proven();
    t.attach_above(Habit::Unknown, Dialect::Yjs);
    t.expect_up(&["step1 1:4 2:1", "query"]);
    t.tell(step2(NOTHING));
    t.tell(step1(&[]));
    t.expect_up(&["step2 1:0..4 2:0..1 -1:0..2"]);
    assert_eq!(t.confirmed(), Some(false));
}

#[test]
fn another_relay_with_another_history_is_kept_apart() {
    use yrelay_core::fellow;
    use yrelay_core::id_set::IdSet;
    use yrelay_core::state_vector::StateVector;
    let mut t = proven();
    t.attach_above(Habit::Unknown, Dialect::Own);
    assert!(t.pull().is_some());
    let vector: StateVector = [(7, 5)].into_iter().collect();
    t.tell(fellow::have(&vector, &IdSet::default()));
    t.tell(update(&theirs()));
    assert_eq!(t.diverged, 1);
    t.wait(10_000);
    assert_eq!(t.pull(), None);
}

#[test]
fn what_the_server_holds_is_told_when_somebody_asks() {
    let mut t = proven();
    t.attach_above(Habit::Unknown, Dialect::Yjs);
    t.tell(step1(&[(7, 5)]));
    t.handle(Input::AskForTheirs);
    t.expect_up(&["step1"]);
    t.tell(update(&insert(7, 5, "y")));
    assert_eq!(t.theirs, None, "that is news, and no answer");
    t.tell(step2(&theirs()));
    assert_eq!(t.theirs.take().unwrap(), theirs());
    t.tell(step2(&theirs()));
    assert_eq!(t.theirs, None, "nobody has asked");
}

#[test]
fn what_is_decided_to_be_merged_is() {
    let mut t = proven();
    t.join(A);
    t.attach_above(Habit::Unknown, Dialect::Yjs);
    t.tell(step1(&[(7, 5)]));
    t.handle(Input::Merge);
    t.link_down();
    assert!(t.history.known.is_empty());
    t.attach_above(Habit::Unknown, Dialect::Yjs);
    t.expect_up(&["step1 1:4 2:1", "query"]);
    t.tell(step1(&[(7, 5)]));
    t.tell(step2(&theirs()));
    t.expect(A, &["update 7:0..5"]);
    t.expect_up(&["step2 1:0..4 2:0..1 -1:0..2"]);
}

#[test]
fn a_document_that_merges_always_is_not_guarded() {
    let mut t = Script::loading().merging();
    t.history = History { known: [1, 2].into(), ..History::default() };
    t.loaded(&ours(), false);
    t.attach_above(Habit::Unknown, Dialect::Yjs);
    t.tell(step1(&[(7, 5)]));
    assert_eq!(t.diverged, 0);
}

#[test]
fn who_brings_what_was_given_up_is_sent_away() {
    let given_up = || {
        let mut t = Script::loading();
        t.history = History { abandoned: [1, 2].into(), ..History::default() };
        t.loaded(&[theirs()], false);
        t
    };
    for message in [step1(&[(1, 4), (7, 5)]), update(&insert(2, 0, "x")), step2(&merged(&ours()))] {
        let mut t = given_up();
        t.attach(A);
        t.frame(A, message);
        assert_eq!(t.closed.get(&A), Some(&CloseReason::Replaced));
        assert!(t.appended.is_empty());
    }
    let mut t = given_up();
    t.join(A);
    t.frame(A, update(&insert(3, 0, "mine")));
    assert!(t.closed.is_empty(), "who brings his own is welcome");
    // What the server has was not given up there.
    t.attach_above(Habit::Unknown, Dialect::Yjs);
    t.tell(update(&insert(1, 0, "abcd")));
    assert_eq!(t.history.abandoned, [2].into());
    t.attach(B);
    t.frame(B, step1(&[(1, 4)]));
    assert!(t.closed.is_empty());
}
