//! What is to go over a link of an opaque document: kept frames from some place on, and others.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::archive::{Archive, Kept};
use crate::{Millis, fellow, limits};

/// What waits. Of kept frames a place is remembered; the others are in a bounded queue.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// What is not kept, and whether it need not be.
    queue: VecDeque<(Bytes, bool)>,
    bytes: usize,
    /// Another yrelay is to be told what is kept here, and whether all that it keeps is.
    summary: Option<bool>,
    /// The next kept frame, and how many there are.
    next: usize,
    end: usize,
    /// When kept frames were last sent, when the place was remembered up to which all had gone a
    /// while before, and that place.
    sent_at: Millis,
    marked_at: Millis,
    mark: usize,
    delivered: usize,
}

impl Frames {
    /// Refused if too many wait; the first always finds place.
    pub(crate) fn push(&mut self, frame: Bytes, is_aside: bool) -> bool {
        let bytes = self.bytes + frame.len();
        let fits =
            bytes <= limits::OPAQUE_BYTES_MAX && self.queue.len() < limits::OPAQUE_FRAMES_MAX;
        if !fits && !self.queue.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.queue.push_back((frame, is_aside));
        true
    }

    /// There are so many kept frames now. If the last is not for this link, nothing waits for it.
    pub(crate) fn kept(&mut self, count: usize, is_for_it: bool) {
        if !is_for_it && self.next == self.end {
            self.next = count;
        }
        self.end = count;
    }

    /// All kept frames before this place are there already.
    pub(crate) fn start_at(&mut self, place: usize) {
        (self.next, self.mark, self.delivered) = (place, place, place);
    }

    /// Of the kept frames it lacks those from this place on, at least.
    pub(crate) fn lacks_from(&mut self, place: usize) {
        self.next = self.next.min(place);
    }

    /// Another yrelay is told what is kept here.
    pub(crate) fn tell_summary(&mut self, covers: bool) {
        self.summary = Some(covers);
    }

    /// Up to which place all that was to be sent has arrived, as far as that can be told.
    pub(crate) fn delivered(&self, now: Millis) -> usize {
        match now >= self.sent_at + limits::DELIVERED_MS {
            true => self.next,
            false => self.delivered,
        }
    }

    /// The next message, for another yrelay (`is_fellow`) or any other. `is_for_it`: whether a kept
    /// frame is to go over this link.
    pub(crate) fn pop(
        &mut self,
        now: Millis,
        is_fellow: bool,
        archive: &Archive,
        is_for_it: impl Fn(&Kept) -> bool,
    ) -> Option<Bytes> {
        if let Some(covers) = self.summary.take() {
            let (count, digest) = archive.summary();
            return Some(fellow::archive(count, &digest, covers));
        }
        if let Some((frame, is_aside)) = self.queue.pop_front() {
            self.bytes -= frame.len();
            return Some(match (is_fellow, is_aside) {
                (false, _) => frame,
                (true, true) => fellow::aside(&frame),
                (true, false) => fellow::opaque(&frame),
            });
        }
        while self.next < self.end {
            let kept = archive.get(self.next)?;
            self.next += 1;
            if is_for_it(kept) {
                self.sent(now);
                let bytes = &kept.bytes;
                return Some(if is_fellow { fellow::opaque(bytes) } else { bytes.clone() });
            }
        }
        None
    }

    fn sent(&mut self, now: Millis) {
        let before = self.next - 1;
        let is_old = |at: Millis| now >= at + limits::DELIVERED_MS;
        if is_old(self.sent_at) || is_old(self.marked_at) {
            self.delivered = if is_old(self.sent_at) { before } else { self.mark };
            (self.marked_at, self.mark) = (now, before);
        }
        self.sent_at = now;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.next == self.end && self.summary.is_none()
    }
}
