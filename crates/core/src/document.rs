//! The state machine of one document: everything that happens to it enters [`Document::handle`],
//! everything it wants done leaves as [`Output`]s, in order.
//!
//! It cannot fail because of a peer: a peer that misbehaves is closed, and nothing else happens.

mod acks;
mod answers;
mod attaching;
mod audience;
mod compaction;
mod fellows;
mod frames;
mod gaps;
mod guard;
mod held;
mod opaque;
mod presence;
mod standing;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::archive::{Archive, Takes};
use crate::awareness::Awareness;
use crate::backoff::Random;
use crate::close::CloseReason;
use crate::downlink::Downlink;
use crate::event::{Habit, Input, Output};
use crate::history::History;
use crate::id::PeerId;
use crate::log::Log;
use crate::peer::{Peer, Stage};
use crate::replica::Replica;
use crate::update::Update;
use crate::uplink::Uplink;
use crate::{Millis, limits, wire};

pub(crate) use guard::Guard;

use gaps::LeftOut;
use held::Held;

/// One document.
#[derive(Debug)]
pub struct Document {
    phase: Phase,
    kind: Kind,
    replica: Replica,
    /// If it is encrypted.
    archive: Archive,
    /// So many frames of that have arrived above, where the upstream is no yrelay.
    delivered: usize,
    log: Log,
    awareness: Awareness,
    clients: BTreeMap<PeerId, Peer>,
    /// All clients, and those that get live updates.
    everyone: Arc<[PeerId]>,
    live: Arc<[PeerId]>,
    /// Links below.
    links: BTreeMap<PeerId, Downlink>,
    /// Below: of whom something beyond a gap was not taken.
    left_out: BTreeMap<PeerId, LeftOut>,
    uplink: Option<Uplink>,
    /// The uplink has been announced as ready and not yet given room.
    uplink_ready: bool,
    /// What was last told of the upstream.
    habit: Option<Habit>,
    /// The upstream has not confirmed all.
    unconfirmed: bool,
    history: History,
    /// What the upstream holds is merged with what is here, whatever history it is of.
    merges: bool,
    /// There never is an upstream.
    is_top: bool,
    /// What is saved does not outlive the process.
    is_volatile: bool,
    /// Whoever is above the upstream had all when this was last told.
    above: bool,
    random: Random,
    wake_at: Option<Millis>,
    out: Vec<Output>,
}

#[derive(Debug)]
enum Phase {
    /// Inputs wait, in order, for what is stored.
    Loading(Held),
    Loaded,
    /// The store could not load it: it takes nothing in and is to be dropped.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing is stored and nobody has said anything.
    Unknown,
    Yjs,
    /// End-to-end encrypted: relayed unread.
    Opaque,
}

impl Document {
    /// A document that is about to be loaded. The seed spreads its timers.
    pub fn new(seed: u64) -> Self {
        Self {
            phase: Phase::Loading(Held::default()),
            kind: Kind::Unknown,
            replica: Replica::default(),
            archive: Archive::default(),
            delivered: 0,
            log: Log::default(),
            awareness: Awareness::default(),
            clients: BTreeMap::new(),
            everyone: Arc::new([]),
            live: Arc::new([]),
            links: BTreeMap::new(),
            left_out: BTreeMap::new(),
            uplink: None,
            uplink_ready: false,
            habit: None,
            unconfirmed: true, // until the store says otherwise
            history: History::default(),
            merges: false,
            is_top: false,
            is_volatile: false,
            above: false,
            random: Random::new(seed),
            wake_at: None,
            out: Vec::new(),
        }
    }

    /// A document that is known to be end-to-end encrypted, whatever its frames look like.
    pub fn opaque(seed: u64) -> Self {
        let archive = Archive::new(Takes::All);
        Self { kind: Kind::Opaque, archive, ..Self::new(seed) }
    }

    /// A document whose frames are passed on unread, and not kept.
    pub fn passing(seed: u64) -> Self {
        let archive = Archive::new(Takes::Nothing);
        Self { archive, ..Self::opaque(seed) }
    }

    /// A document of a relay that has nobody above it.
    #[must_use]
    pub fn at_the_top(self) -> Self {
        Self { is_top: true, ..self }
    }

    /// A document whose store does not outlive the process: nobody below is to rely on it.
    #[must_use]
    pub fn volatile(self) -> Self {
        Self { is_volatile: true, ..self }
    }

    /// A document of which histories are merged, whatever comes of it.
    #[must_use]
    pub fn merging(self) -> Self {
        Self { merges: true, ..self }
    }

    /// The one entry point.
    pub fn handle(&mut self, now: Millis, input: Input, outputs: &mut Vec<Output>) {
        self.out = std::mem::take(outputs);
        match (&mut self.phase, input) {
            (
                Phase::Loading(_),
                Input::Loaded { replica, log, tail, frames, unconfirmed, history },
            ) => {
                self.archive.load(frames);
                self.history = history;
                self.loaded(now, *replica, Log::loaded(log, tail), unconfirmed);
            }
            (Phase::Loading(_), Input::LoadFailed) => self.load_failed(),
            (Phase::Loading(held), input) => held.push(input),
            (Phase::Loaded, input) => self.dispatch(now, input),
            (Phase::Failed, Input::Attach { peer }) => {
                self.out.push(Output::Close { peer, reason: CloseReason::LoadFailed });
            }
            (Phase::Failed, Input::AttachLink { peer, .. }) => {
                self.out.push(Output::Close { peer, reason: CloseReason::LoadFailed });
            }
            (Phase::Failed, _) => {}
        }
        self.ask_for_left_out(now);
        self.plan();
        *outputs = std::mem::take(&mut self.out);
    }

    fn dispatch(&mut self, now: Millis, input: Input) {
        match input {
            Input::Loaded { .. } | Input::LoadFailed => unreachable!("it is loaded once"),
            Input::Attach { peer } => self.attach(now, peer),
            Input::AttachLink { peer, dialect } => self.attach_link(peer, dialect),
            Input::AttachUpstream { peer, habit, dialect } => {
                self.habit = None;
                self.attach_upstream(now, Uplink::new(peer, habit, dialect));
            }
            Input::AskForTheirs => self.ask_for_theirs(),
            Input::Merge => {
                self.history.known.clear();
                self.out.push(Output::History { history: self.history.clone() });
            }
            Input::Granted { peer, read_only } => {
                if let Some(uplink) = self.uplink.as_mut().filter(|uplink| uplink.peer == peer) {
                    uplink.read_only = read_only;
                }
            }
            Input::Frame { peer, bytes } => self.frame(now, peer, &bytes),
            Input::Detach { peer } => self.detach(now, peer),
            Input::Room { peer, bytes_max } => self.room(now, peer, bytes_max),
            Input::Saved { seq } => self.saved(now, seq),
            Input::SaveFailed => self.log.failed(),
            Input::Lost => self.lost(),
            Input::Compacted { result } => self.compacted(result),
            Input::Tick => self.tick(now),
            Input::Stop => {
                self.withdraw_awareness(now);
                self.end_all_openings(now);
            }
        }
    }

    /// Whether its readers may go on. If not, they wait until it is loaded.
    pub fn takes_input(&self) -> bool {
        match &self.phase {
            Phase::Loading(held) => held.has_room(),
            Phase::Loaded | Phase::Failed => true,
        }
    }

    fn loaded(&mut self, now: Millis, replica: Replica, log: Log, unconfirmed: bool) {
        let loaded = std::mem::replace(&mut self.phase, Phase::Loaded);
        if !self.archive.is_empty() {
            self.kind = Kind::Opaque;
        } else if self.kind == Kind::Unknown && !replica.is_empty() {
            self.kind = Kind::Yjs;
        }
        self.replica = replica;
        self.log = log;
        self.unconfirmed = unconfirmed;
        let Phase::Loading(held) = loaded else { unreachable!("it is loaded once") };
        for input in held.inputs() {
            self.dispatch(now, input);
        }
        self.compact_if_worth();
    }

    fn load_failed(&mut self) {
        let failed = std::mem::replace(&mut self.phase, Phase::Failed);
        let Phase::Loading(held) = failed else { unreachable!("it is loaded once") };
        let reason = CloseReason::LoadFailed;
        self.out.extend(held.clients().into_iter().map(|peer| Output::Close { peer, reason }));
    }

    fn room(&mut self, now: Millis, peer: PeerId, bytes_max: usize) {
        let kept = self.kept();
        if let Some(bytes) = self.frame_below(now, peer) {
            self.out.push(Output::Send { peer, bytes });
            return;
        }
        if let Some(link) = self.links.get_mut(&peer) {
            if let Some(bytes) = link.pull(bytes_max, &self.replica, &self.awareness, kept) {
                self.out.push(Output::Send { peer, bytes });
            }
            return;
        }
        match &self.uplink {
            Some(uplink) if uplink.peer == peer => {
                self.uplink_ready = false;
                let version = self.log.last_seq();
                let frame = self.frame_above(now);
                let Some(uplink) = &mut self.uplink else { return };
                let pull =
                    || uplink.pull(now, bytes_max, &self.replica, &mut self.awareness, version);
                if let Some(bytes) = frame.or_else(pull) {
                    self.out.push(Output::Send { peer, bytes });
                }
            }
            _ => {
                if !self.acknowledge_on(now, peer) {
                    self.answer_on(now, peer, bytes_max);
                    self.replay_on(now, peer);
                }
            }
        }
    }

    fn tick(&mut self, now: Millis) {
        if self.wake_at.is_some_and(|wake_at| now < wake_at) {
            return; // that one is still to come; asking for another would breed ticks
        }
        self.wake_at = None;
        if let Some(uplink) = &mut self.uplink {
            uplink.tick(now, &self.replica, &mut self.random);
        }
        let guarded = self.tick_guard(now);
        self.schedule(guarded.unwrap_or(Millis::MAX));
        self.answer_waiting(now);
        self.expire_awareness(now);
        self.tick_clients(now);
    }

    fn tick_clients(&mut self, now: Millis) {
        let mut silent = Vec::new();
        let mut next = self.go_on_with_openings(now);
        for (id, peer) in &mut self.clients {
            if let Stage::Joining { live_at } = peer.stage {
                if live_at <= now {
                    peer.stage = Stage::Live;
                } else {
                    next = next.min(live_at);
                }
            }
            if let Stage::Waiting { until, .. } = peer.stage {
                next = next.min(until);
            }
            if peer.heard_at + limits::KEEP_ALIVE_MS <= now {
                silent.push(*id);
            } else {
                next = next.min(peer.heard_at + limits::KEEP_ALIVE_MS);
            }
        }
        for peer in silent {
            self.send(now, peer, Bytes::from_static(wire::KEEP_ALIVE));
            next = next.min(now + limits::KEEP_ALIVE_MS);
        }
        self.reckon_audience();
        self.schedule(next);
    }

    fn schedule(&mut self, at: Millis) {
        if at < Millis::MAX && self.wake_at.is_none_or(|wake_at| at < wake_at) {
            self.wake_at = Some(at);
            self.out.push(Output::WakeAt { at });
        }
    }

    /// The upstream has lost something. What this document had confirmed it may lack, unless it
    /// has answered on this link.
    fn lost(&mut self) {
        if !self.uplink.as_ref().is_some_and(Uplink::has_answered) {
            self.unconfirm();
        }
    }

    /// The upstream turned out to lack something, or to prove nothing. The mark that says so is
    /// renewed on disk, by a row without content. Returns whether it was not there.
    fn unconfirm(&mut self) -> bool {
        if !self.is_stored() || std::mem::replace(&mut self.unconfirmed, true) {
            return false;
        }
        let nothing = Update::default();
        let seq = self.log.append(&nothing);
        let update = nothing.bytes().clone();
        self.out.push(Output::Append { seq, update, local: true });
        true
    }

    /// Tells what the uplink needs or has found out: a doubt, a habit, room for a message, a tick.
    fn plan(&mut self) {
        if self.uplink.as_mut().is_some_and(Uplink::take_doubt) {
            self.unconfirm();
        }
        let kept = self.kept();
        for (peer, link) in &mut self.links {
            link.kept(kept);
            if link.is_ready() && !std::mem::replace(&mut link.is_announced, true) {
                self.out.push(Output::Ready { peer: *peer });
            }
        }
        let Some(uplink) = &mut self.uplink else { return };
        uplink.expects_awareness(&self.awareness);
        let habit = uplink.habit();
        if std::mem::replace(&mut self.habit, habit) != habit {
            self.out.extend(habit.map(Output::Habit));
        }
        if uplink.is_ready() && !self.uplink_ready {
            self.uplink_ready = true;
            self.out.push(Output::Ready { peer: uplink.peer });
        }
        if let Some(at) = uplink.next_tick() {
            self.schedule(at);
        }
    }
}
