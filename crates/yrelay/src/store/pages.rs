//! The pages of a store's file, and of the log beside it, read without SQLite: for when it cannot.
//! <https://sqlite.org/fileformat2.html>

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// SQLite's default, which stores are made with.
pub(super) const PAGE_BYTES: usize = 4096;

/// What every SQLite file begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Pages are numbered from 1.
pub(super) struct Pages {
    file: Option<File>,
    file_pages: u32,
    log: Option<File>,
    /// What is committed in the log: where the last version of a page begins.
    in_log: HashMap<u32, u64>,
}

/// The log of a store's file.
pub(super) fn log_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// A name that begins as the store's file's does.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

impl Pages {
    /// Those of a store's file, which may be missing.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let bytes = file.as_ref().map_or(Ok(0), |file| file.metadata().map(|data| data.len()))?;
        let file_pages = bytes.div_ceil(PAGE_BYTES as u64).try_into().unwrap_or(u32::MAX);
        let mut log = open(&log_of(path))?;
        let in_log = log.as_mut().map_or_else(|| Ok(HashMap::new()), committed)?;
        Ok(Self { file, file_pages, log, in_log })
    }

    /// The numbers of all of them.
    pub(super) fn numbers(&self) -> Vec<u32> {
        let mut later: Vec<u32> =
            self.in_log.keys().copied().filter(|number| *number > self.file_pages).collect();
        later.sort_unstable();
        (1..=self.file_pages).chain(later).collect()
    }

    /// One page as it was last committed; zeros where the file ends too early.
    pub(super) fn read(&mut self, number: u32) -> io::Result<Vec<u8>> {
        let in_file = u64::from(number.saturating_sub(1)) * PAGE_BYTES as u64;
        let (file, at) = match self.in_log.get(&number) {
            Some(at) => (&mut self.log, *at),
            None => (&mut self.file, in_file),
        };
        let mut page = Vec::with_capacity(PAGE_BYTES);
        if let Some(file) = file {
            file.seek(SeekFrom::Start(at))?;
            file.take(PAGE_BYTES as u64).read_to_end(&mut page)?;
        }
        page.resize(PAGE_BYTES, 0);
        Ok(page)
    }

    /// See [`application`].
    pub(super) fn application(&mut self) -> io::Result<Option<u32>> {
        Ok(application(&self.read(1)?))
    }

    /// The pages that are in use for nothing, if the list of them is whole.
    pub(super) fn free(&mut self) -> io::Result<Option<HashSet<u32>>> {
        let first = self.read(1)?;
        let (Some(mut next), Some(count)) = (number_at(&first, 32), number_at(&first, 36)) else {
            return Ok(None);
        };
        if !first.starts_with(MAGIC) {
            return Ok(None);
        }
        let mut free = HashSet::new();
        while next != 0 && free.insert(next) {
            let trunk = self.read(next)?;
            let leaves = number_at(&trunk, 4).unwrap_or_default() as usize;
            free.extend(trunk.chunks_exact(4).skip(2).take(leaves).map(number));
            next = number(&trunk[..4]);
        }
        Ok((free.len() == count as usize).then_some(free))
    }
}

/// What a file says its application is, if it begins as one of SQLite's.
pub(super) fn application(header: &[u8]) -> Option<u32> {
    header.starts_with(MAGIC).then(|| number_at(header, 68)).flatten()
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}

/// Four bytes.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

pub(super) fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(number)
}

/// The last version of each page up to the last commit that is whole. Like SQLite we stop at the
/// first frame whose checksum, which covers all before it, is wrong.
fn committed(log: &mut File) -> io::Result<HashMap<u32, u64>> {
    const HEADER_BYTES: usize = 32;
    const FRAME_BYTES: usize = 24;
    let mut log = BufReader::new(log);
    let mut pages = HashMap::new();
    let mut header = [0; HEADER_BYTES];
    if !fill(&mut log, &mut header)? {
        return Ok(pages);
    }
    let magic = number(&header[..4]);
    let mut sum = Sum { big_endian: magic & 1 == 1, halves: (0, 0) };
    let size = number(&header[8..12]);
    if magic >> 1 != 0x377f_0682 >> 1
        || size as usize != PAGE_BYTES
        || !sum.matches(&header[..24], &header[24..])
    {
        return Ok(pages);
    }
    let mut uncommitted = HashMap::new();
    let mut frame = [0; FRAME_BYTES + PAGE_BYTES];
    let mut at = HEADER_BYTES as u64;
    while fill(&mut log, &mut frame)? {
        let (head, page) = frame.split_at(FRAME_BYTES);
        sum.add(&head[..8]);
        if head[8..16] != header[16..24] || !sum.matches(page, &head[16..]) {
            break;
        }
        uncommitted.insert(number(&head[..4]), at + FRAME_BYTES as u64);
        if number(&head[4..8]) != 0 {
            pages.extend(uncommitted.drain());
        }
        at += frame.len() as u64;
    }
    Ok(pages)
}

/// Whether there was as much.
fn fill(from: &mut impl Read, to: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(to) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

/// The checksum of a log.
struct Sum {
    big_endian: bool,
    halves: (u32, u32),
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let word = |word: &[u8]| {
            let word = number(word);
            if self.big_endian { word } else { word.swap_bytes() }
        };
        let (mut a, mut b) = self.halves;
        for words in bytes.chunks_exact(8) {
            a = a.wrapping_add(word(&words[..4])).wrapping_add(b);
            b = b.wrapping_add(word(&words[4..])).wrapping_add(a);
        }
        self.halves = (a, b);
    }

    fn matches(&mut self, bytes: &[u8], expected: &[u8]) -> bool {
        self.add(bytes);
        self.halves == (number(&expected[..4]), number(&expected[4..8]))
    }
}
