//! Which stored documents are offered to the upstream though nobody here has them open.
//!
//! Those with changes that it has not confirmed; one of the others, to see whether it still holds
//! what it had confirmed; and all of them, once any document shows that it does not.

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
        let all = sample.into_iter().chain(&unconfirmed);
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
        if self.queue.is_empty() && now >= self.retry_at {
            std::mem::swap(&mut self.queue, &mut self.failed);
        }
        self.loading = std::iter::from_fn(|| self.queue.pop()).find(wanted);
        self.loading.clone()
    }

    /// A document was loaded, for whomever, or could not be.
    pub fn loaded(&mut self, now: Millis, document: &DocumentId, failed: bool) {
        if self.loading.take_if(|loading| loading == document).is_some() && failed {
            self.failed.push(document.clone());
            self.retry_at = now + limits::LOAD_RETRY_MS;
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
    fn the_unconfirmed_come_first_and_one_of_the_others_after_them() {
        let documents = ["a", "b", "c", "d"].map(id);
        let stored = || documents.iter().map(|document| (document, document.as_str() > "b"));
        let mut samples = BTreeSet::new();
        for seed in 0..20 {
            let mut offers = Offers::new(seed);
            offers.begin(stored());
            let mut offered = drain(&mut offers);
            samples.extend(offered.pop());
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
        for round in 0..3 {
            let now = round * limits::LOAD_RETRY_MS;
            assert_eq!(offers.next(now, |_| true), Some(id("a")));
            offers.loaded(now, &id("a"), true);
            assert_eq!(offers.next(now + limits::LOAD_RETRY_MS - 1, |_| true), None);
        }
    }
}
