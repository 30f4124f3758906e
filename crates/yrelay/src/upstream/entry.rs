//! Being let in to each document of a Hocuspocus server: it wants a token for every one, and looks
//! at some at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use secrecy::ExposeSecret as _;
use yrelay_core::event::{Dialect, Input};
use yrelay_core::hocuspocus::{self, Message};
use yrelay_core::id::DocumentId;
use yrelay_core::upstream::Event;

use super::Link;
use super::attempt::Token;
use super::shared::Shared;
use crate::jobs::Job;
use crate::relay::Relay;
use crate::state::State;
use crate::ws::Close;
use crate::{clock, limits};

/// How far it has come with that on one connection.
#[derive(Default)]
pub(super) struct Entries {
    /// What is shown for each of them.
    token: Token,
    /// Those that wait for the answers to others.
    waiting: VecDeque<DocumentId>,
    asked: BTreeSet<DocumentId>,
    /// Those that were left before they were answered.
    left: BTreeSet<DocumentId>,
    /// Those that were closed, until the server says so or this time: what came for them earlier
    /// would be lost. Version 2 never says so.
    closing: BTreeMap<DocumentId, u64>,
    denied: BTreeSet<DocumentId>,
    /// It takes nothing of these from us.
    only_read: BTreeSet<DocumentId>,
}

impl Entries {
    pub(super) fn new(token: Token) -> Self {
        Self { token, ..Self::default() }
    }

    /// "Let me in."
    fn request(&self) -> Bytes {
        hocuspocus::token(self.token.as_ref().map_or("", |token| token.expose_secret()))
    }

    pub(super) fn leave(&mut self, id: &DocumentId) {
        if self.asked.remove(id) {
            self.left.insert(id.clone());
        }
        self.waiting.retain(|waiting| waiting != id);
    }

    /// The server has said something of it: that is an answer.
    fn answered(&mut self, id: &DocumentId) {
        self.asked.remove(id);
        self.left.remove(id);
    }

    /// Nobody has asked to be let in, or waits for that.
    fn is_unused(&self) -> bool {
        self.asked.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn closes(&mut self, id: &DocumentId) {
        self.closing.insert(id.clone(), clock::now_ms() + limits::CLOSING_MS);
    }

    fn may_enter(&self, id: &DocumentId) -> bool {
        self.asked.len() < limits::ENTRIES_AT_ONCE && !self.closing.contains_key(id)
    }

    /// The next one that may.
    fn next(&mut self) -> Option<DocumentId> {
        let now = clock::now_ms();
        self.closing.retain(|_, until| now < *until);
        let next = self.waiting.iter().position(|id| self.may_enter(id))?;
        self.waiting.remove(next)
    }
}

impl Shared {
    pub(super) fn was_denied(&self, id: &DocumentId) -> bool {
        self.connection.as_ref().is_some_and(|it| it.entries.denied.contains(id))
    }

    /// Whether it was left, and the server is to answer: that it is closed, or that it was denied.
    /// Older servers remember that for as long as the connection lasts.
    pub(super) fn was_left(&self, id: &DocumentId) -> bool {
        let entries = self.connection.as_ref().map(|connection| &connection.entries);
        entries.is_some_and(|it| it.left.contains(id) || it.closing.contains_key(id))
    }

    /// When a document that was just closed is entered at last.
    pub(super) fn enters_at(&self, id: &DocumentId) -> Option<u64> {
        self.connection.as_ref()?.entries.closing.get(id).copied()
    }

    /// Whether another token may do more.
    pub(super) fn is_restricted(&self) -> bool {
        let entries = self.connection.as_ref().map(|connection| &connection.entries);
        entries.is_some_and(|it| !it.denied.is_empty() || !it.only_read.is_empty())
    }

    /// It is opened anew.
    pub(super) fn close_for_token(&self) {
        if let Some(connection) = &self.connection {
            connection.outbox.close(Close::new(1000, "another token is to be tried"));
        }
    }
}

impl Link {
    /// A document is to be attached over the connection for all. Returns whether it may be now.
    pub(super) fn enter_shared(&mut self, id: &DocumentId) -> bool {
        let Some(name) = self.upstream.name_of(id) else { return false };
        let prefix = self.shared_prefix(id).unwrap_or_default();
        let Some(connection) = &mut self.shared.connection else { return false };
        connection.come_back(id, &name);
        if connection.dialect == Dialect::Hocuspocus {
            let entries = &mut connection.entries;
            if !entries.may_enter(id) {
                entries.waiting.push_back(id.clone());
                return false;
            }
            entries.asked.insert(id.clone());
            let request = entries.request();
            let _ = connection.outbox.push([&prefix[..], &request].concat().into());
        }
        self.shared.names.insert(name, id.clone());
        true
    }
}

impl State {
    /// A message of a Hocuspocus server. Returns what of it is Yjs.
    pub(super) fn take_from_hocuspocus(
        &mut self,
        relay: &Relay,
        number: usize,
        id: &DocumentId,
        message: &Bytes,
    ) -> Option<Bytes> {
        let decoded = match hocuspocus::decode(message) {
            Ok(decoded) => decoded,
            Err(error) => {
                relay.metrics.reject("link_frame");
                tracing::warn!(document = %id, %error, "refused a message of the upstream");
                return None;
            }
        };
        if hocuspocus::says_left(&decoded) && self.was_to_close(number, id) {
            self.enter_next(relay, number);
            return None;
        }
        self.entered(relay, number, id);
        match decoded {
            Message::Yjs(message) => return Some(message),
            Message::Granted { read_only } => self.granted(relay, number, id, read_only),
            // What was sent is not taken.
            Message::SyncStatus(false) => self.granted(relay, number, id, true),
            Message::SyncStatus(true) => {}
            Message::Denied { reason } => self.denied(relay, number, id, &reason),
            Message::Token(_) => self.spawn(Job::ShowToken { link: number, id: id.clone() }),
            Message::Closed { reason } => {
                let reason = format!("closed there: {reason}");
                self.let_go(relay, number, id, reason);
            }
            Message::Stateless(payload) => self.pass_on_stateless(id, None, &payload),
            Message::Unknown(kind) => {
                relay.metrics.ignored_messages.count();
                tracing::debug!(document = %id, kind, "ignored a message of unknown type");
            }
        }
        None
    }

    /// Whether the server was to close it. Else a word that reached it too late has closed what was
    /// opened since.
    fn was_to_close(&mut self, number: usize, id: &DocumentId) -> bool {
        let was_closing = self.entries(number).and_then(|entries| entries.closing.remove(id));
        was_closing.is_some() || self.documents.get(id).is_none_or(|slot| slot.upstream.is_none())
    }

    fn entered(&mut self, relay: &Relay, number: usize, id: &DocumentId) {
        if let Some(entries) = self.entries(number) {
            entries.answered(id);
            self.enter_next(relay, number);
        }
    }

    fn entries(&mut self, number: usize) -> Option<&mut Entries> {
        let connection = self.above.get_mut(number)?.shared.connection.as_mut();
        connection.map(|connection| &mut connection.entries)
    }

    /// Where there is place, the next ones are let in.
    pub(crate) fn enter_next(&mut self, relay: &Relay, number: usize) {
        while let Some(next) = self.entries(number).and_then(Entries::next) {
            self.attach_upstream(relay, &next);
        }
    }

    /// Whether the server has ended a connection because no document was open on it: version 2 does
    /// so half a minute after it came, version 4 after a minute of silence.
    pub(super) fn was_unneeded(&self, number: usize, code: Option<u16>) -> bool {
        let Some(link) = self.above.get(number) else { return false };
        let connection = link.shared.connection.as_ref();
        connection.is_some_and(|it| it.dialect == Dialect::Hocuspocus && it.entries.is_unused())
            && link.shared.names.is_empty()
            && link.offers.is_empty()
            && matches!(code, Some(4401 | 4408))
    }

    /// Somebody who has left it is seen there for as long as it is open.
    pub(crate) fn enter_anew(&mut self, relay: &Relay, id: &DocumentId) {
        let number = self.documents.get(id).and_then(|slot| slot.link);
        let Some(link) = number.and_then(|number| self.above.get_mut(number)) else { return };
        link.shared.leave_to_return(id);
        self.detach_from(relay, id);
        self.attach_upstream(relay, id);
    }

    fn granted(&mut self, relay: &Relay, number: usize, id: &DocumentId, read_only: bool) {
        let link = self.above.get_mut(number);
        let Some(connection) = link.and_then(|link| link.shared.connection.as_mut()) else {
            return;
        };
        if read_only {
            connection.entries.only_read.insert(id.clone());
        } else {
            connection.entries.only_read.remove(id);
        }
        let peer = connection.peer;
        self.input(relay, id, Input::Granted { peer, read_only });
    }

    fn denied(&mut self, relay: &Relay, number: usize, id: &DocumentId, reason: &str) {
        if let Some(link) = self.above.get_mut(number)
            && let Some(connection) = &mut link.shared.connection
        {
            connection.entries.denied.insert(id.clone());
            link.door.was_refused();
            link.shared.was_closed(id);
        }
        let reason = format!("its token is refused: {reason}");
        self.link_event(relay, number, Event::Refused { document: id.clone(), reason });
    }

    /// The server has closed one document, for now.
    fn let_go(&mut self, relay: &Relay, number: usize, id: &DocumentId, reason: String) {
        if let Some(link) = self.above.get_mut(number) {
            link.shared.was_closed(id);
        }
        self.link_event(relay, number, Event::LetGo { document: id.clone(), reason });
    }
}

impl Relay {
    /// The server asks for the token of a document again: it may have another by now.
    pub(crate) async fn show_token(self: Rc<Self>, number: usize, id: DocumentId) {
        let door = self.state.borrow().above.get(number).map(|link| link.door.clone());
        let Some(mut door) = door else { return };
        let token = door.token().await;
        let mut state = self.state.borrow_mut();
        let Some(link) = state.above.get_mut(number) else { return };
        link.door.learn(&door);
        let prefix = link.shared_prefix(&id).unwrap_or_default();
        if let (Ok(token), Some(connection)) = (token, &mut link.shared.connection) {
            connection.entries.token = token;
            let request = connection.entries.request();
            let _ = connection.outbox.push([&prefix[..], &request].concat().into());
        }
    }
}
