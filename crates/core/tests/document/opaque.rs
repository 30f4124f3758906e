//! End-to-end encrypted documents are relayed unread, and their frames kept.

use bytes::Bytes;
use yrelay_core::close::CloseReason;
use yrelay_core::event::Input;
use yrelay_core::id::PeerId;
use yrelay_core::limits;

use crate::script::{A, B, C, Script, aware, insert, show, step1, update};

fn opaque() -> Script {
    let mut t = Script::new();
    t.attach(A);
    t.attach(B);
    t.take(A);
    t.take(B);
    t.frame(A, "gAAAAone");
    t.expect(B, &[]);
    t.tell_silent(B);
    t
}

#[test]
fn a_first_frame_that_is_a_fernet_token_makes_a_document_opaque() {
    let mut t = opaque();
    assert!(t.standing().opaque && t.confirmed() == Some(false));
    t.expect(A, &[]);
    t.expect(B, &["gAAAAone"]);
    t.frame(B, "gAAAAtwo");
    t.expect(A, &["gAAAAtwo"]);
    assert!(t.appended.is_empty() && t.document.is_stored());
    assert_eq!(t.frames, [("gAAAAone".into(), true), ("gAAAAtwo".into(), true)]);
}

#[test]
fn a_joiner_of_an_opaque_document_is_asked_nothing_and_told_all() {
    let mut t = opaque();
    t.attach(C);
    t.frame(A, "gAAAAmeanwhile");
    while t.room(C) {}
    t.expect(C, &[]);
    t.tell_silent(C);
    t.expect(C, &["gAAAAone", "gAAAAmeanwhile"]);
    t.frame(A, "gAAAAlive at once");
    t.expect(C, &["gAAAAlive at once"]);
    t.wait(limits::KEEP_ALIVE_MS);
    t.expect(C, &["aware nobody"]);
}

/// A joiner's own frames do not come back to it, wherever they stand.
#[test]
fn who_writes_while_it_is_told_all_gets_the_rest_once_and_in_order() {
    let mut t = Script::with_frames(&[], &["gAAAA1", "gAAAA2", "gAAAA3"]);
    assert!(t.standing().opaque && t.standing().saved);
    t.attach(A);
    t.attach(B);
    t.room(A);
    t.frame(A, "gAAAAown");
    t.frame(B, "gAAAAb");
    while t.room(A) || t.room(B) {}
    t.frame(B, "gAAAAlater");
    t.expect(A, &["gAAAA1", "gAAAA2", "gAAAA3", "gAAAAb", "gAAAAlater"]);
    t.expect(B, &["gAAAA1", "gAAAA2", "gAAAA3", "gAAAAown"]);
}

#[test]
fn what_is_kept_outlives_the_process() {
    let mut t = opaque();
    t.save();
    t.frame(B, "gAAAAnot on the disk");
    t.restart();
    assert!(t.standing().opaque);
    t.attach(C);
    // Whatever comes first: it is known to be encrypted.
    t.frame(C, step1(&[]));
    t.tell_silent(C);
    t.expect(C, &["gAAAAone"]);
    assert!(t.standing().opaque && t.standing().saved);
}

#[test]
fn a_frame_that_comes_again_is_kept_and_passed_on_once() {
    let mut t = opaque();
    t.link_up();
    t.attach(A);
    t.attach(B);
    t.tell_silent(B);
    t.take(B);
    t.frame(A, "gAAAAone");
    assert_eq!(t.frames.len(), 1);
    t.expect(B, &[]);
    // Over a server that keeps nothing it may be a question that is asked again, however often.
    for _ in 0..2 {
        t.tell("gAAAAone");
        t.expect(B, &["gAAAAone"]);
    }
    assert_eq!(t.frames.len(), 1);
}

/// A token as ELVA's programs send them: made at this second, of about so many bytes of text.
fn token(second: u64, number: usize, blocks: usize) -> Bytes {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let head = 0x80_u128 << 64 | u128::from(second);
    let head = (0..12).rev().map(|at| DIGITS[(head >> (6 * at)) as usize % 64]);
    let length = (1 + 8 + 16 + 16 * blocks + 32_usize).div_ceil(3) * 4;
    let rest = format!("{number:A>width$}", width = length - 12);
    head.chain(rest.bytes()).collect::<Vec<u8>>().into()
}

const NOW: u64 = 1_764_000_000;

#[test]
fn of_an_opening_the_state_is_kept_and_passed_on_and_the_rest_passed_on_only() {
    let mut t = opaque();
    t.attach(C);
    let opening = opening();
    for frame in &opening {
        t.take(B);
        t.frame(C, frame.clone());
        assert_eq!(t.take(B), std::slice::from_ref(frame));
    }
    assert_eq!(t.frames, [("gAAAAone".into(), true), (opening[2].clone(), true)]);
    assert!(!t.standing().saved, "more may come");
    t.wait(limits::SETTLE_MS);
    while t.room(C) {}
    t.expect(C, &["gAAAAone"]);
    assert_eq!(t.frames.len(), 2);
}

fn opening() -> [Bytes; 3] {
    [(1, 1), (2, 1), (3, 2)].map(|(number, blocks)| token(NOW, number, blocks))
}

/// Its state is one of the last two, and all that it had when it asked is in there only.
#[test]
fn who_writes_while_it_opens_is_not_told_anything_before_and_all_is_kept() {
    let mut t = opaque();
    t.attach(C);
    let [present, question, state] = opening();
    for frame in [&present, &question, &token(NOW, 4, 1)] {
        while t.room(C) {}
        t.frame(C, frame.clone());
    }
    t.wait(limits::SETTLE_MS - 1);
    while t.room(C) {}
    t.expect(C, &[]);
    t.frame(C, state.clone());
    assert_eq!(t.frames.len(), 5);
    assert_eq!(t.frames[4].0, state);
    while t.room(C) {}
    t.expect(C, &["gAAAAone"]);
    // Nobody can say which of them was the question.
    t.frame(C, "gAAAAat once");
    assert_eq!(t.frames.len(), 6);
    t.wait(10 * limits::QUIET_MS);
    t.expect(C, &[]);
}

/// Its answer to what another one asks would look like a part of its opening.
#[test]
fn who_opens_it_is_asked_by_others_later() {
    let mut t = opaque();
    let [present, question, state] = opening();
    let other = [token(NOW, 7, 1), token(NOW, 8, 1)];
    t.attach(C);
    t.frame(C, present);
    t.attach(PeerId(4));
    t.take(B);
    for frame in &other {
        t.frame(PeerId(4), frame.clone());
    }
    assert_eq!(t.take(B), other, "at once");
    t.frame(C, question);
    t.frame(C, state);
    t.wait(limits::SETTLE_MS - 1);
    t.expect(C, &[]);
    t.wait(1);
    assert_eq!(t.take(C), other);
    while t.room(C) {}
    t.expect(C, &["gAAAAone"]);
    t.frame(C, "gAAAAanswer");
    assert_eq!(t.frames.len(), 2, "it waits");
}

#[test]
fn an_opening_where_nothing_is_kept_is_over_at_once() {
    let mut t = Script::new();
    t.attach(A);
    let opening = opening();
    opening.iter().for_each(|frame| t.frame(A, frame.clone()));
    assert_eq!(t.frames, [(opening[2].clone(), true)]);
    let update = token(NOW, 4, 1);
    t.frame(A, update.clone());
    assert_eq!(t.frames.len(), 2, "it is over");
    t.attach(C);
    t.tell_silent(C);
    assert_eq!(t.take(C), [opening[2].clone(), update]);
}

/// Somebody has opened a document of which three frames are kept, and is told them.
fn told() -> (Script, [Bytes; 3]) {
    let mut t = Script::with_frames(&[], &["gAAAA1", "gAAAA2", "gAAAA3"]);
    t.attach(A);
    t.tell_silent(A);
    t.take(A);
    t.attach(C);
    let opening = opening();
    opening.iter().for_each(|frame| t.frame(C, frame.clone()));
    t.wait(limits::SETTLE_MS);
    while t.room(C) {}
    t.expect(C, &["gAAAA1", "gAAAA2", "gAAAA3"]);
    t.save();
    assert_eq!(t.take(A), opening);
    (t, opening)
}

/// ELVA's programs say each change that is news to them once more. Their answer to their own
/// question holds all of that.
#[test]
fn what_a_joiner_repeats_is_not_kept_where_it_says_the_same_as_one() {
    let (mut t, [_, question, _]) = told();
    for echo in ["gAAAAecho of 1", "gAAAAwritten meanwhile", "gAAAAecho of 3"] {
        t.wait(limits::QUIET_MS / 2);
        t.frame(C, echo);
    }
    t.expect(A, &[]);
    assert!(t.frames.len() == 4 && !t.standing().saved);
    t.wait(limits::QUIET_MS);
    for answer in ["gAAAAall that is new", "gAAAAthe same again."] {
        assert_eq!(t.take(C), std::slice::from_ref(&question), "its own");
        t.frame(C, answer);
        t.expect(A, &[answer]);
        assert!(!t.standing().saved);
        t.save();
        t.wait(limits::QUIET_MS);
    }
    assert!(t.frames.len() == 6 && t.standing().saved);
    t.frame(C, "gAAAAat once");
    t.expect(A, &["gAAAAat once"]);
    t.wait(60_000);
    t.expect(C, &["aware nobody", "aware nobody", "aware nobody"]);
    t.detach(C);
    assert_eq!(t.frames.len(), 7);
}

/// It may be that it was no question: then what it says next is something else.
#[test]
fn what_may_be_no_answer_lets_nothing_be_left_out() {
    let long = "gAAAAlonger than the first";
    let answers: [(&[(u64, &str)], &str); 6] = [
        (&[], "none"),
        (&[(600, "gAAAAfirst")], "late"),
        (&[(0, "gAAAAfirst"), (100, "gAAAAagain")], "two"),
        (&[(0, "gAAAAfirst")], "none the second time"),
        (&[(0, "gAAAAfirst"), (1_000, long)], "of another length"),
        (&[(0, "gAAAAfirst"), (1_600, "gAAAAagain")], "late the second time"),
    ];
    for (said, why) in answers {
        let (mut t, _) = told();
        t.frame(C, "gAAAAwritten meanwhile");
        t.wait(limits::QUIET_MS);
        let mut waited = 0;
        for (at, frame) in said {
            t.wait(at - waited);
            waited = *at;
            t.frame(C, *frame);
        }
        t.wait(5_000);
        assert_eq!(t.frames.len(), 4 + said.len() + 1, "{why}");
        assert_eq!(t.take(A).len(), said.len() + 1, "{why}");
        t.frame(C, "gAAAAat once");
        assert_eq!(t.take(A).len(), 1, "{why}");
    }
}

#[test]
fn what_a_joiner_says_is_kept_where_it_does_not_say_it_as_one() {
    let all = ["gAAAAone", "gAAAAtwo"];
    let says = || {
        let (mut t, _) = told();
        all.iter().for_each(|frame| t.frame(C, *frame));
        t.expect(A, &[]);
        t
    };
    // It does not answer, ...
    let mut t = says();
    t.wait(2 * limits::QUIET_MS);
    t.expect(A, &all);
    assert_eq!(t.frames.len(), 6);
    // ... it leaves before that, or before it is sure that the answer has come, ...
    let mut t = says();
    t.detach(C);
    t.expect(A, &all);
    let mut t = says();
    t.wait(limits::QUIET_MS);
    t.frame(C, "gAAAAanswer, or not");
    t.detach(C);
    t.expect(A, &["gAAAAanswer, or not", "gAAAAone", "gAAAAtwo"]);
    // ... or the process ends.
    let mut t = says();
    t.handle(Input::Stop);
    t.expect(A, &all);
    // Who is never quiet is asked all the same, and then all is kept.
    let mut t = says();
    let mut asked = 0;
    for number in 0..200 {
        t.wait(100);
        t.frame(C, format!("gAAAA-{number}"));
        asked += t.take(C).len();
    }
    assert_eq!((asked, t.frames.len()), (1, 4 + 2 + 200));
    assert_eq!(t.take(A).len(), 202);
}

#[test]
fn what_a_joiner_says_goes_up_at_once_where_it_may_be_the_answer_to_somebody() {
    let (mut t, [_, question, _]) = told();
    t.link_up();
    while t.pull().is_some() {}
    t.tell("gAAAAsomebody asks");
    t.frame(C, "gAAAAan answer");
    t.expect_up(&["gAAAAan answer"]);
    t.wait(limits::QUIET_MS);
    assert_eq!(t.take(C), [Bytes::from("gAAAAsomebody asks"), question]);
}

/// What is here from the beginning is told nothing, and waits for nothing.
#[test]
fn who_is_told_nothing_is_kept_at_once() {
    let (mut t, _) = told();
    t.wait(limits::QUIET_MS);
    t.expect(C, &[]);
    t.frame(C, "gAAAAat once");
    assert_eq!(t.frames.len(), 5);
}

#[test]
fn of_what_only_looks_like_an_opening_all_is_kept_in_order() {
    let at = |second: u64, number, blocks| token(NOW + second, number, blocks);
    for (frames, why) in [
        ([at(0, 1, 1), at(0, 2, 3), at(0, 3, 2)], "a state vector longer than its state"),
        ([at(0, 1, 1), at(2, 2, 1), at(2, 3, 2)], "it was not made at once"),
        ([at(0, 1, 1), at(0, 2, 1), at(5, 3, 2)], "it was not made at once"),
        ([at(0, 1, 1), at(0, 2, 1), "gAAAAodd".into()], "no token of Fernet"),
    ] {
        let mut t = Script::new();
        t.attach(A);
        frames.iter().for_each(|frame| t.frame(A, frame.clone()));
        let kept: Vec<Bytes> = t.frames.iter().map(|(frame, _)| frame.clone()).collect();
        assert_eq!(kept, frames, "{why}");
    }
}

#[test]
fn an_opening_that_is_not_gone_on_with_is_kept() {
    let [first, second, third] = [1, 2, 3].map(|number| token(NOW, number, 1));
    let begun = || {
        let mut t = Script::new();
        t.attach(A);
        t.frame(A, first.clone());
        t.frame(A, second.clone());
        assert!(t.frames.is_empty());
        t
    };
    let mut t = begun();
    t.wait(limits::OPENING_MS);
    assert_eq!(t.frames.len(), 2);
    t.frame(A, third.clone());
    assert_eq!(t.frames.len(), 3);
    let mut t = begun();
    t.detach(A);
    assert_eq!(t.frames.len(), 2);
    let mut t = begun();
    t.handle(Input::Stop);
    assert_eq!(t.frames.len(), 2);
}

#[test]
fn a_log_at_its_bound_ends_and_says_so_while_all_is_passed_on() {
    let mut t = Script::named_opaque();
    t.attach(A);
    t.attach(B);
    t.tell_silent(B);
    let frame = |number: u32| {
        let mut frame = vec![b'x'; limits::ARCHIVE_BYTES_MAX / 4];
        frame[..4].copy_from_slice(&number.to_be_bytes());
        Bytes::from(frame)
    };
    for number in 0..4 {
        t.frame(A, frame(number));
        t.save();
    }
    assert!(t.standing().saved && !t.standing().incomplete && t.full == 0);
    t.frame(A, "gAAAAtoo much");
    t.frame(A, "gAAAAmuch too much");
    t.save();
    assert_eq!(t.full, 1);
    let standing = t.standing();
    assert!(standing.incomplete && !standing.saved);
    assert_eq!(t.take(B).len(), 6);
    assert_eq!(t.frames.len(), 5, "four, and the mark");
    assert!(t.document.memory_bytes() < limits::ARCHIVE_BYTES_MAX + 10_000);
    t.restart();
    assert!(t.standing().incomplete);
    t.attach(C);
    t.frame(C, "gAAAAagain");
    while t.room(C) {}
    assert_eq!(t.take(C).len(), 4);
    assert_eq!((t.frames.len(), t.full), (5, 1));
}

#[test]
fn what_is_not_to_be_kept_is_passed_on() {
    let mut t = Script::passing();
    t.attach(A);
    t.attach(B);
    for _ in 0..2 {
        t.frame(A, update(&insert(1, 0, "a")));
        t.expect(B, &["update 1:0..1"]);
    }
    t.attach(C);
    t.expect(C, &[]);
    assert!(t.frames.is_empty() && !t.document.is_stored() && !t.is_ready(C));
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
    let kept: Vec<Bytes> = t.frames.iter().map(|(frame, _)| frame.clone()).collect();
    assert_eq!(kept[1..], [update(&insert(1, 0, "a")), Bytes::from_static(&[0, 2, 9])]);
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
    t.tell_silent(B);
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
fn too_many_frames_that_are_not_kept_close_the_writer() {
    let mut t = Script::passing();
    t.link_up();
    t.attach(A);
    for number in 0..limits::OPAQUE_FRAMES_MAX {
        t.frame(A, format!("gAAAA{number}"));
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
fn what_is_kept_waits_for_the_upstream_however_much_it_is() {
    let mut t = Script::new();
    t.link_up();
    t.attach(A);
    let all: Vec<String> =
        (0..2 * limits::OPAQUE_FRAMES_MAX).map(|number| format!("gAAAA{number}")).collect();
    all.iter().for_each(|frame| t.frame(A, frame.clone()));
    assert!(t.closed.is_empty() && !t.standing().sent);
    t.expect_up(&all.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(t.standing().sent && t.standing().confirmed.is_none());
}

/// Whoever is behind it answers the questions that the clients asked when they came, and is sent
/// what was written here meanwhile. Nobody has to come anew.
#[test]
fn an_upstream_that_is_back_is_asked_once_more_and_sent_what_it_lacks() {
    let mut t = Script::with_frames(&["gAAAAfrom above"], &["gAAAAold"]);
    t.attach(A);
    let opening = opening();
    opening.iter().for_each(|frame| t.frame(A, frame.clone()));
    t.wait(limits::SETTLE_MS);
    while t.room(A) {}
    t.link_up();
    let (question, state) = (show(&opening[1]), show(&opening[2]));
    t.expect_up(&[&question, "gAAAAold", &state]);
    assert!(t.closed.is_empty());
    t.tell("gAAAAan answer");
    assert_eq!(t.frames.last(), Some(&("gAAAAan answer".into(), false)));
    // What went up just before the link was lost may not have arrived.
    t.link_down();
    t.link_up();
    t.expect_up(&[&question, "gAAAAold", &state]);
    t.wait(limits::DELIVERED_MS);
    t.frame(A, "gAAAAlate");
    t.expect_up(&["gAAAAlate"]);
    t.link_down();
    t.frame(A, "gAAAAwhile it is away");
    t.link_up();
    t.expect_up(&[&question, "gAAAAlate", "gAAAAwhile it is away"]);
    t.wait(limits::DELIVERED_MS);
    t.link_down();
    t.link_up();
    t.expect_up(&[&question]);
}

/// Programs of ELVA that lose a connection on which they speak do not speak again.
#[test]
fn who_opens_it_when_the_upstream_comes_goes_on_and_what_it_has_said_goes_up() {
    let opening = opening();
    let [present, question, state] = opening.each_ref().map(show);
    for (new, how_many) in [(Script::new as fn() -> Script, 4), (Script::passing, 3)] {
        for said in 0..how_many {
            let mut t = new();
            t.attach(A);
            opening.iter().take(said).for_each(|frame| t.frame(A, frame.clone()));
            t.link_up();
            opening.iter().skip(said).for_each(|frame| t.frame(A, frame.clone()));
            assert_eq!(t.closed.get(&A), None, "after {said}");
            match said {
                3 => t.expect_up(&[&question, &state]),
                _ => t.expect_up(&[&present, &question, &state]),
            }
        }
    }
}

#[test]
fn where_nothing_is_kept_all_come_anew_when_the_upstream_is_back() {
    let ups: [fn(&mut Script); 2] = [Script::link_up, Script::fellow_up];
    for up in ups {
        let mut t = Script::passing();
        up(&mut t);
        t.attach(A);
        let opening = opening();
        opening.iter().for_each(|frame| t.frame(A, frame.clone()));
        t.attach(B);
        t.frame(A, "gAAAAat once");
        t.expect(B, &["gAAAAat once"]);
        t.link_down();
        t.frame(A, "gAAAAwhile it is away");
        up(&mut t);
        assert_eq!(t.closed.get(&A), Some(&CloseReason::Resync));
    }
}

#[test]
fn who_has_not_been_seen_to_ask_comes_anew_when_the_upstream_is_back() {
    let mut t = opaque();
    t.link_up();
    assert_eq!(t.closed.get(&A), Some(&CloseReason::Resync));
    assert_eq!(t.closed.get(&B), Some(&CloseReason::Resync));
    t.expect_up(&["gAAAAone"]);
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
    t.tell_silent(B);
    t.expect(A, &[]);
    t.frame(A, update(&insert(1, 0, "looks like Yjs")));
    t.frame(B, "looks like nothing");
    assert_eq!(t.take(A), ["looks like nothing"]);
    assert_eq!(t.take(B).len(), 1);
    assert!(t.pull().is_some() && t.pull().is_some() && t.pull().is_none());
    assert!(t.appended.is_empty() && t.standing().opaque && t.frames.len() == 2);
}
