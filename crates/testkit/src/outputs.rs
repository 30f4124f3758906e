//! Carrying out what a document wants done.

use bytes::Bytes;
use yrelay_core::close::CloseReason;
use yrelay_core::event::{Dialect, Input, Output};
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::replica::Want;
use yrelay_core::update::Update;
use yrelay_core::{limits, upstream};

use crate::link::Link;
use crate::network::{End, Event, Network};
use crate::server::Mode;
use crate::service::{Service, Timer};

/// Small, so that a slow reader fills it.
const OUTBOX_MESSAGES_MAX: usize = 128;
const OUTBOX_ROOM: usize = 2;

impl Service {
    pub(crate) fn carry_out(&mut self, net: &mut Network, id: &DocumentId, output: Output) {
        match output {
            Output::Broadcast { to, except, bytes } => {
                for peer in to.iter().filter(|peer| Some(**peer) != except) {
                    self.send(net, id, *peer, bytes.clone());
                }
            }
            Output::Send { peer, bytes } => {
                if self.memory().is_upstream(peer) {
                    self.send_up(net, id, &bytes);
                } else if self.memory().below.is_member(peer) {
                    self.send_below(net, peer, &bytes);
                } else {
                    self.send(net, id, peer, bytes);
                }
            }
            Output::Ready { peer } => self.ready(net, id, peer),
            Output::Append { seq, update, local } => {
                self.note_appended(net, id, &update, local);
                self.disk.append(id, seq, update, local);
                self.commit_soon(net);
            }
            Output::AppendFrame { .. } | Output::ArchiveFull => {
                unreachable!("{id}: nobody encrypts here")
            }
            Output::Confirmed { seq } => {
                self.note_proof(id);
                self.disk.confirm(id, seq);
                self.commit_soon(net);
            }
            Output::Habit(habit) => self.link_event(net, upstream::Event::Habit(habit)),
            Output::Lost => self.offer_all(net),
            Output::Reopen => self.reopen(net, id),
            Output::Diverged => self.diverged.push(id.clone()),
            Output::Theirs { .. } => panic!("{id}: nobody has asked"),
            Output::History { .. } => {}
            Output::Compact { frozen, upto_seq } => {
                let wait = net.random.upto(200);
                self.after(net, wait, Timer::Compacted { id: id.clone(), frozen, upto_seq });
            }
            Output::Close { peer, reason } => self.close(net, id, peer, reason),
            Output::Rejected { reason, .. } => self.refuse(id, &format!("refused: {reason}")),
            Output::LeftOut { .. } => self.refuse(id, "beyond a gap"),
            Output::Refused { reason } => {
                let event = upstream::Event::Refused { document: id.clone(), reason };
                self.link_event(net, event);
            }
            Output::Ignored { peer, kind } => {
                if !self.memory().liars.remove(&peer) {
                    self.refuse(id, &format!("of type {kind}"));
                }
            }
            Output::WakeAt { at } => {
                let event = Event::Service(self.number, self.life, Timer::Document(id.clone()));
                net.at(self.in_net_time(at), event);
            }
        }
    }

    fn note_appended(&mut self, net: &Network, id: &DocumentId, update: &Bytes, local: bool) {
        let now = self.now(net);
        let parsed = Update::parse(update.clone()).expect("the relay saves what parses");
        let memory = self.memory();
        if let Some(slot) = memory.documents.get_mut(id) {
            slot.appended.merge(&Want::of(&parsed));
            if local {
                slot.local.merge(&Want::of(&parsed));
            }
        }
        if let Some(account) = memory.link.as_mut().and_then(|link| link.account_mut(id))
            && local
        {
            account.changed(now, update.len());
        }
    }

    /// To be verified: it holds that the server has all.
    fn note_proof(&mut self, id: &DocumentId) {
        let is_own = self.server == Some(Mode::Relay(Dialect::Own));
        if let Some(slot) = self.memory().documents.get(id) {
            // Over a link of our own that is exact: what was written here is on the disk above.
            let standing = slot.document.standing();
            if is_own && standing.confirmed != Some(true) {
                return;
            }
            let Want { structs, deletes } = if is_own { &slot.local } else { &slot.appended };
            let deletes = deletes.intersection(structs);
            let proven = Want { structs: structs.clone(), deletes };
            let link = self.memory.as_ref().and_then(|memory| memory.link.as_ref());
            let end = link.and_then(|link| link.end_of(id));
            self.proofs.push((id.clone(), proven, end));
        }
    }

    /// A message of the server was refused: it had better be garbage.
    fn refuse(&mut self, id: &DocumentId, what: &str) {
        let slot = self.memory().documents.get_mut(id).expect("it has just refused something");
        assert!(slot.garbage > 0, "{id}: a sound message of the server was {what}");
        slot.garbage -= 1;
        self.refused += 1;
    }

    fn send(&mut self, net: &mut Network, id: &DocumentId, peer: PeerId, bytes: Bytes) {
        let Some(client) = self.memory().clients.get(&peer) else { return };
        let end = client.end;
        if !net.is_over(end)
            && let Some(client) = self.memory.as_ref().and_then(|memory| memory.clients.get(&peer))
        {
            client.assert_committed(&self.disk, &bytes);
        }
        if net.waiting(end) >= OUTBOX_MESSAGES_MAX {
            net.drop_queue(end);
            self.hang_up(net, id, peer, CloseReason::TooSlow);
        } else {
            net.send(end, bytes);
        }
    }

    fn ready(&mut self, net: &mut Network, id: &DocumentId, peer: PeerId) {
        if let Some(client) = self.memory().clients.get(&peer) {
            let end = client.end;
            let at = net.room_at(end, OUTBOX_ROOM);
            net.at(at, Event::Room(end));
        } else if self.memory().is_upstream(peer) && self.has_lines() {
            self.line_ready(net, id);
        } else if self.memory().is_upstream(peer) {
            let open = self.memory().documents.get(id).is_some_and(|s| !s.clients.is_empty());
            self.link_event(net, upstream::Event::Ready { document: id.clone(), open });
        } else {
            self.ready_below(net, peer);
        }
    }

    /// One of its queues has room.
    pub(crate) fn room(&mut self, net: &mut Network, end: End) {
        let Some(memory) = &self.memory else { return };
        if memory.link.as_ref().and_then(Link::end) == Some(end) {
            self.link_room(net, end);
            return;
        }
        if let Some(id) = memory.link.as_ref().and_then(|link| link.line_at(end)) {
            self.line_room(net, &id);
            return;
        }
        if memory.below.has(end) {
            self.room_below(net, end);
            return;
        }
        let found = memory.clients.iter().find(|(_, client)| client.end == end);
        if let Some((peer, id)) = found.map(|(peer, client)| (*peer, client.document.clone())) {
            let bytes_max = limits::CLIENT_CHUNK_BYTES_MAX;
            self.input(net, &id, Input::Room { peer, bytes_max });
        }
    }

    fn close(&mut self, net: &mut Network, id: &DocumentId, peer: PeerId, reason: CloseReason) {
        let lied = self.memory().liars.remove(&peer);
        assert!(lied || !reason.is_peers_fault(), "a sound client was sent away: {reason}");
        self.hang_up(net, id, peer, reason);
        self.close_below(net, peer, reason);
    }

    /// Closes a connection. The document hears of it when the reader ends.
    fn hang_up(&mut self, net: &mut Network, id: &DocumentId, peer: PeerId, reason: CloseReason) {
        if let Some(client) = self.memory().clients.get(&peer) {
            net.note(|| format!("{id} {peer} is sent away: {reason}"));
            net.hang_up(client.end, reason.code());
        }
    }
}

/// Not worth a line in a trace.
pub(crate) fn is_routine_input(input: &Input) -> bool {
    match input {
        Input::Tick | Input::Room { .. } => true,
        Input::Frame { bytes, .. } => bytes.starts_with(&[1]),
        _ => false,
    }
}

/// See [`is_routine_input`].
pub(crate) fn is_routine_output(output: &Output) -> bool {
    match output {
        Output::WakeAt { .. } | Output::Ready { .. } => true,
        Output::Broadcast { bytes, .. } | Output::Send { bytes, .. } => bytes.starts_with(&[1]),
        _ => false,
    }
}
