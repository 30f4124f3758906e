//! One local WebSocket: a client of one document.

use std::net::SocketAddr;
use std::rc::Rc;

use yrelay_core::close::CloseReason;
use yrelay_core::event::Input;
use yrelay_core::id::DocumentId;

use crate::allowance::Allowance;
use crate::keeping::Asked;
use crate::limits;
use crate::outbox::Outbox;
use crate::pump::{Ended, pump};
use crate::relay::{Come, Relay};
use crate::ws::{Close, Frame, Reader, Writer};

/// Serves a client until one side ends it.
pub(crate) async fn run(
    relay: Rc<Relay>,
    id: DocumentId,
    asked: Asked,
    address: SocketAddr,
    reader: Reader,
    writer: Writer,
) {
    let outbox = Outbox::leaving_in(&relay.turn, limits::OUTBOX_ROOM_BYTES);
    let come = Come::alone(outbox.clone());
    let wanted = come.wanted.clone();
    let (peer, ready) = relay.join(&id, asked, come);
    tracing::info!(document = %id, %peer, %address, "joined");
    let mut allowance = Allowance::of_bytes(&relay.bounds.strangers, address);
    let take = async |frame| match frame {
        Frame::Binary(bytes) => {
            relay.metrics.received_messages.count();
            relay.metrics.received_bytes.add(bytes.len() as u64);
            allowance.spend_on(&bytes).await;
            relay.admit(&id).await;
            if !relay.stopping.get() {
                relay.input(&id, Input::Frame { peer, bytes });
            }
        }
        Frame::Text(_) => relay.refuse(&id, peer, CloseReason::TextFrame),
    };
    let give_room = async {
        loop {
            wanted.notified().await;
            outbox.room().await;
            if ready.replace(false) {
                let bytes_max = yrelay_core::limits::CLIENT_CHUNK_BYTES_MAX;
                relay.input(&id, Input::Room { peer, bytes_max });
            }
        }
    };
    let ended = tokio::select! {
        ended = pump(reader, writer, &outbox, take) => ended,
        () = give_room => return,
    };
    if let Ended::Fault(close) = &ended {
        let too_big = close.code == CloseReason::TooBig.code();
        relay.metrics.reject(if too_big { CloseReason::TooBig.label() } else { "websocket" });
    }
    relay.leave(&id, peer);
    tracing::info!(document = %id, %peer, %address, %ended, "left");
}

/// How a client is told that the process stops.
pub(crate) fn going_away() -> Close {
    let reason = CloseReason::GoingAway;
    Close::new(reason.code(), reason.to_string())
}
