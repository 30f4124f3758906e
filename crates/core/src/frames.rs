//! Frames of an opaque document that wait for a link.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::limits;

/// A bounded queue. Nothing in it can be merged or asked for again, as nobody here can read it.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    queue: VecDeque<Bytes>,
    bytes: usize,
}

impl Frames {
    /// Refused if too many wait; the first always finds place.
    pub(crate) fn push(&mut self, frame: Bytes) -> bool {
        let bytes = self.bytes + frame.len();
        let fits =
            bytes <= limits::OPAQUE_BYTES_MAX && self.queue.len() < limits::OPAQUE_FRAMES_MAX;
        if !fits && !self.queue.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.queue.push_back(frame);
        true
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let frame = self.queue.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
