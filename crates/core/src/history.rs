//! Which history of a document is ours.
//!
//! A server that has lost a document, or some of it, holds less of the same: whatever it lacks is
//! pushed, and nothing doubles. One that has made the document anew, from a file perhaps, holds the
//! same text under other ids, and to merge that would double it. It is told by what it does not
//! hold: none of the clients that it once held all of.
//!
//! The clients of the first proof will do. What it held before were some of those, and it forgets
//! the last first.

use std::collections::BTreeSet;

use crate::decode::{DecodeError, Reader, put_varuint};
use crate::limits;
use crate::state_vector::StateVector;

/// What is remembered of a document's histories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Clients of which the upstream once held all that we hold.
    pub known: BTreeSet<u64>,
    /// Clients of histories that were given up: who brings them has not heard of that.
    pub abandoned: BTreeSet<u64>,
}

impl History {
    /// Whether it may be told that the upstream has another history.
    pub fn is_known(&self) -> bool {
        !self.known.is_empty()
    }

    /// Whether a server that holds this has another history than it had.
    pub fn is_foreign(&self, theirs: &StateVector) -> bool {
        self.is_known()
            && !theirs.is_empty()
            && self.known.iter().all(|client| theirs.get(*client) == 0)
    }

    /// The upstream holds all of this. Returns whether that is news.
    pub fn learn(&mut self, held: &StateVector) -> bool {
        if self.is_known() || held.is_empty() {
            return false;
        }
        let clients = held.iter().map(|(client, _)| client);
        self.known = clients.take(limits::HISTORY_CLIENTS_MAX).collect();
        true
    }

    /// What there is now is given up for what the upstream has.
    pub fn abandon(&mut self, held: &StateVector) {
        self.known.clear();
        self.abandoned.extend(held.iter().map(|(client, _)| client));
        while self.abandoned.len() > limits::HISTORY_CLIENTS_MAX {
            self.abandoned.pop_first();
        }
    }

    /// Whether somebody who holds this has not heard that it was given up.
    pub fn is_abandoned(&self, theirs: &StateVector) -> bool {
        self.abandoned.iter().any(|client| theirs.get(*client) > 0)
    }
}

/// Clients as they are stored.
pub fn encode(clients: &BTreeSet<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    clients.iter().for_each(|client| put_varuint(&mut out, *client));
    out
}

/// Reads what [`encode`] has written.
pub fn decode(bytes: &[u8]) -> Result<BTreeSet<u64>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut clients = BTreeSet::new();
    while !reader.is_empty() {
        clients.insert(reader.varuint()?);
    }
    Ok(clients)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(entries: &[(u64, u32)]) -> StateVector {
        entries.iter().copied().collect()
    }

    #[test]
    fn what_holds_none_of_the_known_is_foreign_and_what_holds_less_is_not() {
        let mut history = History::default();
        assert!(!history.is_foreign(&vector(&[(9, 1)])), "nothing was ever proven");
        assert!(!history.learn(&vector(&[])), "of nothing");
        assert!(history.learn(&vector(&[(1, 5), (2, 7)])));
        assert!(!history.learn(&vector(&[(1, 5), (2, 7), (3, 1)])), "the first will do");
        for (theirs, foreign) in [
            (&[][..], false),
            (&[(1, 1)], false),
            (&[(2, 7), (9, 100)], false),
            (&[(9, 100)], true),
            (&[(3, 1)], true),
        ] {
            assert_eq!(history.is_foreign(&vector(theirs)), foreign, "{theirs:?}");
        }
    }

    #[test]
    fn what_was_given_up_is_known_again() {
        let mut history = History::default();
        history.learn(&vector(&[(1, 5)]));
        history.abandon(&vector(&[(1, 5), (2, 1)]));
        assert!(!history.is_known());
        assert!(history.is_abandoned(&vector(&[(2, 1), (7, 1)])));
        assert!(!history.is_abandoned(&vector(&[(7, 1)])));
        assert_eq!(decode(&encode(&history.abandoned)), Ok(history.abandoned));
        assert_eq!(decode(&[]), Ok(BTreeSet::new()));
        assert!(decode(&[0x80]).is_err());
    }
}
