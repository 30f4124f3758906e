//! The link comes up: greet the upstream, push what it lacks.

use yrelay_core::event::{Habit, Input};
use yrelay_core::limits;
use yrelay_core::replica::Replica;
use yrelay_core::wire::{self, Message};

use crate::script::{
    A, B, NOTHING, Script, aware, delete, insert, merged, parse, show, step1, step2, update,
};

#[test]
fn a_document_of_which_nothing_is_known_sends_nothing_up() {
    let mut t = Script::new();
    t.link_up();
    t.attach(A);
    t.wait(10_000);
    t.frame(A, vec![3]);
    t.frame(A, wire::sync_status(&[1]));
    t.expect_up(&[]);
    t.frame(A, step1(&[]));
    t.expect_up(&["step1"]);
}

#[test]
fn the_first_y_message_of_a_client_wakes_it() {
    for (message, then) in [
        (update(&insert(1, 0, "a")), vec!["step1 1:1"]),
        (step2(NOTHING), vec!["step1"]),
        (aware(&[(1, 1, "{}")]), vec!["step1", "aware 1@1 {}"]),
    ] {
        let mut t = Script::new();
        t.link_up();
        t.attach(A);
        t.frame(A, message);
        t.expect_up(&then);
    }
}

#[test]
fn what_is_stored_is_greeted_at_once() {
    let mut t = Script::with(&[insert(1, 0, "a")]);
    t.link_up();
    t.expect_up(&["step1 1:1"]);
}

#[test]
fn the_push_is_one_step_2_with_exactly_the_difference() {
    let mut t = Script::with(&[insert(1, 0, "abcd"), insert(2, 0, "x"), delete(1, 0, 2)]);
    t.link_up();
    t.expect_up(&["step1 1:4 2:1"]);
    t.tell(step2(&delete(1, 0, 1)));
    t.expect_up(&[]);
    t.tell(step1(&[(1, 3)]));
    t.expect_up(&["step2 1:3..4 2:0..1 -1:1..2"]);
}

#[test]
fn deletions_alone_are_pushed() {
    let mut t = Script::with(&[insert(1, 0, "abcd"), delete(1, 1, 2)]);
    t.link_up();
    t.expect_up(&["step1 1:4"]);
    t.tell(step2(NOTHING));
    t.tell(step1(&[(1, 4)]));
    t.expect_up(&["step2 -1:1..3"]);
    assert_eq!(t.confirmed_seq, None);
}

#[test]
fn a_covered_document_pushes_the_empty_update() {
    let mut t = Script::loading();
    t.loaded(&[merged(&[insert(1, 0, "ab"), delete(1, 0, 1)])], true);
    assert_eq!(t.confirmed(), Some(false));
    t.greeted(&merged(&[insert(1, 0, "ab"), delete(1, 0, 1), insert(7, 0, "x")]));
    assert_eq!((t.confirmed(), t.confirmed_seq), (Some(true), Some(2)));
    assert!(!t.document.is_unconfirmed());
}

#[test]
fn no_live_update_goes_up_before_the_push() {
    let mut t = Script::new();
    t.link_up();
    t.join(A);
    t.frame(A, update(&insert(1, 0, "a")));
    t.expect_up(&["step1 1:1"]);
    t.frame(A, update(&insert(1, 1, "b")));
    t.expect_up(&[]);
    t.tell(step2(NOTHING));
    t.frame(A, update(&insert(1, 2, "c")));
    t.frame(A, update(&delete(1, 0, 1)));
    t.expect_up(&[]);
    t.tell(step1(&[]));
    t.expect_up(&["step2 1:0..3 -1:0..1"]);
}

#[test]
fn deletions_between_their_step_2_and_their_step_1_are_pushed() {
    let mut t = Script::with(&[insert(1, 0, "abc")]);
    t.join(A);
    t.link_up();
    t.expect_up(&["step1 1:3"]);
    t.tell(step2(NOTHING));
    t.frame(A, update(&delete(1, 0, 1)));
    t.tell(step1(&[(1, 3)]));
    t.expect_up(&["step2 -1:0..1"]);
    assert_eq!(t.confirmed(), Some(false));
}

#[test]
fn the_halves_of_an_answer_may_come_apart() {
    let mut t = Script::with(&[insert(1, 0, "abc")]);
    t.link_up();
    t.expect_up(&["step1 1:3"]);
    t.tell(step2(NOTHING));
    t.wait(limits::UPSTREAM_ANSWER_MS - 1);
    t.tell(step1(&[(1, 3)]));
    t.expect_up(&["step2 nothing"]);
    assert_eq!(t.confirmed(), Some(true));
}

#[test]
fn deletions_of_what_is_not_held_are_pushed_but_not_waited_for() {
    let mut t = Script::with(&[insert(1, 0, "abc"), delete(2, 0, 1)]);
    t.link_up();
    t.expect_up(&["step1 1:3"]);
    t.tell(step2(NOTHING));
    t.tell(step1(&[(1, 3)]));
    t.expect_up(&["step2 -2:0..1"]);
    assert_eq!(t.confirmed(), Some(true));
}

fn pieces(t: &mut Script) -> (Vec<String>, Replica) {
    let mut kinds = Vec::new();
    let mut replica = Replica::default();
    while let Some(message) = t.pull() {
        let (Message::SyncStep2(piece) | Message::Update { update: piece, .. }) =
            wire::messages(&message).next().unwrap().unwrap()
        else {
            panic!("{}", show(&message))
        };
        assert!(piece.len() <= limits::CHUNK_BYTES_MAX, "{}", piece.len());
        assert!(replica.apply(&parse(&piece)).whole);
        kinds.push(show(&message)[..5].to_owned());
    }
    (kinds, replica)
}

#[test]
fn a_large_push_goes_in_pieces_as_there_is_room_and_step_2_comes_last() {
    let text = "x".repeat(limits::CHUNK_BYTES_MAX * 2 / 5);
    let updates: Vec<Vec<u8>> = (1..=7).map(|client| insert(client, 0, &text)).collect();
    let mut t = Script::with(&updates);
    t.join(A);
    t.link_up();
    assert!(t.pull().is_some());
    t.tell(step2(NOTHING));
    t.tell(step1(&[]));
    t.frame(A, update(&insert(9, 0, "meanwhile")));
    let (kinds, replica) = pieces(&mut t);
    assert_eq!(kinds, ["updat", "updat", "updat", "step2"]);
    assert_eq!(replica.held(), t.stored().held());
}

#[test]
fn an_upstream_that_never_asks_is_pushed_all_but_what_it_named() {
    let mut t = Script::with(&[insert(1, 0, "abcd"), delete(1, 0, 1)]);
    t.join(A);
    t.link_up();
    t.expect_up(&["step1 1:4"]);
    t.wait(100);
    t.tell(step2(&merged(&[insert(1, 0, "ab"), insert(7, 0, "x")])));
    t.tell(update(&insert(7, 1, "y")));
    t.frame(A, update(&insert(1, 4, "e")));
    t.wait(limits::UPSTREAM_ANSWER_MS - 1);
    t.expect_up(&[]);
    t.wait(1);
    t.expect_up(&["step2 1:2..5 -1:0..1"]);
    assert_eq!(t.confirmed(), None);
}

#[test]
fn an_upstream_that_answers_nothing_is_pushed_everything_after_a_while() {
    let mut delays = Vec::new();
    for seed in 0..20 {
        let mut t = Script::seeded(seed);
        t.loaded(&[merged(&[insert(1, 0, "abcd"), delete(1, 0, 1)])], true);
        t.link_up();
        t.wait(60_000);
        t.expect_up(&["step1 1:4"]);
        assert_eq!(t.confirmed(), Some(false), "it can only be late once it was asked");
        let asked_at = t.now;
        t.wait(limits::UPSTREAM_ANSWER_MS - 1);
        assert_eq!(t.pull(), None);
        while !t.is_ready(t.up) {
            t.wait(1);
        }
        delays.push(t.now - asked_at);
        t.expect_up(&["step2 1:0..4 -1:0..1"]);
        assert_eq!((t.confirmed(), t.standing().sent), (None, true));
        assert_eq!(t.habit, Some(Habit::Silent));
        assert!(t.document.is_unconfirmed());
    }
    delays.sort_unstable();
    assert!(delays[0] >= limits::UPSTREAM_ANSWER_MS && delays[0] + 100 < delays[19], "{delays:?}");
    assert!(delays[19] <= limits::UPSTREAM_ANSWER_MS + limits::PUSH_JITTER_MS, "{delays:?}");
}

#[test]
fn an_empty_document_pushes_nothing_to_an_upstream_that_answers_nothing() {
    let mut t = Script::new();
    t.link_up();
    t.join(A);
    t.expect_up(&["step1"]);
    t.wait(10_000);
    t.expect_up(&[]);
    t.frame(A, update(&insert(1, 0, "a")));
    t.expect_up(&["update 1:0..1"]);
}

#[test]
fn late_answers_are_taken() {
    for late in [1_800, 2_100, 6_000] {
        let mut t = Script::with(&[insert(1, 0, "abc"), delete(1, 0, 1)]);
        t.join(A);
        t.link_up();
        assert!(t.pull().is_some());
        t.wait(late);
        let mut pushed = Vec::new();
        while let Some(message) = t.pull() {
            pushed.push(show(&message));
        }
        t.tell(step2(&insert(7, 0, "x")));
        t.expect(A, &["update 7:0..1"]);
        t.tell(step1(&[(1, 1), (7, 1)]));
        if pushed.is_empty() {
            t.expect_up(&["step2 1:1..3 -1:0..1"]);
        } else {
            assert_eq!(pushed, ["step2 1:0..3 -1:0..1"]);
            t.expect_up(&["step2 nothing"]);
        }
        assert_eq!(t.confirmed(), Some(false), "it can prove things after all");
        assert_eq!(t.habit, Some(Habit::Keeps));
    }
}

/// On a slow link an answer takes longer than two seconds, and everything would go up in vain.
#[test]
fn a_server_that_is_known_to_answer_is_given_time() {
    let content = [merged(&[insert(1, 0, "abc"), delete(1, 0, 1)])];
    let mut t = Script::with(&content);
    t.attach_upstream(Habit::Keeps);
    t.expect_up(&["step1 1:3"]);
    t.wait(limits::UPSTREAM_KEEPER_ANSWER_MS - 1);
    assert_eq!(t.pull(), None);
    t.tell(step2(&content[0]));
    t.tell(step1(&[(1, 3)]));
    t.expect_up(&["step2 nothing"]);
    assert_eq!((t.confirmed(), t.habit), (Some(true), Some(Habit::Keeps)));

    let mut t = Script::with(&content);
    t.attach_upstream(Habit::Keeps);
    t.expect_up(&["step1 1:3"]);
    t.wait(limits::UPSTREAM_KEEPER_ANSWER_MS + limits::PUSH_JITTER_MS);
    t.expect_up(&["step2 1:0..3 -1:0..1"]);
    assert_eq!(t.habit, Some(Habit::Silent), "another server answers at that address now");

    let mut t = Script::with(&content);
    t.attach_upstream(Habit::Keeps);
    t.expect_up(&["step1 1:3"]);
    t.tell(aware(&[(9, 1, "{}")]));
    assert_eq!(t.habit, Some(Habit::Unknown), "one that keeps documents passes nothing on");
    t.wait(limits::UPSTREAM_ANSWER_MS + limits::PUSH_JITTER_MS);
    t.expect_up(&["step2 1:0..3 -1:0..1"]);
}

#[test]
fn somebody_elses_question_is_answered_after_a_pause_with_what_nobody_else_sent() {
    let mut t =
        Script::with(&[merged(&[insert(1, 0, "abcd"), insert(2, 0, "xy"), delete(1, 0, 1)])]);
    t.attach_upstream(Habit::Silent);
    assert!(t.pull().is_some());
    t.wait(3_000);
    t.expect_up(&["step2 1:0..4 2:0..2 -1:0..1"]);
    t.tell(step1(&[(1, 2)]));
    assert_eq!(t.confirmed(), None);
    t.tell(step2(&insert(2, 0, "xy")));
    t.wait(limits::PUSH_JITTER_MS);
    t.expect_up(&["step2 1:2..4 -1:0..1"]);
    t.tell(step1(&[(1, 2)]));
    t.tell(step2(&merged(&[insert(1, 0, "abcd"), insert(2, 0, "xy"), delete(1, 0, 1)])));
    t.wait(limits::PUSH_JITTER_MS);
    t.expect_up(&[]);
    t.tell(step1(&[(1, 4), (2, 2)]));
    t.wait(limits::PUSH_JITTER_MS);
    t.expect_up(&["step2 -1:0..1"]);
}

#[test]
fn evidence_that_it_only_broadcasts_ends_all_proofs() {
    for evidence in [aware(&[(9, 1, "{}")]), step2(NOTHING), step1(&[])] {
        let mut t = Script::with(&[insert(1, 0, "a")]);
        t.join(A);
        t.greeted(NOTHING);
        assert_eq!(t.confirmed(), Some(true));
        t.tell(evidence);
        assert_eq!(t.confirmed(), None);
        t.frame(A, update(&insert(1, 1, "b")));
        t.wait(600);
        while t.pull().is_some() {}
        t.wait(120_000);
        t.expect_up(&[]);
        assert!(t.standing().sent);
    }
}

#[test]
fn what_was_written_offline_is_unconfirmed_and_pushed_at_the_next_attach() {
    let mut t = Script::with(&[insert(1, 0, "a")]);
    t.join(A);
    t.greeted(&insert(1, 0, "a"));
    assert_eq!(t.confirmed(), Some(true));
    t.link_down();
    t.frame(A, update(&insert(1, 1, "b")));
    t.frame(A, update(&delete(1, 0, 1)));
    t.save();
    assert_eq!((t.confirmed(), t.standing().sent), (Some(false), false));
    t.take(A);
    t.link_up();
    t.expect_up(&["step1 1:2"]);
    t.tell(step2(&insert(7, 0, "x")));
    t.tell(step1(&[(1, 1), (7, 1)]));
    t.expect(A, &["update 7:0..1"]);
    t.expect_up(&["step2 1:1..2 -1:0..1"]);
    t.wait(2_000);
    t.expect_up(&["step1 1:2 7:1"]);
    t.tell(step2(&delete(1, 0, 1)));
    t.tell(step1(&[(1, 2), (7, 1)]));
    assert_eq!(t.confirmed(), Some(true));
}

#[test]
fn an_upstream_that_has_lost_what_it_confirmed_is_pushed_it_again() {
    let mut t = Script::with(&[insert(1, 0, "a")]);
    t.greeted(NOTHING);
    assert_eq!(t.confirmed(), Some(true));
    t.link_down();
    t.link_up();
    t.expect_up(&["step1 1:1"]);
    t.tell(step2(NOTHING));
    t.tell(step1(&[]));
    t.expect_up(&["step2 1:0..1"]);
    assert_eq!(t.confirmed(), Some(false));
    assert_eq!(t.appended, [(NOTHING.to_vec().into(), true)], "marked on disk again");
    assert_eq!(t.lost, 1, "other documents may be lacking, too");
    t.wait(2_000);
    t.expect_up(&["step1 1:1"]);
    t.tell(step2(NOTHING));
    t.tell(step1(&[(1, 1)]));
    assert_eq!((t.confirmed(), t.confirmed_seq), (Some(true), Some(2)));
}

#[test]
fn what_another_document_shows_to_be_lost_is_uncertain_until_the_upstream_has_answered() {
    let mut t = Script::with(&[insert(1, 0, "a")]);
    t.greeted(NOTHING);
    t.handle(Input::Lost);
    assert_eq!(t.confirmed(), Some(true), "it has just been proven");
    t.link_down();
    t.link_up();
    t.handle(Input::Lost);
    assert_eq!(t.confirmed(), Some(false));
    assert_eq!(t.appended, [(NOTHING.to_vec().into(), true)], "marked on disk");
    t.expect_up(&["step1 1:1"]);
    t.tell(step2(NOTHING));
    t.tell(step1(&[(1, 1)]));
    assert_eq!((t.confirmed(), t.lost), (Some(true), 0));
}

#[test]
fn a_flapping_link_sends_nothing_twice_over_one_connection_and_loses_nothing() {
    let mut t = Script::new();
    t.join(A);
    t.frame(A, update(&insert(1, 0, "a")));
    t.link_up();
    t.link_down();
    t.link_up();
    t.expect_up(&["step1 1:1"]);
    t.tell(step2(NOTHING));
    t.link_down();
    t.frame(A, update(&insert(1, 1, "b")));
    t.link_up();
    t.wait(100);
    t.expect_up(&["step1 1:2"]);
    t.tell(step2(NOTHING));
    t.tell(step1(&[]));
    t.link_down();
    t.link_up();
    t.expect_up(&["step1 1:2"]);
    t.tell(step2(NOTHING));
    t.tell(step1(&[]));
    t.expect_up(&["step2 1:0..2"]);
    t.expect_up(&[]);
}

#[test]
fn a_second_document_wakes_no_earlier_than_its_own_client() {
    let mut t = Script::new();
    t.join(A);
    t.link_up();
    t.expect_up(&["step1"]);
    t.link_down();
    t.detach(A);
    t.join(B);
    t.link_up();
    t.expect_up(&["step1"]);
}

#[test]
fn one_that_answered_before_may_take_long_between_the_halves_of_its_answer() {
    let mut t = Script::with(&[insert(1, 0, "abc")]);
    t.attach_upstream(Habit::Keeps);
    t.expect_up(&["step1 1:3"]);
    t.tell(step2(NOTHING));
    t.wait(limits::UPSTREAM_KEEPER_ANSWER_MS - 1);
    t.expect_up(&[]);
    t.tell(step1(&[(1, 3)]));
    t.expect_up(&["step2 nothing"]);
    assert_eq!(t.confirmed(), Some(true));
}

#[test]
fn so_it_may_on_the_connection_where_it_first_answered() {
    let mut t = Script::with(&[insert(1, 0, "abc")]);
    t.join(A);
    t.greeted(&insert(1, 0, "abc"));
    t.frame(A, update(&insert(1, 3, "d")));
    t.expect_up(&["update 1:3..4"]);
    t.wait(limits::PROOF_QUIET_MS);
    t.expect_up(&["step1 1:4"]);
    t.tell(step2(NOTHING));
    t.wait(10_000);
    t.expect_up(&[]);
    t.tell(step1(&[(1, 4)]));
    t.expect_up(&["step2 nothing"]);
    assert_eq!(t.confirmed(), Some(true));
}
