//! Multiplexed frames: one connection carries many documents, each frame one message of one.
//!
//! ELVA's layout: `02 00`, the identifier behind its length, then exactly one Y message. The
//! identifier travels percent-encoded, as browsers and ELVA's own service write it.

use bytes::Bytes;

use crate::decode::{DecodeError, Fault, Reader, put_var_bytes};

const ID: [u8; 2] = [2, 0];
/// As ELVA had it for some months after 0.33.
const ID_LATER: [u8; 2] = *b"ID";

/// The prefix of every frame of one document.
pub fn prefix(name: &str) -> Bytes {
    let mut out = Vec::with_capacity(name.len() + 4);
    out.extend(ID);
    put_var_bytes(&mut out, name.as_bytes());
    out.into()
}

/// Splits a frame into the document's name and its message.
pub fn decode(frame: &Bytes) -> Result<(&str, Bytes), DecodeError> {
    let Parts { name, message, .. } = split(frame)?;
    Ok((name, message))
}

/// A frame in its parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// All before the message: how the other side frames this document.
    pub prefix: Bytes,
    /// The name of the document, as the other side writes it.
    pub name: &'a str,
    /// The message.
    pub message: Bytes,
}

/// Splits a frame into its parts.
pub fn split(frame: &Bytes) -> Result<Parts<'_>, DecodeError> {
    let mut reader = Reader::new(frame);
    if ![ID, ID_LATER].iter().any(|id| frame.starts_with(id)) && frame.len() >= ID.len() {
        return Err(DecodeError { offset: 0, fault: Fault::NoPrefix });
    }
    reader.take(ID.len())?;
    let name = reader.var_str()?;
    let at = reader.offset();
    Ok(Parts { prefix: frame.slice(..at), name, message: frame.slice(at..) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_as_elva_writes_them() {
        let mut frame = prefix("a/b").to_vec();
        assert_eq!(frame, [2, 0, 3, b'a', b'/', b'b']);
        frame.extend([0, 0, 1, 0]);
        let frame = Bytes::from(frame);
        let (name, message) = decode(&frame).unwrap();
        assert_eq!(name, "a/b");
        assert_eq!(message, [0, 0, 1, 0].as_slice());
    }

    #[test]
    fn a_prefix_is_kept_as_the_other_side_writes_it() {
        for magic in [ID, ID_LATER] {
            let frame = Bytes::from([&magic[..], b"\x05a%20b", &[0, 0, 1, 0]].concat());
            let parts = split(&frame).unwrap();
            assert_eq!((parts.name, &parts.message[..]), ("a%20b", &[0, 0, 1, 0][..]));
            assert_eq!(parts.prefix, frame.slice(..8));
        }
    }

    #[test]
    fn frames_without_a_sound_prefix_are_refused() {
        for (frame, fault) in [
            (&[0u8, 0, 1, 0] as &[u8], Fault::NoPrefix),
            (&[2], Fault::EndOfInput),
            (&[2, 0, 9, b'a'], Fault::EndOfInput),
            (&[2, 0, 1, 0xff, 0], Fault::NotUtf8),
        ] {
            assert_eq!(decode(&Bytes::copy_from_slice(frame)).unwrap_err().fault, fault);
        }
    }
}
