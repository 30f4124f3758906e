//! A WebSocket at the root path carries many documents: of a relay below, or of programs that speak
//! Hocuspocus. The first frame tells, unless the other side has offered our own subprotocol.

use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use yrelay_core::event::Dialect;
use yrelay_core::id::IdError;
use yrelay_core::upstream::Event;

use crate::allowance::Allowance;
use crate::http::Many;
use crate::limits;
use crate::link_server::{self, Below};
use crate::outbox::Outbox;
use crate::programs::{self, Programs};
use crate::pump::pump;
use crate::relay::Relay;
use crate::status::Role;
use crate::ws::{Close, Frame, Reader, Writer};

/// Who has connected.
enum Who {
    /// Nothing was said yet. A relay may be silent for as long as nobody has anything open there.
    Unknown,
    Relay,
    Programs(Programs),
    /// Neither: it is being sent away.
    Stranger,
}

/// Serves a connection until one side ends it.
pub(crate) async fn run(
    relay: Rc<Relay>,
    address: SocketAddr,
    many: Many,
    reader: Reader,
    writer: Writer,
) {
    let (dialect, page) = match many {
        Many::Unknown(dialect) => (dialect, None),
        Many::Page(guard, first) => (Dialect::Hocuspocus, Some((guard, first))),
    };
    let outbox = Outbox::leaving_in(&relay.turn, limits::LINK_ROOM_BYTES);
    let below = Below::connected(&relay, address, &outbox, dialect);
    relay.with(|state, relay| state.link_events(relay, || Event::ClientCame));
    let mut allowance = Allowance::of_bytes(&relay.bounds.strangers, address);
    let desk = programs::Desk::new(&relay, address, &outbox);
    let mut who = Who::Unknown;
    if let Some((guard, first)) = page {
        tracing::info!(%address, "a page with many documents has connected");
        let mut programs = Programs::of_page(&desk, guard);
        programs.frame(&relay, &first).await;
        who = Who::Programs(programs);
    }
    let take = async |frame| match frame {
        Frame::Binary(bytes) => {
            allowance.spend_on(&bytes).await;
            if let Who::Unknown = who {
                who = recognise(&relay, dialect, &bytes, &desk);
                greet(&who, address, &outbox);
            }
            match &mut who {
                Who::Relay => relay.frame_from_below(below.number, &bytes).await,
                Who::Programs(programs) => programs.frame(&relay, &bytes).await,
                Who::Unknown | Who::Stranger => {}
            }
        }
        Frame::Text(_) => relay.metrics.reject("text_frame"),
    };
    let ended = tokio::select! {
        ended = pump(reader, writer, &outbox, take) => ended,
        () = link_server::give_room(&relay, &below, &outbox) => return,
        () = link_server::tell_counts(&relay, below.number) => return,
        () = desk.give_room(&relay) => return,
    };
    below.ended(&relay);
    desk.leave_all(&relay);
    tracing::info!(%address, %ended, "a connection of many documents has ended");
}

/// Who speaks so. A relay that offers our subprotocol may still speak ELVA's dialect.
fn recognise(relay: &Relay, dialect: Dialect, frame: &Bytes, desk: &programs::Desk) -> Who {
    if dialect == Dialect::Own {
        Who::Relay
    } else if programs::is_first_frame(frame) {
        Who::Programs(Programs::new(desk))
    } else if relay.role == Role::Serve {
        Who::Relay
    } else {
        relay.metrics.reject("request");
        Who::Stranger
    }
}

fn greet(who: &Who, address: SocketAddr, outbox: &Outbox) {
    match who {
        Who::Relay => tracing::info!(%address, "a relay has connected"),
        Who::Programs(_) => tracing::info!(%address, "a program with many documents has connected"),
        Who::Unknown => {}
        // y-websocket comes back after any other code, for ever.
        Who::Stranger => outbox.close(Close::new(4400, IdError::Missing.to_string())),
    }
}
