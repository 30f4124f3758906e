//! Bounded reading of lib0's primitive encodings. Nothing here allocates.

use std::fmt;

use crate::limits;

/// What is wrong with some bytes, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {offset}")]
pub struct DecodeError {
    /// Offset from the start of the bytes handed to the decoder.
    pub offset: usize,
    /// The rule that is broken.
    pub fault: Fault,
}

/// The rules that peers' bytes can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The input ends inside a value, or a length runs past its end.
    EndOfInput,
    /// A number of 2^53 or more.
    NumberTooLarge,
    /// More elements announced than the remaining bytes could hold, or than a limit allows.
    CountTooLarge,
    /// Text that is not UTF-8.
    NotUtf8,
    /// Text that is not JSON where JSON is due.
    NotJson,
    /// Values nested deeper than the limit.
    TooDeep,
    /// Bytes after the end of the value.
    TrailingBytes,
    /// A client with two sections in one update, or two entries in one state vector.
    DuplicateClient,
    /// A struct that stands behind one of its own client which does not come before it.
    OriginNotBefore,
    /// A struct or deletion of length zero.
    ZeroLength,
    /// A clock, or clock plus length, of 2^31 or more.
    ClockTooLarge,
    /// A struct kind that Yjs does not know.
    UnknownContent,
    /// A shared type that Yjs does not know.
    UnknownType,
    /// An `Any` tag that Yjs does not know.
    UnknownAny,
    /// Options of a subdocument that are not a map.
    NotAMap,
    /// A sync message that is neither step 1, step 2 nor update.
    UnknownSync,
    /// More messages in one frame than the limit.
    TooManyMessages,
    /// A multiplexed frame without its document prefix.
    NoPrefix,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndOfInput => "input ends early",
            Self::NumberTooLarge => "number too large",
            Self::CountTooLarge => "count too large",
            Self::NotUtf8 => "text is not UTF-8",
            Self::NotJson => "text is not JSON",
            Self::TooDeep => "nested too deep",
            Self::TrailingBytes => "trailing bytes",
            Self::DuplicateClient => "client listed twice",
            Self::OriginNotBefore => "origin is not before the struct",
            Self::ZeroLength => "length zero",
            Self::ClockTooLarge => "clock too large",
            Self::UnknownContent => "unknown content kind",
            Self::UnknownType => "unknown shared type",
            Self::UnknownAny => "unknown value tag",
            Self::NotAMap => "subdocument options are not a map",
            Self::UnknownSync => "unknown sync message",
            Self::TooManyMessages => "too many messages in one frame",
            Self::NoPrefix => "no document prefix",
        })
    }
}

/// A cursor over bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// An error at the current offset.
    pub fn fault(&self, fault: Fault) -> DecodeError {
        DecodeError { offset: self.offset, fault }
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.offset).ok_or(self.fault(Fault::EndOfInput))?;
        self.offset += 1;
        Ok(byte)
    }

    /// `len` bytes.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.offset.checked_add(len).ok_or(self.fault(Fault::EndOfInput))?;
        let slice = self.bytes.get(self.offset..end).ok_or(self.fault(Fault::EndOfInput))?;
        self.offset = end;
        Ok(slice)
    }

    /// An unsigned varint below 2^53, as lib0 reads it.
    #[inline]
    pub fn varuint(&mut self) -> Result<u64, DecodeError> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.u8()?;
            // 53 bits are seven groups of seven and four more.
            if shift > 49 || (shift == 49 && byte & 0x7f > 0x0f) {
                return Err(self.fault(Fault::NumberTooLarge));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    /// Passes over a signed varint of magnitude below 2^53, as lib0 reads it.
    #[inline]
    pub fn skip_varint(&mut self) -> Result<(), DecodeError> {
        if self.u8()? < 0x80 {
            return Ok(());
        }
        // The first byte holds six bits and the sign; six groups of seven follow, and five bits.
        let mut shift = 6;
        loop {
            let byte = self.u8()?;
            if shift > 48 || (shift == 48 && byte & 0x7f > 0x1f) {
                return Err(self.fault(Fault::NumberTooLarge));
            }
            if byte < 0x80 {
                return Ok(());
            }
            shift += 7;
        }
    }

    /// A clock: below 2^31.
    #[inline]
    pub fn clock(&mut self) -> Result<u32, DecodeError> {
        let clock = self.varuint()?;
        match u32::try_from(clock) {
            Ok(clock) if u64::from(clock) < limits::CLOCK_END => Ok(clock),
            _ => Err(self.fault(Fault::ClockTooLarge)),
        }
    }

    /// What was read since `offset`.
    #[inline]
    pub fn since(&self, offset: usize) -> &'a [u8] {
        self.bytes.get(offset..self.offset).unwrap_or_default()
    }

    /// What is left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }

    /// A length that must fit into what is left.
    #[inline]
    pub fn length(&mut self) -> Result<usize, DecodeError> {
        let length = self.varuint()?;
        match usize::try_from(length) {
            Ok(length) if length <= self.remaining() => Ok(length),
            _ => Err(self.fault(Fault::EndOfInput)),
        }
    }

    /// A count of elements of which each takes at least `bytes_min` bytes.
    #[inline]
    pub fn count(&mut self, bytes_min: usize) -> Result<usize, DecodeError> {
        let count = self.varuint()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.remaining() / bytes_min => Ok(count),
            _ => Err(self.fault(Fault::CountTooLarge)),
        }
    }

    /// Bytes behind their length.
    #[inline]
    pub fn var_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.length()?;
        self.take(length)
    }

    /// UTF-8 behind its length in bytes.
    #[inline]
    pub fn var_str(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.var_bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.fault(Fault::NotUtf8))
    }
}

/// Appends an unsigned varint.
#[inline]
pub fn put_varuint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The bytes that [`put_varuint`] writes.
#[inline]
pub(crate) fn varuint(value: u64) -> impl Iterator<Item = u8> {
    let groups = std::iter::successors(Some(value), |&left| (left >= 0x80).then_some(left >> 7));
    groups.map(|left| if left >= 0x80 { left as u8 | 0x80 } else { left as u8 })
}

/// How many bytes [`put_varuint`] writes.
#[inline]
pub fn varuint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends bytes behind their length.
#[inline]
pub fn put_var_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varuint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varuints_as_lib0_writes_them() {
        let cases: [(u64, &[u8]); 6] = [
            (0, &[0]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            ((1 << 32) - 1, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            ((1 << 53) - 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (value, bytes) in cases {
            let mut out = Vec::new();
            put_varuint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(varuint_bytes(value), bytes.len());
            assert_eq!(Reader::new(bytes).varuint(), Ok(value));
        }
    }

    #[test]
    fn numbers_beyond_javascript_are_refused() {
        let bytes = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
        assert_eq!(Reader::new(&bytes).varuint().unwrap_err().fault, Fault::NumberTooLarge);
        let endless = [0x80; 32];
        assert_eq!(Reader::new(&endless).varuint().unwrap_err().fault, Fault::NumberTooLarge);
    }

    #[test]
    fn signed_numbers_end_where_javascript_does() {
        let largest = [0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f];
        assert_eq!(Reader::new(&largest).skip_varint(), Ok(()));
        let beyond = [0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x20];
        assert_eq!(Reader::new(&beyond).skip_varint().unwrap_err().fault, Fault::NumberTooLarge);
        let endless = [0x80; 32];
        assert_eq!(Reader::new(&endless).skip_varint().unwrap_err().fault, Fault::NumberTooLarge);
        assert_eq!(Reader::new(&[0x41]).skip_varint(), Ok(()));
    }

    #[test]
    fn clocks_end_below_two_to_the_31() {
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 7]).clock(), Ok((1 << 31) - 1));
        let beyond = [0x80, 0x80, 0x80, 0x80, 8];
        assert_eq!(Reader::new(&beyond).clock().unwrap_err().fault, Fault::ClockTooLarge);
    }

    #[test]
    fn lengths_and_counts_stay_within_the_input() {
        assert_eq!(Reader::new(&[5, 1]).var_bytes().unwrap_err().fault, Fault::EndOfInput);
        assert_eq!(Reader::new(&[3, 1, 2]).count(1).unwrap_err().fault, Fault::CountTooLarge);
        assert_eq!(Reader::new(&[2, 1, 2]).count(1), Ok(2));
    }
}
