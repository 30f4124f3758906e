//! A connected client, as the service sees it.

use bytes::Bytes;
use yrelay_core::id::DocumentId;
use yrelay_core::replica::Want;
use yrelay_core::update::Update;
use yrelay_core::wire::{self, Message};

use crate::disk::Disk;
use crate::network::End;

pub(crate) struct Peer {
    pub(crate) end: End,
    pub(crate) document: DocumentId,
    /// The id under which it writes, and what of it came over this connection.
    pub(crate) author: u64,
    pub(crate) wrote: Want,
}

impl Peer {
    /// It sends this, where somebody else may have brought the same before.
    pub(crate) fn note_written(&mut self, frame: &Bytes, known: &Want) {
        let (Some(update), _) = update_in(frame) else { return };
        let mut news = Want::of(&update);
        news.subtract(known);
        for range in news.structs.ranges(self.author) {
            self.wrote.structs.insert(self.author, range);
        }
        self.wrote.deletes.merge(&news.deletes);
    }

    /// What an author gets back of its own is on the disk: to it, that is the acknowledgement.
    /// (Somebody else may bring it, too: after a crash, say. The relay cannot know whose it is.)
    pub(crate) fn assert_committed(&self, disk: &Disk, frame: &Bytes) {
        let (Some(update), answers) = update_in(frame) else { return };
        let told = Want::of(&update);
        let structs = told.structs.intersection(&self.wrote.structs);
        let deletes = told.deletes.intersection(&self.wrote.deletes);
        if structs.is_empty() && deletes.is_empty() {
            return;
        }
        let held = disk.held(&self.document);
        // (Two may delete the same; the other's deletion is passed on at once.)
        assert!(
            held.structs.contains_all(&structs)
                && (!answers || held.deletes.contains_all(&deletes)),
            "{}: {structs:?} {deletes:?} went back to its author before it was saved",
            self.document
        );
    }
}

/// The update in a message, and whether it is a step 2.
fn update_in(frame: &Bytes) -> (Option<Update>, bool) {
    let parse = |update| Update::parse(update).expect("everybody sends what parses");
    match wire::messages(frame).next() {
        Some(Ok(Message::SyncStep2(update))) => (Some(parse(update)), true),
        Some(Ok(Message::Update { update, .. })) => (Some(parse(update)), false),
        _ => (None, false),
    }
}
