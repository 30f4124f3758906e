//! The Yjs protocol as it comes from a server: messages of a frame, and what updates bring.
//!
//! A reader of its own, so that what checks the programs under test shares no code with them.

/// Nothing is in this update.
pub const EMPTY_UPDATE: &[u8] = &[0, 0];
/// The answer of somebody who has nothing.
pub const EMPTY_STEP_2: &[u8] = &[0, 1, 2, 0, 0];

/// Why bytes are not what they should be.
pub type Fault = &'static str;

/// Reads lib0's primitives.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// At the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What has not been read.
    pub fn left(&self) -> &'a [u8] {
        self.0
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let (first, rest) = self.0.split_first().ok_or("cut off")?;
        self.0 = rest;
        Ok(*first)
    }

    /// An unsigned varint.
    pub fn number(&mut self) -> Result<u64, Fault> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number too large")
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(self.number()?).map_err(|_| "cut off")?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or("cut off")?;
        self.0 = rest;
        Ok(bytes)
    }
}

/// Appends an unsigned varint.
pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends bytes behind their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend(bytes);
}

/// "Send me what I lack": with a clock for each client.
pub fn step_1(clocks: &[(u64, u64)]) -> Vec<u8> {
    let mut vector = Vec::new();
    put_number(&mut vector, clocks.len() as u64);
    for (client, clock) in clocks {
        put_number(&mut vector, *client);
        put_number(&mut vector, *clock);
    }
    let mut out = vec![0, 0];
    put_bytes(&mut out, &vector);
    out
}

/// An update as a message.
pub fn update(update: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 2];
    put_bytes(&mut out, update);
    out
}

/// The presence of one client as a message.
pub fn awareness(client: u64, clock: u64, json: &str) -> Vec<u8> {
    let mut entries = vec![1];
    put_number(&mut entries, client);
    put_number(&mut entries, clock);
    put_bytes(&mut entries, json.as_bytes());
    let mut out = vec![1];
    put_bytes(&mut out, &entries);
    out
}

/// One message of a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A state vector.
    Step1(&'a [u8]),
    /// An update: the answer to a state vector.
    Step2(&'a [u8]),
    /// An update: what was just written.
    Update(&'a [u8]),
    /// Awareness entries.
    Awareness(&'a [u8]),
    /// What does not matter here; ends its frame.
    Other,
}

/// Hands over the messages of a frame, one after the other.
pub fn messages<'a>(
    frame: &'a [u8],
    mut take: impl FnMut(Message<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut reader = Reader(frame);
    while !reader.0.is_empty() {
        let message = match reader.number()? {
            0 => match (reader.number()?, reader.bytes()?) {
                (0, body) => Message::Step1(body),
                (1, body) => Message::Step2(body),
                (2, body) => Message::Update(body),
                _ => return Err("an unknown step of the sync protocol"),
            },
            1 => Message::Awareness(reader.bytes()?),
            _ => Message::Other,
        };
        let ends = message == Message::Other;
        take(message)?;
        if ends {
            break;
        }
    }
    Ok(())
}

/// The clock of one client in a state vector.
pub fn clock_of(vector: &[u8], wanted: u64) -> Result<u64, Fault> {
    let mut reader = Reader(vector);
    for _ in 0..reader.number()? {
        let (client, clock) = (reader.number()?, reader.number()?);
        if client == wanted {
            return Ok(clock);
        }
    }
    Ok(0)
}

/// Consecutive clocks of one client, which came in one struct.
#[derive(Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// Who wrote it.
    pub client: u64,
    /// The first clock.
    pub clock: u64,
    /// How many.
    pub length: u64,
    /// What was written, unless it has been deleted since.
    pub text: Option<&'a [u8]>,
}

/// Hands over what an update brings, struct by struct. Knows the structs of ASCII text only.
pub fn runs<'a>(
    update: &'a [u8],
    mut take: impl FnMut(Run<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut reader = Reader(update);
    for _ in 0..reader.number()? {
        let count = reader.number()?;
        let client = reader.number()?;
        let mut clock = reader.number()?;
        for _ in 0..count {
            let (length, text) = one_struct(&mut reader)?;
            if let Some(text) = text {
                take(Run { client, clock, length, text })?;
            }
            clock += length;
        }
    }
    Ok(())
}

/// The length of a struct, and unless it stands for a gap, its text, unless that is deleted.
#[expect(clippy::type_complexity, reason = "named in the line above")]
fn one_struct<'a>(reader: &mut Reader<'a>) -> Result<(u64, Option<Option<&'a [u8]>>), Fault> {
    const GC: u8 = 0;
    const DELETED: u8 = 1;
    const STRING: u8 = 4;
    const SKIP: u8 = 10;
    let info = reader.byte()?;
    let kind = info & 0x1f;
    if kind == GC || kind == SKIP {
        return Ok((reader.number()?, (kind == GC).then_some(None)));
    }
    for origin in [0x80, 0x40] {
        if info & origin != 0 {
            reader.number()?;
            reader.number()?;
        }
    }
    if info & 0xc0 == 0 {
        if reader.number()? == 1 {
            reader.bytes()?;
        } else {
            reader.number()?;
            reader.number()?;
        }
        if info & 0x20 != 0 {
            reader.bytes()?;
        }
    }
    match kind {
        DELETED => Ok((reader.number()?, Some(None))),
        STRING => {
            let text = reader.bytes()?;
            Ok((text.len() as u64, Some(Some(text))))
        }
        _ => Err("a struct that nobody wrote"),
    }
}

/// Hands over client, clock and state of all entries.
pub fn entries<'a>(
    entries: &'a [u8],
    mut take: impl FnMut(u64, u64, &'a [u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut reader = Reader(entries);
    for _ in 0..reader.number()? {
        take(reader.number()?, reader.number()?, reader.bytes()?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use yrs::updates::encoder::Encode as _;
    use yrs::{Doc, ReadTxn as _, Text as _, Transact as _};

    use super::*;

    #[test]
    fn what_yrs_writes_is_read() {
        let doc = Doc::with_client_id(1 << 28);
        let text = doc.get_or_insert_text("text");
        text.push(&mut doc.transact_mut(), "abcdef");
        text.insert(&mut doc.transact_mut(), 3, "x");
        text.remove_range(&mut doc.transact_mut(), 0, 2);
        let txn = doc.transact();
        let update = txn.encode_state_as_update_v1(&yrs::StateVector::default());
        let mut length = 0;
        let mut texts = Vec::new();
        runs(&update, |run| {
            assert_eq!((run.client, run.clock), (1 << 28, length));
            length += run.length;
            texts.extend(run.text);
            Ok(())
        })
        .unwrap();
        assert_eq!(length, 7);
        assert_eq!(texts.concat(), b"cdefx");
        assert_eq!(clock_of(&txn.state_vector().encode_v1(), 1 << 28), Ok(7));
        assert_eq!(clock_of(&txn.state_vector().encode_v1(), 5), Ok(0));
    }

    #[test]
    fn messages_of_a_frame() {
        let frame = [&step_1(&[])[..], &awareness(5, 2, "{}"), EMPTY_STEP_2, &[9, 9]].concat();
        let mut seen = Vec::new();
        messages(&frame, |message| {
            seen.push(message);
            Ok(())
        })
        .unwrap();
        let entry = [1, 5, 2, 2, b'{', b'}'];
        let expected = [
            Message::Step1(&[0]),
            Message::Awareness(&entry),
            Message::Step2(EMPTY_UPDATE),
            Message::Other,
        ];
        assert_eq!(seen, expected);
        assert!(messages(&[0, 2, 5, 1], |_| Ok(())).is_err());
    }
}
