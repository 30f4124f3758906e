//! What a struct holds.

use super::any::{MAP, any};
use super::item::Kind;
use crate::decode::{DecodeError, Fault, Reader};
use crate::{json, limits};

/// Reads content; says how many clocks it takes.
#[inline]
pub(super) fn content<const GATE: bool>(
    reader: &mut Reader<'_>,
    kind: Kind,
) -> Result<u64, DecodeError> {
    match kind {
        kind if kind.is_bare() => {
            let len = reader.varuint()?;
            if len == 0 { Err(reader.fault(Fault::ZeroLength)) } else { Ok(len) }
        }
        Kind::String => text::<GATE>(reader).map(utf16_units),
        Kind::Json | Kind::Any => {
            let count = reader.count(1)?;
            if count == 0 {
                return Err(reader.fault(Fault::ZeroLength));
            }
            for _ in 0..count {
                match kind {
                    Kind::Any => any::<GATE>(reader).map(|_| ())?,
                    _ => json_text::<GATE>(reader, true)?,
                }
            }
            Ok(count as u64)
        }
        _ => single::<GATE>(reader, kind).map(|()| 1),
    }
}

/// Reads content that takes one clock.
fn single<const GATE: bool>(reader: &mut Reader<'_>, kind: Kind) -> Result<(), DecodeError> {
    match kind {
        Kind::Binary => {
            reader.var_bytes()?;
        }
        Kind::Embed => json_text::<GATE>(reader, false)?,
        Kind::Format => {
            text::<GATE>(reader)?;
            json_text::<GATE>(reader, false)?;
        }
        Kind::Type => match reader.varuint()? {
            // Array, map, text, fragment, XML text.
            0 | 1 | 2 | 4 | 6 => {}
            // Element and hook, with their names.
            3 | 5 => {
                text::<GATE>(reader)?;
            }
            _ => return Err(reader.fault(Fault::UnknownType)),
        },
        _ => {
            text::<GATE>(reader)?;
            if any::<GATE>(reader)? != Some(MAP) {
                return Err(reader.fault(Fault::NotAMap));
            }
        }
    }
    Ok(())
}

/// Reads a text, as bytes: without `GATE` they need no second look.
#[inline]
pub(super) fn text<'a, const GATE: bool>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    if GATE { reader.var_str().map(str::as_bytes) } else { reader.var_bytes() }
}

fn json_text<const GATE: bool>(
    reader: &mut Reader<'_>,
    or_undefined: bool,
) -> Result<(), DecodeError> {
    if !GATE {
        return reader.var_bytes().map(|_| ());
    }
    let text = reader.var_str()?;
    if or_undefined && text == "undefined" {
        return Ok(());
    }
    json::check(text, limits::ANY_DEPTH_MAX).map_err(|fault| reader.fault(fault))
}

/// The length of UTF-8 in UTF-16 units: one for each character, one more beyond the first plane.
#[inline]
pub(crate) fn utf16_units(text: &[u8]) -> u64 {
    if text.is_ascii() {
        return text.len() as u64;
    }
    // A count that fits into a byte is one that compilers turn into vectors: two for each byte at
    // most, and whole vectors of bytes.
    let count = |count: u8, &byte: &u8| {
        count.wrapping_add(u8::from(byte & 0xc0 != 0x80)).wrapping_add(u8::from(byte >= 0xf0))
    };
    text.chunks(96).map(|chunk| u64::from(chunk.iter().fold(0, count))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_16_units_are_those_of_the_standard_library() {
        for character in ["a", "\u{fc}", "\u{4e2d}", "\u{1f600}"] {
            for count in [0, 1, 31, 95, 96, 97, 127, 128, 1_000] {
                let text = character.repeat(count);
                assert_eq!(utf16_units(text.as_bytes()), text.encode_utf16().count() as u64);
            }
        }
    }
}
