//! Which stored documents are offered to the upstream though nobody here has them open.
//!
//! One that it has confirmed, to see whether it still holds that; those with changes that it has
//! not confirmed; and all of them, once any document shows that it has lost something.

use crate::backoff::Random;
use crate::id::DocumentId;
use crate::{Millis, limits};

/// What is to be loaded for the upstream's sake, one after the other.
#[derive(Debug)]
pub struct Offers {
    /// The last comes first.
    queue: Vec<DocumentId>,
    loading: Option<DocumentId>,
    /// Those that could not be loaded, and when that is tried again.
    failed: Vec<DocumentId>,
    retry_at: Millis,
    retry_ms: Millis,
    /// A loss was noted on this link.
    lost: bool,
    random: Random,
}

impl Offers {
    /// Nothing is offered before [`Offers::begin`]. The seed chooses whom to ask for.
    pub fn new(seed: u64) -> Self {
        Self {
            queue: Vec::new(),
            loading: None,
            failed: Vec::new(),
            retry_at: 0,
            retry_ms: limits::LOAD_RETRY_MS,
            lost: false,
            random: Random::new(seed),
        }
    }

    /// The link is up. `stored`: what is not in memory, and whether it is unconfirmed.
    pub fn begin<'a>(&mut self, stored: impl Iterator<Item = (&'a DocumentId, bool)>) {
        let (unconfirmed, confirmed): (Vec<_>, Vec<_>) =
            stored.partition(|(_, unconfirmed)| *unconfirmed);
        let last = confirmed.len().checked_sub(1);
        let sample = last.and_then(|last| confirmed.get(self.random.upto(last as u64) as usize));
        let all = unconfirmed.iter().chain(sample);
        self.retry_ms = limits::LOAD_RETRY_MS;
        self.queue = all.map(|(document, _)| (*document).clone()).collect();
    }

    /// The link is down.
    pub fn end(&mut self) {
        self.queue.clear();
        self.failed.clear();
        self.lost = false;
    }

    /// A document has shown that the upstream has lost something, so nothing else of it is
    /// certain: all that is stored is to be marked unconfirmed, and is offered. Returns whether
    /// that was not known yet on this link.
    pub fn lost<'a>(&mut self, stored: impl Iterator<Item = &'a DocumentId>) -> bool {
        let news = !std::mem::replace(&mut self.lost, true);
        if news {
            self.queue = stored.cloned().collect();
        }
        news
    }

    /// Whether nothing is left to offer.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.failed.is_empty() && self.loading.is_none()
    }

    /// It may go up again.
    pub fn again(&mut self, document: &DocumentId) {
        self.queue.push(document.clone());
    }

    /// It could not be dealt with: it is tried again after a while, and less and less often.
    pub fn later(&mut self, now: Millis, document: &DocumentId) {
        self.failed.push(document.clone());
        self.retry_at = now + self.retry_ms;
    }

    /// What to load next, if nothing is on its way. Those that are not `wanted` any more (somebody
    /// has opened them, or they are gone) are passed over.
    pub fn next(
        &mut self,
        now: Millis,
        wanted: impl Fn(&DocumentId) -> bool,
    ) -> Option<DocumentId> {
        if self.loading.is_some() {
            return None;
        }
        if self.queue.is_empty() && !self.failed.is_empty() && now >= self.retry_at {
            self.queue = std::mem::take(&mut self.failed);
            self.retry_ms = (2 * self.retry_ms).min(limits::LOAD_RETRY_MS_MAX);
        }
        self.loading = std::iter::from_fn(|| self.queue.pop()).find(wanted);
        self.loading.clone()
    }

    /// A document was loaded, for whomever, or could not be.
    pub fn loaded(&mut self, now: Millis, document: &DocumentId, failed: bool) {
        if self.loading.take_if(|loading| loading == document).is_some() && failed {
            self.later(now, document);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn id(name: &str) -> DocumentId {
        DocumentId::new(name).unwrap()
    }

    /// All that is offered, each loaded at once.
    fn drain(offers: &mut Offers) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(document) = offers.next(0, |_| true) {
            offers.loaded(0, &document, false);
            names.push(document.as_str().to_owned());
        }
        names
    }

    #[test]
    fn one_that_was_confirmed_is_asked_for_and_then_the_unconfirmed_are_offered() {
        let documents = ["a", "b", "c", "d"].map(id);
        let stored = || documents.iter().map(|document| (document, document.as_str() > "b"));
        let mut samples = BTreeSet::new();
        for seed in 0..20 {
            let mut offers = Offers::new(seed);
            offers.begin(stored());
            let mut offered = drain(&mut offers);
            samples.insert(offered.remove(0));
            assert_eq!(offered, ["d", "c"]);
        }
        assert_eq!(samples, BTreeSet::from(["a".into(), "b".into()]), "not always the same");
    }

    #[test]
    fn a_loss_has_all_offered_once_on_each_link() {
        let documents = ["a", "b"].map(id);
        let mut offers = Offers::new(1);
        for _ in 0..2 {
            offers.begin(documents.iter().map(|document| (document, false)));
            assert_eq!(drain(&mut offers).len(), 1);
            assert!(offers.lost(documents.iter()));
            assert_eq!(drain(&mut offers), ["b", "a"]);
            assert!(!offers.lost(documents.iter()));
            assert!(drain(&mut offers).is_empty());
            offers.end();
        }
    }

    #[test]
    fn one_at_a_time_is_loaded_and_those_that_are_open_need_not_be() {
        let documents = ["a", "b", "c"].map(id);
        let mut offers = Offers::new(1);
        offers.begin(documents.iter().map(|document| (document, true)));
        assert_eq!(offers.next(0, |document| document.as_str() != "c"), Some(id("b")));
        assert_eq!(offers.next(0, |_| true), None);
        offers.loaded(0, &id("other"), false);
        assert_eq!(offers.next(0, |_| true), None, "that was somebody else's");
        offers.end();
        assert_eq!(offers.next(0, |_| true), None);
        offers.loaded(0, &id("b"), false);
        assert_eq!(offers.next(0, |_| true), None, "the link is down");
    }

    #[test]
    fn what_could_not_be_loaded_is_tried_again_after_a_while() {
        let documents = [id("a")];
        let mut offers = Offers::new(1);
        offers.begin(documents.iter().map(|document| (document, true)));
        let (mut now, mut wait) = (0, limits::LOAD_RETRY_MS);
        for _ in 0..10 {
            assert_eq!(offers.next(now, |_| true), Some(id("a")));
            offers.loaded(now, &id("a"), true);
            assert_eq!(offers.next(now + wait - 1, |_| true), None);
            now += wait;
            wait = (2 * wait).min(limits::LOAD_RETRY_MS_MAX);
        }
    }
}
