//! What no sound server sends.

use bytes::Bytes;
use yrelay_core::event::Dialect;
use yrelay_core::hocuspocus::{self, Message};
use yrelay_core::{link, wire};

use crate::server::Mode;

/// A kind of frame that is to be refused, and to change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Garbage {
    /// Empty, or of another protocol.
    Empty,
    NoPrefix,
    /// A prefix that ends in the middle of the name, or whose name is no text.
    CutName,
    NoText,
    /// A sound message of a document that nobody has asked for.
    Stranger,
    /// Of a known document: nothing, no sync message, no update, a message cut short.
    NoMessage,
    UnknownSync,
    NoUpdate,
    CutUpdate,
    CutVector,
    CutAwareness,
    /// Updates that Yjs does not take, and that readers have fallen ill of: a client with two
    /// sections, a text that is announced and does not come.
    TwoSections,
    NoContent,
    /// Of a known document, well framed, but of a type that nobody knows.
    UnknownType,
    /// Of Hocuspocus: a denial of what nobody has asked for, half a denial, and a word about
    /// letting in that nobody knows.
    StrangerDenied,
    CutDenial,
    UnknownAuth,
}

/// What is to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Refused by the link, before any document sees it.
    Frame,
    /// It belongs to no document here.
    Stranger,
    /// Refused by its document.
    Rejected,
    /// Ignored by its document.
    Ignored,
}

/// One text item of five letters.
const UPDATE: &[u8] =
    &[1, 1, 7, 0, 4, 1, 4, b't', b'e', b'x', b't', 5, b'h', b'e', b'l', b'l', b'o', 0];

const TWO_SECTIONS: &[u8] =
    &[2, 2, 1, 0, 7, 1, 1, 0x61, 0, 1, 2, 0, 1, 7, 1, 1, 0x61, 0, 9, 0, 1, 0, 3];
const NO_CONTENT: &[u8] = &[1, 1, 0x6d, 1, 2, 0, 0x27, 2, 1, 0x6d, 1, 0x6e, 1, 0x28, 0, 3];

impl Garbage {
    pub(crate) const ALL: [Self; 14] = [
        Self::Empty,
        Self::NoPrefix,
        Self::CutName,
        Self::NoText,
        Self::Stranger,
        Self::NoMessage,
        Self::UnknownSync,
        Self::NoUpdate,
        Self::CutUpdate,
        Self::CutVector,
        Self::CutAwareness,
        Self::TwoSections,
        Self::NoContent,
        Self::UnknownType,
    ];

    /// Those that a client can say of its document.
    pub(crate) const MESSAGES: &[Self] = Self::ALL.split_at(5).1;

    /// What a server of this kind may send.
    pub(crate) fn of(server: Option<Mode>) -> Vec<Self> {
        match server {
            Some(server) if server.has_lines() => Self::MESSAGES.to_vec(),
            Some(server) if server.dialect() == Dialect::Hocuspocus => {
                let own = [Self::StrangerDenied, Self::CutDenial, Self::UnknownAuth];
                [&Self::ALL[..], &own].concat()
            }
            _ => Self::ALL.to_vec(),
        }
    }

    /// The frame, where `name` is a document that is known.
    pub(crate) fn frame(self, dialect: Dialect, name: &str) -> Bytes {
        let prefix = match dialect {
            Dialect::Hocuspocus => hocuspocus::prefix,
            _ => link::prefix,
        };
        let known = |message: &[u8]| [&prefix(name)[..], message].concat();
        let stranger = |message: &[u8]| [&prefix("nobody")[..], message].concat();
        let short = |message: Bytes| known(&message[..message.len() - 1]);
        let frame = match self {
            Self::Empty => Vec::new(),
            Self::NoPrefix => b"HTTP/1.1 400 Bad Request".to_vec(),
            Self::CutName => prefix("notes")[..prefix("").len() + 2].to_vec(),
            Self::NoText => no_text(&prefix("no")),
            Self::Stranger => stranger(&wire::update(UPDATE)),
            Self::NoMessage => known(&[]),
            Self::UnknownSync => known(&[0, 7, 1, 0]),
            Self::NoUpdate => known(&wire::update(&[9, 9, 9])),
            Self::CutUpdate => short(wire::update(UPDATE)),
            Self::CutVector => known(&wire::sync_step1(&[3, 1])),
            Self::CutAwareness => known(&wire::awareness(&[2, 1, 1])),
            Self::TwoSections => known(&wire::update(TWO_SECTIONS)),
            Self::NoContent => known(&wire::update(NO_CONTENT)),
            Self::UnknownType => known(&[77, 1, 2, 3]),
            Self::StrangerDenied => stranger(&hocuspocus::denied("no")),
            Self::CutDenial => short(hocuspocus::denied("no")),
            Self::UnknownAuth => known(&[2, 9]),
        };
        frame.into()
    }

    /// The message in it.
    pub(crate) fn message(self) -> Bytes {
        let frame = self.frame(Dialect::Elva, "");
        link::decode(&frame).expect("it is of a document").1
    }

    /// What becomes of such a frame.
    pub(crate) fn fate(dialect: Dialect, frame: &Bytes) -> Fate {
        if dialect == Dialect::Hocuspocus {
            let Ok(parts) = hocuspocus::split(frame) else { return Fate::Frame };
            return match hocuspocus::decode(&parts.message) {
                _ if parts.name == "nobody" => Fate::Stranger,
                Ok(Message::Yjs(_)) => Fate::Rejected,
                _ => Fate::Frame,
            };
        }
        let Ok((name, message)) = link::decode(frame) else { return Fate::Frame };
        match message.first() {
            _ if name == "nobody" => Fate::Stranger,
            Some(77) => Fate::Ignored,
            _ => Fate::Rejected,
        }
    }
}

/// A sound name of two letters, and a message, without the letters.
fn no_text(prefix: &[u8]) -> Vec<u8> {
    let at = prefix.len() - 2;
    [&prefix[..at], &[0xff, 0xfe], &wire::sync_step1(&[0])].concat()
}

#[cfg(test)]
mod tests {
    use yrelay_core::update::Update;

    use super::*;

    #[test]
    fn what_is_cut_short_would_be_sound_otherwise() {
        assert!(Update::parse(Bytes::from_static(UPDATE)).is_ok());
        for unsound in [&[9, 9, 9], TWO_SECTIONS, NO_CONTENT] {
            assert!(Update::parse(Bytes::from_static(unsound)).is_err());
        }
    }
}
