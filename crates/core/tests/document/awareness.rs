//! Who is present: one table, owners, expiry.

use bytes::Bytes;
use yrelay_core::close::CloseReason;
use yrelay_core::event::{Dialect, Habit, Input};
use yrelay_core::id::PeerId;
use yrelay_core::limits;
use yrelay_core::wire::{self, Message};

use crate::script::{A, B, C, NOTHING, Script, aware, step1};

fn two() -> Script {
    let mut t = Script::new();
    t.join(A);
    t.join(B);
    t
}

#[test]
fn awareness_goes_to_everyone_and_back_to_its_author() {
    let mut t = two();
    t.attach(C);
    t.take(C);
    let message = aware(&[(1, 1, "{\"name\":\"ä\"}")]);
    t.frame(A, message.clone());
    for peer in [A, B, C] {
        assert_eq!(t.take(peer), std::slice::from_ref(&message), "in its author's bytes");
    }
    t.frame(A, aware(&[(1, 2, "{}")]));
    t.expect(A, &["aware 1@2 {}"]);
}

#[test]
fn what_is_known_is_not_passed_on_again() {
    let mut t = two();
    t.frame(A, aware(&[(1, 2, "{}")]));
    t.take(A);
    t.take(B);
    t.frame(B, aware(&[(1, 2, "{}")]));
    t.frame(A, aware(&[(1, 1, "{}")]));
    t.expect(A, &[]);
    t.expect(B, &[]);
    t.frame(A, aware(&[(1, 2, "{}"), (7, 1, "[1]")]));
    t.expect(B, &["aware 7@1 [1]"]);
}

#[test]
fn a_departure_of_somebody_unknown_is_ignored() {
    let mut t = two();
    t.frame(A, aware(&[(9, 5, "null")]));
    t.expect(A, &[]);
    t.expect(B, &[]);
    t.attach(C);
    t.expect(C, &["step1"]);
}

#[test]
fn who_leaves_is_withdrawn_with_the_next_clock() {
    let mut t = two();
    t.frame(A, aware(&[(1, 3, "{}")]));
    t.take(B);
    t.detach(A);
    t.expect(B, &["aware 1@4 null"]);
    t.attach(C);
    t.expect(C, &["step1"]);
}

#[test]
fn who_says_goodbye_at_its_own_clock_is_believed() {
    let mut t = two();
    t.frame(A, aware(&[(1, 3, "{}")]));
    t.take(B);
    t.frame(A, aware(&[(1, 3, "null")]));
    t.expect(B, &["aware 1@3 null"]);
    t.detach(A);
    t.expect(B, &[]);
}

#[test]
fn who_is_sent_away_is_withdrawn_too() {
    let mut t = two();
    t.frame(A, aware(&[(1, 3, "{}")]));
    t.take(B);
    t.frame(A, vec![0]);
    t.expect(B, &["aware 1@4 null"]);
}

#[test]
fn entries_expire_after_half_a_minute_without_renewal() {
    let mut t = two();
    t.frame(A, aware(&[(1, 1, "{}")]));
    t.wait(15_000);
    t.frame(A, aware(&[(1, 2, "{}")]));
    t.wait(29_999);
    assert!(!format!("{:?}", t.take(B)).contains("null"));
    t.wait(1);
    t.expect(B, &["aware 1@3 null"]);
    t.frame(A, aware(&[(1, 3, "{}")]));
    t.expect(B, &[]);
}

#[test]
fn a_known_state_announced_again_is_no_renewal() {
    let mut t = two();
    t.frame(A, aware(&[(1, 1, "{}")]));
    for _ in 0..2 {
        t.wait(10_000);
        t.frame(A, aware(&[(1, 1, "{}")]));
        t.frame(B, aware(&[(1, 1, "{}")]));
    }
    t.expect(B, &["aware 1@1 {}", "aware nobody"]);
    t.wait(10_000);
    t.expect(B, &["aware 1@2 null"]);
}

#[test]
fn a_client_that_returns_below_its_tombstone_is_told_and_raises_its_clock() {
    let mut t = two();
    t.greeted(NOTHING);
    t.frame(A, aware(&[(1, 3, "{}")]));
    t.detach(A);
    t.expect_up(&["aware 1@4 null"]);
    t.take(B);
    t.attach(A);
    t.expect(A, &["step1"]);
    t.frame(A, aware(&[(1, 3, "{}")]));
    t.expect(A, &["aware 1@4 null"]);
    t.expect(B, &[]);
    t.expect_up(&[]);
    t.frame(A, aware(&[(1, 5, "{}")]));
    t.expect(B, &["aware 1@5 {}"]);
    t.expect_up(&["aware 1@5 {}"]);
}

#[test]
fn clients_that_send_back_what_they_hear_keep_no_ghost_alive() {
    let mut t = Script::new();
    for (peer, id) in [(A, 1), (B, 2), (C, 3)] {
        t.join(peer);
        t.frame(peer, aware(&[(id, 1, "{}")]));
    }
    for clock in 2..4 {
        let message = aware(&[(1, clock, "{}")]);
        t.frame(A, message.clone());
        t.frame(B, message.clone());
        t.frame(C, message);
    }
    t.take(B);
    t.detach(A);
    t.expect(B, &["aware 1@4 null"]);
}

#[test]
fn news_by_another_way_does_not_take_an_entry_from_its_owner() {
    let mut t = two();
    t.frame(B, aware(&[(2, 1, "{}")]));
    t.frame(A, aware(&[(1, 1, "{}")]));
    t.frame(B, aware(&[(1, 2, "{}")]));
    t.frame(A, aware(&[(1, 2, "{}")]));
    t.take(B);
    t.detach(A);
    t.expect(B, &["aware 1@3 null"]);
}

#[test]
fn an_owner_on_a_new_socket_survives_its_old_one() {
    let mut t = two();
    t.frame(A, aware(&[(1, 3, "{}")]));
    t.join(C);
    t.frame(C, aware(&[(1, 3, "{}")]));
    t.take(B);
    t.detach(A);
    t.expect(B, &[]);
    t.detach(C);
    t.expect(B, &["aware 1@4 null"]);
}

#[test]
fn states_beyond_the_limits_are_left_out_and_the_second_offence_closes() {
    let mut t = two();
    let big = format!("\"{}\"", "x".repeat(limits::AWARENESS_STATE_BYTES_MAX));
    t.frame(A, aware(&[(1, 1, "{}"), (5, 1, &big)]));
    t.expect(B, &["aware 1@1 {}"]);
    t.frame(A, aware(&[(1, 2, "{}"), (5, 2, &big)]));
    assert_eq!(t.closed.remove(&A), Some(CloseReason::AwarenessLimits));
    t.expect(B, &["aware 1@2 {}", "aware 1@3 null"]);
}

#[test]
fn one_client_announces_so_many_ids_and_no_more() {
    let mut t = two();
    let ids = limits::AWARENESS_IDS_PER_PEER_MAX as u64;
    for id in 0..ids {
        t.frame(A, aware(&[(100 + id, 1, "{}")]));
    }
    t.take(B);
    t.frame(A, aware(&[(7, 1, "{}")]));
    t.expect(B, &[]);
    t.frame(A, aware(&[(100, 2, "{}")]));
    t.expect(B, &["aware 100@2 {}"]);
}

#[test]
fn all_states_of_a_document_have_so_much_place_and_no_more() {
    let each = limits::AWARENESS_ENTRY_BYTES + "1".len();
    let most = (limits::AWARENESS_BYTES_MAX / each) as u64;
    let mut t = Script::new();
    let link = PeerId(7);
    t.fellow_joins(link);
    let all: Vec<(u64, u64, &str)> = (0..=most).map(|id| (id, 1, "1")).collect();
    t.frame(link, aware(&all));
    t.attach(A);
    t.take(A);
    t.frame(A, Bytes::from_static(&[3]));
    let table = t.take(A).pop().unwrap();
    let Some(Ok(Message::Awareness(body))) = wire::messages(&table).next() else { panic!() };
    let count = u64::from(body[0] & 0x7f) | u64::from(body[1]) << 7;
    assert_eq!(count, most);
    // Whoever leaves makes place.
    t.frame(link, aware(&[(0, 2, "null"), (most, 1, "1")]));
    t.expect(A, &[&format!("aware 0@2 null {most}@1 1")]);
}

#[test]
fn a_jump_of_the_clock_is_refused() {
    let mut t = two();
    t.frame(A, aware(&[(1, 1, "{}")]));
    t.take(B);
    t.frame(A, aware(&[(1, limits::AWARENESS_CLOCK_JUMP_MAX + 2, "{}")]));
    t.expect(B, &[]);
    t.frame(A, aware(&[(1, 2, "{}")]));
    t.expect(B, &["aware 1@2 {}"]);
    t.frame(B, aware(&[(2, limits::AWARENESS_CLOCK_JUMP_MAX + 1, "{}")]));
    t.expect(A, &["aware 1@1 {}", "aware 1@2 {}"]);
}

#[test]
fn states_that_are_no_json_or_too_deep_close_their_sender() {
    let deep = "[".repeat(40) + &"]".repeat(40);
    for state in ["{", "", "nul", "{}x", deep.as_str()] {
        let mut t = two();
        t.frame(A, aware(&[(1, 1, state)]));
        assert_eq!(t.closed.remove(&A).map(CloseReason::code), Some(1007), "{state}");
        t.expect(B, &[]);
    }
}

#[test]
fn awareness_goes_up_one_client_per_message_and_only_if_it_is_from_here() {
    let mut t = Script::new();
    t.join(A);
    t.frame(A, aware(&[(1, 1, "{}"), (2, 1, "{}")]));
    t.link_up();
    t.expect_up(&["step1", "aware 1@1 {}", "aware 2@1 {}"]);
    t.tell(aware(&[(9, 1, "{}")]));
    t.expect_up(&[]);
    t.take(A);
    t.frame(A, aware(&[(1, 2, "{}"), (2, 2, "{}")]));
    t.frame(A, aware(&[(1, 3, "{}")]));
    t.expect_up(&["aware 1@3 {}", "aware 2@2 {}"]);
    t.link_down();
    t.link_up();
    t.expect_up(&["step1", "aware 1@3 {}", "aware 2@2 {}"]);
}

#[test]
fn what_came_from_above_outlives_the_link_by_ten_seconds() {
    let mut t = Script::new();
    t.join(A);
    t.greeted(NOTHING);
    t.tell(aware(&[(9, 4, "{}")]));
    t.expect(A, &["aware 9@4 {}"]);
    t.link_down();
    t.wait(limits::AWARENESS_LINK_GRACE_MS - 1);
    t.expect(A, &[]);
    t.wait(1);
    t.expect(A, &["aware 9@4 null"]);
    // Who has not left is seen again with its next renewal.
    t.greeted(NOTHING);
    t.tell(aware(&[(9, 5, "{}")]));
    t.expect(A, &["aware 9@5 {}"]);
}

#[test]
fn who_is_missed_below_is_withdrawn_above() {
    let mut t = Script::attached(&[], Dialect::Yjs);
    t.tell(step1(&[]));
    t.fellow_joins(C);
    t.frame(C, aware(&[(7, 3, "{}")]));
    while t.pull().is_some() {}
    t.tell(aware(&[(9, 2, "{}")]));
    t.detach(C);
    t.wait(limits::AWARENESS_LINK_GRACE_MS - 1);
    t.expect_up(&[]);
    t.wait(1);
    t.expect_up(&["aware 7@3 null"]);
}

#[test]
fn who_is_there_still_when_the_link_is_back_stays() {
    for dialect in [Dialect::Yjs, Dialect::Hocuspocus, Dialect::Own] {
        let mut t = Script::attached(&[], dialect);
        t.join(A);
        t.tell(aware(&[(9, 5, "{}")]));
        t.take(A);
        t.link_down();
        t.wait(1_000);
        t.attach_above(Habit::Unknown, dialect);
        t.tell(aware(&[(9, 5, "{}")]));
        t.wait(limits::AWARENESS_LINK_GRACE_MS + 1_000);
        assert!(!t.take(A).iter().any(|message| message.starts_with(&[1])), "{dialect:?}");
        t.frame(A, aware(&[(1, 1, "{}")]));
        t.take(A);
        // No longer than it would have without that.
        t.wait(limits::AWARENESS_EXPIRY_MS - limits::AWARENESS_LINK_GRACE_MS - 2_000);
        t.expect(A, &["aware 9@6 null"]);
    }
}

#[test]
fn a_flap_of_the_link_is_no_storm() {
    let mut t = Script::new();
    t.join(A);
    t.greeted(NOTHING);
    t.tell(aware(&[(9, 4, "{}")]));
    t.take(A);
    t.link_down();
    t.wait(1_000);
    t.greeted(NOTHING);
    t.tell(aware(&[(9, 5, "{}")]));
    t.expect(A, &["aware 9@5 {}"]);
    t.wait(15_000);
    t.expect(A, &[]);
    t.wait(15_000);
    t.expect(A, &["aware nobody", "aware 9@6 null"]);
}

#[test]
fn a_client_that_moved_behind_the_upstream_outlives_its_old_socket_here() {
    let mut t = two();
    t.greeted(NOTHING);
    t.frame(A, aware(&[(1, 3, "{}")]));
    t.tell(aware(&[(1, 4, "{}")]));
    t.take(B);
    t.detach(A);
    t.expect(B, &[]);
}

#[test]
fn a_stop_withdraws_above_whoever_is_here() {
    let mut t = Script::new();
    t.join(A);
    t.greeted(NOTHING);
    t.frame(A, aware(&[(1, 3, "{}")]));
    t.tell(aware(&[(9, 4, "{}")]));
    t.expect_up(&["aware 1@3 {}"]);
    t.handle(Input::Stop);
    t.expect_up(&["aware 1@4 null"]);
    t.frame(A, step1(&[]));
}

/// A link that came back may just have announced it above, for another half a minute.
#[test]
fn who_expires_here_is_withdrawn_above_if_it_is_from_here() {
    let mut t = Script::new();
    t.attach_upstream(Habit::Silent);
    t.join(A);
    t.frame(A, aware(&[(1, 1, "{}")]));
    t.tell(aware(&[(9, 1, "{}")]));
    t.wait(3_000);
    while t.pull().is_some() {}
    t.take(A);
    t.wait(limits::AWARENESS_EXPIRY_MS);
    t.expect_up(&["aware 1@2 null"]);
    let told = t.take(A);
    assert!(told.contains(&aware(&[(1, 2, "null"), (9, 2, "null")])), "{told:?}");
}
