//! Messages that no sound client sends: those that have killed peers, and sound ones spoilt.

use yrelay_core::decode::put_varuint;
use yrelay_core::update::Update;
use yrelay_core::wire;
use yrs::{Doc, Map as _, Text as _, Transact as _};

use crate::random::Random;

/// Updates and state vectors of which other programs have died, looped or lost the document.
const UPDATES: [&str; 6] = [
    // Every later encode of yrs panics.
    "01016d010203002701016d016e01280003",
    // yrs loops for ever.
    "020101000101000b0301018401000b74c3a96c6c6f686d6e7861c10105010034210100003400",
    // yrs reaches what it calls unreachable.
    "0202010007010161000102010007010161000900010003",
    // Text that is no UTF-8.
    "0101ca0100c4010a010b0620746865e56500",
    // A count of sections, and of deletions, of four thousand million.
    "ffffffff0f",
    "00ffffffff0f",
];
const STATE_VECTORS: [&str; 3] = ["ffffffff0f", "80c2d72f", "0101"];
/// Of `Any` values: 200 kB.
const DEPTH: usize = 100_000;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..][..2], 16).unwrap()).collect()
}

/// What is known to do harm.
pub(crate) fn known() -> Vec<Vec<u8>> {
    let updates = UPDATES.map(bytes).into_iter().chain([nested(), swollen()]);
    let updates = updates.flat_map(|update| [wire::update(&update), wire::sync_step2(&update)]);
    let vectors = STATE_VECTORS.map(|hex| wire::sync_step1(&bytes(hex)));
    let others = ["ffffffff0f", "0107ffffffff0f01"].map(|hex| wire::awareness(&bytes(hex)));
    let others = others.into_iter().map(Vec::from);
    let messages = [&[0, 7, 1, 0][..], &[0, 2, 5, 1], &[1, 3, 1]].map(<[u8]>::to_vec);
    updates.chain(vectors).map(Vec::from).chain(others).chain(messages).collect()
}

/// An array in an array in an array.
fn nested() -> Vec<u8> {
    let mut update = vec![1, 1, 9, 0, 8, 1, 1, b't', 1];
    update.extend([117, 1].repeat(DEPTH));
    update.extend([126, 0]);
    update
}

/// Says that it holds two thousand million characters.
fn swollen() -> Vec<u8> {
    let mut update = vec![1, 1, 9, 0, 4, 1, 1, b't'];
    put_varuint(&mut update, 2_000_000_000);
    update.extend([b'x', 0]);
    update
}

/// Updates of real documents, and some that others have found.
fn sound() -> Vec<Vec<u8>> {
    let doc = Doc::with_client_id(7);
    let (text, map) = (doc.get_or_insert_text("text"), doc.get_or_insert_map("map"));
    let edit = |n: u32| {
        let mut txn = doc.transact_mut();
        match n % 4 {
            0 => drop(map.insert(&mut txn, format!("key {}", n % 3), i64::from(n))),
            1 if text.len(&txn) > 4 => text.remove_range(&mut txn, n % 3, 2),
            _ => text.insert(&mut txn, n % 2, "some words \u{1f600}"),
        }
        txn.encode_update_v1()
    };
    (0..40).map(edit).chain(yrelay_fuzz::corpus::read("update").unwrap()).collect()
}

/// So many spoilt updates, as messages.
pub(crate) fn spoilt(count: usize, random: &mut Random) -> Vec<Vec<u8>> {
    let sound = sound();
    let mut messages = Vec::new();
    while messages.len() < count {
        let update =
            spoil(&sound[random.below(sound.len())], &sound[random.below(sound.len())], random);
        // What Yjs would take is an edit like any other.
        if Update::parse(update.clone().into()).is_err() {
            messages.push(wire::update(&update).into());
        }
    }
    messages
}

fn spoil(update: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = update.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len().max(1));
        match random.below(4) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            _ => {
                let from = random.below(other.len());
                let length = random.below(other.len() - from).min(40);
                let end = (at + random.below(12)).min(bytes.len());
                bytes.splice(at.min(end)..end, other[from..][..length].iter().copied());
            }
        }
    }
    bytes
}
