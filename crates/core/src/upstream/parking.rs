//! Which document is kept off the link because the server closes it over that.
//!
//! A close frame soon after a document's message may mean that document. A server does not say
//! which it means, so on the next connection each suspect has its trial, one at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::DocumentId;
use crate::{Millis, limits};

/// Suspects, the one on trial, and those that are kept off the link.
#[derive(Debug, Default)]
pub(super) struct Parking {
    /// When each document was last sent for, on this connection; the recent ones.
    sent: BTreeMap<DocumentId, Millis>,
    /// When those that are not recent any more were last left out.
    pruned_at: Millis,
    /// The server closed the link soon after these were sent for: they go one at a time.
    suspects: BTreeSet<DocumentId>,
    /// The suspect whose turn it is, and since when.
    trial: Option<(DocumentId, Millis)>,
    parked: BTreeMap<DocumentId, Parked>,
}

#[derive(Debug)]
struct Parked {
    until: Millis,
    reason: String,
    /// The server has said that it does not take it.
    refused: bool,
}

/// What close codes say of the server or of the login, and never of a document.
fn is_nobodys_fault(code: u16) -> bool {
    matches!(code, 1001 | 1005 | 1006 | 1012 | 1013 | 4400..=4499)
}

impl Parking {
    /// Why this document is kept off the link, if it is.
    pub(super) fn reason(&self, document: &DocumentId) -> Option<&str> {
        self.parked.get(document).map(|parked| &*parked.reason)
    }

    pub(super) fn parked(&self) -> impl Iterator<Item = &DocumentId> {
        self.parked.keys()
    }

    /// Those that may try again.
    pub(super) fn take_due(&mut self, now: Millis) -> Vec<DocumentId> {
        self.parked.extract_if(.., |_, parked| parked.until <= now).map(|(id, _)| id).collect()
    }

    /// Those that the server has refused.
    pub(super) fn take_refused(&mut self) -> Vec<DocumentId> {
        self.parked.extract_if(.., |_, parked| parked.refused).map(|(id, _)| id).collect()
    }

    /// The link has ended. Returns the document that is parked for that, and until when.
    ///
    /// A connection that merely breaks (no close frame, or "going away") says nothing about what
    /// was sent.
    pub(super) fn blame(
        &mut self,
        now: Millis,
        code: Option<u16>,
        reason: &str,
    ) -> Option<(DocumentId, Millis)> {
        let sent = std::mem::take(&mut self.sent);
        let trial = self.trial.take();
        if code.is_none_or(is_nobodys_fault) {
            self.suspects.clear();
            return None;
        }
        if let Some((document, _)) = trial {
            self.suspects.remove(&document);
            let words = format!("the upstream ends the connection over it ({reason})");
            let until = self.park(now, &document, words, false);
            return Some((document, until));
        }
        let lately = sent.into_iter().filter(|(_, at)| is_recent(now, *at));
        self.suspects = lately.map(|(document, _)| document).collect();
        None
    }

    /// The server does not take a document. Returns until when it is parked.
    pub(super) fn refuse(&mut self, now: Millis, document: &DocumentId, reason: &str) -> Millis {
        self.park(now, document, format!("the upstream does not take it ({reason})"), true)
    }

    /// The server has closed a document, and may take it again soon.
    pub(super) fn let_go(&mut self, now: Millis, document: &DocumentId, reason: &str) -> Millis {
        self.park(now, document, reason.to_owned(), true);
        let until = now + limits::LET_GO_MS;
        self.parked.get_mut(document).into_iter().for_each(|parked| parked.until = until);
        until
    }

    fn park(
        &mut self,
        now: Millis,
        document: &DocumentId,
        reason: String,
        refused: bool,
    ) -> Millis {
        let until = now + limits::PARK_MS;
        self.parked.insert(document.clone(), Parked { until, reason, refused });
        until
    }

    /// A document is sent for. Returns when its trial ends, if that begins now.
    pub(super) fn sends(&mut self, now: Millis, document: &DocumentId) -> Option<Millis> {
        // A connection may last for months, and carry any number of documents.
        if now >= self.pruned_at + limits::PARK_BLAME_MS {
            self.pruned_at = now;
            self.sent.retain(|_, at| is_recent(now, *at));
        }
        self.sent.insert(document.clone(), now);
        if self.trial.is_some() || !self.suspects.contains(document) {
            return None;
        }
        self.trial = Some((document.clone(), now));
        Some(now + limits::TRIAL_MS)
    }

    /// A suspect that the server has put up with for a while is none.
    pub(super) fn end_trial(&mut self, now: Millis) {
        if let Some((document, _)) = self.trial.take_if(|(_, since)| is_over(now, *since)) {
            self.suspects.remove(&document);
        }
    }

    /// Whether it may be sent for: no suspect may during another's trial.
    pub(super) fn may_send(&self, now: Millis, document: &DocumentId) -> bool {
        match &self.trial {
            Some((on_trial, since)) if !is_over(now, *since) => {
                on_trial == document || !self.suspects.contains(document)
            }
            _ => true,
        }
    }
}

/// Whether it was so short a time ago that the server may close the link over it.
fn is_recent(now: Millis, sent_at: Millis) -> bool {
    now < sent_at + limits::PARK_BLAME_MS
}

fn is_over(now: Millis, since: Millis) -> bool {
    now >= since + limits::TRIAL_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_long_ago_is_not_remembered() {
        let mut parking = Parking::default();
        let id = |number: u64| DocumentId::new(&number.to_string()).unwrap();
        let step = limits::PARK_BLAME_MS / 10;
        for number in 0..1_000 {
            parking.sends(number * step, &id(number));
            assert!(parking.sent.len() <= 20, "{number}");
        }
        let now = 999 * step;
        assert_eq!(parking.blame(now, Some(1011), "fault"), None);
        assert_eq!(parking.suspects, (990..1_000).map(id).collect());
    }
}
