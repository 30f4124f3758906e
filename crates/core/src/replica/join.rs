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
