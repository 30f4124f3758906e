//! What happens to a document, and what it wants done.

use std::sync::Arc;

use bytes::Bytes;

use crate::Millis;
use crate::close::CloseReason;
use crate::history::History;
use crate::id::PeerId;
use crate::log::LogSize;
use crate::replica::{Pending, Replica};
use crate::update::Update;

/// What happens to a document.
#[derive(Debug)]
pub enum Input {
    /// The store has it all (or has nothing of it: an empty replica).
    Loaded {
        /// What is stored.
        replica: Box<Replica>,
        /// How it is stored.
        log: LogSize,
        /// The last rows of the log, oldest first.
        tail: Vec<Update>,
        /// Frames, if it is encrypted, oldest first, and whether they were written below us.
        frames: Vec<(Bytes, bool)>,
        /// The upstream has not confirmed all of it.
        unconfirmed: bool,
        /// What is remembered of its histories.
        history: History,
    },
    /// The store could not load it. Never taken for an empty document.
    LoadFailed,
    /// A client is here.
    Attach {
        /// Its number.
        peer: PeerId,
    },
    /// A relay below has this document open, on a link that carries many.
    AttachLink {
        /// Its number.
        peer: PeerId,
        /// How it speaks.
        dialect: Dialect,
    },
    /// The upstream link is up.
    AttachUpstream {
        /// Its number: a new one for each time.
        peer: PeerId,
        /// What is known of it already.
        habit: Habit,
        /// How it speaks.
        dialect: Dialect,
    },
    /// The upstream has another history: all that it holds is to be told ([`Output::Theirs`]).
    AskForTheirs,
    /// Somebody has decided that its history and ours are to be merged: it is attached anew next.
    Merge,
    /// The upstream has said what we may do.
    Granted {
        /// Its number.
        peer: PeerId,
        /// Nothing but read.
        read_only: bool,
    },
    /// A peer sent a frame.
    Frame {
        /// From whom.
        peer: PeerId,
        /// The frame, without a link's prefix.
        bytes: Bytes,
    },
    /// A peer is gone.
    Detach {
        /// Its number.
        peer: PeerId,
    },
    /// A peer that was [`Output::Ready`] has room for one message.
    Room {
        /// Its number.
        peer: PeerId,
        /// About so large may a part of a document in it be.
        bytes_max: usize,
    },
    /// All appended up to here is on disk.
    Saved {
        /// Sequence number.
        seq: u64,
    },
    /// Saving failed; the store keeps what it has and tries again.
    SaveFailed,
    /// Another document has found that the upstream has lost something ([`Output::Lost`]).
    Lost,
    /// A compaction has ended.
    Compacted {
        /// The compacted replica and the bytes of its rows; `None` if it came to nothing.
        result: Option<(Box<Replica>, usize)>,
    },
    /// The time that was asked for has come.
    Tick,
    /// The process stops: whoever was announced from here is withdrawn.
    Stop,
}

/// What a document wants done.
#[derive(Debug)]
pub enum Output {
    /// Send to each of `to` but `except`.
    Broadcast {
        /// Clients.
        to: Arc<[PeerId]>,
        /// The author.
        except: Option<PeerId>,
        /// One frame.
        bytes: Bytes,
    },
    /// Send to one peer.
    Send {
        /// To whom.
        peer: PeerId,
        /// One frame, without a link's prefix.
        bytes: Bytes,
    },
    /// There is something for this peer: give it [`Input::Room`] when it has room.
    Ready {
        /// For whom.
        peer: PeerId,
    },
    /// Save an update.
    Append {
        /// Its place, one after the last.
        seq: u64,
        /// What to save.
        update: Bytes,
        /// Written below us: the upstream does not hold it yet.
        local: bool,
    },
    /// Save a frame of an encrypted document. An empty one says that no more are kept.
    AppendFrame {
        /// Its place, one after the last.
        seq: u64,
        /// What to save.
        frame: Bytes,
        /// Written below us: the upstream does not hold it yet.
        local: bool,
    },
    /// No more frames of this encrypted document are kept: there are too many. Said once.
    ArchiveFull,
    /// The upstream has proved that it holds everything up to here.
    Confirmed {
        /// Sequence number.
        seq: u64,
    },
    /// What this document has found out about the upstream, for those that are attached later.
    Habit(Habit),
    /// The upstream lacks something of what it had. So it may of other documents.
    Lost,
    /// The upstream shows somebody who is gone, for as long as the document is open there: it is to
    /// be left, and attached anew.
    Reopen,
    /// The upstream has another history of this document: nothing goes up or comes down before
    /// somebody decides.
    Diverged,
    /// What it holds, as it was asked for.
    Theirs {
        /// All of it.
        update: Bytes,
    },
    /// Remember this.
    History {
        /// In place of what was remembered.
        history: History,
    },
    /// Compact this, elsewhere, and replace all rows up to `upto_seq` by the result.
    Compact {
        /// The replica as it is now.
        frozen: Box<Replica>,
        /// The last row it holds.
        upto_seq: u64,
    },
    /// Send a peer away. It is detached already.
    Close {
        /// Whom.
        peer: PeerId,
        /// Why.
        reason: CloseReason,
    },
    /// A message of the upstream was refused. Its connection carries other documents and stays.
    Rejected {
        /// Whose.
        peer: PeerId,
        /// Why.
        reason: CloseReason,
    },
    /// As much as may stands beyond gaps: what this peer sent of such was not taken, and it is
    /// asked for that once there is place. Said once until then.
    LeftOut {
        /// Whose.
        peer: PeerId,
        /// What is held of such.
        pending: Pending,
    },
    /// The upstream does not take this document.
    Refused {
        /// Why, in words.
        reason: String,
    },
    /// A well-framed message of an unknown type was ignored, with the rest of its frame.
    Ignored {
        /// Whose.
        peer: PeerId,
        /// The type.
        kind: u64,
    },
    /// Give it [`Input::Tick`] at this time. An earlier or superfluous one does no harm.
    WakeAt {
        /// When.
        at: Millis,
    },
}

/// How the other end speaks, above or on a link below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dialect {
    /// ELVA's, as of 0.33.
    #[default]
    Elva,
    /// `yrelay.1` ([`crate::fellow`]).
    Own,
    /// Plain Yjs, as y-websocket's server and ELVA 0.37's.
    Yjs,
    /// Plain Yjs, as y-sweet: it sends a sync status back.
    YSweet,
    /// Hocuspocus, as of version 2.
    Hocuspocus,
}

impl Dialect {
    /// Whether its server takes client ids of 2^32 and above for others: content under such ids
    /// would come back from it a second time.
    pub(crate) fn garbles_wide_ids(self) -> bool {
        matches!(self, Self::Elva | Self::YSweet)
    }

    /// Whether awareness that comes from above is a sign of a server that keeps nothing.
    pub(crate) fn keepers_drop_awareness(self) -> bool {
        self == Self::Elva
    }

    /// Whether a server may only pass on, and what it passes on looks like what one says that keeps.
    pub(crate) fn passes_on_alike(self) -> bool {
        self == Self::Yjs
    }

    /// Whether a server that keeps documents may begin with a step 1 of its own; then it sends no
    /// other.
    pub(crate) fn may_greet(self) -> bool {
        matches!(self, Self::Yjs | Self::YSweet)
    }

    /// Whether each step 1 is answered by a step 1 and a step 2, in this order.
    pub(crate) fn answers_with_step_1(self) -> bool {
        self == Self::Hocuspocus
    }
}

/// How an upstream treats a step 1, as far as is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Habit {
    /// Nothing is known.
    #[default]
    Unknown,
    /// It answers as a server does that keeps documents.
    Keeps,
    /// It does not answer.
    Silent,
}

/// Why a document does not go up though the upstream is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// It would double content under wide client ids.
    WideIds,
    /// It lets us read only.
    ReadOnly,
    /// It has another history of the document.
    Diverged,
    /// It is encrypted, and the server takes nothing that it cannot read.
    Encrypted,
}

/// How a document stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Attached clients.
    pub clients: usize,
    /// Attached links below.
    pub links: usize,
    /// All of it is on disk.
    pub saved: bool,
    /// The store failed to save it at the last attempt.
    pub failing: bool,
    /// The upstream has proved that it holds it all; `None` where it can prove nothing.
    pub confirmed: Option<bool>,
    /// Whoever is above the upstream, to the top, has confirmed it all as well.
    pub above: bool,
    /// All of it went up the present link.
    pub sent: bool,
    /// Kept from the upstream, and why.
    pub withheld: Option<Withheld>,
    /// Something is missing before some of what is held; or it is encrypted, and no more of its
    /// frames are kept.
    pub incomplete: bool,
    /// End-to-end encrypted: relayed unread, its frames kept as they are.
    pub opaque: bool,
    /// Bytes of the replica, or of the frames.
    pub bytes: usize,
}
