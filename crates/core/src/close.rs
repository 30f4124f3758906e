//! Why a peer is sent away.

use std::fmt;

use crate::decode::DecodeError;
use crate::limits;

/// Why a peer's connection ends: each maps to one WebSocket close code and one metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// A text frame: all protocols here are binary.
    TextFrame,
    /// Bytes that do not parse.
    Malformed(DecodeError),
    /// Awareness beyond its bounds, repeatedly.
    AwarenessLimits,
    /// A message beyond the size limit.
    TooBig,
    /// It does not read fast enough: its queue is full. Everything it misses is in its next sync.
    TooSlow,
    /// Frames of a link got lost on the way.
    FramesLost,
    /// A link that has joined more documents than one may.
    TooManyDocuments,
    /// The document could not be loaded from the store.
    LoadFailed,
    /// Too much of the document waits to be saved.
    Unsaved,
    /// Too many changes wait for the upstream of a document that cannot be resynced.
    Backlogged,
    /// The upstream is back, and nobody but its clients knows what an encrypted document missed:
    /// when they return, they exchange all they have.
    Resync,
    /// A fault of our own in this document.
    Internal,
    /// The document was deleted here.
    Deleted,
    /// It was replaced by what the upstream has, and this peer brings what was given up.
    Replaced,
    /// yrelay is stopping.
    GoingAway,
}

impl CloseReason {
    /// The WebSocket close code (RFC 6455, 7.4).
    pub fn code(self) -> u16 {
        match self {
            Self::TextFrame => 1003,
            Self::Malformed(_) => 1007,
            Self::AwarenessLimits | Self::TooManyDocuments => 1008,
            Self::TooBig => 1009,
            Self::TooSlow | Self::LoadFailed | Self::Unsaved | Self::Backlogged => 1013,
            Self::Internal => 1011,
            Self::Resync => 1012,
            // y-websocket does not come back after it, and so does not bring the document back.
            Self::Deleted => 4404,
            Self::Replaced => 4409,
            Self::GoingAway => 1001,
            Self::FramesLost => 4500,
        }
    }

    /// Whether the peer's own bytes are the reason: coming back with the same bytes is futile.
    pub fn is_peers_fault(self) -> bool {
        matches!(self, Self::TextFrame | Self::Malformed(_) | Self::AwarenessLimits | Self::TooBig)
    }

    /// The label of this reason in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::TextFrame => "text_frame",
            Self::Malformed(_) => "malformed",
            Self::AwarenessLimits => "awareness_limits",
            Self::TooBig => "too_big",
            Self::TooSlow => "too_slow",
            Self::FramesLost => "frames_lost",
            Self::TooManyDocuments => "too_many_documents",
            Self::LoadFailed => "load_failed",
            Self::Unsaved => "unsaved",
            Self::Backlogged => "backlogged",
            Self::Internal => "internal",
            Self::Resync => "resync",
            Self::Deleted => "deleted",
            Self::Replaced => "replaced",
            Self::GoingAway => "going_away",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TextFrame => f.write_str("text frame: send binary frames"),
            Self::Malformed(error) => write!(f, "malformed message: {error}"),
            Self::AwarenessLimits => write!(
                f,
                "awareness beyond {} bytes or {} levels a state, {} ids or {} bytes in all",
                limits::AWARENESS_STATE_BYTES_MAX,
                limits::AWARENESS_DEPTH_MAX,
                limits::AWARENESS_IDS_PER_PEER_MAX,
                limits::AWARENESS_BYTES_MAX,
            ),
            Self::TooBig => f.write_str("message too big"),
            Self::TooSlow => write!(
                f,
                "reading too slowly, {} frames, {} bytes or {} of acknowledgements wait: reconnect",
                limits::OPAQUE_FRAMES_MAX,
                limits::OPAQUE_BYTES_MAX,
                limits::ACKS_BYTES_MAX,
            ),
            Self::FramesLost => f.write_str("frames were lost on the way: reconnect"),
            Self::TooManyDocuments => f.write_str("too many documents on one connection"),
            Self::LoadFailed => f.write_str("the document could not be loaded: try again later"),
            Self::Unsaved => write!(
                f,
                "{} bytes of changes cannot be saved at the moment: try again later",
                limits::UNSAVED_BYTES_PER_DOCUMENT_MAX,
            ),
            Self::Backlogged => write!(
                f,
                "the upstream is not keeping up, {} frames or {} bytes wait: try again later",
                limits::OPAQUE_FRAMES_MAX,
                limits::OPAQUE_BYTES_MAX,
            ),
            Self::Internal => f.write_str("internal error: reconnect"),
            Self::Resync => f.write_str("the upstream is back: reconnect to catch up"),
            Self::Deleted => f.write_str("the document was deleted"),
            Self::Replaced => f.write_str(
                "the document was replaced by what the server has: reload it, and do not bring \
                 back what you have of it",
            ),
            Self::GoingAway => f.write_str("shutting down"),
        }
    }
}
