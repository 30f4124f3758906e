//! A WebSocket to the server for each document, its name in the address.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use yrelay_core::event::Input;
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::upstream::{Event, LineAction, LineEvent};

use super::{Which, advice, room_bytes};
use crate::config::Messages;
use crate::connector::Opened;
use crate::jobs::Job;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::pump::pump;
use crate::relay::Relay;
use crate::state::State;
use crate::ws::Frame;

/// One document's connection, or the attempt to open it.
pub(super) struct Line {
    task: AbortHandle,
    connection: Option<Connection>,
}

/// One that stands. Clones are the same.
#[derive(Clone)]
struct Connection {
    peer: PeerId,
    outbox: Outbox,
    /// The document has something to send.
    ready: Rc<Cell<bool>>,
    wanted: Rc<Notify>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    pub(super) fn opening(task: AbortHandle) -> Self {
        Self { task, connection: None }
    }

    pub(super) fn peer(&self) -> Option<PeerId> {
        Some(self.connection.as_ref()?.peer)
    }

    pub(super) fn send(&self, message: &Bytes) -> usize {
        if let Some(connection) = &self.connection {
            let _ = connection.outbox.push(message.clone());
        }
        message.len()
    }

    /// Its document has something to send.
    pub(super) fn wants(&self) {
        if let Some(connection) = &self.connection {
            connection.ready.set(true);
            connection.wanted.notify_one();
        }
    }

    pub(super) fn wants_room(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.ready.get())
    }

    pub(super) fn close(&self) {
        if let Some(connection) = &self.connection {
            connection.outbox.close(crate::connection::going_away());
        }
    }
}

impl Relay {
    /// One attempt, and the connection that comes of it.
    pub(super) async fn run_line(self: Rc<Self>, number: usize, id: DocumentId) {
        let event = |event| Event::Line { document: id.clone(), event };
        let door = self.state.borrow().above.get(number).map(|link| link.door.clone());
        let Some(mut door) = door else { return };
        let opened = door.open_document(&id).await;
        if let Some(link) = self.state.borrow_mut().above.get_mut(number) {
            link.door.learn(&door);
        }
        match opened {
            Ok(opened) => self.pump_line(number, &id, opened).await,
            Err(closed) => {
                let (failure, reason) = (closed.failure, closed.reason);
                self.link_event(number, event(LineEvent::Failed { failure, reason }));
            }
        }
    }

    async fn pump_line(self: Rc<Self>, number: usize, id: &DocumentId, opened: Opened) {
        let outbox = Outbox::leaving_in(&self.turn, room_bytes());
        let event = |event| Event::Line { document: id.clone(), event };
        let connected = self.with(|state, _| {
            let (peer, ready, wanted) = (state.next_peer(), Rc::default(), Rc::default());
            let connection = Connection { peer, outbox: outbox.clone(), ready, wanted };
            let line = state.above.get_mut(number)?.lines.get_mut(id)?;
            Some(line.connection.insert(connection).clone())
        });
        let Some(connection) = connected else { return };
        self.link_event(number, event(LineEvent::Opened));
        let peer = connection.peer;
        let has_spoken = Cell::new(false);
        let take = async |frame| {
            has_spoken.set(true);
            match frame {
                Frame::Binary(bytes) => {
                    self.metrics.received_messages.count();
                    self.metrics.received_bytes.add(bytes.len() as u64);
                    self.admit(id).await;
                    if !self.stopping.get() {
                        self.input(id, Input::Frame { peer, bytes });
                    }
                }
                Frame::Text(_) => self.metrics.reject("text_frame"),
            }
        };
        let ended = tokio::select! {
            ended = pump(opened.reader, opened.writer, &outbox, take) => ended,
            () = self.give_line_room(id, &connection) => return,
        };
        let (code, mut reason) = (ended.code(), ended.to_string());
        if !has_spoken.get() {
            reason += advice::on_silent_end(Messages::Yjs, code);
        }
        self.link_event(number, event(LineEvent::Closed { code, reason }));
    }

    async fn give_line_room(self: &Rc<Self>, id: &DocumentId, connection: &Connection) {
        let Connection { peer, outbox, ready, wanted } = connection;
        let mut pace = Pace::new();
        loop {
            wanted.notified().await;
            while ready.get() {
                pace.wait_for_room(outbox).await;
                let before = outbox.bytes();
                ready.set(false);
                self.input(id, Input::Room { peer: *peer, bytes_max: pace.bytes_max() });
                pace.pulled(outbox.bytes() - before);
            }
            pace.rest();
        }
    }
}

impl State {
    pub(super) fn act_on_line(
        &mut self,
        relay: &Relay,
        number: usize,
        document: DocumentId,
        action: LineAction,
    ) {
        match action {
            LineAction::Open if relay.stopping.get() => {}
            LineAction::Open => {
                let document = Some(document);
                self.spawn(Job::Connect(Which { link: number, document }));
            }
            LineAction::HangUp => {
                if let Some(link) = self.above.get_mut(number) {
                    link.lines.remove(&document);
                }
                self.detach_from(relay, &document);
            }
            LineAction::Attach => {
                let line = self.above.get(number).and_then(|link| link.lines.get(&document));
                if let Some(peer) = line.and_then(Line::peer) {
                    self.attach_as(relay, number, &document, peer);
                    self.offer_next(relay);
                }
            }
            LineAction::Detach => {
                if let Some(link) = self.above.get_mut(number) {
                    // Its task is the one that tells of its end.
                    if let Some(line) = link.lines.get_mut(&document) {
                        line.connection = None;
                    }
                }
                self.detach_from(relay, &document);
            }
        }
    }
}
