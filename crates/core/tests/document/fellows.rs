//! Other yrelays, above and below.

use bytes::Bytes;
use yrelay_core::document::Document;
use yrelay_core::fellow::{self, Kept, Message};
use yrelay_core::id::PeerId;
use yrelay_core::id_set::IdSet;
use yrelay_core::limits;
use yrelay_core::state_vector::StateVector;

use crate::script::{A, NOTHING, Script, delete, insert, show, step1, step2, update};

const L: PeerId = PeerId(7);
const M: PeerId = PeerId(8);

fn have(vector: &[(u64, u32)], deletes: &[(u64, u32, u32)]) -> Bytes {
    let vector: StateVector = vector.iter().copied().collect();
    let mut set = IdSet::new();
    deletes.iter().for_each(|(client, clock, len)| set.insert(*client, *clock..*clock + *len));
    fellow::have(&vector, &set)
}

/// In words.
fn said(bytes: &Bytes) -> String {
    match fellow::decode(bytes).unwrap() {
        Some(Message::Have { vector, .. }) => vector
            .iter()
            .fold("have".into(), |out, (client, clock)| format!("{out} {client}:{clock}")),
        Some(Message::Ask { .. }) => "ask".into(),
        Some(Message::Saved { version, kept }) => format!("saved {version} {kept:?}"),
        Some(other) => format!("{other:?}"),
        None => show(bytes),
    }
}

impl Script {
    /// All that a relay has room for, in words.
    #[track_caller]
    fn hears(&mut self, peer: PeerId, messages: &[&str]) {
        while self.room(peer) {}
        let told: Vec<String> = self.take(peer).iter().map(said).collect();
        assert_eq!(told, messages, "what {peer} was sent");
    }

    /// The same of the upstream. Returns what it is asked, if it is.
    #[track_caller]
    fn goes_up(&mut self, messages: &[&str]) -> Option<u64> {
        while self.room(self.up) {}
        let told = self.take(self.up);
        let words: Vec<String> = told.iter().map(said).collect();
        assert_eq!(words, messages, "what went up");
        told.iter().find_map(|message| match fellow::decode(message) {
            Ok(Some(Message::Ask { version })) => Some(version),
            _ => None,
        })
    }

    /// The upstream has this much, and all of ours is saved there.
    fn confirms(&mut self, theirs: &[(u64, u32)], deletes: &[(u64, u32, u32)]) {
        self.tell(have(theirs, deletes));
        self.tell(step2(NOTHING));
        let version = self.goes_up(&["step2 nothing", "ask"]).unwrap();
        self.tell(fellow::saved(version, Kept::Top));
        assert_eq!(self.confirmed(), Some(true));
    }
}

/// One that the upstream, a yrelay, has confirmed.
fn confirmed() -> Script {
    let mut t = Script::with(&[insert(1, 0, "abc"), delete(1, 0, 1)]);
    t.fellow_up();
    t.goes_up(&["have 1:3"]);
    t.confirms(&[(1, 3)], &[(1, 0, 1)]);
    t
}

#[test]
fn it_is_proved_and_may_be_forgotten_once_it_is_said_to_be_saved_on_this_very_link() {
    let mut t = confirmed();
    assert!(t.document.is_proved());
    t.link_down();
    assert!(!t.document.is_proved());
    t.fellow_up();
    t.goes_up(&["have 1:3"]);
    t.tell(have(&[(1, 3)], &[(1, 0, 1)]));
    t.tell(step2(NOTHING));
    assert!(!t.document.is_proved() && !t.document.can_evict());
    let version = t.goes_up(&["step2 nothing", "ask"]).unwrap();
    assert!(!t.document.is_proved() && !t.document.can_evict());
    t.tell(fellow::saved(version, Kept::Top));
    assert!(t.document.is_proved() && t.document.can_evict());
}

#[test]
fn what_was_deleted_elsewhere_meanwhile_is_no_loss() {
    let mut t = confirmed();
    t.link_down();
    t.fellow_up();
    t.goes_up(&["have 1:3"]);
    t.tell(have(&[(1, 3)], &[(1, 0, 2)]));
    t.tell(step2(&delete(1, 0, 2)));
    assert_eq!((t.lost, t.confirmed()), (0, Some(false)), "it has more, or less: who knows");
    let version = t.goes_up(&["step2 nothing", "ask"]).unwrap();
    t.tell(fellow::saved(version, Kept::Top));
    assert_eq!(t.confirmed(), Some(true));
}

#[test]
fn structs_that_an_upstream_lacks_were_lost() {
    let mut t = confirmed();
    t.link_down();
    t.fellow_up();
    t.goes_up(&["have 1:3"]);
    t.tell(have(&[(1, 2)], &[(1, 0, 1)]));
    assert_eq!((t.lost, t.confirmed()), (1, Some(false)));
    t.goes_up(&["step2 1:2..3", "ask"]);
}

/// It was deleted here while the link stood, and the relay below goes on.
#[test]
fn nobody_is_told_that_all_is_saved_before_it_is_known_what_they_have() {
    let mut t = Script::new();
    t.fellow_joins(L);
    t.frame(L, update(&insert(2, 0, "x")));
    t.frame(L, fellow::ask(7));
    t.save();
    t.hears(L, &["have 2:1"]);
    t.frame(L, have(&[(1, 3), (2, 1)], &[]));
    t.frame(L, step2(&insert(1, 0, "abc")));
    t.frame(L, fellow::ask(7));
    t.hears(L, &["step2 nothing"]);
    t.save();
    t.hears(L, &["saved 7 Disk"]);
}

#[test]
fn an_upstream_that_keeps_things_in_memory_only_proves_nothing() {
    let mut t = confirmed();
    t.frame(t.up, update(&insert(1, 3, "d")));
    t.attach(A);
    t.frame(A, step1(&[]));
    t.frame(A, update(&insert(2, 0, "x")));
    let version = t.goes_up(&["update 2:0..1", "ask"]).unwrap();
    t.tell(fellow::saved(version, Kept::Memory));
    assert_eq!(t.confirmed(), None);
    assert!(t.document.is_unconfirmed(), "what was confirmed is so no more");
    t.detach(A);
    t.save();
    assert!(t.document.can_evict(), "it does not wait for a proof that never comes");
    t.goes_up(&[]);
}

#[test]
fn a_relay_below_is_told_that_things_are_kept_in_memory_only() {
    for document in [Document::new(1), Document::new(1).at_the_top()] {
        let mut t = Script::loading();
        t.document = document.volatile();
        t.loaded(&[], false);
        t.fellow_joins(L);
        t.frame(L, have(&[(1, 3)], &[]));
        t.frame(L, step2(&insert(1, 0, "abc")));
        t.frame(L, fellow::ask(7));
        t.save();
        t.hears(L, &["have 1:3", "step2 nothing", "saved 7 Memory"]);
    }
}

/// It has nothing on a disk itself, but those above it do.
#[test]
fn what_is_in_memory_here_may_be_on_a_disk_above() {
    let mut t = Script::loading();
    t.document = Document::new(1).volatile();
    t.loaded(&[], false);
    t.fellow_up();
    t.fellow_joins(L);
    t.frame(L, have(&[(1, 3)], &[]));
    t.tell(have(&[], &[]));
    t.tell(step2(NOTHING));
    t.frame(L, step2(&insert(1, 0, "abc")));
    t.frame(L, fellow::ask(7));
    t.save();
    t.hears(L, &["have 1:3", "step2 nothing", "saved 7 Memory"]);
    let version = t.goes_up(&["have 1:3", "step2 1:0..3", "ask"]).unwrap();
    for (kept, told) in [(Kept::Disk, "saved 7 Disk"), (Kept::Top, "saved 7 Top")] {
        t.tell(fellow::saved(version, kept));
        t.hears(L, &[told]);
    }
}

#[test]
fn an_upstream_that_begins_anew_is_given_all_and_asked_what_it_has() {
    let mut t = confirmed();
    t.tell(have(&[], &[]));
    assert_eq!(t.confirmed(), Some(false));
    t.goes_up(&["have 1:3", "step2 1:0..3 -1:0..1", "ask"]);
}

#[test]
fn a_relay_below_waits_for_the_upstream_no_longer_than_it_should() {
    let mut t = Script::new();
    t.fellow_up();
    t.attach(A);
    t.wait(300);
    t.fellow_joins(L);
    t.frame(L, have(&[], &[]));
    t.hears(L, &[]);
    t.wait(limits::UPSTREAM_FIRST_MS - 1);
    t.hears(L, &[]);
    t.wait(1);
    t.hears(L, &["have", "step2 nothing"]);
}

#[test]
fn a_relay_below_is_answered_once_the_upstream_has() {
    let mut t = Script::new();
    t.fellow_up();
    t.fellow_joins(L);
    t.frame(L, have(&[], &[]));
    t.hears(L, &[]);
    t.tell(have(&[(1, 1)], &[]));
    t.tell(step2(&insert(1, 0, "a")));
    t.hears(L, &["have 1:1", "step2 1:0..1"]);
}

#[test]
fn a_receipt_is_for_the_question_it_answers_only() {
    let mut t = Script::new();
    t.join(A);
    t.frame(A, update(&insert(1, 0, "a")));
    t.save();
    t.fellow_up();
    // From before it left memory, or was deleted.
    t.tell(fellow::saved(1, Kept::Top));
    assert_eq!((t.confirmed(), t.confirmed_seq), (Some(false), None));
    t.goes_up(&["have 1:1"]);
    t.tell(have(&[], &[]));
    let version = t.goes_up(&["step2 1:0..1", "ask"]).unwrap();
    t.tell(fellow::saved(version + 1, Kept::Top));
    assert_eq!((t.confirmed(), t.confirmed_seq), (Some(false), None));
    t.tell(fellow::saved(version, Kept::Top));
    assert_eq!((t.confirmed(), t.confirmed_seq), (Some(true), Some(1)));
}

#[test]
fn what_is_written_after_the_question_is_asked_for_again() {
    let mut t = Script::new();
    t.join(A);
    t.frame(A, update(&insert(1, 0, "a")));
    t.fellow_up();
    t.goes_up(&["have 1:1"]);
    t.tell(have(&[], &[]));
    let first = t.goes_up(&["step2 1:0..1", "ask"]).unwrap();
    t.frame(A, update(&insert(1, 1, "b")));
    t.goes_up(&["update 1:1..2"]);
    t.tell(fellow::saved(first, Kept::Top));
    assert_eq!((t.confirmed(), t.confirmed_seq), (Some(false), Some(first)));
    assert!(!t.standing().above, "only the first letter is there");
    let second = t.goes_up(&["ask"]).unwrap();
    t.tell(fellow::saved(second, Kept::Disk));
    assert_eq!((t.confirmed(), t.standing().above), (Some(true), false));
    t.tell(fellow::saved(second, Kept::Top));
    assert!(t.standing().above);
}

#[test]
fn those_below_are_told_when_those_above_have_it_too() {
    let mut t = confirmed();
    t.fellow_joins(L);
    t.frame(L, have(&[(1, 3)], &[(1, 0, 1)]));
    t.frame(L, update(&insert(2, 0, "x")));
    t.frame(L, fellow::ask(9));
    t.hears(L, &["have 1:3 2:1", "step2 nothing"]);
    t.save();
    t.hears(L, &["saved 9 Disk"]);
    let version = t.goes_up(&["update 2:0..1", "ask"]).unwrap();
    t.tell(fellow::saved(version, Kept::Disk));
    t.hears(L, &[]);
    t.tell(fellow::saved(version, Kept::Top));
    t.hears(L, &["saved 9 Top"]);
    t.tell(fellow::saved(version, Kept::Top));
    t.hears(L, &[]);
}

#[test]
fn news_go_to_all_relays_but_the_one_they_are_from() {
    let mut t = Script::new();
    for link in [L, M] {
        t.fellow_joins(link);
        t.frame(link, have(&[], &[]));
        t.hears(link, &["have", "step2 nothing"]);
    }
    t.frame(L, update(&insert(1, 0, "a")));
    t.hears(L, &[]);
    t.hears(M, &["update 1:0..1"]);
    t.frame(M, update(&insert(1, 0, "a")));
    t.hears(L, &[]);
}

/// What is no part of the protocol does no harm.
#[test]
fn a_step_1_of_an_upstream_that_is_a_yrelay_says_nothing() {
    let mut t = confirmed();
    t.tell(step1(&[]));
    t.wait(60_000);
    assert_eq!(t.confirmed(), Some(true));
    t.goes_up(&[]);
    t.join(A);
    t.frame(A, update(&insert(3, 0, "a")));
    t.goes_up(&["update 3:0..1", "ask"]);
}

#[test]
fn a_question_is_answered_once_all_before_it_is_on_the_disk() {
    let mut t = Script::new();
    t.fellow_joins(L);
    t.frame(L, have(&[], &[]));
    t.hears(L, &["have", "step2 nothing"]);
    t.frame(L, update(&insert(1, 0, "a")));
    t.frame(L, update(&insert(1, 1, "b")));
    t.frame(L, fellow::ask(5));
    t.save_upto(1);
    t.hears(L, &[]);
    t.frame(L, update(&insert(1, 2, "c")));
    t.save_upto(2);
    t.hears(L, &["saved 5 Disk"]);
}

#[test]
fn what_those_further_above_hold_is_asked_anew_on_each_link() {
    let mut t = confirmed();
    assert!(t.standing().above);
    t.link_down();
    t.fellow_up();
    t.goes_up(&["have 1:3"]);
    t.tell(have(&[(1, 3)], &[(1, 0, 1)]));
    assert_eq!((t.confirmed(), t.standing().above), (Some(true), false));
    let version = t.goes_up(&["step2 nothing", "ask"]).unwrap();
    t.tell(fellow::saved(version, Kept::Top));
    assert!(t.standing().above);
}

/// It is not answered before the end, and what is new meanwhile is in the answer only.
#[test]
fn news_do_not_overtake_the_answer_to_a_relay_below() {
    let mut t = Script::new();
    t.fellow_joins(L);
    t.join(A);
    t.frame(A, update(&insert(1, 0, "a")));
    t.hears(L, &[]);
    t.frame(L, have(&[], &[]));
    t.hears(L, &["have 1:1", "step2 1:0..1"]);
}

#[test]
fn a_document_that_a_relay_has_joined_stays_in_memory() {
    let mut t = Script::new();
    t.fellow_joins(L);
    t.frame(L, have(&[], &[]));
    t.hears(L, &["have", "step2 nothing"]);
    assert!(!t.document.can_evict());
    t.detach(L);
    assert!(t.document.can_evict());
}

#[test]
fn a_relay_below_is_asked_for_what_stands_before_a_gap() {
    let mut t = Script::new();
    t.fellow_joins(L);
    t.frame(L, have(&[], &[]));
    t.hears(L, &["have", "step2 nothing"]);
    t.frame(L, update(&insert(1, 1, "b")));
    t.hears(L, &["have"]);
    t.frame(L, step2(&insert(1, 0, "a")));
    assert!(!t.standing().incomplete);
}
