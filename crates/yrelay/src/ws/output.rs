//! What is queued to be written to one WebSocket: many frames leave in one write.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::frames::{Opcode, mask, put_head};

/// Payloads up to this size are gathered, larger ones go to the system as they are, shared with
/// the queues to others.
const GATHERED_BYTES_MAX: usize = 4 << 10;
/// So many pieces are offered to the system at once, and no more than this is gathered in one.
pub(super) const PIECES: usize = 64;
const PIECE_BYTES: usize = 64 << 10;

/// Frames that have not been written yet. Idle, it holds no memory.
#[derive(Debug, Default)]
pub(super) struct Output {
    pieces: VecDeque<Bytes>,
    /// Comes after them.
    gathered: Vec<u8>,
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.gathered.is_empty()
    }

    /// Queues a message as one frame: several servers do not put fragments together.
    pub(super) fn push(&mut self, opcode: Opcode, payload: Bytes, key: Option<[u8; 4]>) {
        if self.gathered.len() > PIECE_BYTES {
            self.close_piece();
        }
        put_head(&mut self.gathered, opcode, payload.len(), key);
        if payload.len() > GATHERED_BYTES_MAX && key.is_none() {
            self.close_piece();
            self.pieces.push_back(payload);
            return;
        }
        let begin = self.gathered.len();
        self.gathered.extend_from_slice(&payload);
        mask(&mut self.gathered[begin..], key.unwrap_or_default());
    }

    fn close_piece(&mut self) {
        self.pieces.push_back(std::mem::take(&mut self.gathered).into());
    }

    /// What comes next, in pieces, to be written at once.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; PIECES]) -> usize {
        let pieces = self.pieces.iter().map(|piece| &piece[..]).chain([&self.gathered[..]]);
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces.filter(|piece| !piece.is_empty())) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// So many bytes were written.
    pub(super) fn written(&mut self, mut length: usize) {
        if length == self.gathered.len() && self.pieces.is_empty() {
            self.gathered = Vec::new();
            return;
        }
        // What is gathered becomes a piece, which can be left in the middle.
        if !self.gathered.is_empty() {
            self.close_piece();
        }
        while let Some(piece) = self.pieces.front_mut() {
            if length < piece.len() {
                piece.advance(length);
                return;
            }
            length -= piece.len();
            self.pieces.pop_front();
        }
        self.pieces = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes all of it, so much at a time.
    fn drain(output: &mut Output, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !output.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = output.slices(&mut slices);
            let next = slices[..count].iter().flat_map(|slice| slice.iter());
            let begin = all.len();
            all.extend(next.take(most));
            let length = all.len() - begin;
            output.written(length);
        }
        all
    }

    #[test]
    fn frames_keep_their_order_whatever_is_written_at_once() {
        let payloads: Vec<Bytes> = [1, 200, 5_000, 0, 70_000, 3, 4_096, 4_097]
            .iter()
            .enumerate()
            .map(|(at, length)| vec![at as u8; *length].into())
            .collect();
        let mut expected = Vec::new();
        for payload in &payloads {
            put_head(&mut expected, Opcode::Binary, payload.len(), None);
            expected.extend_from_slice(payload);
        }
        for most in [1, 7, 4_000, 100_000, usize::MAX] {
            let mut output = Output::default();
            payloads.iter().for_each(|payload| output.push(Opcode::Binary, payload.clone(), None));
            assert_eq!(drain(&mut output, most), expected, "{most}");
            assert_eq!(output.gathered.capacity() + output.pieces.capacity(), 0);
        }
    }

    #[test]
    fn small_messages_leave_in_one_piece_and_large_ones_are_not_copied() {
        let mut output = Output::default();
        for _ in 0..100 {
            output.push(Opcode::Binary, Bytes::from_static(b"small"), None);
        }
        let large = Bytes::from(vec![1; GATHERED_BYTES_MAX + 1]);
        output.push(Opcode::Binary, large.clone(), None);
        let mut slices = [IoSlice::new(&[]); PIECES];
        assert_eq!(output.slices(&mut slices), 2);
        assert_eq!(slices[1].as_ptr(), large.as_ptr());
    }

    #[test]
    fn more_pieces_than_the_system_takes_come_later() {
        let mut output = Output::default();
        let large = Bytes::from(vec![1; GATHERED_BYTES_MAX + 1]);
        for _ in 0..2 * PIECES {
            output.push(Opcode::Binary, large.clone(), None);
        }
        let length = drain(&mut output, usize::MAX).len();
        assert_eq!(length, 2 * PIECES * (4 + large.len()));
    }

    #[test]
    fn masked_frames_are_copies() {
        let payload = Bytes::from(vec![0; GATHERED_BYTES_MAX + 1]);
        let mut output = Output::default();
        output.push(Opcode::Binary, payload.clone(), Some([1, 2, 3, 4]));
        let all = drain(&mut output, usize::MAX);
        assert_eq!(all[..12], [0x82, 0xfe, 0x10, 0x01, 1, 2, 3, 4, 1, 2, 3, 4]);
        assert_eq!(payload[..], vec![0; GATHERED_BYTES_MAX + 1]);
    }
}
