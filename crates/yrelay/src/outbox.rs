//! What waits to be written to one peer: bounded, on one thread.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::limits;
use crate::turn::Turn;
use crate::ws::{Close, Writer};

/// A bounded queue to one peer. Clones are the same queue.
#[derive(Clone)]
pub struct Outbox(Rc<Shared>);

/// The queue has no place for the message; it was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "reading too slowly, {} messages or {} bytes wait: reconnect to catch up",
    limits::OUTBOX_MESSAGES_MAX,
    limits::OUTBOX_BYTES_MAX
)]
pub struct Full;

#[derive(Default)]
struct Shared {
    /// Up to so many bytes there is room for a puller.
    room_bytes: usize,
    /// When what is queued leaves on its own.
    turn: Option<Turn>,
    /// Where to.
    writer: RefCell<Option<Writer>>,
    state: RefCell<State>,
    /// For [`Outbox::next_batch`].
    filled: Notify,
    /// For [`Outbox::room`].
    drained: Notify,
    /// For [`Outbox::closing`].
    closing: Notify,
}

#[derive(Default)]
struct State {
    queue: Vec<Bytes>,
    /// Of the queue and of the batch that is being written.
    messages: usize,
    bytes: usize,
    /// At least the length of the largest message among them.
    largest: usize,
    in_flight: (usize, usize),
    /// It is among those that leave at the end of this turn.
    leaving: bool,
    /// Not all of what left could be written: it must be flushed before anything else.
    unflushed: bool,
    /// A message was refused.
    overflowed: bool,
    close: Option<Close>,
    /// The close has left with a batch.
    closed: bool,
}

impl State {
    fn has_place_for(&self, length: usize) -> bool {
        let beside_largest = self.bytes + length - self.largest.max(length);
        self.messages == 0
            || (self.messages < limits::OUTBOX_MESSAGES_MAX
                && beside_largest <= limits::OUTBOX_BYTES_MAX)
    }

    fn forget(&mut self, (messages, bytes): (usize, usize)) {
        self.messages -= messages;
        self.bytes -= bytes;
        self.largest = self.queue.iter().map(Bytes::len).max().unwrap_or(0);
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// An empty queue to a client.
    pub fn new() -> Self {
        Self::with_room(limits::OUTBOX_ROOM_BYTES)
    }

    /// An empty queue. Whoever fills it by pulling has room while no more than this waits.
    pub fn with_room(room_bytes: usize) -> Self {
        Self(Rc::new(Shared { room_bytes, ..Shared::default() }))
    }

    /// The same; what is queued leaves at the end of the turn while there is a writer.
    pub(crate) fn leaving_in(turn: &Turn, room_bytes: usize) -> Self {
        Self(Rc::new(Shared { room_bytes, turn: Some(turn.clone()), ..Shared::default() }))
    }

    /// What is queued can leave this way, as long as what is returned lives.
    pub(crate) fn attach(&self, writer: Writer) -> Attached<'_> {
        if self.0.turn.is_some() {
            *self.0.writer.borrow_mut() = Some(writer);
        }
        Attached(self)
    }

    /// Queues a message. There is always place for one, and for one of any size beside
    /// [`limits::OUTBOX_BYTES_MAX`] of others. After a close nothing is queued, and all is well.
    pub fn push(&self, message: Bytes) -> Result<(), Full> {
        let mut state = self.0.state.borrow_mut();
        if state.close.is_some() {
            return Ok(());
        }
        if !state.has_place_for(message.len()) {
            state.overflowed = true;
            return Err(Full);
        }
        state.messages += 1;
        state.bytes += message.len();
        state.largest = state.largest.max(message.len());
        state.queue.push(message);
        match &self.0.turn {
            Some(turn) if self.0.writer.borrow().is_some() => {
                if !state.leaving && !state.unflushed {
                    state.leaving = true;
                    turn.add(self.clone());
                }
            }
            _ => self.0.filled.notify_one(),
        }
        Ok(())
    }

    /// Writes what is queued, if it can be written at once. What cannot, and a close, is left to
    /// whoever waits for the next batch.
    pub(crate) fn leave(&self) {
        let mut state = self.0.state.borrow_mut();
        state.leaving = false;
        let mut writer = self.0.writer.borrow_mut();
        let Some(writer) = writer.as_mut().filter(|_| state.close.is_none()) else {
            return self.0.filled.notify_one();
        };
        if state.queue.is_empty() {
            // It has gone with a batch.
            return;
        }
        state.in_flight = (state.messages, state.bytes);
        let fed = state.queue.drain(..).try_for_each(|message| writer.feed(message));
        drop(state);
        if fed.is_ok() && writer.try_flush().is_ok_and(|flushed| flushed) {
            self.written();
        } else {
            self.0.state.borrow_mut().unflushed = true;
            self.0.filled.notify_one();
        }
    }

    /// Ends the connection after what is queued, or at once where the queue overflowed. The first
    /// close counts.
    pub fn close(&self, close: Close) {
        let mut state = self.0.state.borrow_mut();
        if state.close.is_some() {
            return;
        }
        if state.overflowed {
            let dropped = state.queue.drain(..).fold((0, 0), |(n, b), m| (n + 1, b + m.len()));
            state.forget(dropped);
        }
        state.close = Some(close);
        self.0.filled.notify_one();
        self.0.closing.notify_one();
    }

    /// Whether a close was asked for.
    pub fn is_closing(&self) -> bool {
        self.0.state.borrow().close.is_some()
    }

    /// The close that was asked for.
    pub fn close_asked(&self) -> Option<Close> {
        self.0.state.borrow().close.clone()
    }

    /// Waits until a close is asked for. For one waiter.
    pub async fn closing(&self) -> Close {
        loop {
            if let Some(close) = self.close_asked() {
                return close;
            }
            self.0.closing.notified().await;
        }
    }

    /// Whether a puller may push its next chunk.
    pub fn has_room(&self) -> bool {
        let state = self.0.state.borrow();
        state.bytes <= self.0.room_bytes && state.messages <= limits::OUTBOX_MESSAGES_MAX / 2
    }

    /// Bytes that wait, those being written included.
    pub fn bytes(&self) -> usize {
        self.0.state.borrow().bytes
    }

    /// Waits until [`Outbox::has_room`]. For one waiter.
    pub async fn room(&self) {
        while !self.has_room() {
            self.0.drained.notified().await;
        }
    }

    /// Waits for messages and moves them into `batch`, an empty one; with the last batch comes the
    /// close that follows it. They count until [`Outbox::written`]. For one waiter; dropping the
    /// future loses nothing.
    pub async fn next_batch(&self, batch: &mut Vec<Bytes>) -> Option<Close> {
        loop {
            if let Some(close) = self.take(batch) {
                return close;
            }
            self.0.filled.notified().await;
        }
    }

    /// The batch has been written: its place is free again.
    pub fn written(&self) {
        let mut state = self.0.state.borrow_mut();
        state.unflushed = false;
        let in_flight = mem::take(&mut state.in_flight);
        state.forget(in_flight);
        drop(state);
        if self.has_room() {
            self.0.drained.notify_one();
        }
    }

    fn take(&self, batch: &mut Vec<Bytes>) -> Option<Option<Close>> {
        let mut state = self.0.state.borrow_mut();
        if state.unflushed {
            return Some(None);
        }
        if state.queue.is_empty() && (state.close.is_none() || state.closed) {
            return None;
        }
        if let Some(turn) = &self.0.turn {
            turn.leave();
        }
        debug_assert!(batch.is_empty());
        mem::swap(&mut state.queue, batch);
        state.in_flight = (state.messages, state.bytes);
        state.closed = state.close.is_some();
        Some(state.close.clone())
    }
}

/// An outbox has a writer.
pub(crate) struct Attached<'a>(&'a Outbox);

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.0.0.writer.borrow_mut().take();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn of(length: usize) -> Bytes {
        Bytes::from(vec![0; length])
    }

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn batch(outbox: &Outbox) -> Option<(Vec<usize>, Option<Close>)> {
        let mut batch = Vec::new();
        let close = now(outbox.next_batch(&mut batch))?;
        Some((batch.iter().map(Bytes::len).collect(), close))
    }

    #[test]
    fn a_batch_is_all_that_waits_in_order() {
        let outbox = Outbox::new();
        assert_eq!(batch(&outbox), None);
        outbox.push(of(1)).unwrap();
        outbox.push(of(2)).unwrap();
        assert_eq!(batch(&outbox), Some((vec![1, 2], None)));
        assert_eq!(batch(&outbox), None);
    }

    #[test]
    fn messages_are_bounded_in_number_until_they_are_written() {
        let outbox = Outbox::new();
        for _ in 0..limits::OUTBOX_MESSAGES_MAX {
            outbox.push(of(1)).unwrap();
        }
        assert_eq!(outbox.push(of(1)), Err(Full));
        batch(&outbox).unwrap();
        assert_eq!(outbox.push(of(1)), Err(Full), "the batch still counts");
        outbox.written();
        assert_eq!(outbox.push(of(1)), Ok(()));
        assert_eq!(outbox.bytes(), 1);
    }

    #[test]
    fn bytes_are_bounded_beside_the_largest_message() {
        let half = limits::OUTBOX_BYTES_MAX / 2;
        let outbox = Outbox::new();
        for length in [half, half, half] {
            outbox.push(of(length)).unwrap();
        }
        assert_eq!(outbox.push(of(1)), Err(Full));
        batch(&outbox).unwrap();
        outbox.written();
        assert_eq!(outbox.push(of(1)), Ok(()));
    }

    #[test]
    fn one_message_of_any_size_finds_place_first_or_later() {
        let huge = 5 * limits::OUTBOX_BYTES_MAX;
        let outbox = Outbox::new();
        outbox.push(of(huge)).unwrap();
        outbox.push(of(10)).unwrap();
        assert_eq!(outbox.push(of(huge)), Err(Full), "a second one is too much");
        let outbox = Outbox::new();
        outbox.push(of(10)).unwrap();
        outbox.push(of(huge)).unwrap();
        batch(&outbox).unwrap();
        outbox.written();
        outbox.push(of(huge)).unwrap();
    }

    #[test]
    fn a_close_follows_what_is_queued() {
        let outbox = Outbox::new();
        outbox.push(of(3)).unwrap();
        outbox.close(Close::new(1001, "stopping"));
        outbox.close(Close::new(1011, "later"));
        outbox.push(of(4)).unwrap();
        assert_eq!(batch(&outbox), Some((vec![3], Some(Close::new(1001, "stopping")))));
        assert_eq!(batch(&outbox), None, "once only");
        assert!(outbox.is_closing());
        assert_eq!(now(outbox.closing()), Some(Close::new(1001, "stopping")));
    }

    #[test]
    fn a_close_replaces_a_queue_that_overflowed() {
        let outbox = Outbox::new();
        while outbox.push(of(9)).is_ok() {}
        outbox.close(Close::new(1013, "slow"));
        assert_eq!(batch(&outbox), Some((vec![], Some(Close::new(1013, "slow")))));
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn a_close_wakes_the_writer_of_an_empty_queue() {
        let outbox = Outbox::new();
        let mut batch = Vec::new();
        let mut waiting = pin!(outbox.next_batch(&mut batch));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        outbox.close(Close::new(1000, ""));
        assert!(waiting.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn room_comes_back_when_the_batch_is_written() {
        let outbox = Outbox::new();
        assert!(outbox.has_room());
        outbox.push(of(limits::OUTBOX_ROOM_BYTES + 1)).unwrap();
        let mut room = pin!(outbox.room());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(room.as_mut().poll(&mut cx).is_pending());
        batch(&outbox).unwrap();
        assert!(room.as_mut().poll(&mut cx).is_pending(), "not before it is written");
        outbox.written();
        assert!(room.as_mut().poll(&mut cx).is_ready());
    }
}
