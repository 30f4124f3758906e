//! One client of a document: how far its conversation has come.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::log::ENTRY_BYTES;
use crate::opening::Opening;
use crate::replica::{Applied, Want};
use crate::state_vector::StateVector;
use crate::{Millis, limits};

/// How a peer is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A program on its own WebSocket, speaking plain Yjs.
    Client,
    /// A relay below, on a connection that carries many documents.
    Link,
    /// The remote server.
    Upstream,
}

/// One attached client.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stage: Stage,
    /// What its last step 1 showed to be missing and has not been sent yet.
    pub(crate) want: Want,
    /// What it wrote that is not saved yet. It is not sent that before: to see its own changes
    /// come back is how it knows that they are saved.
    pub(crate) unsaved: Want,
    /// What it is to be told of that once it has room.
    pub(crate) acks: Acks,
    /// When it was last sent anything.
    pub(crate) heard_at: Millis,
    /// When it was last asked to close a gap.
    pub(crate) asked_at: Option<Millis>,
    /// How it opens an encrypted document.
    pub(crate) opening: Opening,
    /// It announced awareness beyond the limits before.
    pub(crate) warned: bool,
}

/// Messages that say that something is saved, and wait to be sent.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    queue: VecDeque<Bytes>,
    bytes: usize,
}

impl Acks {
    /// What a message takes, its entry in a queue counted.
    pub(crate) fn cost(message: &Bytes) -> usize {
        message.len() + ENTRY_BYTES
    }

    pub(crate) fn push(&mut self, message: Bytes) {
        self.bytes += Self::cost(&message);
        self.queue.push_back(message);
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let message = self.queue.pop_front()?;
        self.bytes -= Self::cost(&message);
        Some(message)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether its client writes on and leaves unread what that comes to.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= limits::ACKS_BYTES_MAX
    }
}

/// The stages of a client. Live updates reach it from [`Stage::Live`] on, so that nothing it is
/// sent overlaps the answer to its step 1.
#[derive(Debug)]
pub(crate) enum Stage {
    /// It has not asked yet.
    Joining {
        /// From when on it gets live updates even so.
        live_at: Millis,
    },
    /// Its step 1 waits for the upstream's answer. What comes meanwhile is sent as updates.
    Waiting {
        /// How long at most.
        until: Millis,
        /// What it holds.
        holds: StateVector,
    },
    /// The answer to its step 1 is under way, in pieces.
    Answering {
        /// Its step 2 has been sent; what remains stands beyond gaps.
        complete: bool,
    },
    /// It is being sent what is kept of an encrypted document.
    Replaying {
        /// The place of the next frame.
        next: usize,
    },
    /// It is up to date and stays so.
    Live,
}

impl Peer {
    pub(crate) fn new(now: Millis, live_at: Millis) -> Self {
        Self {
            stage: Stage::Joining { live_at },
            want: Want::default(),
            unsaved: Want::default(),
            acks: Acks::default(),
            heard_at: now,
            asked_at: None,
            opening: Opening::new(now),
            warned: false,
        }
    }

    /// Notes somebody else's news where it is not live. Returns whether it now waits for room.
    pub(crate) fn lacks(&mut self, news: &Applied) -> bool {
        let idle = self.want.is_empty();
        match &self.stage {
            Stage::Joining { .. } | Stage::Replaying { .. } | Stage::Live => return false,
            Stage::Waiting { holds, .. } => {
                for (client, range) in news.structs.iter() {
                    let lacked = range.start.max(holds.get(client))..range.end;
                    self.want.structs.insert(client, lacked);
                }
            }
            Stage::Answering { .. } => self.want.structs.merge(&news.structs),
        }
        self.want.deletes.merge(&news.deletes);
        idle && !self.want.is_empty()
    }

    /// Whether it still opens an encrypted document, and is told nothing.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.stage, Stage::Replaying { .. }) && !self.opening.may_be_told()
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live)
    }
}
