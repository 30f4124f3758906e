//! The rows in a page of a store's file, read without SQLite: see `pages`.

use std::collections::HashSet;
use std::io;

use super::pages::{PAGE_BYTES, Pages, number_at};

/// What a page is, by its first byte.
const INNER_INDEX: u8 = 2;
const INNER_TABLE: u8 = 5;
const LEAF_INDEX: u8 = 10;
const LEAF_TABLE: u8 = 13;

/// A value in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Number(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// What is in a page.
pub(super) enum Cells {
    /// Rows of a table: its number each, and what is in it.
    Rows(Vec<(i64, Vec<Value>)>),
    /// What stands in an index.
    Keys(Vec<Vec<Value>>),
    /// The pages of a table that are below this one.
    Below(Vec<u32>),
}

/// Reads a page. What is damaged in it is left out, and what others hold of it.
pub(super) fn read(pages: &mut Pages, number: u32) -> io::Result<Cells> {
    let page = pages.read(number)?;
    let start = if number == 1 { 100 } else { 0 };
    let kind = page[start];
    let head_bytes = if kind == INNER_INDEX || kind == INNER_TABLE { 12 } else { 8 };
    let count = u16::from_be_bytes([page[start + 3], page[start + 4]]);
    let cells = page[start + head_bytes..].chunks_exact(2).take(usize::from(count));
    let cells = cells.filter_map(|at| page.get(usize::from(u16::from_be_bytes([at[0], at[1]]))..));
    Ok(match kind {
        LEAF_TABLE => {
            let mut rows = Vec::new();
            for cell in cells {
                let mut cell = Reader(cell);
                let (Some(bytes), Some(row)) = (cell.varint(), cell.varint()) else { continue };
                rows.extend(payload(pages, cell.0, bytes, PAGE_BYTES - 35)?.map(|it| (row, it)));
            }
            Cells::Rows(rows)
        }
        LEAF_INDEX | INNER_INDEX => {
            let mut keys = Vec::new();
            for cell in cells {
                // Inside, a page's number comes first.
                let skip = if kind == INNER_INDEX { 4 } else { 0 };
                let mut cell = Reader(cell.get(skip..).unwrap_or_default());
                let Some(bytes) = cell.varint() else { continue };
                keys.extend(payload(pages, cell.0, bytes, (PAGE_BYTES - 12) * 64 / 255 - 23)?);
            }
            Cells::Keys(keys)
        }
        INNER_TABLE => {
            let below = cells.filter_map(|cell| number_at(cell, 0));
            Cells::Below(below.chain(number_at(&page, start + 8)).collect())
        }
        _ => Cells::Keys(Vec::new()),
    })
}

/// What a cell holds: up to `whole` bytes in its page, of more a part, and the rest in a chain of
/// other pages.
fn payload(
    pages: &mut Pages,
    cell: &[u8],
    bytes: i64,
    whole: usize,
) -> io::Result<Option<Vec<Value>>> {
    let Ok(bytes) = usize::try_from(bytes) else { return Ok(None) };
    let least = (PAGE_BYTES - 12) * 32 / 255 - 23;
    let here = match bytes {
        _ if bytes <= whole => bytes,
        _ => match least + (bytes - least) % (PAGE_BYTES - 4) {
            here if here <= whole => here,
            _ => least,
        },
    };
    let (Some(begin), Some(rest)) = (cell.get(..here), cell.get(here..)) else { return Ok(None) };
    // The head is always in the page: no chain is followed for what cannot be ours.
    let Some(types) = types(begin, bytes) else { return Ok(None) };
    let mut content = begin.to_vec();
    let mut next = number_at(rest, 0).unwrap_or_default();
    let mut chain = HashSet::new();
    while content.len() < bytes {
        if next == 0 || !chain.insert(next) {
            return Ok(None);
        }
        let page = pages.read(next)?;
        let more = (bytes - content.len()).min(PAGE_BYTES - 4);
        content.extend_from_slice(&page[4..4 + more]);
        next = number_at(&page, 0).unwrap_or_default();
    }
    Ok(values(&types, &content))
}

/// Of what kind the values are, and where they begin; nothing if they do not fill so many bytes.
fn types(record: &[u8], bytes: usize) -> Option<(usize, Vec<i64>)> {
    let mut reader = Reader(record);
    let head_bytes = usize::try_from(reader.varint()?).ok()?;
    let own_bytes = record.len() - reader.0.len();
    let mut head = Reader(reader.0.get(..head_bytes.checked_sub(own_bytes)?)?);
    let mut types = Vec::new();
    let mut end = head_bytes;
    while !head.0.is_empty() {
        let kind = head.varint()?;
        end = end.checked_add(size(kind)?)?;
        types.push(kind);
    }
    (end == bytes).then_some((head_bytes, types))
}

fn size(kind: i64) -> Option<usize> {
    match kind {
        0 | 8 | 9 => Some(0),
        1..=4 => usize::try_from(kind).ok(),
        5 => Some(6),
        6 => Some(8),
        12.. => usize::try_from((kind - 12) / 2).ok(),
        // 7 would be a number with a fraction: none of ours.
        _ => None,
    }
}

fn values((begin, types): &(usize, Vec<i64>), record: &[u8]) -> Option<Vec<Value>> {
    let mut at = *begin;
    let mut value = |kind: &i64| {
        let bytes = record.get(at..at + size(*kind)?)?;
        at += bytes.len();
        Some(match kind {
            0 => Value::Null,
            8 => Value::Number(0),
            9 => Value::Number(1),
            12.. if kind % 2 == 0 => Value::Blob(bytes.to_vec()),
            12.. => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
            _ => {
                let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
                Value::Number(bytes.iter().fold(sign, |n, byte| n << 8 | i64::from(*byte)))
            }
        })
    };
    types.iter().map(&mut value).collect()
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// A number of up to nine bytes, seven bits of each but for the ninth.
    fn varint(&mut self) -> Option<i64> {
        let mut number = 0;
        for taken in 1..=9 {
            let byte = *self.0.get(taken - 1)?;
            let bits = if taken == 9 { 8 } else { 7 };
            let value = if taken == 9 { byte } else { byte & 0x7f };
            number = number << bits | i64::from(value);
            if byte & 0x80 == 0 || taken == 9 {
                self.0 = &self.0[taken..];
                return Some(number);
            }
        }
        None
    }
}
