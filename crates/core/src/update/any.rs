//! lib0's `Any` values.

use super::content::text;
use crate::decode::{DecodeError, Fault, Reader};
use crate::limits;

/// The tag of a map.
pub(super) const MAP: u8 = 118;

/// The tag of an array.
const ARRAY: u8 = 117;

/// Passes over one `Any` value that is known to be good.
pub(crate) fn skip_any(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    any::<false>(reader).map(|_| ())
}

/// Reads one `Any` value, by iteration; gives its tag if it is a container.
#[inline]
pub(super) fn any<const GATE: bool>(reader: &mut Reader<'_>) -> Result<Option<u8>, DecodeError> {
    let Some(outer) = any_head::<GATE>(reader)? else { return Ok(None) };
    let tag = outer.tag;
    if outer.left > 0 {
        any_nested::<GATE>(reader, outer)?;
    }
    Ok(Some(tag))
}

/// A container that is being read.
#[derive(Clone, Copy)]
struct Container {
    tag: u8,
    /// Values to come.
    left: usize,
}

fn any_nested<const GATE: bool>(
    reader: &mut Reader<'_>,
    outer: Container,
) -> Result<(), DecodeError> {
    let mut outers = [Container { tag: 0, left: 0 }; limits::ANY_DEPTH_MAX - 1];
    let mut depth = 0;
    let mut current = outer;
    loop {
        while current.left == 0 {
            if depth == 0 {
                return Ok(());
            }
            depth -= 1;
            current = *outers.get(depth).ok_or(reader.fault(Fault::TooDeep))?;
        }
        current.left -= 1;
        if current.tag == MAP {
            text::<GATE>(reader)?;
        }
        if let Some(inner) = any_head::<GATE>(reader)? {
            *outers.get_mut(depth).ok_or(reader.fault(Fault::TooDeep))? = current;
            depth += 1;
            current = inner;
        }
    }
}

/// Reads a scalar whole, or the beginning of a container.
#[inline]
fn any_head<const GATE: bool>(reader: &mut Reader<'_>) -> Result<Option<Container>, DecodeError> {
    let tag = reader.u8()?;
    match tag {
        127 | 126 | 121 | 120 => {}
        125 => reader.skip_varint()?,
        124 => {
            reader.take(4)?;
        }
        123 | 122 => {
            reader.take(8)?;
        }
        119 => {
            text::<GATE>(reader)?;
        }
        116 => {
            reader.var_bytes()?;
        }
        MAP => return Ok(Some(Container { tag, left: reader.count(2)? })),
        ARRAY => return Ok(Some(Container { tag, left: reader.count(1)? })),
        _ => return Err(reader.fault(Fault::UnknownAny)),
    }
    Ok(None)
}
