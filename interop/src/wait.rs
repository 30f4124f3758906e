//! Waiting for conditions: woken by what the children report, bounded by a deadline.

use std::fmt::Debug;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Document;

/// How long any single condition may take, busy machines included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(25);

/// Conditions are looked at again after this long, even if no child reported anything.
const PERIOD: Duration = Duration::from_millis(50);

/// Counts the reports of all children.
static REPORTS: Mutex<u64> = Mutex::new(0);
static REPORTED: Condvar = Condvar::new();

/// A point in time after which waiting is given up.
pub(crate) struct Deadline(Instant);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "the harness waits in real time")]
    pub(crate) fn after(patience: Duration) -> Deadline {
        Deadline(Instant::now() + patience)
    }

    #[expect(clippy::disallowed_methods, reason = "the harness waits in real time")]
    pub(crate) fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Wakes whoever waits for a condition.
pub(crate) fn report() {
    *REPORTS.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    REPORTED.notify_all();
}

/// Waits until `look` finds something; `None` after `patience`.
pub(crate) fn find<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Deadline::after(patience);
    loop {
        let before = *REPORTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = look() {
            return Some(found);
        }
        let left = deadline.left();
        if left.is_zero() {
            return None;
        }
        let reports = REPORTS.lock().unwrap_or_else(PoisonError::into_inner);
        drop(REPORTED.wait_timeout_while(reports, left.min(PERIOD), |now| *now == before));
    }
}

/// Waits until `condition` holds, or fails the test.
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    within(PATIENCE, what, condition);
}

/// Waits until `condition` holds, or fails the test after `patience`.
pub fn within(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let held = find(patience, || condition().then_some(()));
    assert!(held.is_some(), "not within {patience:?}: {what}");
}

/// Waits until `actual` has given the same for so long, and returns that.
pub fn steady<T: PartialEq + Debug>(span: Duration, mut actual: impl FnMut() -> T) -> T {
    let mut last = actual();
    let mut over = Deadline::after(span);
    let held = find(PATIENCE + span, || {
        let now = actual();
        if now != last {
            last = now;
            over = Deadline::after(span);
        }
        over.left().is_zero().then_some(())
    });
    assert!(held.is_some(), "does not come to rest: {last:?}");
    last
}

/// Waits until `actual` gives `expected`, or fails the test showing what it gave last.
pub fn eventually_eq<T: PartialEq + Debug>(
    what: &str,
    mut actual: impl FnMut() -> T,
    expected: &T,
) {
    let mut last = None;
    let held = find(PATIENCE, || {
        let now = actual();
        let equal = now == *expected;
        last = Some(now);
        equal.then_some(())
    });
    assert!(held.is_some(), "not within {PATIENCE:?}: {what}\n  is {last:?}\n  not {expected:?}");
}

/// Waits until all documents hold the same structs and deletions, show the same, and `complete`
/// accepts the text; returns it.
pub fn converge(documents: &[&Document], complete: impl Fn(&str) -> bool) -> String {
    let mut last = Vec::new();
    let converged = find(PATIENCE, || {
        last = documents.iter().map(|document| document.content()).collect();
        let first = last.first().expect("there are documents to converge");
        let same = last.iter().all(|content| content == first);
        (same && first.state.is_some() && complete(&first.text)).then(|| first.text.clone())
    });
    converged.unwrap_or_else(|| {
        let seen = documents.iter().zip(&last);
        let seen = seen.map(|(document, content)| format!("\n  {document}: {content:?}"));
        panic!("not converged within {PATIENCE:?}:{}", seen.collect::<String>())
    })
}
