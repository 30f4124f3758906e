//! A document and the store: failures, compaction, eviction.

use yrelay_core::event::{Habit, Input};
use yrelay_core::limits;

use crate::script::{
    A, B, NOTHING, Script, aware, delete, insert, merged, show, step1, step2, update,
};

#[test]
fn a_failing_store_is_shown_and_nothing_is_acknowledged_until_it_recovers() {
    let mut t = Script::new();
    t.join(A);
    t.join(B);
    t.frame(A, update(&insert(1, 0, "ab")));
    t.handle(Input::SaveFailed);
    assert!(t.standing().failing && !t.standing().saved);
    t.frame(A, update(&insert(1, 2, "c")));
    t.expect(A, &[]);
    t.expect(B, &["update 1:0..2", "update 1:2..3"]);
    t.handle(Input::SaveFailed);
    t.wait(1_000);
    t.expect(A, &[]);
    t.save();
    assert!(!t.standing().failing && t.standing().saved);
    t.expect(A, &["update 1:0..2", "update 1:2..3"]);
}

/// Clocks that are written in [`compacting`], and how many of them are deleted again.
const WRITTEN: u32 = 10 * limits::LOG_UPDATES_MAX as u32;
const DELETED: u32 = WRITTEN - 10;

fn compacting() -> Script {
    let mut t = Script::new();
    t.join(A);
    for clock in (0..WRITTEN).step_by(10) {
        assert!(t.frozen.is_none());
        t.frame(A, update(&insert(1, clock, "0123456789")));
    }
    t.frame(A, update(&delete(1, 0, DELETED)));
    t.save();
    t.take(A);
    assert!(t.frozen.is_some());
    t
}

#[test]
fn a_long_log_is_compacted_and_keeps_what_came_meanwhile() {
    let mut t = compacting();
    let before = t.standing().bytes;
    t.frame(A, update(&insert(1, WRITTEN, "during")));
    t.frame(A, update(&delete(1, DELETED, 2)));
    t.save();
    t.compact();
    assert!(t.standing().bytes < before / 4, "it is the compacted one");
    t.attach(B);
    t.frame(B, step1(&[]));
    let told = t.take(B);
    assert_eq!(show(&told[1]), format!("step2 1:0..{} -1:0..{}", WRITTEN + 6, DELETED + 2));
}

#[test]
fn a_compaction_that_came_to_nothing_is_tried_again_when_the_log_has_grown() {
    let mut t = compacting();
    t.handle(Input::Compacted { result: None });
    t.frozen = None;
    let mut clock = WRITTEN;
    for _ in 0..limits::LOG_UPDATES_MAX {
        t.frame(A, update(&insert(1, clock, "x")));
        clock += 1;
        assert!(t.frozen.is_none());
    }
    t.frame(A, update(&insert(1, clock, "x")));
    assert!(t.frozen.is_some());
    t.attach(B);
    t.frame(B, step1(&[]));
    assert_eq!(show(&t.take(B)[1]), format!("step2 1:0..{} -1:0..{DELETED}", clock + 1));
}

#[test]
fn a_long_log_is_compacted_after_loading() {
    let rows: Vec<Vec<u8>> =
        (0..=limits::LOG_UPDATES_MAX as u32).map(|clock| insert(1, clock, "x")).collect();
    let mut t = Script::with(&rows);
    assert!(t.frozen.is_some() && !t.document.can_evict());
    t.compact();
    assert!(t.document.can_evict());
}

#[test]
fn leaves_memory_only_when_nobody_is_here_and_all_is_saved() {
    let mut t = Script::new();
    assert!(t.document.can_evict());
    t.attach(A);
    assert!(!t.document.can_evict());
    t.frame(A, update(&insert(1, 0, "a")));
    t.detach(A);
    assert!(!t.document.can_evict());
    t.save();
    assert!(t.document.can_evict(), "what is unconfirmed is marked in the store");
    assert!(t.document.is_unconfirmed() && t.document.is_stored());
    assert!(!Script::loading().document.can_evict());
}

#[test]
fn stays_in_memory_until_the_upstream_that_is_here_has_it() {
    let mut t = Script::new();
    t.link_up();
    assert!(t.document.can_evict());
    t.link_down();
    t.join(A);
    t.greeted(NOTHING);
    t.frame(A, aware(&[(1, 1, "{}")]));
    t.frame(A, update(&insert(1, 0, "a")));
    t.save();
    t.expect_up(&["aware 1@1 {}", "update 1:0..1"]);
    t.detach(A);
    assert!(!t.document.can_evict());
    t.expect_up(&["aware 1@2 null"]);
    assert!(!t.document.can_evict());
    t.wait(2_000);
    t.expect_up(&["step1 1:1"]);
    t.tell(step2(&insert(1, 0, "a")));
    t.tell(step1(&[(1, 1)]));
    t.expect_up(&["step2 nothing"]);
    assert!(t.document.can_evict() && !t.document.is_unconfirmed());
}

#[test]
fn stays_in_memory_until_it_is_pushed_to_an_upstream_that_proves_nothing() {
    let mut t = Script::loading();
    t.loaded(&[merged(&[insert(1, 0, "a")])], true);
    t.attach_upstream(Habit::Silent);
    assert!(!t.document.can_evict());
    t.expect_up(&["step1 1:1"]);
    assert!(!t.document.can_evict());
    t.wait(2_000);
    if t.pull().is_none() {
        assert!(!t.document.can_evict(), "its push is due");
        t.wait(500);
        t.expect_up(&["step2 1:0..1"]);
    }
    assert!(t.document.can_evict());
}

#[test]
fn what_waits_for_the_disk_takes_memory_too() {
    let mut t = Script::new();
    t.join(A);
    let before = t.document.memory_bytes();
    t.frame(A, update(&insert(1, 0, &"x".repeat(100_000))));
    let waiting = t.document.memory_bytes() - before;
    assert!((300_000..310_000).contains(&waiting), "held, unsaved, and its echo: {waiting}");
    t.save();
    let saved = t.document.memory_bytes() - before;
    assert!((100_000..110_000).contains(&saved), "{saved}");
    t.frame(A, update(&insert(1, 100_000, &"x".repeat(1_000))));
    t.save();
    let grown = t.document.memory_bytes() - before - saved;
    assert!((2_000..3_000).contains(&grown), "held, and told to whoever returns: {grown}");
}
