//! What a client will say, prepared beforehand: real updates written by yrs, and presence; framed
//! and masked, so that saying it is one write.

use std::sync::OnceLock;

use yrs::{Doc, GetString as _, Text as _, Transact as _};

use crate::{ws, yjs};

/// Five bytes as a varint, as nearly all ids that Yjs draws.
const FIRST_ID: u64 = 1 << 28;
/// Authors of one document have ids that differ in the last byte only.
const AUTHORS_BITS: u32 = 8;
/// The text of every document.
const ROOT: &str = "text";

/// The client id of an author: it tells the document, so that a delivery to a wrong one shows.
pub fn author_id(document: usize, index: usize) -> u64 {
    FIRST_ID + ((document as u64) << AUTHORS_BITS) + index as u64
}

/// Document and author of an id.
pub fn author_of(id: u64) -> Option<(usize, usize)> {
    let number = id.checked_sub(FIRST_ID)? as usize;
    Some((number >> AUTHORS_BITS, number & ((1 << AUTHORS_BITS) - 1)))
}

/// What an author types: the letter at each clock is known, so that what arrives can be checked.
pub fn letters(clock: u64, length: usize) -> &'static [u8] {
    const PERIOD: usize = 26;
    const MAX: usize = 64 << 10;
    static LETTERS: OnceLock<Vec<u8>> = OnceLock::new();
    let all = LETTERS.get_or_init(|| (b'a'..=b'z').cycle().take(MAX + PERIOD).collect());
    let start = (clock % PERIOD as u64) as usize;
    &all[start..start + length.min(MAX)]
}

/// The messages of one author, in order.
#[derive(Debug, Clone, Default)]
pub struct Script {
    frames: Vec<u8>,
    ends: Vec<usize>,
    /// Clocks that each message adds.
    pub unit: u64,
    /// Each message replaces those before: some may never arrive.
    pub is_presence: bool,
}

impl Script {
    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The frames of some consecutive messages.
    pub fn frames(&self, from: usize, to: usize) -> &[u8] {
        let start = |message: usize| message.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.frames[start(from)..start(to)]
    }

    fn push(&mut self, prefix: &[u8], message: &[u8]) {
        ws::put_binary(&mut self.frames, &[prefix, message]);
        self.ends.push(self.frames.len());
    }
}

/// Somebody who types at the end of a text: so many characters in each of so many updates.
pub fn typing(id: u64, prefix: &[u8], size: usize, count: usize) -> Script {
    let doc = Doc::with_client_id(id);
    let text = doc.get_or_insert_text(ROOT);
    let mut script = Script { unit: size as u64, ..Script::default() };
    for number in 0..count {
        let letters = letters((number * size) as u64, size);
        let letters = str::from_utf8(letters).expect("letters are ASCII");
        let mut txn = doc.transact_mut();
        text.push(&mut txn, letters);
        script.push(prefix, &yjs::update(&txn.encode_update_v1()));
    }
    script
}

/// Somebody whose cursor moves.
pub fn presence(id: u64, prefix: &[u8], count: usize) -> Script {
    let mut script = Script { unit: 1, is_presence: true, ..Script::default() };
    for clock in 1..=count as u64 {
        script.push(prefix, &yjs::awareness(id, clock, &state(clock)));
    }
    script
}

/// The presence of everybody at this clock: somebody, and a cursor.
pub fn state(clock: u64) -> String {
    format!(
        "{{\"user\":{{\"name\":\"Jane Doe\",\"color\":\"#30bced\"}},\
         \"cursor\":{{\"anchor\":{clock},\"head\":{clock}}}}}"
    )
}

/// Whether this is [`state`], by the number at its end: servers may write it anew, in their way.
pub fn is_presence(clock: u64, state: &[u8]) -> bool {
    let end = state.iter().rposition(u8::is_ascii_digit).map_or(0, |last| last + 1);
    let start = state[..end].iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1);
    str::from_utf8(&state[start..end]).is_ok_and(|number| number.parse() == Ok(clock))
}

/// What somebody does who edits a text here and there, and what comes of it.
pub struct Work {
    /// The updates.
    pub script: Script,
    /// The same, as Yjs has them.
    pub updates: Vec<Vec<u8>>,
    /// The text after all of them.
    pub text: String,
}

/// Characters deleted, and then typed, in each update of [`editing`].
pub const DELETED_TYPED: (u32, usize) = (2, 8);

/// Somebody who edits a text: every other update elsewhere, each ten edits.
pub fn editing(id: u64, prefix: &[u8], updates: usize) -> Work {
    let (deleted, typed) = DELETED_TYPED;
    let doc = Doc::with_client_id(id);
    let text = doc.get_or_insert_text(ROOT);
    let mut script = Script { unit: typed as u64, ..Script::default() };
    let mut plain = Vec::new();
    let (mut cursor, mut random) = (0, 1u32);
    for number in 0..updates {
        let mut txn = doc.transact_mut();
        if number % 2 == 0 {
            // Numerical Recipes: what matters is that it is the same each time.
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            cursor = ((u64::from(random) * (u64::from(text.len(&txn)) + 1)) >> 32) as u32;
        }
        let backspaces = deleted.min(cursor);
        text.remove_range(&mut txn, cursor - backspaces, backspaces);
        cursor -= backspaces;
        let letters = letters((number * typed) as u64, typed);
        for letter in str::from_utf8(letters).expect("letters are ASCII").chars() {
            text.insert(&mut txn, cursor, letter.encode_utf8(&mut [0; 4]));
            cursor += 1;
        }
        let update = txn.encode_update_v1();
        script.push(prefix, &yjs::update(&update));
        plain.push(update);
    }
    Work { script, updates: plain, text: text.get_string(&doc.transact()) }
}

/// The text that updates give by themselves.
pub fn text_of(updates: &[Vec<u8>]) -> Option<String> {
    use yrs::updates::decoder::Decode as _;
    let doc = Doc::new();
    let text = doc.get_or_insert_text(ROOT);
    let mut txn = doc.transact_mut();
    for update in updates {
        txn.apply_update(yrs::Update::decode_v1(update).ok()?).ok()?;
    }
    Some(text.get_string(&txn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_the_document() {
        for (document, author) in [(0, 0), (49, 19), (20_000, 255)] {
            assert_eq!(author_of(author_id(document, author)), Some((document, author)));
        }
        assert_eq!(author_of(7), None);
    }

    #[test]
    fn messages_are_cut_where_they_end() {
        let script = typing(author_id(0, 0), &[], 1, 20);
        assert_eq!(script.len(), 20);
        let parts: Vec<&[u8]> = (0..20).map(|number| script.frames(number, number + 1)).collect();
        assert_eq!(parts.concat(), script.frames(0, 20));
        assert!(parts.iter().all(|part| part.len() > 20));
    }

    #[test]
    fn edits_make_the_text_they_say() {
        let work = editing(author_id(0, 0), &[], 50);
        assert_eq!(text_of(&work.updates).as_deref(), Some(&*work.text));
        let mut clocks = 0;
        for update in &work.updates {
            yjs::runs(update, |run| {
                clocks += run.length;
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(clocks, 50 * 8);
    }
}
