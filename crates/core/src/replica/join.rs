//! Joining structs that follow each other: what undoes a cut.

use crate::decode::Reader;
use crate::update::{Id, Item, Kind};

/// What decides whether the next struct joins one.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    pub(super) kind: Kind,
    keyed: bool,
    right_origin: Option<Id>,
}

impl Ending {
    #[inline]
    pub(super) fn of(item: &Item<'_>) -> Self {
        Self { kind: item.kind, keyed: item.keyed, right_origin: item.right_origin }
    }

    /// Whether the struct whose first id comes right after is what a cut would have left there.
    #[inline]
    pub(super) fn takes(&self, id: Id, item: &Item<'_>) -> bool {
        let follows = || {
            item.origin.is_some_and(|origin| {
                origin.client == id.client && u64::from(origin.clock) + 1 == u64::from(id.clock)
            }) && item.right_origin == self.right_origin
        };
        item.kind == self.kind
            && match item.kind {
                Kind::Gc => true,
                Kind::Deleted => follows(),
                // Of the values of a map key each hides the one before.
                Kind::Json | Kind::String | Kind::Any => follows() && !self.keyed && !item.keyed,
                _ => false,
            }
    }
}

/// What content begins with that can be joined: bytes of a string, else clocks.
#[inline]
pub(super) fn count(kind: Kind, len: u32, values: usize) -> Option<u64> {
    match kind {
        Kind::String => Some(values as u64),
        Kind::Gc | Kind::Deleted | Kind::Skip | Kind::Json | Kind::Any => Some(len.into()),
        _ => None,
    }
}

/// Content without that.
#[inline]
pub(super) fn values<'a>(item: &Item<'a>) -> &'a [u8] {
    let mut content = Reader::new(item.content());
    match item.kind {
        Kind::Gc | Kind::Deleted | Kind::Skip => return &[],
        Kind::String | Kind::Json | Kind::Any => {
            content.varuint().expect("content begins with its length");
        }
        _ => {}
    }
    content.rest()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::decode::{put_var_bytes, put_varuint};
    use crate::replica::Replica;
    use crate::update::Update;

    const STRING: u8 = 4;
    const ANY: u8 = 8;
    const CLIENT: u8 = 1;

    /// One struct at a clock, in a root or behind the clock before it.
    fn update(kind: u8, clock: u32, content: &[u8]) -> Update {
        let mut bytes = vec![1, 1, CLIENT];
        put_varuint(&mut bytes, clock.into());
        if clock == 0 {
            bytes.extend([kind, 1, 1, b't']);
        } else {
            bytes.extend([kind | 0x80, CLIENT]);
            put_varuint(&mut bytes, u64::from(clock) - 1);
        }
        bytes.extend(content);
        bytes.push(0);
        Update::parse(bytes.into()).unwrap()
    }

    fn text(clock: u32, text: &str) -> Update {
        let mut content = Vec::new();
        put_var_bytes(&mut content, text.as_bytes());
        update(STRING, clock, &content)
    }

    fn replica(updates: &[Update]) -> Replica {
        let mut replica = Replica::default();
        assert!(updates.iter().all(|update| replica.apply(update).whole));
        assert_eq!(replica.pending(), replica.count_pending());
        replica
    }

    fn held(replica: &Replica) -> Vec<Bytes> {
        replica.snapshot().iter().map(|update| update.bytes().clone()).collect()
    }

    #[test]
    fn what_is_typed_one_by_one_is_held_as_if_at_once() {
        for letter in ["x", "é", "𝄞"] {
            let units = letter.encode_utf16().count() as u32;
            // Around the lengths whose number takes one byte more.
            for count in [1, 2, 31, 32, 63, 64, 127, 128, 4_000] {
                let typed: Vec<Update> = (0..count).map(|n| text(n * units, letter)).collect();
                let replica = replica(&typed);
                assert_eq!(replica.struct_count, 1);
                let whole = text(0, &letter.repeat(count as usize));
                assert_eq!(held(&replica), [whole.bytes()]);
                assert_eq!(replica.struct_bytes, whole.bytes().len() - 5);
            }
        }
        let values: Vec<Update> = (0..200).map(|clock| update(ANY, clock, &[1, 126])).collect();
        let whole = update(ANY, 0, &[&[0xc8, 1][..], &[126; 200]].concat());
        assert_eq!(held(&replica(&values)), [whole.bytes()]);
    }

    #[test]
    fn a_struct_grows_no_further_than_its_page() {
        let typed: Vec<Update> = (0..40_000).map(|clock| text(clock, "x")).collect();
        assert_eq!(replica(&typed).struct_count, 3);
    }

    #[test]
    fn what_no_cut_would_have_left_stays_apart() {
        let apart = |first: Update, second: Update| {
            assert_eq!(replica(&[first, second]).struct_count, 2);
        };
        apart(text(0, "x"), update(ANY, 1, &[1, 126]));
        // The value of a map key, and a length in more bytes than it needs.
        apart(text(0, "x"), update(STRING | 0x20, 1, &[1, b'x']));
        apart(update(STRING, 0, &[0x81, 0, b'x']), text(1, "x"));
        // Beyond a gap each counts.
        apart(text(5, "x"), text(6, "x"));
        let replica = replica(&[text(1, "x"), text(2, "x"), text(0, "x"), text(3, "x")]);
        assert_eq!((replica.struct_count, replica.pending().structs), (4, 0));
    }
}
