//! What a service does in the background: loads, commits, compactions, making room in memory.

use std::collections::BTreeSet;

use bytes::Bytes;
use yrelay_core::Millis;
use yrelay_core::event::{Dialect, Input};
use yrelay_core::id::DocumentId;
use yrelay_core::replica::{Compaction, Replica};

use crate::memory::Slot;
use crate::network::{Event, Network};
use crate::service::{Service, Timer};

const COMMIT_MS: Millis = 20;
const RETRY_MS: Millis = 1_000;
const LOAD_MS_MAX: Millis = 40;
pub(crate) const SWEEP_MS: Millis = 5_000;
const IDLE_MS: Millis = 10_000;

impl Service {
    pub(crate) fn load(&mut self, net: &mut Network, id: &DocumentId) {
        let wait = net.random.upto(LOAD_MS_MAX);
        self.after(net, wait, Timer::Loaded(id.clone()));
    }

    pub(crate) fn loaded(&mut self, net: &mut Network, id: &DocumentId) {
        let input = if net.now < self.loads_fail_until {
            Input::LoadFailed
        } else {
            let held = self.disk.held(id);
            if let Some(slot) = self.memory().documents.get_mut(id) {
                slot.appended.merge(&held);
                slot.loaded = true;
            }
            self.disk.load(id)
        };
        let failed = matches!(input, Input::LoadFailed);
        self.input(net, id, input);
        if failed {
            self.drop_document(net, id);
        } else {
            self.memory().stored.remove(id);
        }
        let now = self.now(net);
        self.memory().offers.loaded(now, id, failed);
        self.offer_next(net);
        self.resume(net);
    }

    fn drop_document(&mut self, net: &mut Network, id: &DocumentId) -> Option<Slot> {
        let slot = self.memory().drop_document(net, id);
        self.unwant_line(net, id);
        self.enter_next(net);
        slot
    }

    pub(crate) fn resume(&mut self, net: &mut Network) {
        for end in std::mem::take(&mut self.memory().held_back) {
            net.after(0, Event::Packet(end));
        }
    }

    pub(crate) fn commit_soon(&mut self, net: &mut Network) {
        let wait = if net.now < self.disk.slow_until {
            net.random.upto(3_000)
        } else {
            COMMIT_MS + net.random.upto(5)
        };
        self.commit_after(net, wait);
    }

    fn commit_after(&mut self, net: &mut Network, wait: Millis) {
        if !std::mem::replace(&mut self.memory().commit_due, true) {
            self.after(net, wait, Timer::Commit);
        }
    }

    pub(crate) fn commit(&mut self, net: &mut Network) {
        self.memory().commit_due = false;
        let outcomes = self.disk.commit(net.now);
        self.memory().outcomes.extend(outcomes);
        let wait = net.random.upto(3);
        self.after(net, wait, Timer::News);
        if self.disk.has_work() {
            self.commit_after(net, RETRY_MS);
        }
    }

    pub(crate) fn news(&mut self, net: &mut Network) {
        for (id, outcome) in std::mem::take(&mut self.memory().outcomes) {
            if let Some(seq) = outcome.saved {
                self.input(net, &id, Input::Saved { seq });
            }
            if outcome.failed {
                self.input(net, &id, Input::SaveFailed);
            }
            if let Some(written) = outcome.compacted {
                let compacted =
                    self.memory().documents.get_mut(&id).and_then(|slot| slot.compacted.take());
                let result = compacted.filter(|_| written);
                self.input(net, &id, Input::Compacted { result });
            }
            let unsaved = self.disk.has_unsaved(&id);
            if !unsaved
                && let Some(slot) = self.memory().documents.get_mut(&id)
                && std::mem::take(&mut slot.load_once_saved)
            {
                self.load(net, &id);
            }
        }
        self.resume(net);
    }

    pub(crate) fn compacted(
        &mut self,
        net: &mut Network,
        id: &DocumentId,
        frozen: &Replica,
        upto_seq: u64,
    ) {
        let compacted = frozen.compact_rows(Compaction::Full);
        let (reread, snapshot) = compacted.expect("compaction changes no document");
        let bytes = snapshot.iter().map(Bytes::len).sum();
        if let Some(slot) = self.memory().documents.get_mut(id) {
            slot.compacted = Some((reread, bytes));
            self.disk.compact(id, upto_seq, snapshot);
            self.commit_soon(net);
        }
    }

    /// Documents that nobody uses leave memory.
    pub(crate) fn sweep(&mut self, net: &mut Network) {
        self.after(net, SWEEP_MS, Timer::Sweep);
        self.offer_next(net);
        let now = self.now(net);
        let memory = self.memory();
        let idle = |slot: &Slot| {
            slot.clients.is_empty()
                && slot.used_at + IDLE_MS <= now
                && slot.compacted.is_none()
                && slot.document.can_evict()
        };
        let gone: BTreeSet<DocumentId> = memory
            .documents
            .iter()
            .filter(|(_, slot)| idle(slot))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            net.note(|| format!("{id} leaves memory"));
            let Some(slot) = self.drop_document(net, &id) else { continue };
            if slot.document.is_stored() {
                let unconfirmed = slot.document.is_unconfirmed();
                // (A connection for all that lets in one by one may not have let it in.)
                let is_offered = self.has_lines() || self.dialect() == Dialect::Hocuspocus;
                if unconfirmed && is_offered {
                    self.memory().offers.later(now, &id);
                }
                self.memory().stored.insert(id, unconfirmed);
            }
        }
    }
}
