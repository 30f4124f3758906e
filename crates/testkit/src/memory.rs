//! What a service holds in memory.

use std::collections::{BTreeMap, BTreeSet};

use yrelay_core::Millis;
use yrelay_core::document::Document;
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::offers::Offers;
use yrelay_core::replica::{Replica, Want};

use crate::below::Below;
use crate::disk::Outcome;
use crate::link::Link;
use crate::network::{End, Network};
use crate::peer::Peer;

pub(crate) struct Memory {
    pub(crate) documents: BTreeMap<DocumentId, Slot>,
    /// Documents that are only on the disk, and whether they are unconfirmed.
    pub(crate) stored: BTreeMap<DocumentId, bool>,
    pub(crate) link: Option<Link>,
    pub(crate) below: Below,
    pub(crate) clients: BTreeMap<PeerId, Peer>,
    /// Those that have lied, until they are sent away.
    pub(crate) liars: BTreeSet<PeerId>,
    pub(crate) offers: Offers,
    pub(crate) peers: u64,
    pub(crate) outcomes: Vec<(DocumentId, Outcome)>,
    /// Packets that wait until a document takes input.
    pub(crate) held_back: Vec<End>,
    pub(crate) commit_due: bool,
}

pub(crate) struct Slot {
    pub(crate) document: Document,
    pub(crate) clients: Vec<PeerId>,
    pub(crate) used_at: Millis,
    pub(crate) load_once_saved: bool,
    pub(crate) compacted: Option<(Box<Replica>, usize)>,
    pub(crate) loaded: bool,
    /// All that was ever appended or loaded.
    pub(crate) appended: Want,
    /// Of that, what was written here or below.
    pub(crate) local: Want,
    /// Garbage that waits for it to be loaded.
    pub(crate) garbage: usize,
}

impl Memory {
    pub(crate) fn drop_document(&mut self, net: &mut Network, id: &DocumentId) -> Option<Slot> {
        if let Some(link) = &mut self.link {
            link.forget(net, id);
        }
        self.documents.remove(id)
    }

    pub(crate) fn is_upstream(&self, peer: PeerId) -> bool {
        self.link.as_ref().is_some_and(|link| link.is_peer(peer))
    }
}
