//! Remembers who was sent away and why, so that a client does not come back for ever.

use std::collections::HashMap;

use yrelay_core::close::CloseReason;
use yrelay_core::id::DocumentId;

/// y-websocket comes back after every close code but these (4400 to 4499).
const DO_NOT_RETURN: u16 = 4400;
/// The third refusal of the same kind says so.
const REFUSALS_MAX: u32 = 3;
/// Refusals further apart are strangers to each other.
const FORGET_MS: u64 = 600_000;
/// Documents and reasons remembered at once.
const ENTRIES_MAX: usize = 1_024;

/// How often clients of a document were refused lately, and why.
#[derive(Debug, Default)]
pub(crate) struct Refusals(HashMap<(DocumentId, &'static str), (u32, u64)>);

impl Refusals {
    /// The close code for a client that is refused now.
    pub(crate) fn code(&mut self, now: u64, document: &DocumentId, reason: CloseReason) -> u16 {
        if !reason.is_peers_fault() {
            return reason.code();
        }
        if self.0.len() >= ENTRIES_MAX {
            self.0.retain(|_, (_, at)| now < *at + FORGET_MS);
        }
        if self.0.len() >= ENTRIES_MAX {
            self.0.clear();
        }
        let key = (document.clone(), reason.label());
        let (count, at) = self.0.entry(key).or_insert((0, now));
        if now >= *at + FORGET_MS {
            *count = 0;
        }
        (*count, *at) = (*count + 1, now);
        if *count >= REFUSALS_MAX { DO_NOT_RETURN } else { reason.code() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_refusal_of_a_kind_is_final_and_time_heals() {
        let mut refusals = Refusals::default();
        let (a, b) = (DocumentId::new("a").unwrap(), DocumentId::new("b").unwrap());
        let mut code = |now, id: &DocumentId| refusals.code(now, id, CloseReason::TextFrame);
        assert_eq!([code(0, &a), code(1, &a), code(2, &b), code(3, &a)], [1003, 1003, 1003, 4400]);
        assert_eq!(code(4, &a), 4400);
        assert_eq!(code(4 + FORGET_MS, &a), 1003);
    }

    #[test]
    fn what_is_not_the_peers_fault_never_is_final() {
        let mut refusals = Refusals::default();
        let id = DocumentId::new("a").unwrap();
        for now in 0..5 {
            assert_eq!(refusals.code(now, &id, CloseReason::Unsaved), 1013);
        }
    }
}
