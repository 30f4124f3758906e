//! A document driven by hand: no runtime, virtual time, and a look at every output.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use yrelay_core::close::CloseReason;
use yrelay_core::document::Document;
use yrelay_core::event::{Dialect, Habit, Input, Output, Standing};
use yrelay_core::history::History;
use yrelay_core::id::PeerId;
use yrelay_core::replica::{Compaction, Replica, Want};
use yrelay_core::wire::{self, Message};
use yrelay_core::{LogSize, Millis, limits};

pub(crate) use crate::words::*;

pub(crate) const A: PeerId = PeerId(1);
pub(crate) const B: PeerId = PeerId(2);
pub(crate) const C: PeerId = PeerId(3);

/// One document and everybody around it.
pub(crate) struct Script {
    pub(crate) document: Document,
    pub(crate) now: Millis,
    timers: BTreeSet<Millis>,
    /// `TRACE=1` shows what is said.
    trace: bool,
    loading: bool,
    /// Who left while it was loading: written to in passing.
    left: BTreeSet<PeerId>,
    /// What each attached peer was sent and has not been looked at.
    inboxes: BTreeMap<PeerId, VecDeque<Bytes>>,
    /// Peers that want room.
    ready: BTreeSet<PeerId>,
    pub(crate) closed: BTreeMap<PeerId, CloseReason>,
    /// The upstream's number while the link is up.
    pub(crate) up: PeerId,
    /// What was found out about the upstream, the last word of it.
    pub(crate) habit: Option<Habit>,
    /// Times that the upstream was found to have lost things.
    pub(crate) lost: usize,
    /// Updates given to the store: bytes, and whether they were written below.
    pub(crate) appended: Vec<(Bytes, bool)>,
    /// Frames given to the store, and whether they were written below.
    pub(crate) frames: Vec<(Bytes, bool)>,
    /// The numbers of these.
    frame_seqs: Vec<u64>,
    /// Times that no more frames were said to be kept.
    pub(crate) full: usize,
    /// All that was given to the store.
    stored: Replica,
    last_seq: u64,
    saved_seq: u64,
    /// Rows that were there from the start, and whether the upstream is to prove that it has them.
    pub(crate) first: Vec<Vec<u8>>,
    pub(crate) first_unconfirmed: bool,
    /// What clients wrote that is not saved yet, by sequence number.
    unsaved: BTreeMap<u64, (PeerId, Want)>,
    pub(crate) confirmed_seq: Option<u64>,
    pub(crate) frozen: Option<(Box<Replica>, u64)>,
    pub(crate) rejected: usize,
    /// Of whom something was left out, as it was said.
    pub(crate) left_out: Vec<PeerId>,
    pub(crate) ignored: Vec<u64>,
    /// What is remembered of the document's histories.
    pub(crate) history: History,
    /// They are merged, whatever comes of it.
    merges: bool,
    /// Times that it was to be attached anew.
    pub(crate) reopened: usize,
    /// Times that it was found to have diverged.
    pub(crate) diverged: usize,
    /// What an upstream with another history holds.
    pub(crate) theirs: Option<Bytes>,
}

impl Script {
    /// A document that is being loaded.
    pub(crate) fn loading() -> Self {
        Self::seeded(1)
    }

    /// A document whose frames are passed on and not kept.
    pub(crate) fn passing() -> Self {
        let mut script = Self { document: Document::passing(1), ..Self::loading() };
        script.loaded(&[], false);
        script
    }

    /// An encrypted document of which these frames are stored, the first of them from above.
    pub(crate) fn with_frames(from_above: &[&'static str], local: &[&'static str]) -> Self {
        let mut script = Self::loading();
        let stored = |frames: &[&'static str], local: bool| -> Vec<(Bytes, bool)> {
            frames.iter().map(move |frame| (Bytes::from_static(frame.as_bytes()), local)).collect()
        };
        script.frames = [stored(from_above, false), stored(local, true)].concat();
        script.frame_seqs = (1..=script.frames.len() as u64).collect();
        script.loaded(&[], false);
        script
    }

    /// A new document that was named as end-to-end encrypted.
    pub(crate) fn named_opaque() -> Self {
        let mut script = Self { document: Document::opaque(1), ..Self::loading() };
        script.loaded(&[], false);
        script
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            document: Document::new(seed),
            now: 1_000_000,
            timers: BTreeSet::new(),
            trace: std::env::var_os("TRACE").is_some(),
            loading: true,
            left: BTreeSet::new(),
            inboxes: BTreeMap::new(),
            ready: BTreeSet::new(),
            closed: BTreeMap::new(),
            up: PeerId(99),
            habit: None,
            lost: 0,
            appended: Vec::new(),
            frames: Vec::new(),
            frame_seqs: Vec::new(),
            full: 0,
            stored: Replica::default(),
            last_seq: 0,
            saved_seq: 0,
            first: Vec::new(),
            first_unconfirmed: false,
            unsaved: BTreeMap::new(),
            confirmed_seq: None,
            frozen: None,
            rejected: 0,
            left_out: Vec::new(),
            ignored: Vec::new(),
            history: History::default(),
            merges: false,
            reopened: 0,
            diverged: 0,
            theirs: None,
        }
    }

    /// The same, of which all histories are merged.
    pub(crate) fn merging(self) -> Self {
        Self { document: Document::new(self.now).merging(), merges: true, ..self }
    }

    /// A document of which nothing is stored.
    pub(crate) fn new() -> Self {
        let mut script = Self::loading();
        script.loaded(&[], false);
        script
    }

    /// A document of which these updates are stored.
    pub(crate) fn with(updates: &[Vec<u8>]) -> Self {
        let mut script = Self::loading();
        script.loaded(updates, false);
        script
    }

    pub(crate) fn loaded(&mut self, updates: &[Vec<u8>], unconfirmed: bool) {
        self.first = updates.to_vec();
        self.first_unconfirmed = unconfirmed;
        self.load(updates.len());
    }

    /// Hands over what is on disk; the log counts so many rows behind its snapshot.
    pub(crate) fn load(&mut self, updates: usize) {
        self.last_seq = (self.first.len() + self.appended.len() + self.frames.len()) as u64;
        self.saved_seq = self.last_seq;
        self.confirmed_seq = self.confirmed_seq.map(|seq| seq.min(self.last_seq));
        let rows = self.first.iter().map(Vec::as_slice);
        self.stored = Replica::default();
        for row in rows.chain(self.appended.iter().map(|(row, _)| &row[..])) {
            self.stored.apply(&parse(row));
        }
        let confirmed = self.confirmed_seq.unwrap_or(0);
        let unproved = (self.first.len() as u64 + 1..).zip(&self.appended);
        let unconfirmed = (self.first_unconfirmed && self.confirmed_seq.is_none())
            || unproved.into_iter().any(|(seq, (_, local))| *local && seq > confirmed);
        let log = LogSize { last_seq: self.last_seq, snapshot_bytes: 0, updates, bytes: 0 };
        let replica = Box::new(self.stored.clone());
        let unconfirmed = unconfirmed
            || self
                .frames
                .iter()
                .zip(&self.frame_seqs)
                .any(|((_, local), seq)| *local && *seq > confirmed);
        let (tail, frames) = (Vec::new(), self.frames.clone());
        let history = self.history.clone();
        self.handle(Input::Loaded { replica, log, tail, frames, unconfirmed, history });
    }

    /// The process is killed and starts again: what was not on disk is gone, and so is everybody.
    pub(crate) fn restart(&mut self) {
        self.document = Document::new(self.now);
        if self.merges {
            self.document = Document::new(self.now).merging();
        }
        self.timers.clear();
        self.inboxes.clear();
        self.ready.clear();
        self.unsaved.clear();
        self.frozen = None;
        self.loading = true;
        let saved = self.frame_seqs.iter().filter(|seq| **seq <= self.saved_seq).count();
        self.frames.truncate(saved);
        self.frame_seqs.truncate(saved);
        self.appended.truncate(self.saved_seq as usize - self.first.len() - saved);
        self.load(self.appended.len());
    }

    pub(crate) fn handle(&mut self, input: Input) {
        let author = match &input {
            Input::Frame { peer, .. } => Some(*peer),
            _ => None,
        };
        let room = match &input {
            Input::Room { peer, .. } => Some(*peer),
            _ => None,
        };
        let loaded = matches!(input, Input::Loaded { .. });
        if self.trace {
            match &input {
                Input::Frame { peer, bytes } => {
                    eprintln!("{} {peer} says {}", self.now, show(bytes));
                }
                other => eprintln!("{} {other:?}", self.now),
            }
        }
        let mut outputs = Vec::new();
        self.document.handle(self.now, input, &mut outputs);
        for output in outputs {
            self.check(author, room, output);
        }
        if loaded {
            self.loading = false;
            for peer in std::mem::take(&mut self.left) {
                self.forget(peer);
            }
        }
    }

    /// Carries out an output, and holds it against what must always be true.
    fn check(&mut self, author: Option<PeerId>, room: Option<PeerId>, output: Output) {
        match output {
            Output::Reopen => self.reopened += 1,
            Output::Diverged => self.diverged += 1,
            Output::Theirs { update } => self.theirs = Some(update),
            Output::History { history } => self.history = history,
            Output::Broadcast { to, except, bytes } => {
                for peer in to.iter().filter(|peer| Some(**peer) != except) {
                    assert_ne!(*peer, self.up, "the upstream is sent what it has room for");
                    self.deliver(*peer, &bytes);
                }
            }
            Output::Send { peer, bytes } => {
                if peer == self.up {
                    assert_eq!(room, Some(peer), "the upstream is sent what it has room for");
                }
                self.deliver(peer, &bytes);
            }
            Output::Ready { peer } => {
                assert!(self.inboxes.contains_key(&peer), "{peer} is not attached");
                let first = self.ready.insert(peer);
                assert!(first || peer != self.up, "the upstream is announced once");
            }
            Output::Append { seq, update, local } => {
                assert_eq!(seq, self.last_seq + 1);
                let from_below = author.is_some_and(|author| author != self.up);
                let doubt = local && update == wire::EMPTY_UPDATE;
                assert!(local == from_below || self.loading || doubt, "local: by a client");
                self.last_seq = seq;
                let parsed = parse(&update);
                let news = self.stored.apply(&parsed);
                assert!(news.changed() || doubt, "what changes nothing is not stored");
                if let Some(author) = author {
                    let news = Want { structs: news.structs, deletes: news.deletes };
                    self.unsaved.insert(seq, (author, news));
                }
                self.appended.push((update, local));
            }
            Output::AppendFrame { seq, frame, local } => {
                assert_eq!(seq, self.last_seq + 1);
                assert!(self.frames.iter().all(|(kept, _)| *kept != frame), "it is kept once");
                self.last_seq = seq;
                self.frames.push((frame, local));
                self.frame_seqs.push(seq);
            }
            Output::ArchiveFull => self.full += 1,
            Output::Habit(habit) => self.habit = Some(habit),
            Output::Lost => self.lost += 1,
            Output::Confirmed { seq } => self.confirmed_seq = Some(seq),
            Output::Compact { frozen, upto_seq } => {
                assert_eq!(upto_seq, self.last_seq);
                assert!(self.frozen.replace((frozen, upto_seq)).is_none(), "one at a time");
            }
            Output::Close { peer, reason } => {
                assert!(!self.left.contains(&peer) && self.forget(peer), "{peer} is not attached");
                self.closed.insert(peer, reason);
            }
            Output::Rejected { peer, .. } => {
                assert!(self.inboxes.contains_key(&peer), "{peer} is not attached");
                self.rejected += 1;
            }
            Output::LeftOut { peer, .. } => self.left_out.push(peer),
            Output::Ignored { kind, .. } => self.ignored.push(kind),
            Output::Refused { reason } => panic!("refused: {reason}"),
            Output::WakeAt { at } => {
                self.timers.insert(at);
            }
        }
    }

    fn deliver(&mut self, peer: PeerId, bytes: &Bytes) {
        let opaque = self.document.standing().opaque;
        for message in wire::messages(bytes).take_while(|_| !opaque) {
            let Ok(Message::SyncStep2(update) | Message::Update { update, .. }) = message else {
                continue;
            };
            let mut told = Want::of(&parse(&update));
            assert!(
                self.stored.held().contains_all(&told.structs)
                    && self.stored.deletes().contains_all(&told.deletes),
                "stored before sent: {}",
                show(bytes)
            );
            // Somebody else's struct without content shows by itself that it is deleted.
            told.deletes.subtract(&told.structs);
            for (_, unsaved) in self.unsaved.values().filter(|(author, _)| *author == peer) {
                let early = Want {
                    structs: unsaved.structs.intersection(&told.structs),
                    deletes: unsaved.deletes.intersection(&told.deletes),
                };
                let shown = show(bytes);
                assert!(early.is_empty() || peer == self.up, "{peer}'s own, unsaved: {shown}");
            }
        }
        if self.trace {
            eprintln!("        -> {peer} {}", show(bytes));
        }
        let inbox = self.inboxes.get_mut(&peer);
        inbox.unwrap_or_else(|| panic!("{peer} is not attached")).push_back(bytes.clone());
    }

    fn forget(&mut self, peer: PeerId) -> bool {
        self.ready.remove(&peer);
        self.unsaved.retain(|_, (author, _)| *author != peer);
        self.inboxes.remove(&peer).is_some()
    }

    pub(crate) fn attach(&mut self, peer: PeerId) {
        self.inboxes.insert(peer, VecDeque::new());
        self.handle(Input::Attach { peer });
    }

    /// Attaches a client that holds nothing; what it is told is not looked at.
    pub(crate) fn join(&mut self, peer: PeerId) {
        self.attach(peer);
        self.frame(peer, step1(&[]));
        while self.room(peer) {}
        self.inboxes.get_mut(&peer).unwrap().clear();
    }

    pub(crate) fn detach(&mut self, peer: PeerId) {
        if self.loading {
            self.left.insert(peer);
        } else {
            assert!(self.forget(peer), "{peer} is not attached");
        }
        self.handle(Input::Detach { peer });
    }

    pub(crate) fn link_up(&mut self) {
        self.attach_upstream(Habit::Unknown);
    }

    pub(crate) fn attach_upstream(&mut self, habit: Habit) {
        self.attach_above(habit, Dialect::Elva);
    }

    /// The upstream is another yrelay.
    pub(crate) fn fellow_up(&mut self) {
        self.attach_above(Habit::Unknown, Dialect::Own);
    }

    pub(crate) fn attach_above(&mut self, habit: Habit, dialect: Dialect) {
        self.up = PeerId(self.up.0 + 1);
        let peer = self.up;
        self.inboxes.insert(peer, VecDeque::new());
        self.handle(Input::AttachUpstream { peer, habit, dialect });
    }

    /// Another yrelay joins from below.
    pub(crate) fn fellow_joins(&mut self, peer: PeerId) {
        self.inboxes.insert(peer, VecDeque::new());
        self.handle(Input::AttachLink { peer, dialect: Dialect::Own });
    }

    /// A relay joins from below that speaks as ELVA does.
    pub(crate) fn elva_joins(&mut self, peer: PeerId) {
        self.inboxes.insert(peer, VecDeque::new());
        self.handle(Input::AttachLink { peer, dialect: Dialect::Elva });
    }

    pub(crate) fn link_down(&mut self) {
        self.detach(self.up);
    }

    pub(crate) fn frame(&mut self, peer: PeerId, bytes: impl Into<Bytes>) {
        self.handle(Input::Frame { peer, bytes: bytes.into() });
    }

    /// The upstream says something.
    pub(crate) fn tell(&mut self, bytes: impl Into<Bytes>) {
        self.frame(self.up, bytes);
    }

    /// Gives a peer room for one message if it waits for that.
    pub(crate) fn room(&mut self, peer: PeerId) -> bool {
        let ready = self.ready.remove(&peer);
        if ready {
            let link = peer == self.up;
            let client = limits::CLIENT_CHUNK_BYTES_MAX;
            let bytes_max = if link { limits::CHUNK_BYTES_MAX } else { client };
            self.handle(Input::Room { peer, bytes_max });
        }
        ready
    }

    /// A client of an encrypted document that says nothing is told what is kept, after a while.
    pub(crate) fn tell_silent(&mut self, peer: PeerId) {
        self.wait(limits::SILENT_MS);
        while self.room(peer) {}
    }

    /// The next message for the upstream.
    pub(crate) fn pull(&mut self) -> Option<Bytes> {
        self.room(self.up);
        self.inboxes.get_mut(&self.up)?.pop_front()
    }

    /// All that the upstream has room for goes up unseen.
    pub(crate) fn pull_all(&mut self) {
        while self.pull().is_some() {}
    }

    pub(crate) fn is_ready(&self, peer: PeerId) -> bool {
        self.ready.contains(&peer)
    }

    /// All that was given to the store is on disk.
    pub(crate) fn save(&mut self) {
        self.save_upto(self.last_seq);
    }

    pub(crate) fn save_upto(&mut self, seq: u64) {
        self.saved_seq = seq;
        self.unsaved.retain(|unsaved, _| *unsaved > seq);
        self.handle(Input::Saved { seq });
    }

    /// Half of what waits for the disk is on it.
    pub(crate) fn save_some(&mut self) {
        self.save_upto(self.saved_seq + self.unsaved_rows() / 2);
    }

    pub(crate) fn unsaved_rows(&self) -> u64 {
        self.last_seq - self.saved_seq
    }

    pub(crate) fn stored(&self) -> &Replica {
        &self.stored
    }

    /// Ends the compaction that was asked for.
    pub(crate) fn compact(&mut self) {
        let (frozen, _) = self.frozen.take().expect("a compaction was asked for");
        let compacted = frozen.compact(Compaction::Full);
        for update in compacted.snapshot() {
            self.stored.apply(&update);
        }
        self.handle(Input::Compacted { result: Some((Box::new(compacted), 10)) });
    }

    /// Time passes; it is woken whenever it asked for that.
    pub(crate) fn wait(&mut self, ms: Millis) {
        let end = self.now + ms;
        let mut ticks = 0;
        while let Some(at) = self.timers.first().copied().filter(|at| *at <= end) {
            self.timers.pop_first();
            self.now = self.now.max(at);
            self.handle(Input::Tick);
            ticks += 1;
            assert!(ticks < 1_000, "it does not come to rest");
        }
        self.now = end;
    }

    pub(crate) fn standing(&self) -> Standing {
        self.document.standing()
    }

    pub(crate) fn confirmed(&self) -> Option<bool> {
        self.standing().confirmed
    }

    /// What a peer was sent since the last look, as it came.
    pub(crate) fn take(&mut self, peer: PeerId) -> Vec<Bytes> {
        self.inboxes.get_mut(&peer).map(std::mem::take).unwrap_or_default().into()
    }

    /// What a peer was sent since the last look, in words.
    #[track_caller]
    pub(crate) fn expect(&mut self, peer: PeerId, messages: &[&str]) {
        let told: Vec<String> = self.take(peer).iter().map(show).collect();
        assert_eq!(told, messages, "what {peer} was sent");
    }

    /// All that the upstream has room for, in words.
    #[track_caller]
    pub(crate) fn expect_up(&mut self, messages: &[&str]) {
        let mut told = Vec::new();
        while let Some(message) = self.pull() {
            told.push(show(&message));
        }
        assert_eq!(told, messages, "what went up");
    }

    /// An upstream that keeps documents joins a document that it holds this much of, and all of
    /// ours.
    pub(crate) fn greeted(&mut self, theirs: &[u8]) {
        self.link_up();
        assert!(self.pull().is_some_and(|message| show(&message).starts_with("step1")));
        self.tell(step2(theirs));
        let ours = self.stored.state_vector().encode();
        self.tell(wire::sync_step1(&ours));
        self.expect_up(&["step2 nothing"]);
    }
}
