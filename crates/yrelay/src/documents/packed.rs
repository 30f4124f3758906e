//! Several updates in one body: each behind its length, four bytes, the highest first.

use bytes::{Buf as _, Bytes};
use yrelay_core::update::Update;

/// Packs updates.
pub fn pack(updates: &[Update]) -> Vec<u8> {
    let bytes: usize = updates.iter().map(|update| 4 + update.bytes().len()).sum();
    let mut packed = Vec::with_capacity(bytes);
    for update in updates {
        // The gate lets no larger update pass.
        packed.extend((update.bytes().len() as u32).to_be_bytes());
        packed.extend_from_slice(update.bytes());
    }
    packed
}

/// Takes them out again; each passes the gate. Nothing if it is something else.
pub fn unpack(mut packed: Bytes) -> Option<Vec<Update>> {
    let mut updates = Vec::new();
    while packed.has_remaining() {
        let length = packed.try_get_u32().ok()? as usize;
        if packed.len() < length {
            return None;
        }
        updates.push(Update::parse(packed.split_to(length)).ok()?);
    }
    Some(updates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out() {
        let one = b"\x01\x01\x01\x00\x04\x01\x04text\x01x\x00";
        let updates = [&b"\0\0"[..], one].map(|u| Update::parse(Bytes::from_static(u)).unwrap());
        let packed = Bytes::from(pack(&updates));
        assert_eq!(packed.len(), 4 + 2 + 4 + one.len());
        assert_eq!(unpack(packed.clone()).unwrap(), updates);
        for end in [1, 5, 7, packed.len() - 1] {
            assert_eq!(unpack(packed.slice(..end)), None, "{end}");
        }
        assert_eq!(unpack(Bytes::from_static(&[0, 0, 0, 1, 0xff])), None);
        assert_eq!(unpack(Bytes::new()), Some(vec![]));
    }
}
