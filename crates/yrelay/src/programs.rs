//! Programs that speak Hocuspocus: many documents on one connection, each message behind the name
//! of its document. Each document of it is a client of that document, as one on a connection of its
//! own.
//!
//! A program is let in to a document by its token, or comes in with a step 1 (version 2, where it
//! has no token). What it writes is acknowledged once it is saved, one word for each message.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::Notify;
use yrelay_core::close::CloseReason;
use yrelay_core::decode::DecodeError;
use yrelay_core::event::Input;
use yrelay_core::hocuspocus::{self, Message, Parts};
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::wire;

use crate::allowance::Allowance;
use crate::guard::Guard;
use crate::keeping::Asked;
use crate::outbox::Outbox;
use crate::relay::{Come, Relay};
use crate::ws::Close;
use crate::{clock, limits, tokens};

/// One connection. Clones are the same.
#[derive(Clone)]
pub(crate) struct Desk {
    address: SocketAddr,
    outbox: Outbox,
    /// One of its documents wants room.
    wanted: Rc<Notify>,
    /// By how their frames begin.
    members: Rc<RefCell<HashMap<Bytes, Member>>>,
    joins: Allowance,
}

/// What comes over it.
pub(crate) struct Programs {
    desk: Desk,
    /// Documents that it may still join at once.
    joins: Allowance,
    /// Judges the token of each document, where the connection came without a login.
    guard: Option<Rc<Guard>>,
}

/// One document of it.
struct Member {
    document: DocumentId,
    peer: PeerId,
    ready: Rc<Cell<bool>>,
    /// It has asked what it lacks.
    has_asked: bool,
    /// The word that its answer to our step 1 is saved: it waits for one.
    owed: bool,
}

/// Whether the first frame of a connection at the root is one of Hocuspocus. Links of ELVA begin
/// with two bytes that make a name with a NUL in front, which is none; those of its later form
/// begin with what would be a name of 73 bytes, and go on as no message of Hocuspocus does.
pub(crate) fn is_first_frame(frame: &Bytes) -> bool {
    let Ok(Parts { name, message, .. }) = hocuspocus::split(frame) else { return false };
    document(name).is_some() && hocuspocus::decode(&message).is_ok_and(|it| opens(&it))
}

/// The document of this name. Behind a NUL version 4 may have which session of a program it is.
fn document(name: &str) -> Option<DocumentId> {
    DocumentId::new(name.split('\0').next().unwrap_or_default()).ok()
}

/// Whether a message may be the first about a document.
fn opens(message: &Message) -> bool {
    match message {
        Message::Token(_) => true,
        Message::Yjs(message) => is_step_1(message),
        _ => false,
    }
}

fn is_step_1(message: &Bytes) -> bool {
    matches!(
        wire::messages(message).next(),
        Some(Ok(wire::Message::SyncStep1(vector)))
            if wire::sync_step1(&vector).len() == message.len()
    )
}

impl Desk {
    pub(crate) fn new(relay: &Relay, address: SocketAddr, outbox: &Outbox) -> Self {
        Self {
            address,
            outbox: outbox.clone(),
            wanted: Rc::default(),
            members: Rc::default(),
            joins: Allowance::of_joins(&relay.bounds.strangers, address),
        }
    }

    /// Gives room to the documents that want it, for ever.
    pub(crate) async fn give_room(&self, relay: &Rc<Relay>) {
        loop {
            self.wanted.notified().await;
            for (id, peer) in self.take_ready() {
                self.outbox.room().await;
                let bytes_max = yrelay_core::limits::CLIENT_CHUNK_BYTES_MAX;
                relay.input(&id, Input::Room { peer, bytes_max });
            }
        }
    }

    /// The documents that want room.
    fn take_ready(&self) -> Vec<(DocumentId, PeerId)> {
        let members = self.members.borrow();
        let ready = members.values().filter(|member| member.ready.replace(false));
        ready.map(|member| (member.document.clone(), member.peer)).collect()
    }

    fn send(&self, prefix: &[u8], message: &[u8]) {
        let _ = self.outbox.push([prefix, message].concat().into());
    }

    fn leave(&self, relay: &Rc<Relay>, prefix: &Bytes) {
        let member = self.members.borrow_mut().remove(prefix);
        if let Some(Member { document, peer, .. }) = member {
            relay.leave(&document, peer);
            tracing::info!(%document, %peer, address = %self.address, "left");
        }
    }

    /// The connection is no more.
    pub(crate) fn leave_all(&self, relay: &Rc<Relay>) {
        let prefixes: Vec<Bytes> = self.members.borrow().keys().cloned().collect();
        prefixes.iter().for_each(|prefix| self.leave(relay, prefix));
    }
}

impl Programs {
    pub(crate) fn new(desk: &Desk) -> Self {
        Self { desk: desk.clone(), joins: desk.joins, guard: None }
    }

    /// Those of a page that came without a login.
    pub(crate) fn of_page(desk: &Desk, guard: Rc<Guard>) -> Self {
        Self { guard: Some(guard), ..Self::new(desk) }
    }

    /// A frame of the program.
    pub(crate) async fn frame(&mut self, relay: &Rc<Relay>, frame: &Bytes) {
        if hocuspocus::is_ping(frame) {
            let _ = self.desk.outbox.push(hocuspocus::pong());
            return;
        }
        if hocuspocus::is_pong(frame) {
            return;
        }
        let read = hocuspocus::split(frame)
            .and_then(|parts| Ok((hocuspocus::decode(&parts.message)?, parts)));
        match read {
            Ok((message, parts)) => self.message(relay, &parts, message).await,
            Err(error) => self.refuse(relay, error),
        }
    }

    fn refuse(&self, relay: &Relay, error: DecodeError) {
        let reason = CloseReason::Malformed(error);
        relay.metrics.reject(reason.label());
        tracing::info!(address = %self.desk.address, %reason, "closing");
        self.desk.outbox.close(Close::new(reason.code(), reason.to_string()));
    }

    async fn message(&mut self, relay: &Rc<Relay>, parts: &Parts<'_>, message: Message) {
        self.forget_those_sent_away(relay, &parts.prefix);
        if !self.desk.members.borrow().contains_key(&parts.prefix) {
            if !self.may_open(relay, parts, &message).await || !self.join(relay, parts).await {
                return;
            }
            if let Message::Token(_) = message {
                self.desk.send(&parts.prefix, &hocuspocus::granted(false));
            }
        }
        let found = {
            let mut members = self.desk.members.borrow_mut();
            members.get_mut(&parts.prefix).map(|member| {
                let message = match message {
                    Message::Yjs(message) => Message::Yjs(member.asking_for_word(message)),
                    other => other,
                };
                (member.document.clone(), member.peer, message)
            })
        };
        let Some((id, peer, message)) = found else { return };
        match message {
            Message::Yjs(bytes) => {
                relay.admit(&id).await;
                if !relay.stopping.get() {
                    relay.input(&id, Input::Frame { peer, bytes });
                }
            }
            Message::Stateless(payload) => {
                relay.with(|state, _| state.pass_on_stateless(&id, Some(peer), &payload));
            }
            Message::Closed { .. } => self.desk.leave(relay, &parts.prefix),
            Message::Unknown(kind) => {
                relay.metrics.ignored_messages.count();
                tracing::debug!(document = %id, kind, "ignored a message");
            }
            // For the other direction, or said already.
            Message::Token(_)
            | Message::Granted { .. }
            | Message::Denied { .. }
            | Message::SyncStatus(_) => {}
        }
    }

    /// Whether a message opens its document.
    async fn may_open(&self, relay: &Relay, parts: &Parts<'_>, message: &Message) -> bool {
        let desk = &self.desk;
        match (&self.guard, message) {
            (None, message) if opens(message) => true,
            (Some(guard), Message::Token(token)) => {
                let judged = tokens::judge(guard, &relay.metrics, token, desk.address).await;
                match &judged {
                    Ok(true) => {}
                    Ok(false) => drop(desk.outbox.push(tokens::denial(&parts.prefix))),
                    Err(close) => desk.outbox.close(close.clone()),
                }
                judged == Ok(true)
            }
            // Such as what version 2 says of presence after it has left.
            _ => {
                relay.metrics.unknown_documents.count();
                false
            }
        }
    }

    async fn join(&mut self, relay: &Rc<Relay>, parts: &Parts<'_>) -> bool {
        let desk = &self.desk;
        let Some(id) = document(parts.name) else {
            desk.send(&parts.prefix, &hocuspocus::denied("no document can have that name"));
            return false;
        };
        if desk.members.borrow().len() >= limits::LINK_DOCUMENTS_MAX {
            desk.send(&parts.prefix, &hocuspocus::denied("too many documents on one connection"));
            return false;
        }
        let wait_ms = self.joins.wait_ms(1);
        if wait_ms > 0 {
            clock::sleep(wait_ms).await;
        }
        // Not a part of the frame, which would be held as long.
        let prefix = Bytes::copy_from_slice(&parts.prefix);
        let (outbox, wanted) = (desk.outbox.clone(), desk.wanted.clone());
        let come = Come { outbox, wanted, prefix: Some(prefix.clone()) };
        let (peer, ready) = relay.join(&id, Asked::default(), come);
        tracing::info!(document = %id, %peer, address = %desk.address, "joined");
        let member = Member { document: id, peer, ready, has_asked: false, owed: false };
        desk.members.borrow_mut().insert(prefix, member);
        true
    }

    /// One that a document does not go on with may ask to be let in again.
    fn forget_those_sent_away(&mut self, relay: &Relay, prefix: &Bytes) {
        let is_gone = |it: &Member| !relay.state.borrow().clients.contains_key(&it.peer);
        let mut members = self.desk.members.borrow_mut();
        if members.get(prefix).is_some_and(is_gone) {
            members.remove(prefix);
        }
    }
}

impl Member {
    /// A message of the program, with a question behind it whether all so far is saved where it
    /// waits for that word: after each update, and once it has answered our step 1, or asks again.
    fn asking_for_word(&mut self, message: Bytes) -> Bytes {
        let waits = match wire::messages(&message).next() {
            Some(Ok(wire::Message::SyncStep1(_))) => {
                self.owed = !self.has_asked;
                std::mem::replace(&mut self.has_asked, true)
            }
            Some(Ok(wire::Message::SyncStep2(_))) => std::mem::replace(&mut self.owed, false),
            Some(Ok(wire::Message::Update { .. })) => true,
            _ => false,
        };
        if !waits {
            return message;
        }
        [&message[..], &wire::sync_status(&[])].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use yrelay_core::link;

    use super::*;

    fn frame(name: &str, message: &[u8]) -> Bytes {
        [&hocuspocus::prefix(name)[..], message].concat().into()
    }

    #[test]
    fn the_first_frame_tells_programs_from_relays() {
        let long = "D".repeat(73);
        for name in ["notes", "a b/\u{fc}", "notes\0session", "x", &long] {
            for message in [hocuspocus::token(""), hocuspocus::token("t"), wire::sync_step1(&[0])] {
                assert!(is_first_frame(&frame(name, &message)), "{name:?}");
            }
            assert!(!is_first_frame(&frame(name, &wire::awareness(&[0]))), "{name:?}");
            assert!(!is_first_frame(&frame(name, &wire::update(&[0, 0]))), "{name:?}");
        }
        let long = "x".repeat(200);
        for name in ["notes", "\u{2}", "D", &long] {
            for message in [wire::sync_step1(&[0]), wire::update(&[0, 0]), wire::awareness(&[0])] {
                let mut elva = link::prefix(name).to_vec();
                elva.extend(&message[..]);
                assert!(!is_first_frame(&elva.clone().into()), "{name:?}");
                elva[..2].copy_from_slice(b"ID");
                assert!(!is_first_frame(&elva.into()), "{name:?}");
            }
        }
        assert!(!is_first_frame(&wire::sync_step1(&[0])), "without a name");
        assert!(!is_first_frame(&Bytes::new()));
    }

    #[test]
    fn each_update_is_acknowledged_and_one_answer_to_our_question() {
        let mut member = Member {
            document: DocumentId::new("a").unwrap(),
            peer: PeerId(1),
            ready: Rc::default(),
            has_asked: false,
            owed: false,
        };
        let mut waits = |message: Bytes| {
            let length = message.len();
            member.asking_for_word(message).len() > length
        };
        // An answer to a question that it has not begun with.
        assert!(!waits(wire::sync_step2(&[0, 0])));
        assert!(!waits(wire::sync_step1(&[0])));
        assert!(!waits(wire::awareness(&[0])));
        assert!(waits(wire::sync_step2(&[0, 0])));
        assert!(!waits(wire::sync_step2(&[0, 0])), "nobody counts that");
        assert!(waits(wire::update(&[0, 0])));
        assert!(waits(wire::update(&[0, 0])));
        // It begins to count anew: all it has said was said before.
        assert!(waits(wire::sync_step1(&[0])));
        assert!(!waits(wire::sync_step2(&[0, 0])));
    }
}
