//! Who is here is seen at a server above, and who is gone is not. Servers after y-protocols send
//! back what they take.

use yrelay_core::event::{Dialect, Habit};
use yrelay_core::limits;

use crate::script::{A, B, NOTHING, Script, aware, step1, step2};

const SENDING_BACK: [Dialect; 2] = [Dialect::Yjs, Dialect::Hocuspocus];

impl Script {
    /// Two clients below a server of this kind, which has seen the first.
    fn seen_below(dialect: Dialect) -> Self {
        let mut t = Script::attached(&[], dialect);
        t.join(A);
        t.join(B);
        if dialect == Dialect::Yjs {
            t.tell(step1(&[]));
        }
        t.frame(A, aware(&[(1, 4, "{}")]));
        let query = (dialect == Dialect::Yjs).then_some("query");
        let first: Vec<&str> = ["step1"].into_iter().chain(query).chain(["aware 1@4 {}"]).collect();
        t.expect_up(&first);
        t.answered(dialect);
        t.tell(aware(&[(1, 4, "{}")]));
        t.take(A);
        t.take(B);
        t
    }

    fn answered(&mut self, dialect: Dialect) {
        if dialect == Dialect::Hocuspocus {
            self.tell(step1(&[]));
        }
        self.tell(step2(NOTHING));
    }

    /// Once it is time for that, the server is asked, and answers.
    #[track_caller]
    fn asked(&mut self, dialect: Dialect) {
        self.wait(limits::AWARENESS_ECHO_MS - 1);
        self.expect_up(&[]);
        self.wait(1);
        self.expect_up(&["step1"]);
        self.answered(dialect);
    }

    /// What the first one says next does not come back, and is told with a higher clock.
    #[track_caller]
    fn raised(&mut self, dialect: Dialect) {
        self.frame(A, aware(&[(1, 5, "{}")]));
        self.expect_up(&["aware 1@5 {}"]);
        self.asked(dialect);
        self.expect_up(&["aware 1@7 {}"]);
    }
}

#[test]
fn what_does_not_come_back_is_told_with_a_higher_clock() {
    for dialect in SENDING_BACK {
        let mut t = Script::seen_below(dialect);
        t.raised(dialect);
        t.asked(dialect);
        t.expect_up(&["aware 1@11 {}"]);
        t.tell(aware(&[(1, 11, "{}")]));
        t.wait(limits::AWARENESS_ECHO_MS);
        t.expect_up(&[]);
        t.frame(A, aware(&[(1, 6, "[]")]));
        t.expect_up(&["aware 1@12 []"]);
        t.tell(aware(&[(1, 12, "[]")]));
        t.frame(A, aware(&[(1, 7, "null")]));
        t.expect_up(&["aware 1@13 null"]);
        t.expect(B, &["aware 1@5 {}", "aware 1@6 []", "aware 1@7 null"]);
    }
}

#[test]
fn what_comes_back_in_between_does_not_hide_what_does_not() {
    let mut t = Script::seen_below(Dialect::Hocuspocus);
    for clock in 5..15 {
        t.frame(A, aware(&[(1, clock, "{}")]));
        let told = format!("aware 1@{clock} {{}}");
        t.expect_up(&[told.as_str()]);
        t.wait(limits::AWARENESS_ECHO_MS / 10);
    }
    t.expect_up(&["step1"]);
    t.answered(Dialect::Hocuspocus);
    t.expect_up(&["aware 1@16 {}"]);
}

#[test]
fn a_server_that_does_not_answer_may_not_have_heard_it() {
    let mut t = Script::seen_below(Dialect::Hocuspocus);
    t.frame(A, aware(&[(1, 5, "{}")]));
    t.expect_up(&["aware 1@5 {}"]);
    t.wait(5 * limits::AWARENESS_ECHO_MS);
    t.expect_up(&["step1"]);
    t.wait(limits::AWARENESS_ECHO_MS);
    t.expect_up(&[]);
}

#[test]
fn a_server_that_may_send_nothing_back_is_told_once() {
    for dialect in [Dialect::Elva, Dialect::Own, Dialect::Yjs] {
        let mut t = Script::attached(&[], dialect);
        t.join(A);
        if dialect == Dialect::Yjs {
            t.tell(step1(&[]));
        }
        t.frame(A, aware(&[(1, 4, "{}")]));
        while t.pull().is_some() {}
        t.tell(step2(NOTHING));
        t.wait(2 * limits::AWARENESS_ECHO_MS);
        while let Some(message) = t.pull() {
            assert!(!message.starts_with(&[1]), "{dialect:?}");
        }
    }
}

#[test]
fn one_that_sends_nothing_back_is_not_told_for_ever() {
    let mut t = Script::seen_below(Dialect::Hocuspocus);
    let mut again = 0;
    for clock in 5..25 {
        t.frame(A, aware(&[(1, clock, "{}")]));
        assert!(t.pull().is_some_and(|message| message.starts_with(&[1])));
        t.asked(Dialect::Hocuspocus);
        again += usize::from(t.pull().is_some());
    }
    assert_eq!(again, 9);
}

#[test]
fn each_loss_costs_as_much_as_the_one_before() {
    let mut t = Script::seen_below(Dialect::Hocuspocus);
    for raised in [2, 4, 6] {
        t.link_down();
        t.attach_above(Habit::Keeps, Dialect::Hocuspocus);
        t.expect_up(&["step1", &format!("aware 1@{} {{}}", 2 + raised)]);
        t.answered(Dialect::Hocuspocus);
        t.asked(Dialect::Hocuspocus);
        let clock = 4 + raised;
        t.expect_up(&[format!("aware 1@{clock} {{}}").as_str()]);
        t.tell(aware(&[(1, clock, "{}")]));
    }
}

#[test]
fn who_leaves_before_it_is_seen_is_missed_too() {
    let mut t = Script::seen_below(Dialect::Hocuspocus);
    t.frame(B, aware(&[(2, 7, "{}")]));
    t.expect_up(&["aware 2@7 {}"]);
    t.frame(B, aware(&[(2, 8, "null")]));
    t.expect_up(&["aware 2@8 null"]);
    t.tell(aware(&[(2, 7, "{}")]));
    t.asked(Dialect::Hocuspocus);
    assert_eq!(t.reopened, 1);
}

#[test]
fn after_a_loss_they_begin_as_they_were() {
    let mut t = Script::seen_below(Dialect::Hocuspocus);
    t.tell(aware(&[(9, 2, "{}")]));
    t.link_down();
    t.attach_above(Habit::Unknown, Dialect::Hocuspocus);
    t.expect_up(&["step1", "aware 1@4 {}"]);
    t.take(B);
    t.tell(aware(&[(1, 4, "{}"), (9, 3, "[]")]));
    t.expect(B, &["aware 9@3 []"]);
}

#[test]
fn whom_the_server_withdraws_though_they_are_here_is_told_again() {
    let mut t = Script::seen_below(Dialect::Yjs);
    t.tell(aware(&[(9, 2, "{}")]));
    t.take(A);
    t.take(B);
    // An earlier connection of ours has ended there.
    t.tell(aware(&[(1, 4, "null"), (9, 2, "null")]));
    t.expect(A, &["aware 9@2 null"]);
    t.expect(B, &["aware 9@2 null"]);
    t.expect_up(&["aware 1@4 {}"]);
    t.asked(Dialect::Yjs);
    t.expect_up(&["aware 1@6 {}"]);
}

#[test]
fn a_document_is_attached_anew_where_a_departure_does_not_come_back() {
    for (dialect, reopened) in [(Dialect::Hocuspocus, 1), (Dialect::Yjs, 0)] {
        let mut t = Script::seen_below(dialect);
        t.frame(B, aware(&[(2, 7, "{}")]));
        t.expect_up(&["aware 2@7 {}"]);
        t.tell(aware(&[(2, 7, "{}")]));
        t.frame(A, aware(&[(1, 5, "null")]));
        t.expect_up(&["aware 1@5 null"]);
        t.asked(dialect);
        assert_eq!(t.reopened, reopened, "{dialect:?}");
        t.expect_up(&[]);
        // Who stays is withdrawn with it, and seen again at once.
        t.link_down();
        t.attach_above(Habit::Keeps, dialect);
        // The first of them ask for other things.
        t.pull();
        if dialect == Dialect::Yjs {
            t.pull();
        }
        t.expect_up(&[["aware 2@7 {}", "aware 2@9 {}"][reopened]]);
    }
}

#[test]
fn a_departure_that_comes_back_or_was_never_seen_is_no_reason_for_that() {
    let mut t = Script::seen_below(Dialect::Hocuspocus);
    t.frame(A, aware(&[(1, 5, "null")]));
    t.frame(B, aware(&[(2, 7, "{}")]));
    t.expect_up(&["aware 1@5 null", "aware 2@7 {}"]);
    t.tell(aware(&[(1, 5, "null")]));
    t.frame(B, aware(&[(2, 8, "null")]));
    t.expect_up(&["aware 2@8 null"]);
    t.asked(Dialect::Hocuspocus);
    t.expect_up(&[]);
    assert_eq!(t.reopened, 0);
}

#[test]
fn a_server_that_has_forgotten_how_high_a_clock_was_is_followed() {
    for dialect in SENDING_BACK {
        let mut t = Script::seen_below(dialect);
        t.tell(aware(&[(9, 20, "{}")]));
        t.link_down();
        t.wait(limits::AWARENESS_LINK_GRACE_MS);
        t.take(A);
        t.take(B);
        t.attach_above(Habit::Keeps, dialect);
        if dialect == Dialect::Yjs {
            t.tell(step1(&[]));
        }
        t.tell(aware(&[(9, 3, "{}")]));
        t.expect(B, &["aware 9@21 {}"]);
        t.tell(aware(&[(9, 4, "[]")]));
        t.expect(B, &["aware 9@22 []"]);
        t.tell(aware(&[(9, 3, "{}")]));
        t.expect(B, &[]);
        t.tell(aware(&[(9, 4, "null")]));
        t.expect(B, &["aware 9@22 null"]);
    }
}

#[test]
fn what_was_followed_and_comes_round_is_not_followed_again() {
    let mut t = Script::seen_below(Dialect::Hocuspocus);
    t.tell(aware(&[(9, 20, "{}")]));
    t.tell(aware(&[(9, 20, "null")]));
    t.tell(aware(&[(9, 3, "{}")]));
    t.take(A);
    t.tell(aware(&[(9, 21, "{}")]));
    t.expect(A, &[]);
    t.tell(aware(&[(9, 22, "{}")]));
    t.expect(A, &["aware 9@22 {}"]);
}

#[test]
fn what_somebody_repeats_later_brings_nobody_back() {
    for dialect in [Dialect::Yjs, Dialect::Elva, Dialect::Own] {
        let mut t = Script::attached(&[], dialect);
        t.join(A);
        if dialect == Dialect::Yjs {
            t.tell(step1(&[]));
        }
        while t.pull().is_some() {}
        t.tell(step2(NOTHING));
        t.tell(aware(&[(9, 20, "{}")]));
        t.tell(aware(&[(9, 21, "null")]));
        t.take(A);
        t.tell(aware(&[(9, 20, "{}")]));
        t.expect(A, &[]);
    }
}

/// A program that is connected here and there hears of its raised clock, takes it for its own, and
/// passes it on to both.
#[test]
fn a_raised_clock_that_comes_round_is_not_raised_again() {
    for dialect in SENDING_BACK {
        let mut t = Script::seen_below(dialect);
        t.raised(dialect);
        t.tell(aware(&[(1, 7, "{}")]));
        t.frame(A, aware(&[(1, 7, "{}")]));
        t.expect_up(&["aware 1@7 {}"]);
        t.wait(2 * limits::AWARENESS_ECHO_MS);
        t.expect_up(&[]);
        t.frame(A, aware(&[(1, 8, "[]")]));
        t.expect_up(&["aware 1@8 []"]);
    }
}

/// Two relays below one server raise it by different numbers: what the other has raised less comes
/// round by a program that is connected to both.
#[test]
fn two_raised_clocks_of_one_id_agree() {
    let mut t = Script::seen_below(Dialect::Hocuspocus);
    t.raised(Dialect::Hocuspocus);
    t.asked(Dialect::Hocuspocus);
    t.expect_up(&["aware 1@11 {}"]);
    t.tell(aware(&[(1, 11, "{}")]));
    // The other one takes two off.
    t.frame(A, aware(&[(1, 9, "{}")]));
    t.expect_up(&["aware 1@11 {}"]);
    t.wait(2 * limits::AWARENESS_ECHO_MS);
    t.expect_up(&[]);
    t.frame(A, aware(&[(1, 10, "[]")]));
    t.expect_up(&["aware 1@12 []"]);
}

#[test]
fn whom_the_server_shows_already_is_not_waited_for() {
    let mut t = Script::seen_below(Dialect::Yjs);
    t.link_down();
    t.attach_above(Habit::Unknown, Dialect::Yjs);
    t.tell(step1(&[]));
    t.tell(aware(&[(1, 4, "{}")]));
    t.expect_up(&["step1", "query", "aware 1@4 {}"]);
    t.answered(Dialect::Yjs);
    t.wait(2 * limits::AWARENESS_ECHO_MS);
    t.expect_up(&[]);
}

#[test]
fn no_clock_goes_up_that_nobody_takes() {
    let mut t = Script::seen_below(Dialect::Hocuspocus);
    let top = u64::from(u32::MAX) - 1;
    for clock in [limits::AWARENESS_CLOCK_JUMP_MAX, top] {
        t.frame(A, aware(&[(1, clock, "{}")]));
        t.expect_up(&[format!("aware 1@{clock} {{}}").as_str()]);
    }
    t.asked(Dialect::Hocuspocus);
    let told = format!("aware 1@{top}");
    t.expect_up(&[format!("{told} {{}}").as_str()]);
    t.detach(A);
    t.expect_up(&[format!("{told} null").as_str()]);
    t.expect(B, &["aware 1@2147483648 {}", "aware 1@4294967294 {}", "aware 1@4294967294 null"]);
}
