//! What happens to the way to a server, and what is to be done.

use super::{LineAction, LineEvent};
use crate::Millis;
use crate::event::Habit;
use crate::id::DocumentId;

/// What happens to the link.
#[derive(Debug)]
pub enum Event {
    /// The time that was asked for has come (or the process starts).
    Tick,
    /// A client has come to a document: if the upstream is away, now is a time to try.
    ClientCame,
    /// The machine has slept: whatever connection there was, the network has forgotten it.
    Woke,
    /// Another login is there: if the last one was refused, now is a time to try.
    LoginChanged,
    /// The connection stands.
    Connected,
    /// An attempt to connect failed.
    Failed {
        /// Which kind of failure.
        failure: Failure,
        /// In words.
        reason: String,
    },
    /// The connection ended.
    Closed {
        /// The close code that the server sent, if it sent one.
        code: Option<u16>,
        /// In words.
        reason: String,
    },
    /// The server has ended a connection that no document made use of, for that reason.
    Unneeded,
    /// A document is to be attached, and no connection stands.
    Wanted,
    /// A document has found out how the server treats a step 1.
    Habit(Habit),
    /// The server does not take a document.
    Refused {
        /// Which.
        document: DocumentId,
        /// Why, in words.
        reason: String,
    },
    /// The server has closed a document, and may take it again.
    LetGo {
        /// Which.
        document: DocumentId,
        /// Why, in words.
        reason: String,
    },
    /// A document has something to send.
    Ready {
        /// Which.
        document: DocumentId,
        /// Somebody here has it open.
        open: bool,
    },
    /// The connection can take one more message.
    Room,
    /// Something happens to one document's connection, where each has its own.
    Line {
        /// Whose.
        document: DocumentId,
        /// What.
        event: LineEvent,
    },
}

/// What the link wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection. One that stands, and an attempt under way, are dropped.
    Connect,
    /// The link is up: attach the documents.
    Attach,
    /// The link is down: detach the documents.
    Detach,
    /// Let this document send its next message.
    Pull {
        /// Which.
        document: DocumentId,
    },
    /// Keep this document off the link.
    Park {
        /// Which.
        document: DocumentId,
    },
    /// This one may try again.
    Unpark {
        /// Which.
        document: DocumentId,
    },
    /// Something is to be done with one document's connection, where each has its own.
    Line {
        /// Whose.
        document: DocumentId,
        /// What.
        action: LineAction,
    },
    /// Tick at this time. An earlier or superfluous one does no harm.
    WakeAt {
        /// When.
        at: Millis,
    },
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nobody there, or it hangs up: worth another try soon.
    Unreachable,
    /// It is busy and says when to come back.
    Busy {
        /// After so long, or a little later.
        retry_after_ms: Millis,
    },
    /// It wants a login, or refuses ours: not before something changes, or 5 minutes.
    Unauthorized,
    /// It does not take this document, or says not to come back.
    Refused,
}

/// How the link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// No document needs a connection.
    Idle,
    /// A connection is being opened.
    Connecting,
    /// The connection stands.
    Online,
    /// No connection.
    Offline {
        /// When the next attempt is due.
        next_try: Millis,
    },
    /// The server does not let us in.
    Unauthorized {
        /// When the next attempt is due.
        next_try: Millis,
    },
}
