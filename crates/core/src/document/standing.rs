//! How a document stands.

use super::{Document, Kind, Phase};
use crate::downlink::Downlink;
use crate::event::{Standing, Withheld};
use crate::history::History;
use crate::uplink::Uplink;

impl Document {
    /// Whether it may leave memory: nobody is here and all of it is saved.
    pub fn can_evict(&self) -> bool {
        let proves = |up: &Uplink| (self.kind != Kind::Opaque || up.is_fellow()) && up.may_prove();
        let waits_for_proof =
            |up: &Uplink| proves(up) && (self.unconfirmed || up.waits_for_answer());
        matches!(self.phase, Phase::Loaded)
            && self.clients.is_empty()
            && self.links.values().all(Downlink::is_idle)
            && self.log.is_saved()
            && !self.log.is_compacting()
            && self.uplink.as_ref().is_none_or(|up| up.is_idle() && !waits_for_proof(up))
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        let opaque = self.kind == Kind::Opaque;
        // What is encrypted only another yrelay confirms.
        let confirms = |up: &Uplink| up.proves() && (!opaque || up.is_fellow());
        let proves = self.uplink.as_ref().is_none_or(confirms);
        let full = self.archive.has_ended();
        let holds_back = self.clients.values().any(|client| client.opening.holds_back());
        let incomplete = self.replica.is_incomplete() || full;
        let is_sent = |up: &Uplink| if opaque { up.frames.is_empty() } else { up.is_sent() };
        Standing {
            clients: self.clients.len(),
            links: self.links.len(),
            saved: matches!(self.phase, Phase::Loaded)
                && self.log.is_saved()
                && !full
                && !holds_back,
            failing: self.log.is_failing(),
            confirmed: proves.then_some(!self.unconfirmed && !incomplete),
            above: self.has_above(),
            sent: self.uplink.as_ref().is_some_and(is_sent),
            withheld: self.withheld(),
            incomplete,
            opaque,
            bytes: self.replica.bytes() + self.archive.bytes(),
        }
    }

    /// Whether the upstream has not confirmed all of it.
    pub fn is_unconfirmed(&self) -> bool {
        self.unconfirmed
    }

    /// What is remembered of its histories.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Whether the store has anything of it.
    pub fn is_stored(&self) -> bool {
        self.log.last_seq() > 0
    }

    /// Why it does not go up, though the upstream is there.
    fn withheld(&self) -> Option<Withheld> {
        let uplink = self.uplink.as_ref()?;
        match self.kind == Kind::Opaque && !uplink.carries_frames() {
            true => Some(Withheld::Encrypted),
            false => uplink.withheld(),
        }
    }
}
