//! One client of a document: how far its conversation has come.

use crate::Millis;
use crate::replica::Want;
use crate::state_vector::StateVector;

/// How a peer is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A program on its own WebSocket, speaking plain Yjs.
    Client,
    /// The remote server.
    Upstream,
}

/// One attached client.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stage: Stage,
    /// What its last step 1 showed to be missing and has not been sent yet.
    pub(crate) want: Want,
    /// When it was last sent anything.
    pub(crate) heard_at: Millis,
    /// When it was last asked to close a gap.
    pub(crate) asked_at: Option<Millis>,
    /// It announced awareness beyond the limits before.
    pub(crate) warned: bool,
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
    /// Its step 1 waits for the upstream's answer.
    Waiting {
        /// How long at most.
        until: Millis,
        /// What it holds.
        holds: StateVector,
        /// What it has written since.
        wrote: Want,
    },
    /// The answer to its step 1 is under way, in pieces.
    Answering {
        /// Its step 2 has been sent; what remains stands beyond gaps.
        complete: bool,
    },
    /// It is up to date and stays so.
    Live,
}

impl Peer {
    pub(crate) fn new(now: Millis, live_at: Millis) -> Self {
        Self {
            stage: Stage::Joining { live_at },
            want: Want::default(),
            heard_at: now,
            asked_at: None,
            warned: false,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live)
    }
}
