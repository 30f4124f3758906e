//! The conversation with another yrelay above, which says when all is saved.

use super::{Stage, Uplink};
use crate::replica::Want;

/// The word that all is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receipt {
    /// It has come, for this version.
    Here(u64),
    /// It is to be asked for, once all is sent.
    Due,
    /// It was asked for; something else may have changed since.
    Asked { version: u64, more: bool },
}

impl Receipt {
    /// Something has changed.
    pub(super) fn is_outdated(&mut self) {
        *self = match *self {
            Self::Asked { version, .. } => Self::Asked { version, more: true },
            Self::Here(_) | Self::Due => Self::Due,
        };
    }
}

impl Uplink {
    /// A yrelay has said what it holds, which lacks this of what we hold.
    pub(crate) fn have(&mut self, lacks: Want) {
        // Unasked: it has begun anew, or misses something, and is to know what we hold.
        self.ask |= self.stage == Stage::Live;
        self.flow.set(lacks, true);
        self.stage = Stage::Live;
        self.trusted = true;
        self.receipt = Receipt::Due;
    }

    /// A yrelay has said which frames of an encrypted document it keeps.
    pub(crate) fn keeps_frames(&mut self) {
        (self.answered, self.trusted) = (true, true);
        self.stage = Stage::Live;
        self.receipt = Receipt::Due;
    }

    /// There is more to be saved there than was asked about.
    pub(crate) fn has_news(&mut self) {
        self.receipt.is_outdated();
    }

    /// All is saved there that came before the question with this version. Returns whether that is
    /// all there is; nothing if nobody has asked, as when the document was another one then.
    pub(crate) fn saved(&mut self, version: u64) -> Option<bool> {
        match self.receipt {
            Receipt::Asked { version: asked, more } if asked == version => {
                self.receipt = if more { Receipt::Due } else { Receipt::Here(version) };
                Some(!more)
            }
            // Once more, as those above it now have all.
            Receipt::Here(had) if had == version => Some(true),
            Receipt::Here(_) | Receipt::Asked { .. } | Receipt::Due => None,
        }
    }
}
