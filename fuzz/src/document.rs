//! A document among peers that do and say anything, in any order.

use std::collections::BTreeMap;

use bytes::Bytes;
use yrelay_core::document::Document;
use yrelay_core::event::{Dialect, Habit, Input, Output};
use yrelay_core::fellow::{self, Kept};
use yrelay_core::history::History;
use yrelay_core::id::PeerId;
use yrelay_core::id_set::IdSet;
use yrelay_core::replica::{Compaction, Replica};
use yrelay_core::state_vector::StateVector;
use yrelay_core::update::Update;
use yrelay_core::wire::{self, Message};
use yrelay_core::{LogSize, Millis};

use crate::tape::Tape;

/// Clients, links below of either dialect, and the upstream.
const PLACES: usize = 6;

pub(crate) fn run(bytes: &[u8]) {
    let mut tape = Tape(bytes);
    let mut play = Play::new(&mut tape);
    while !tape.has_ended() {
        play.act(&mut tape);
    }
    play.assert_stored();
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Client,
    Link(Dialect),
    Upstream,
}

/// The document, and what its surroundings know of it.
struct Play {
    document: Document,
    now: Millis,
    loading: bool,
    failed: bool,
    peers: u64,
    here: [Option<PeerId>; PLACES],
    attached: BTreeMap<PeerId, Place>,
    /// Frames that were given to the store.
    frames: Vec<Bytes>,
    /// All else that was given to the store.
    stored: Replica,
    last_seq: u64,
    saved_seq: u64,
    frozen: Option<Box<Replica>>,
}

impl Play {
    fn new(tape: &mut Tape<'_>) -> Self {
        let document = match tape.below(4) {
            0 if tape.flag() => Document::passing(1),
            0 => Document::opaque(1),
            1 if tape.flag() => Document::new(1).volatile(),
            1 => Document::new(1).at_the_top(),
            _ => Document::new(1),
        };
        Self {
            document,
            now: 1_000_000,
            loading: true,
            failed: false,
            peers: 0,
            here: [None; PLACES],
            attached: BTreeMap::new(),
            frames: Vec::new(),
            stored: Replica::default(),
            last_seq: 0,
            saved_seq: 0,
            frozen: None,
        }
    }

    fn act(&mut self, tape: &mut Tape<'_>) {
        let place = tape.below(PLACES);
        match tape.below(12) {
            0 => self.come(place, tape),
            1 => self.leave(place),
            2..=5 => self.say(place, tape),
            6 => {
                let bytes_max = 16 * usize::from(tape.byte());
                if let Some(peer) = self.here[place] {
                    self.handle(Input::Room { peer, bytes_max });
                }
            }
            7 => {
                let unsaved = (self.last_seq - self.saved_seq) as usize;
                self.saved_seq += tape.below(unsaved + 1) as u64;
                self.handle(Input::Saved { seq: self.saved_seq });
            }
            8 => {
                self.now += 100 * u64::from(tape.byte());
                self.handle(Input::Tick);
            }
            9 => self.load(tape),
            10 => self.compacted(tape.flag()),
            _ => {
                let input = match tape.below(3) {
                    0 => Input::SaveFailed,
                    1 => Input::Lost,
                    _ => Input::Stop,
                };
                self.handle(input);
            }
        }
    }

    fn come(&mut self, place: usize, tape: &mut Tape<'_>) {
        self.leave(place);
        self.peers += 1;
        let peer = PeerId(self.peers);
        self.here[place] = Some(peer);
        let dialect = if tape.flag() { Dialect::Own } else { Dialect::Elva };
        let (kind, input) = match place {
            0..3 => (Place::Client, Input::Attach { peer }),
            5 => {
                let habit = [Habit::Unknown, Habit::Keeps, Habit::Silent][tape.below(3)];
                (Place::Upstream, Input::AttachUpstream { peer, habit, dialect })
            }
            _ => (Place::Link(dialect), Input::AttachLink { peer, dialect }),
        };
        self.attached.insert(peer, kind);
        self.handle(input);
    }

    fn leave(&mut self, place: usize) {
        let Some(peer) = self.here[place].take() else { return };
        self.handle(Input::Detach { peer });
        if !self.loading {
            self.attached.remove(&peer);
        }
    }

    fn say(&mut self, place: usize, tape: &mut Tape<'_>) {
        let frame: Bytes = match tape.below(6) {
            0 => tape.bytes().to_vec().into(),
            1 => wire::update(tape.bytes()),
            2 => wire::update(&typed(tape)),
            3 => wire::sync_step1(tape.bytes()),
            4 => wire::sync_step2(&typed(tape)),
            _ => self.say_to_a_fellow(tape),
        };
        if let Some(peer) = self.here[place] {
            self.handle(Input::Frame { peer, bytes: frame });
        }
    }

    fn say_to_a_fellow(&self, tape: &mut Tape<'_>) -> Bytes {
        match tape.below(6) {
            0 => {
                let vector = StateVector::decode(tape.bytes()).unwrap_or_default();
                let deletes =
                    if tape.flag() { self.stored.deletes().clone() } else { IdSet::new() };
                fellow::have(&vector, &deletes)
            }
            1 => fellow::ask(u64::from(tape.byte())),
            2 => {
                let kept = [Kept::Disk, Kept::Top, Kept::Memory][tape.below(3)];
                fellow::saved(u64::from(tape.byte()), kept)
            }
            3 => {
                let frame = [b"gAAAA", tape.bytes()].concat();
                if tape.flag() { fellow::opaque(&frame) } else { fellow::aside(&frame) }
            }
            4 => fellow::archive(u64::from(tape.byte()), &[tape.byte(); 16], tape.flag()),
            _ => fellow::leave(),
        }
    }

    fn load(&mut self, tape: &mut Tape<'_>) {
        if !self.loading {
            return;
        }
        self.loading = false;
        if tape.below(4) == 0 {
            self.failed = true;
            self.handle(Input::LoadFailed);
        } else {
            if let Ok(update) = Update::parse(tape.bytes().to_vec().into()) {
                self.last_seq = 1;
                self.stored.apply(&update);
            }
            self.saved_seq = self.last_seq;
            let rows = usize::from(tape.byte()) * 3;
            let log = LogSize {
                last_seq: self.last_seq,
                snapshot_bytes: 0,
                updates: if self.last_seq > 0 { rows } else { 0 },
                bytes: 0,
            };
            let replica = Box::new(self.stored.clone());
            let unconfirmed = tape.flag();
            let tail = Vec::new();
            let frames = match tape.below(3) {
                0 => vec![(tape.bytes().to_vec().into(), tape.flag()); tape.below(3)],
                _ => Vec::new(),
            };
            self.handle(Input::Loaded {
                replica,
                log,
                tail,
                frames,
                unconfirmed,
                history: History::default(),
            });
        }
        let here = self.here;
        self.attached.retain(|peer, _| here.contains(&Some(*peer)));
    }

    fn compacted(&mut self, well: bool) {
        let Some(frozen) = self.frozen.take() else { return };
        let result = well.then(|| {
            let compacted = frozen.compact(Compaction::Full);
            assert!(frozen.equivalent(&compacted));
            (Box::new(compacted), 10)
        });
        self.handle(Input::Compacted { result });
    }

    fn handle(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.document.handle(self.now, input, &mut outputs);
        outputs.into_iter().for_each(|output| self.check(output));
        let _ = self.document.standing();
    }

    fn check(&mut self, output: Output) {
        match output {
            Output::Append { seq, update, .. } => {
                assert_eq!(seq, self.last_seq + 1);
                self.last_seq = seq;
                let update = Update::parse(update).expect("what is stored has passed the gate");
                self.stored.apply(&update);
            }
            Output::AppendFrame { seq, frame, .. } => {
                assert_eq!(seq, self.last_seq + 1);
                self.last_seq = seq;
                assert!(!self.frames.contains(&frame), "it is kept once");
                self.frames.push(frame);
            }
            Output::Broadcast { to, except, bytes } => {
                for peer in to.iter().filter(|peer| Some(**peer) != except) {
                    self.told(*peer, &bytes);
                }
            }
            Output::Send { peer, bytes } => self.told(peer, &bytes),
            Output::Close { peer, .. } => {
                assert!(self.attached.remove(&peer).is_some(), "{peer} is attached");
                for here in &mut self.here {
                    here.take_if(|here| *here == peer);
                }
            }
            Output::Rejected { peer, .. } | Output::Ready { peer } => {
                assert!(self.attached.contains_key(&peer), "{peer} is attached");
            }
            Output::Reopen | Output::Diverged | Output::Theirs { .. } | Output::History { .. } => {}
            Output::Compact { frozen, upto_seq } => {
                assert_eq!(upto_seq, self.last_seq);
                assert!(self.frozen.replace(frozen).is_none(), "one at a time");
            }
            Output::Confirmed { seq } => assert!(seq <= self.last_seq),
            Output::Habit(_)
            | Output::Lost
            | Output::ArchiveFull
            | Output::Refused { .. }
            | Output::Ignored { .. }
            | Output::LeftOut { .. }
            | Output::WakeAt { .. } => {}
        }
    }

    /// What a peer is sent of the document has passed the gate and was given to the store.
    fn told(&self, peer: PeerId, bytes: &Bytes) {
        let place = self.attached.get(&peer).unwrap_or_else(|| panic!("{peer} is not attached"));
        if self.document.standing().opaque {
            return;
        }
        let own = matches!(place, Place::Link(_) | Place::Upstream);
        if own && matches!(fellow::decode(bytes), Ok(Some(_))) {
            return;
        }
        for message in wire::messages(bytes) {
            let message = message.expect("what is sent can be read");
            let (Message::SyncStep2(update) | Message::Update { update, .. }) = message else {
                continue;
            };
            let update = Update::parse(update).expect("what is sent has passed the gate");
            assert!(self.stored.held().contains_all(&update.structs()), "stored before sent");
            assert!(self.stored.deletes().contains_all(&update.deletes()), "stored before sent");
        }
    }

    fn assert_stored(&self) {
        let Some(replica) = self.document.replica().filter(|_| !self.loading && !self.failed)
        else {
            return;
        };
        assert_eq!(replica.held(), self.stored.held());
        assert_eq!(replica.deletes(), self.stored.deletes());
    }
}

/// What an editor writes: some characters, or a deletion.
fn typed(tape: &mut Tape<'_>) -> Vec<u8> {
    let (client, clock, len) =
        (1 + tape.below(3) as u8, tape.below(100) as u8, 1 + tape.below(4) as u8);
    if tape.below(4) == 0 {
        return vec![0, 1, client, 1, clock, len];
    }
    let text = [b'x'; 4];
    let head = [1, 1, client, clock, 4, 1, 1, b't', len];
    [&head[..], &text[..usize::from(len)], &[0]].concat()
}
