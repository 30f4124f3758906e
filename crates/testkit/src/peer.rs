//! A connected client, as the service sees it.

use bytes::Bytes;
use yrelay_core::id::DocumentId;
use yrelay_core::id_set::IdSet;
use yrelay_core::update::Update;
use yrelay_core::wire::{self, Message};

use crate::disk::Disk;
use crate::network::End;

pub(crate) struct Peer {
    pub(crate) end: End,
    pub(crate) document: DocumentId,
    /// The id under which it writes, and what of it came over this connection.
    pub(crate) author: u64,
    pub(crate) wrote: IdSet,
}

impl Peer {
    pub(crate) fn note_written(&mut self, frame: &Bytes) {
        let structs = structs_of(frame).unwrap_or_default();
        for range in structs.ranges(self.author) {
            self.wrote.insert(self.author, range);
        }
    }

    /// What an author gets back of its own is on the disk: to it, that is the acknowledgement.
    /// (Somebody else may bring it, too: after a crash, say. The relay cannot know whose it is.)
    pub(crate) fn assert_committed(&self, disk: &Disk, frame: &Bytes) {
        let Some(structs) = structs_of(frame) else { return };
        let own = structs.intersection(&self.wrote);
        assert!(
            own.is_empty() || disk.held(&self.document).structs.contains_all(&own),
            "{}: {own:?} went back to its author before it was saved",
            self.document
        );
    }
}

/// The structs that a message brings.
fn structs_of(frame: &Bytes) -> Option<IdSet> {
    match wire::messages(frame).next() {
        Some(Ok(Message::SyncStep2(update) | Message::Update { update, .. })) => {
            Some(Update::parse(update).expect("everybody sends what parses").structs())
        }
        _ => None,
    }
}
