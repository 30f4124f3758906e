//! What peers say, and what is said back.

use bytes::Bytes;

use super::audience::Audience;
use super::{Document, Kind};
use crate::close::CloseReason;
use crate::decode::DecodeError;
use crate::event::Output;
use crate::id::PeerId;
use crate::peer::{Role, Stage};
use crate::replica::{Applied, Want};
use crate::state_vector::StateVector;
use crate::update::Update;
use crate::wire::{self, Message};
use crate::{Millis, fellow, fernet, limits};

impl From<DecodeError> for CloseReason {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

/// How an update arrived.
enum Arrival {
    Step2,
    /// By itself, in this message.
    Live(Bytes),
}

impl Document {
    pub(super) fn frame(&mut self, now: Millis, peer: PeerId, frame: &Bytes) {
        let Some(role) = self.role(peer) else { return };
        if role == Role::Upstream && self.kind != Kind::Opaque && self.guards(now, peer, frame) {
            return;
        }
        if !self.is_fellow(peer) {
            self.plain_frame(now, peer, role, frame);
            return;
        }
        use fellow::Message::{Archive, Aside, Opaque};
        match fellow::decode(frame) {
            Ok(None) => self.plain_frame(now, peer, role, frame),
            Ok(Some(message @ (Opaque(_) | Aside(_) | Archive { .. })))
                if self.kind != Kind::Yjs =>
            {
                if self.kind == Kind::Unknown {
                    self.is_opaque(now);
                }
                match message {
                    Opaque(frame) => self.opaque_frame(now, peer, role, &frame, false),
                    Aside(frame) => self.opaque_frame(now, peer, role, &frame, true),
                    message => self.fellow_of_opaque(peer, message),
                }
            }
            Ok(Some(Opaque(frame) | Aside(frame))) => self.plain_frame(now, peer, role, &frame),
            Ok(Some(message)) => self.fellow_message(now, peer, message),
            Err(error) => self.close(now, peer, error.into()),
        }
    }

    fn plain_frame(&mut self, now: Millis, peer: PeerId, role: Role, frame: &Bytes) {
        if self.kind == Kind::Unknown && role != Role::Upstream && fernet::is_token(frame) {
            self.is_opaque(now);
        }
        if self.kind == Kind::Opaque {
            self.opaque_frame(now, peer, role, frame, false);
            return;
        }
        for message in wire::messages(frame) {
            let done = match message {
                Ok(message) => self.message(now, peer, role, message),
                Err(error) => Err(error.into()),
            };
            if let Err(reason) = done {
                self.close(now, peer, reason);
                return;
            }
        }
    }

    /// The upstream holds all that is here.
    pub(super) fn learn_history(&mut self) {
        if self.history.learn(&self.replica.state_vector()) {
            self.out.push(Output::History { history: self.history.clone() });
        }
    }

    /// Whoever brings what was given up has not heard of that. The upstream may have it: then it
    /// was not given up there.
    fn is_abandoned(&mut self, role: Role, theirs: &StateVector) -> Result<(), CloseReason> {
        if !self.history.is_abandoned(theirs) {
            return Ok(());
        }
        if role != Role::Upstream {
            return Err(CloseReason::Replaced);
        }
        self.history.abandoned.retain(|client| theirs.get(*client) == 0);
        self.out.push(Output::History { history: self.history.clone() });
        Ok(())
    }

    fn role(&self, peer: PeerId) -> Option<Role> {
        if self.clients.contains_key(&peer) {
            return Some(Role::Client);
        }
        if self.links.contains_key(&peer) {
            return Some(Role::Link);
        }
        self.uplink.as_ref().filter(|up| up.peer == peer).map(|_| Role::Upstream)
    }

    fn message(
        &mut self,
        now: Millis,
        peer: PeerId,
        role: Role,
        message: Message,
    ) -> Result<(), CloseReason> {
        match message {
            Message::SyncStep1(body) => {
                let theirs = StateVector::decode(&body)?;
                self.is_abandoned(role, &theirs)?;
                // A server greets whatever the document may be.
                if role != Role::Upstream {
                    self.is_yjs();
                }
                self.step_1(now, peer, role, theirs);
            }
            Message::SyncStep2(body) => self.update(now, peer, role, body, Arrival::Step2)?,
            Message::Update { update, message } => {
                self.update(now, peer, role, update, Arrival::Live(message))?;
            }
            Message::Awareness(body) => self.announced(now, peer, role, &body)?,
            Message::QueryAwareness if role == Role::Upstream => {
                if let Some(uplink) = &mut self.uplink {
                    uplink.asks_for_awareness(now);
                }
            }
            Message::QueryAwareness => {
                let table = self.awareness.encode(self.awareness.living());
                let answer = table
                    .map_or(Bytes::from_static(wire::KEEP_ALIVE), |table| wire::awareness(&table));
                self.send(now, peer, answer);
            }
            Message::SyncStatus(payload) => {
                self.admit(peer, role)?;
                if self.has_all_of(peer) {
                    self.acknowledge(now, peer, wire::sync_status(&payload));
                }
            }
            Message::Unknown(kind) => self.out.push(Output::Ignored { peer, kind }),
        }
        Ok(())
    }

    /// A message has shown that this is no encrypted document: the upstream may be asked.
    pub(super) fn is_yjs(&mut self) {
        if self.kind == Kind::Unknown {
            self.kind = Kind::Yjs;
            if let Some(uplink) = &mut self.uplink {
                uplink.wake(&self.awareness);
            }
        }
    }

    fn step_1(&mut self, now: Millis, peer: PeerId, role: Role, theirs: StateVector) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.step_1(&theirs, &self.replica);
            return;
        }
        if role == Role::Upstream {
            let Some(uplink) = self.uplink.as_mut().filter(|uplink| !uplink.is_fellow()) else {
                return;
            };
            let proof = uplink.step_1(now, theirs, &self.replica, &mut self.random);
            self.take_proof(proof);
            return;
        }
        self.client_step_1(now, peer, theirs);
    }

    /// The upstream has shown that it holds all, or that it does not.
    fn take_proof(&mut self, proof: Option<bool>) {
        if proof.is_some() {
            self.tell_unheard();
        }
        if proof == Some(true) {
            self.unconfirmed = false;
            self.learn_history();
            // Above a server that is no yrelay there is nobody.
            self.above = true;
            self.out.push(Output::Confirmed { seq: self.log.last_seq() });
        } else if proof == Some(false) && !self.replica.is_incomplete() && self.unconfirm() {
            self.out.push(Output::Lost);
        }
    }

    /// A client that writes more than can be saved is sent away.
    pub(super) fn admit(&self, peer: PeerId, role: Role) -> Result<(), CloseReason> {
        let slow = self.clients.get(&peer).is_some_and(|client| client.acks.is_full());
        match role {
            Role::Client if slow => Err(CloseReason::TooSlow),
            Role::Client if self.log.is_full() => Err(CloseReason::Unsaved),
            _ => Ok(()),
        }
    }

    fn update(
        &mut self,
        now: Millis,
        peer: PeerId,
        role: Role,
        bytes: Bytes,
        arrival: Arrival,
    ) -> Result<(), CloseReason> {
        let update = Update::parse(bytes)?;
        self.admit(peer, role)?;
        if !self.history.abandoned.is_empty() {
            let structs = update.structs();
            let ends = structs.iter().map(|(client, range)| (client, range.end)).collect();
            self.is_abandoned(role, &ends)?;
        }
        self.is_yjs();
        let news = self.store(peer, role, &update);
        if let Some(link) = self.links.get_mut(&peer) {
            link.said(&update);
        }
        if let Some(uplink) = &mut self.uplink {
            uplink.note_ids(&news.structs);
        }
        let mut proof = None;
        if role == Role::Upstream
            && let Some(uplink) = &mut self.uplink
        {
            match arrival {
                Arrival::Step2 => proof = uplink.step_2(now, &update, &self.replica),
                Arrival::Live(_) => uplink.holds(&Want::of(&update)),
            }
        }
        if news.changed() {
            let pieces = match &arrival {
                Arrival::Live(message) if news.whole => vec![(update, message.clone())],
                _ => self.pieces(&news),
            };
            self.take_in(now, peer, role, &news, &pieces);
            if let Arrival::Step2 = arrival {
                pieces.into_iter().for_each(|(_, message)| self.acknowledge(now, peer, message));
            }
        }
        match arrival {
            Arrival::Live(_) if news.left_out => self.ask_client_for_gap(now, peer),
            Arrival::Live(message) => self.acknowledge(now, peer, message),
            Arrival::Step2 if !news.left_out => self.took_all(peer),
            // To ask again for what stands before it would bring the same answer.
            Arrival::Step2 => {}
        }
        self.take_proof(proof);
        self.answer_waiting(now);
        Ok(())
    }

    /// What is new, as updates of their own.
    fn pieces(&self, news: &Applied) -> Vec<(Update, Bytes)> {
        let mut want = Want { structs: news.structs.clone(), deletes: news.deletes.clone() };
        let mut pieces = Vec::new();
        while let Some(chunk) = self.replica.take_chunk(&mut want, limits::CLIENT_CHUNK_BYTES_MAX) {
            let message = wire::update(chunk.update.bytes());
            pieces.push((chunk.update, message));
        }
        pieces
    }

    /// Saves and passes on what is new.
    fn take_in(
        &mut self,
        now: Millis,
        peer: PeerId,
        role: Role,
        news: &Applied,
        pieces: &[(Update, Bytes)],
    ) {
        let local = role != Role::Upstream;
        let whole = match pieces {
            [(_, message)] => Some(message),
            _ => None,
        };
        if local {
            self.unconfirmed = true;
            if let Some(uplink) = &mut self.uplink {
                uplink.changed(now, news, whole);
            }
        }
        for (_, link) in self.links.iter_mut().filter(|(other, _)| **other != peer) {
            link.changed(news, whole);
        }
        // More than one message's worth is too much for some readers as one, and for the queues of
        // others as many: whoever is up to date pulls it, as a joiner does.
        let bytes: usize = pieces.iter().map(|(_, message)| message.len()).sum();
        let large = bytes > limits::CLIENT_CHUNK_BYTES_MAX;
        for (id, client) in &mut self.clients {
            if *id == peer {
                client.unsaved.structs.merge(&news.structs);
                client.unsaved.deletes.merge(&news.deletes);
                continue;
            }
            if large && client.is_live() {
                client.stage = Stage::Answering { complete: true };
            }
            if client.lacks(news) {
                self.out.push(Output::Ready { peer: *id });
            }
        }
        if large {
            self.reckon_audience();
        }
        for (update, message) in pieces {
            let seq = self.log.append(update);
            self.out.push(Output::Append { seq, update: update.bytes().clone(), local });
            self.broadcast(now, Audience::Live, Some(peer), message.clone());
        }
        if self.is_beyond_gaps(&news.structs) {
            self.ask_for_gap(now, peer);
        }
        self.compact_if_worth();
    }

    fn announced(
        &mut self,
        now: Millis,
        peer: PeerId,
        role: Role,
        body: &Bytes,
    ) -> Result<(), CloseReason> {
        let follows = self.uplink.as_ref().is_some_and(|uplink| uplink.knows_who_is_there());
        self.awareness.follow_above(follows);
        let announced = self.awareness.announce(now, peer, role, body)?;
        self.is_yjs();
        if role == Role::Client
            && let Some(entries) = self.awareness.encode(announced.departed)
        {
            self.send(now, peer, wire::awareness(&entries));
        }
        if let Some(uplink) = &mut self.uplink {
            match role {
                Role::Client | Role::Link => uplink.announce(announced.changed.iter().copied()),
                Role::Upstream => {
                    uplink.passes_on(now);
                    uplink.announce(announced.contested);
                }
            }
        }
        for (_, link) in self.links.iter_mut().filter(|(other, _)| **other != peer) {
            link.announce(announced.changed.iter().copied());
        }
        if announced.whole && !announced.changed.is_empty() {
            self.broadcast(now, Audience::Everyone, None, wire::awareness(body));
        } else {
            self.tell_clients_awareness(now, &announced.changed);
        }
        self.schedule(now + limits::AWARENESS_EXPIRY_MS);
        if announced.refused > 0
            && let Some(client) = self.clients.get_mut(&peer)
            && std::mem::replace(&mut client.warned, true)
        {
            return Err(CloseReason::AwarenessLimits);
        }
        Ok(())
    }
}
