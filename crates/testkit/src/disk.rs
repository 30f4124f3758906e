//! A model of the store: what is committed survives, what is queued does not.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use yrelay_core::event::Input;
use yrelay_core::history::History;
use yrelay_core::id::DocumentId;
use yrelay_core::replica::{Replica, Want};
use yrelay_core::update::Update;
use yrelay_core::{LogSize, Millis};

/// The disk of one service.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    committed: BTreeMap<DocumentId, Committed>,
    backlog: BTreeMap<DocumentId, Work>,
    /// Commits fail until then.
    pub(crate) fails_until: Millis,
    /// What is committed until then is lost all the same if the power goes.
    pub(crate) lies_until: Millis,
    /// What is really on the disk, while it lies.
    real: Option<BTreeMap<DocumentId, Committed>>,
    /// It has lost what it had called committed.
    pub(crate) has_lost: bool,
    /// Documents of which something was lost that it had not.
    pub(crate) dropped: BTreeSet<DocumentId>,
    /// Commits take so much longer until then.
    pub(crate) slow_until: Millis,
}

#[derive(Debug, Clone, Default)]
struct Committed {
    seq: u64,
    /// The last local update that the upstream has not confirmed.
    unconfirmed: Option<u64>,
    snapshot: Vec<Bytes>,
    rows: Vec<(u64, Bytes)>,
    /// All that was ever committed.
    held: Want,
}

/// What waits for the next commit.
#[derive(Debug, Default)]
struct Work {
    rows: Vec<(u64, Bytes, bool)>,
    confirmed: Option<u64>,
    compaction: Option<(u64, Vec<Bytes>)>,
}

/// What became of the writes of a document.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) saved: Option<u64>,
    pub(crate) failed: bool,
    pub(crate) compacted: Option<bool>,
}

impl Disk {
    pub(crate) fn append(&mut self, id: &DocumentId, seq: u64, update: Bytes, local: bool) {
        let work = self.backlog.entry(id.clone()).or_default();
        let last = work.rows.last().map(|(seq, ..)| *seq);
        let last = last.or_else(|| self.committed.get(id).map(|committed| committed.seq));
        assert!(last.unwrap_or(0) < seq, "update {seq} of {id} follows {last:?}");
        work.rows.push((seq, update, local));
    }

    pub(crate) fn confirm(&mut self, id: &DocumentId, seq: u64) {
        let work = self.backlog.entry(id.clone()).or_default();
        work.confirmed = work.confirmed.max(Some(seq));
    }

    /// Nobody knows any more whether the upstream holds what it had confirmed.
    pub(crate) fn unconfirm(&mut self, id: &DocumentId) {
        if let Some(committed) = self.committed.get_mut(id) {
            committed.unconfirmed = Some(committed.seq);
        }
    }

    pub(crate) fn compact(&mut self, id: &DocumentId, upto: u64, snapshot: Vec<Bytes>) {
        self.backlog.entry(id.clone()).or_default().compaction = Some((upto, snapshot));
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.backlog.is_empty()
    }

    pub(crate) fn has_unsaved(&self, id: &DocumentId) -> bool {
        self.backlog.get(id).is_some_and(|work| !work.rows.is_empty())
    }

    /// One attempt to write all that waits.
    pub(crate) fn commit(&mut self, now: Millis) -> Vec<(DocumentId, Outcome)> {
        let mut outcomes = Vec::new();
        let fails = now < self.fails_until;
        match now < self.lies_until {
            true => drop(self.real.get_or_insert_with(|| self.committed.clone())),
            false => self.real = None,
        }
        for (id, mut work) in std::mem::take(&mut self.backlog) {
            let compaction = work.compaction.take();
            let mut outcome = Outcome::default();
            if fails {
                outcome.failed = !work.rows.is_empty();
                outcome.compacted = compaction.map(|_| false);
                if !work.rows.is_empty() || work.confirmed.is_some() {
                    self.backlog.insert(id.clone(), work);
                }
            } else {
                let committed = self.committed.entry(id.clone()).or_default();
                outcome.saved = work.rows.last().map(|(seq, ..)| *seq);
                committed.write(work);
                outcome.compacted = compaction.map(|(upto, snapshot)| {
                    committed.compact(upto, snapshot);
                    true
                });
            }
            outcomes.push((id, outcome));
        }
        outcomes
    }

    /// The power goes.
    pub(crate) fn lose_power(&mut self) {
        self.dropped.extend(std::mem::take(&mut self.backlog).into_keys());
        self.lies_until = 0;
        if let Some(real) = self.real.take() {
            self.committed = real;
            self.has_lost = true;
        }
    }

    /// Every document, and whether it is marked unconfirmed.
    pub(crate) fn documents(&self) -> impl Iterator<Item = (&DocumentId, bool)> {
        // What has no rows is no document, whatever was confirmed of it.
        let stored = self.committed.iter().filter(|(_, committed)| committed.seq > 0);
        stored.map(|(id, committed)| (id, committed.unconfirmed.is_some()))
    }

    pub(crate) fn load(&self, id: &DocumentId) -> Input {
        let mut replica = Box::new(Replica::default());
        let Some(committed) = self.committed.get(id) else {
            let (log, tail, frames) = (LogSize::default(), Vec::new(), Vec::new());
            return Input::Loaded {
                replica,
                log,
                tail,
                frames,
                unconfirmed: false,
                history: History::default(),
            };
        };
        for update in committed.updates() {
            let update = Update::parse(update.clone()).expect("what is stored parses");
            replica.apply(&update);
        }
        assert!(committed.is_in(&replica), "{id}: the store lost what it had committed");
        let log = LogSize {
            last_seq: committed.seq,
            snapshot_bytes: committed.snapshot.iter().map(Bytes::len).sum(),
            updates: committed.rows.len(),
            bytes: committed.rows.iter().map(|(_, update)| update.len()).sum(),
        };
        let rows = committed.rows.iter().map(|(_, update)| update.clone());
        let tail = rows.map(|row| Update::parse(row).expect("what is stored parses")).collect();
        let (frames, unconfirmed) = (Vec::new(), committed.unconfirmed.is_some());
        Input::Loaded { replica, log, tail, frames, unconfirmed, history: History::default() }
    }

    /// All that was ever committed of a document.
    pub(crate) fn held(&self, id: &DocumentId) -> Want {
        self.committed.get(id).map(|committed| committed.held.clone()).unwrap_or_default()
    }

    /// A replica of all that was appended, committed or not.
    pub(crate) fn replica(&self, id: &DocumentId) -> Replica {
        let mut replica = Replica::default();
        let waiting = self.backlog.get(id).map(|work| &work.rows).into_iter().flatten();
        let committed = self.committed.get(id).into_iter().flat_map(Committed::updates);
        for update in committed.chain(waiting.map(|(_, update, _)| update)) {
            replica.apply(&Update::parse(update.clone()).expect("what is appended parses"));
        }
        replica
    }

    pub(crate) fn updates(&self, id: &DocumentId) -> impl Iterator<Item = &[u8]> {
        self.committed.get(id).into_iter().flat_map(Committed::updates).map(Bytes::as_ref)
    }
}

impl Committed {
    fn updates(&self) -> impl Iterator<Item = &Bytes> {
        self.snapshot.iter().chain(self.rows.iter().map(|(_, update)| update))
    }

    fn write(&mut self, work: Work) {
        for (seq, update, local) in work.rows {
            let parsed = Update::parse(update.clone()).expect("the relay saves what parses");
            self.held.merge(&Want::of(&parsed));
            self.rows.push((seq, update));
            self.seq = seq;
            if local {
                self.unconfirmed = Some(seq);
            }
        }
        if self.unconfirmed <= work.confirmed {
            self.unconfirmed = None;
        }
    }

    fn compact(&mut self, upto: u64, snapshot: Vec<Bytes>) {
        assert!(upto <= self.seq && !snapshot.is_empty(), "a snapshot of what is stored");
        for piece in &snapshot {
            // What stood in deleted types is deleted, too.
            let parsed = Update::parse(piece.clone()).expect("a snapshot parses");
            self.held.merge(&Want::of(&parsed));
        }
        self.rows.retain(|(seq, _)| *seq > upto);
        self.snapshot = snapshot;
    }

    fn is_in(&self, replica: &Replica) -> bool {
        replica.held().contains_all(&self.held.structs)
            && replica.deletes().contains_all(&self.held.deletes)
    }
}
