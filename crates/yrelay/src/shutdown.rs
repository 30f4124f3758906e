//! The order in which a relay stops. Whatever the deadline cuts off, nothing acknowledged is lost:
//! all that was acknowledged is on disk.
//!
//! 1. Nobody new is let in (the caller has closed the listener).
//! 2. Frames are read no more.
//! 3. What is queued is committed, and acknowledged.
//! 4. Who was present here is withdrawn, and what the upstream lacks is sent while there is time, as
//!    is what clients are still to be told.
//! 5. Clients and links get a close frame.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use yrelay_core::event::Input;
use yrelay_core::id::DocumentId;

use crate::relay::Relay;
use crate::store::StoreError;
use crate::{clock, connection, limits};

/// Stops a relay whose listener is closed. Ends within [`limits::SHUTDOWN_MS`].
pub async fn stop(relay: &Rc<Relay>) -> Result<(), StoreError> {
    let deadline = clock::now_ms() + limits::SHUTDOWN_MS;
    relay.stopping.set(true);
    relay.resume();
    let committed = commit(relay).await;
    relay.take_store_news();
    withdraw(relay);
    let sending_until = deadline.saturating_sub(limits::CLOSE_MS);
    while (relay.link_wants_room() || owes_acks(relay)) && clock::now_ms() < sending_until {
        clock::sleep(limits::STOP_POLL_MS).await;
    }
    close(relay);
    while !relay.state.borrow().is_deserted() && clock::now_ms() < deadline {
        clock::sleep(limits::STOP_POLL_MS).await;
    }
    committed
}

async fn commit(relay: &Relay) -> Result<(), StoreError> {
    let store = relay.store.clone();
    let deadline = Duration::from_millis(limits::COMMIT_ON_STOP_MS);
    let closed = spawn_blocking(move || store.close(deadline)).await;
    closed.unwrap_or_else(|panic| {
        let bytes = relay.store.stats().unsaved_bytes;
        Err(StoreError::Unsaved { bytes, reason: panic.to_string() })
    })
}

/// Whether a client is still to be told that what it wrote is saved.
fn owes_acks(relay: &Relay) -> bool {
    relay.state.borrow().documents.values().any(|slot| slot.document.owes_acks())
}

fn withdraw(relay: &Rc<Relay>) {
    relay.with(|state, relay| {
        let ids: Vec<DocumentId> = state.documents.keys().cloned().collect();
        for id in ids {
            state.input(relay, &id, Input::Stop);
        }
    });
}

fn close(relay: &Rc<Relay>) {
    relay.with(|state, _| {
        for outbox in state.outboxes_below() {
            outbox.close(connection::going_away());
        }
        state.end_links();
    });
}
