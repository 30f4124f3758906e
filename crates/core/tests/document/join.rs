//! A client joins: it is asked, answered, and kept up to date without overlap.

use yrelay_core::event::Habit;
use yrelay_core::wire::{self, Message};
use yrelay_core::{limits, replica::Replica};

use crate::script::{
    A, B, C, NOTHING, Script, aware, delete, insert, merged, parse, show, step1, step2, update,
};

#[test]
fn a_joiner_is_asked_and_its_question_answered() {
    let mut t = Script::with(&[insert(1, 0, "abc"), insert(2, 0, "x")]);
    t.attach(A);
    t.expect(A, &["step1 1:3 2:1"]);
    t.frame(A, step1(&[(1, 1)]));
    t.expect(A, &["step2 1:1..3 2:0..1"]);
    t.frame(A, step2(NOTHING));
    t.expect(A, &[]);
}

#[test]
fn the_answer_holds_the_whole_delete_set_also_when_no_struct_is_missing() {
    let mut t = Script::with(&[insert(1, 0, "abc"), delete(1, 1, 1)]);
    t.attach(A);
    t.frame(A, step1(&[(1, 3)]));
    t.expect(A, &["step1 1:3", "step2 -1:1..2"]);
}

#[test]
fn an_answer_of_nothing_is_sent_too() {
    let mut t = Script::new();
    t.attach(A);
    t.frame(A, step1(&[]));
    t.expect(A, &["step1", "step2 nothing"]);
}

#[test]
fn a_step_1_is_never_answered_with_a_step_1_and_never_passed_on() {
    let mut t = Script::new();
    t.join(A);
    t.join(B);
    t.frame(A, update(&insert(1, 0, "ab")));
    t.save();
    t.take(A);
    t.take(B);
    for _ in 0..3 {
        t.frame(A, step1(&[]));
        t.expect(A, &["step2 1:0..2"]);
    }
    t.frame(A, step1(&[(9, 7)]));
    t.expect(A, &["step2 1:0..2"]);
    t.expect(B, &[]);
}

#[test]
fn live_updates_begin_with_the_answer_and_do_not_overlap_it() {
    let mut t = Script::new();
    t.join(A);
    t.attach(B);
    t.frame(A, update(&insert(1, 0, "ab")));
    t.expect(B, &["step1"]);
    t.frame(B, step1(&[]));
    t.expect(B, &["step2 1:0..2"]);
    t.frame(A, update(&insert(1, 2, "c")));
    t.expect(B, &["update 1:2..3"]);
}

#[test]
fn a_joiner_that_asks_nothing_goes_live_after_a_second() {
    let mut t = Script::new();
    t.join(A);
    t.attach(B);
    t.take(B);
    t.wait(limits::STEP_1_PATIENCE_MS - 1);
    t.frame(A, update(&insert(1, 0, "a")));
    t.expect(B, &[]);
    t.wait(1);
    t.frame(A, update(&insert(1, 1, "b")));
    t.expect(B, &["update 1:1..2"]);
    t.frame(B, step1(&[(1, 0)]));
    t.expect(B, &["step2 1:0..2"]);
}

fn large() -> Vec<Vec<u8>> {
    let text = "x".repeat(600 * 1024);
    (1..=3).map(|client| insert(client, 0, &text)).chain([delete(1, 0, 1)]).collect()
}

#[test]
fn a_large_answer_goes_in_pieces_as_there_is_room_and_step_2_comes_last() {
    let mut t = Script::with(&large());
    t.attach(A);
    t.take(A);
    t.frame(A, step1(&[]));
    let mut kinds = Vec::new();
    let mut replica = Replica::default();
    loop {
        let told = t.take(A);
        assert_eq!(told.len(), 1, "one piece for each room");
        let (Message::SyncStep2(piece) | Message::Update { update: piece, .. }) =
            wire::messages(&told[0]).next().unwrap().unwrap()
        else {
            panic!("{}", show(&told[0]))
        };
        assert!(piece.len() <= limits::CLIENT_CHUNK_BYTES_MAX);
        let news = replica.apply(&parse(&piece));
        assert!(news.whole, "pieces do not overlap");
        kinds.push(show(&told[0])[..5].to_owned());
        if !t.room(A) {
            break;
        }
    }
    assert_eq!(kinds, ["updat", "updat", "step2"]);
    assert!(replica.held() == t.stored().held() && replica.deletes() == t.stored().deletes());
}

#[test]
fn updates_during_a_large_answer_are_neither_lost_nor_doubled() {
    let mut t = Script::with(&large());
    t.join(B);
    t.attach(A);
    t.frame(A, step1(&[]));
    t.frame(B, update(&insert(9, 0, "meanwhile")));
    t.frame(B, update(&delete(2, 5, 1)));
    let mut replica = Replica::default();
    while t.room(A) {}
    t.frame(B, update(&insert(9, 9, "after")));
    let told = t.take(A);
    assert_eq!(show(told.last().unwrap()), "update 9:9..14");
    let steps: Vec<bool> = told.iter().map(|m| show(m).starts_with("step2")).collect();
    assert_eq!(steps.iter().filter(|step_2| **step_2).count(), 1);
    for message in &told[1..] {
        let (Message::SyncStep2(piece) | Message::Update { update: piece, .. }) =
            wire::messages(message).next().unwrap().unwrap()
        else {
            panic!("{}", show(message))
        };
        assert!(replica.apply(&parse(&piece)).whole, "twice: {}", show(message));
    }
    assert!(replica.held() == t.stored().held() && replica.deletes() == t.stored().deletes());
}

#[test]
fn what_a_client_writes_during_its_own_large_answer_comes_back_once_and_after_the_save() {
    let mut t = Script::with(&large());
    t.attach(A);
    t.frame(A, step1(&[]));
    t.frame(A, update(&insert(9, 0, "mine")));
    while t.room(A) {}
    let mine = |told: Vec<bytes::Bytes>| told.iter().filter(|m| show(m).contains("9:0..4")).count();
    assert_eq!(mine(t.take(A)), 0);
    t.save();
    assert_eq!(mine(t.take(A)), 1);
    t.frame(A, step1(&[(9, 4)]));
    while t.room(A) {}
    assert_eq!(mine(t.take(A)), 0);
}

#[test]
fn own_deletions_are_not_in_an_answer_before_they_are_saved() {
    let mut t = Script::with(&[insert(1, 0, "abcd"), delete(1, 0, 1)]);
    t.join(A);
    t.frame(A, update(&delete(1, 2, 1)));
    t.frame(A, step1(&[(1, 4)]));
    t.expect(A, &["step2 -1:0..1"]);
    t.save();
    t.expect(A, &["update -1:2..3"]);
    t.frame(A, step1(&[(1, 4)]));
    t.expect(A, &["step2 -1:0..1 -1:2..3"]);
}

#[test]
fn structs_beyond_a_gap_follow_step_2_as_updates_of_their_own() {
    let mut t = Script::with(&[insert(1, 0, "ab"), insert(1, 5, "f"), insert(2, 3, "x")]);
    t.attach(A);
    t.expect(A, &["step1 1:2"]);
    t.frame(A, step1(&[]));
    while t.room(A) {}
    t.expect(A, &["step2 1:0..2", "update 1:5..6 2:3..4"]);
    t.frame(A, step1(&[(1, 2)]));
    while t.room(A) {}
    t.expect(A, &["step2 nothing", "update 1:5..6 2:3..4"]);
    assert!(t.standing().incomplete);
}

#[test]
fn a_joiner_waits_for_the_upstream_where_nothing_is_stored() {
    let mut t = Script::new();
    t.link_up();
    t.attach(A);
    t.frame(A, step1(&[]));
    t.expect(A, &["step1"]);
    t.expect_up(&["step1"]);
    t.wait(300);
    t.expect(A, &[]);
    t.tell(step2(&insert(7, 0, "remote")));
    t.expect(A, &["step2 7:0..6"]);
}

#[test]
fn a_joiner_waits_for_the_upstream_a_second_and_a_half_at_most() {
    let mut t = Script::new();
    t.link_up();
    t.attach(A);
    t.take(A);
    t.wait(100);
    t.frame(A, step1(&[]));
    t.expect_up(&["step1"]);
    t.wait(1_499);
    t.expect(A, &[]);
    t.wait(1);
    t.expect(A, &["step2 nothing"]);
    t.tell(step2(&insert(7, 0, "late")));
    t.expect(A, &["update 7:0..4"]);
}

#[test]
fn a_joiner_does_not_wait_for_an_upstream_that_is_gone_or_silent_or_has_answered() {
    let mut t = Script::new();
    t.link_up();
    t.attach(A);
    t.frame(A, step1(&[]));
    t.expect(A, &["step1"]);
    t.link_down();
    t.expect(A, &["step2 nothing"]);

    t.attach_upstream(Habit::Silent);
    t.attach(B);
    t.frame(B, step1(&[]));
    t.expect(B, &["step1", "step2 nothing"]);
    t.link_down();

    t.greeted(NOTHING);
    t.attach(C);
    t.frame(C, step1(&[]));
    t.expect(C, &["step1", "step2 nothing"]);
}

#[test]
fn updates_flow_while_joiners_wait_for_the_upstream() {
    let mut t = Script::new();
    t.link_up();
    for peer in [A, B] {
        t.attach(peer);
        t.frame(peer, step1(&[]));
        t.expect(peer, &["step1"]);
    }
    t.expect_up(&["step1"]);
    t.frame(A, update(&insert(1, 0, "setting")));
    while t.room(B) {}
    t.expect(B, &["update 1:0..7"]);
    t.attach(C);
    t.frame(C, step1(&[(7, 2)]));
    while t.room(C) {}
    t.expect(C, &["step1 1:7", "update 1:0..7"]);
    t.tell(step2(&merged(&[insert(7, 0, "text"), delete(7, 0, 1)])));
    for peer in [A, B, C] {
        while t.room(peer) {}
    }
    t.expect(A, &["step2 7:0..4 -7:0..1"]);
    t.expect(B, &["step2 7:0..4 -7:0..1"]);
    t.expect(C, &["step2 7:2..4 -7:0..1"]);
    t.save();
    t.expect(A, &["update 1:0..7"]);
    t.frame(A, update(&insert(1, 7, "s")));
    t.expect(B, &["update 1:7..8"]);
    t.expect(C, &["update 1:7..8"]);
}

#[test]
fn a_joiner_gets_the_awareness_table_at_once() {
    let mut t = Script::new();
    t.join(A);
    t.frame(A, aware(&[(1, 4, "{\"user\":1}")]));
    t.attach(B);
    t.expect(B, &["step1", "aware 1@4 {\"user\":1}"]);
    t.frame(A, aware(&[(1, 5, "{}")]));
    t.expect(B, &["aware 1@5 {}"]);
}

#[test]
fn a_client_that_hears_nothing_gets_the_empty_awareness_message() {
    let mut t = Script::new();
    t.join(A);
    t.join(B);
    t.wait(limits::KEEP_ALIVE_MS - 1);
    t.expect(A, &[]);
    t.wait(1);
    assert_eq!(t.take(A), [bytes::Bytes::from_static(&[1, 1, 0])]);
    t.expect(B, &["aware nobody"]);
    t.wait(10_000);
    t.frame(A, update(&insert(1, 0, "a")));
    t.expect(B, &["update 1:0..1"]);
    t.wait(10_000);
    t.expect(A, &["aware nobody"]);
    t.expect(B, &[]);
    t.wait(10_000);
    t.expect(B, &["aware nobody"]);
}

/// As many messages as a large step 2 makes would fill the queue of a reader, and one message of
/// a large paste is more than Python's clients take.
#[test]
fn large_news_is_pulled_by_those_who_are_up_to_date() {
    let text = "x".repeat(600 * 1024);
    let many = merged(&[insert(7, 0, &text), insert(8, 0, &text), delete(7, 0, 1)]);
    let one = insert(7, 0, &"x".repeat(2 * 1024 * 1024));
    for (from_above, news) in [(true, step2(&many)), (false, update(&one))] {
        let mut t = Script::new();
        t.join(A);
        t.join(B);
        if from_above {
            t.link_up();
            assert!(t.pull().is_some());
            t.tell(news);
        } else {
            t.frame(B, news);
        }
        t.expect(A, &[]);
        let mut replica = Replica::default();
        let mut pieces = 0;
        while t.room(A) {
            for message in t.take(A) {
                assert!(message.len() <= limits::CLIENT_CHUNK_BYTES_MAX + 64);
                let Some(Ok(Message::Update { update: piece, .. })) =
                    wire::messages(&message).next()
                else {
                    panic!("{}", show(&message))
                };
                assert!(replica.apply(&parse(&piece)).whole, "pieces do not overlap");
                pieces += 1;
            }
            // What is written meanwhile comes with it, and not before what it stands on.
            if pieces == 1 {
                t.frame(B, update(&insert(2, 0, "y")));
            }
        }
        assert!(pieces > 1);
        assert!(replica.held() == t.stored().held() && replica.deletes() == t.stored().deletes());
        t.frame(B, update(&insert(2, 1, "z")));
        t.expect(A, &["update 2:1..2"]);
    }
}
