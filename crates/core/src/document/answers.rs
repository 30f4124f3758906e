//! Answering the step 1 of a client: what it lacks, in pieces, as it has room.

use bytes::Bytes;

use super::{Document, Phase};
use crate::event::Output;
use crate::id::PeerId;
use crate::id_set::IdSet;
use crate::peer::{Peer, Stage};
use crate::replica::{Replica, Want};
use crate::state_vector::StateVector;
use crate::update::Update;
use crate::uplink::Uplink;
use crate::{Millis, limits, wire};

impl Document {
    /// What is held of it; nothing before it is loaded.
    pub fn replica(&self) -> Option<&Replica> {
        matches!(self.phase, Phase::Loaded).then_some(&self.replica)
    }

    /// About what it takes in memory, what waits for the disk or was there lately included.
    pub fn memory_bytes(&self) -> usize {
        self.replica.bytes() + self.log.memory_bytes() + self.archive.memory_bytes()
    }

    /// Whether the upstream has shown on this very link that it holds all of it.
    pub fn is_proved(&self) -> bool {
        let proved = |up: &Uplink| up.has_answered() && up.may_prove() && !up.waits_for_answer();
        !self.unconfirmed
            && !self.replica.is_incomplete()
            && self.uplink.as_ref().is_some_and(proved)
    }

    pub(super) fn client_step_1(&mut self, now: Millis, peer: PeerId, theirs: StateVector) {
        let wait = self.upstream_may_answer() && (self.replica.is_empty() || self.has_waiting());
        let structs = self.replica.missing_from(&theirs);
        let Some(client) = self.clients.get_mut(&peer) else { return };
        let returns = matches!(client.stage, Stage::Joining { .. });
        client.want = Want { structs, deletes: IdSet::default() };
        client.want.subtract(&client.unsaved);
        if wait {
            let until = now + limits::UPSTREAM_FIRST_MS;
            client.stage = Stage::Waiting { until, holds: theirs };
            self.schedule(until);
            self.reckon_audience();
            self.answer_on(now, peer, limits::CLIENT_CHUNK_BYTES_MAX);
        } else {
            self.answer(now, peer);
            if returns {
                self.remind(now, peer, &theirs);
            }
        }
    }

    /// What a returning client holds of the last saved updates may be its own, and the word that
    /// they are saved may have been lost with its connection.
    fn remind(&mut self, now: Millis, peer: PeerId, theirs: &StateVector) {
        if theirs.is_empty() {
            return;
        }
        let held = |update: &&Update| {
            update.structs().iter().all(|(client, range)| range.end <= theirs.get(client))
        };
        let messages: Vec<Bytes> =
            self.log.recent().filter(held).map(|update| wire::update(update.bytes())).collect();
        for message in messages {
            self.send(now, peer, message);
        }
    }

    pub(super) fn upstream_may_answer(&self) -> bool {
        self.uplink.as_ref().is_some_and(|uplink| uplink.may_answer())
    }

    fn has_waiting(&self) -> bool {
        self.clients.values().any(|client| matches!(client.stage, Stage::Waiting { .. }))
    }

    /// Answers the step 1 of a client: what it lacks of structs, and the whole delete set.
    fn answer(&mut self, now: Millis, peer: PeerId) {
        let Some(client) = self.clients.get_mut(&peer) else { return };
        client.want.deletes = self.replica.deletes().clone();
        client.want.deletes.subtract(&client.unsaved.deletes);
        client.stage = Stage::Answering { complete: false };
        self.reckon_audience();
        self.answer_on(now, peer, limits::CLIENT_CHUNK_BYTES_MAX);
    }

    /// Sends the next piece of an answer.
    pub(super) fn answer_on(&mut self, now: Millis, peer: PeerId, bytes_max: usize) {
        let Some(client) = self.clients.get_mut(&peer) else { return };
        let due = match client.stage {
            Stage::Answering { complete } => !complete,
            Stage::Waiting { .. } => false,
            Stage::Joining { .. } | Stage::Replaying { .. } | Stage::Live => return,
        };
        let chunk = if due && is_beyond_gaps(&client.want, &self.replica) {
            None
        } else {
            self.replica.take_chunk(&mut client.want, bytes_max)
        };
        let completes = due && chunk.as_ref().is_none_or(|chunk| chunk.complete);
        if completes {
            client.stage = Stage::Answering { complete: true };
        }
        let message = match &chunk {
            Some(chunk) if completes => Some(wire::sync_step2(chunk.update.bytes())),
            Some(chunk) => Some(wire::update(chunk.update.bytes())),
            None => completes.then(|| wire::sync_step2(wire::EMPTY_UPDATE)),
        };
        if !client.want.is_empty() {
            self.out.push(Output::Ready { peer });
        } else if matches!(client.stage, Stage::Answering { .. }) {
            client.stage = Stage::Live;
            self.reckon_audience();
        }
        if let Some(message) = message {
            self.send(now, peer, message);
        }
    }

    /// Answers the clients that wait for the upstream, where waiting is over.
    pub(super) fn answer_waiting(&mut self, now: Millis) {
        let over = !self.upstream_may_answer();
        let is_due = |client: &Peer| match client.stage {
            Stage::Waiting { until, .. } => over || until <= now,
            _ => false,
        };
        let due = self.clients.iter().filter(|(_, client)| is_due(client));
        for peer in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.answer(now, peer);
        }
        self.answer_waiting_links(now);
    }
}

/// Whether something is wanted, and nothing but what stands beyond gaps: no part of a step 2.
fn is_beyond_gaps(want: &Want, replica: &Replica) -> bool {
    if !replica.is_incomplete() || want.structs.is_empty() || !want.deletes.is_empty() {
        return false;
    }
    let settled = replica.state_vector();
    want.structs.iter().all(|(client, range)| range.start >= settled.get(client))
}
