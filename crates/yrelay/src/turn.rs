//! The end of a turn of the event loop: what was queued in it leaves then, with one write for each
//! peer, and no task of the peer's is woken for it.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::outbox::Outbox;

/// The outboxes that were filled in this turn. Clones are the same turn.
#[derive(Clone, Default)]
pub(crate) struct Turn(Rc<Shared>);

#[derive(Default)]
struct Shared {
    filled: RefCell<Vec<Outbox>>,
    ends: Notify,
}

impl Turn {
    /// An outbox has something that is to leave.
    pub(crate) fn add(&self, outbox: Outbox) {
        let mut filled = self.0.filled.borrow_mut();
        filled.push(outbox);
        if filled.len() == 1 {
            self.0.ends.notify_one();
        }
    }

    /// Ends turns for ever. Woken by the first who fills an outbox, it comes after all those who
    /// were ready to run by then.
    pub(crate) async fn run(self) {
        let mut leaving = Vec::new();
        loop {
            self.0.ends.notified().await;
            mem::swap(&mut *self.0.filled.borrow_mut(), &mut leaving);
            for outbox in leaving.drain(..) {
                outbox.leave();
            }
        }
    }
}
