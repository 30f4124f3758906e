//! The names of things: documents and peers.

use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::limits;

/// What browsers escape in a path, and `%` itself, so that encoding and decoding are inverse.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// The name of one document: 1 to 512 bytes of UTF-8 without control characters, not beginning
/// with `-/` (yrelay's own pages live there). Compared byte for byte; never a file name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(Arc<str>);

/// Why a text is no document identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing is left of the path.
    #[error("missing identifier: connect to ws://HOST:PORT/<identifier>")]
    Missing,
    /// Longer than [`limits::IDENTIFIER_BYTES_MAX`].
    #[error("identifier longer than 512 bytes")]
    TooLong,
    /// The decoded path is not UTF-8.
    #[error("identifier is not valid UTF-8")]
    NotUtf8,
    /// NUL, a line break or the like.
    #[error("identifier holds a control character")]
    ControlCharacter,
    /// The prefix `-/` belongs to yrelay's own pages.
    #[error("identifiers beginning with \"-/\" are reserved")]
    Reserved,
}

impl DocumentId {
    /// Takes a decoded identifier.
    pub fn new(identifier: &str) -> Result<Self, IdError> {
        if identifier.is_empty() {
            return Err(IdError::Missing);
        }
        if identifier.len() > limits::IDENTIFIER_BYTES_MAX {
            return Err(IdError::TooLong);
        }
        if identifier.chars().any(char::is_control) {
            return Err(IdError::ControlCharacter);
        }
        if identifier.starts_with("-/") {
            return Err(IdError::Reserved);
        }
        Ok(Self(identifier.into()))
    }

    /// Takes the path of a request: its first `/` is cut off, the rest percent-decoded once.
    pub fn from_path(path: &str) -> Result<Self, IdError> {
        Self::from_encoded(path.strip_prefix('/').unwrap_or(path))
    }

    /// Takes an identifier as it travels on a link: percent-encoded, perhaps with the query behind
    /// it that the program had in its address.
    pub fn from_encoded(encoded: &str) -> Result<Self, IdError> {
        let encoded = encoded.split('?').next().unwrap_or_default();
        let decoded = percent_decode_str(encoded).decode_utf8().map_err(|_| IdError::NotUtf8)?;
        Self::new(&decoded)
    }

    /// The identifier as people write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The canonical percent-encoded form: what a browser sends for it, and what goes upstream.
    pub fn to_encoded(&self) -> String {
        utf8_percent_encode(&self.0, PATH).to_string()
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Something attached to documents: a local socket, a link, the upstream. Unique for the life
/// of the process; shown in logs as a short number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
