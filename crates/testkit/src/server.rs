//! Models of ELVA's server, version 0.33, as it was measured: one that keeps documents and one
//! that only passes on.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use yrelay_core::event::Dialect;
use yrelay_core::link;
use yrelay_core::replica::Want;
use yrelay_core::update::Update;
use yrelay_core::wire::{self, Message};

use crate::editor::{Editor, Image};
use crate::network::{End, Network, Packet};

/// Which server there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It keeps documents and answers.
    Persistent,
    /// It passes everything on, unread.
    Broadcast,
    /// It is a yrelay, and services stand below each other. They speak so.
    Relay(Dialect),
}

impl Mode {
    pub(crate) fn is_relay(self) -> bool {
        matches!(self, Self::Relay(_))
    }
}

/// With what it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Return {
    Kept,
    /// As it was some time before.
    Older,
    Empty,
}

type Documents = BTreeMap<String, Vec<Bytes>>;

pub(crate) struct Server {
    mode: Mode,
    pub(crate) up: bool,
    /// Every link and the documents of which it has sent a frame.
    links: BTreeMap<End, BTreeSet<String>>,
    documents: BTreeMap<String, Editor>,
    /// Its documents at some earlier times.
    older: Vec<Documents>,
    frames: usize,
    back: Return,
    /// It has lost what it had proved to hold.
    pub(crate) rolled_back: bool,
    /// Of some documents only, perhaps: whoever looks at another one cannot know.
    pub(crate) partly: bool,
}

/// What it takes in one frame.
const FRAME_BYTES_MAX: usize = 1 << 20;
const SNAPSHOT_FRAMES: usize = 32;
const BAD: u16 = 1000;
const TOO_BIG: u16 = 1009;

impl Server {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            up: true,
            links: BTreeMap::new(),
            documents: BTreeMap::new(),
            older: Vec::new(),
            frames: 0,
            back: Return::Kept,
            rolled_back: false,
            partly: false,
        }
    }

    pub(crate) fn is_persistent(&self) -> bool {
        self.mode == Mode::Persistent
    }

    pub(crate) fn joined(&mut self, end: End) {
        self.links.insert(end, BTreeSet::new());
    }

    pub(crate) fn packet(&mut self, net: &mut Network, end: End) {
        match net.take(end) {
            Some(Packet::Frame(frame)) if self.links.contains_key(&end) => {
                self.frame(net, end, &frame);
            }
            Some(Packet::Closed(_)) => drop(self.links.remove(&end)),
            Some(Packet::Garbage(_)) => unreachable!("services are sound"),
            Some(Packet::Frame(_)) | None => {}
        }
    }

    /// Closes a link, as it does on any exception of its own.
    pub(crate) fn kick(&mut self, net: &mut Network, end: End, code: u16) {
        if self.links.remove(&end).is_some() {
            net.note(|| format!("the server closes {end:?} with {code}"));
            net.close(end, Some(code));
        }
    }

    fn frame(&mut self, net: &mut Network, end: End, frame: &Bytes) {
        if frame.len() > FRAME_BYTES_MAX {
            self.kick(net, end, TOO_BIG);
            return;
        }
        let (name, message) = link::decode(frame).expect("the relay frames what it sends");
        if let Some(joined) = self.links.get_mut(&end) {
            joined.insert(name.to_owned());
        }
        match self.mode {
            Mode::Broadcast => self.pass_on(net, end, name, frame),
            Mode::Persistent => self.keep(net, end, name, &message),
            Mode::Relay(_) => unreachable!("that is a service"),
        }
    }

    fn pass_on(&self, net: &mut Network, from: End, name: &str, frame: &Bytes) {
        for (end, joined) in &self.links {
            if *end != from && joined.contains(name) {
                net.send(*end, frame.clone());
            }
        }
    }

    fn keep(&mut self, net: &mut Network, end: End, name: &str, message: &Bytes) {
        let editor = self.documents.entry(name.to_owned()).or_insert_with(|| Editor::new(2));
        let framed = |message: &Bytes| Bytes::from([&link::prefix(name)[..], message].concat());
        match wire::messages(message).next() {
            None | Some(Err(_)) => self.kick(net, end, BAD),
            Some(Ok(Message::SyncStep1(vector))) => {
                net.send(end, framed(&wire::sync_step2(&editor.difference(&vector))));
                net.send(end, framed(&wire::sync_step1(&editor.state_vector())));
            }
            Some(Ok(Message::SyncStep2(update))) if update == wire::EMPTY_UPDATE => {}
            Some(Ok(Message::SyncStep2(update) | Message::Update { update, .. })) => {
                editor.apply(&update);
                self.remember();
                self.pass_on(net, end, name, &framed(&wire::update(&update)));
            }
            Some(Ok(_)) => {}
        }
    }

    fn remember(&mut self) {
        self.frames += 1;
        if self.frames.is_multiple_of(SNAPSHOT_FRAMES) {
            self.older.push(self.snapshot());
        }
    }

    fn snapshot(&self) -> Documents {
        let whole = |editor: &Editor| vec![Bytes::from(editor.everything())];
        self.documents.iter().map(|(name, editor)| (name.clone(), whole(editor))).collect()
    }

    /// Kills it.
    pub(crate) fn kill(&mut self, net: &mut Network, back: Return, late_ms: u64) {
        for end in std::mem::take(&mut self.links).into_keys() {
            net.cut(end.connection, late_ms);
            net.abandon(end);
        }
        self.up = false;
        self.back = back;
    }

    pub(crate) fn start(&mut self) {
        if std::mem::replace(&mut self.up, true) {
            return;
        }
        let documents = match self.back {
            Return::Kept => return,
            Return::Older => self.older.last().cloned().unwrap_or_default(),
            Return::Empty => Documents::new(),
        };
        self.rolled_back = true;
        self.partly |= self.back == Return::Older;
        self.documents.clear();
        for (name, updates) in documents {
            let editor = Editor::new(2);
            for update in updates {
                editor.apply(&update);
            }
            self.documents.insert(name, editor);
        }
    }

    pub(crate) fn image(&self, name: &str) -> Option<Image> {
        self.documents.get(name).map(Editor::image)
    }

    /// Whether it holds all that.
    pub(crate) fn holds(&self, name: &str, what: &Want) -> bool {
        let Some(editor) = self.documents.get(name) else {
            return what.is_empty();
        };
        let whole = Update::parse(editor.everything().into()).expect("an editor's update parses");
        let held = Want::of(&whole);
        held.structs.contains_all(&what.structs) && held.deletes.contains_all(&what.deletes)
    }
}
