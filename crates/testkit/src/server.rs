//! Models of servers, as they were measured. Here ELVA's, version 0.33: one that keeps documents and
//! one that only passes on.

mod hocuspocus;
mod present;
mod yjs;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use yrelay_core::Millis;
use yrelay_core::event::Dialect;
use yrelay_core::link;
use yrelay_core::replica::Want;
use yrelay_core::update::Update;
use yrelay_core::wire::{self, Message};

use crate::editor::{Editor, Image};
use crate::network::{End, Network, Packet};

pub(crate) use present::PHANTOMS_FROM;
pub(crate) use yjs::Timer;

/// Which server there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It keeps documents and answers.
    Persistent,
    /// It passes everything on, unread.
    Broadcast,
    /// It is a yrelay, and services stand below each other. They speak so.
    Relay(Dialect),
    /// It is of another kind than ELVA 0.33.
    Foreign(Foreign),
}

/// Servers that other protocols have brought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// `@y/websocket-server`. One with a slow store says that it is empty before it has read that.
    YWebsocket {
        /// With a store, as LevelDB.
        slow: bool,
    },
    /// `pycrdt-websocket`.
    Pycrdt,
    /// y-sweet.
    YSweet,
    /// ELVA 0.37's, which keeps documents or passes all on unread.
    Elva37 {
        /// It keeps documents.
        keeps: bool,
    },
    /// Hocuspocus, of this version.
    Hocuspocus(u8),
}

impl Mode {
    pub(crate) fn is_relay(self) -> bool {
        matches!(self, Self::Relay(_))
    }

    pub(crate) fn foreign(self) -> Option<Foreign> {
        match self {
            Self::Foreign(foreign) => Some(foreign),
            _ => None,
        }
    }

    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Relay(dialect) => dialect,
            Self::Foreign(Foreign::Hocuspocus(_)) => Dialect::Hocuspocus,
            Self::Foreign(Foreign::YSweet) => Dialect::YSweet,
            Self::Foreign(_) => Dialect::Yjs,
            Self::Persistent | Self::Broadcast => Dialect::Elva,
        }
    }

    /// Each document has a connection of its own.
    pub(crate) fn has_lines(self) -> bool {
        matches!(self.dialect(), Dialect::Yjs | Dialect::YSweet)
    }

    fn keeps(self) -> bool {
        match self {
            Self::Persistent => true,
            Self::Broadcast | Self::Relay(_) => false,
            Self::Foreign(foreign) => foreign != Foreign::Elva37 { keeps: false },
        }
    }
}

/// With what it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Return {
    Kept,
    /// Without the last seconds.
    Recent,
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
    /// What it has in memory of documents besides their content.
    rooms: BTreeMap<String, yjs::Room>,
    sockets: BTreeMap<End, hocuspocus::Socket>,
    /// Documents into which it lets nobody until then.
    pub(crate) denied: BTreeMap<String, Millis>,
    /// In which of its lives each link was opened, and what it held when those ended.
    opened_in: BTreeMap<End, usize>,
    past: Vec<BTreeMap<String, Want>>,
    back: Return,
    /// It has lost what it had proved to hold.
    pub(crate) rolled_back: bool,
    /// Of some documents only, perhaps: whoever looks at another one cannot know.
    pub(crate) partly: bool,
}

/// What it takes in one frame.
const FRAME_BYTES_MAX: usize = 1 << 20;
const SNAPSHOT_FRAMES: usize = 32;
const FOREIGN_SNAPSHOT_FRAMES: usize = 8;
const BAD: u16 = 1000;
const GOING_AWAY: u16 = 1001;
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
            rooms: BTreeMap::new(),
            sockets: BTreeMap::new(),
            denied: BTreeMap::new(),
            opened_in: BTreeMap::new(),
            past: Vec::new(),
            back: Return::Kept,
            rolled_back: false,
            partly: false,
        }
    }

    pub(crate) fn is_persistent(&self) -> bool {
        self.mode.keeps()
    }

    /// Whether it tells those behind it who is present.
    pub(crate) fn passes_awareness(&self) -> bool {
        self.mode != Mode::Persistent
    }

    /// `name`: the document, where each has a connection of its own.
    pub(crate) fn joined(&mut self, net: &mut Network, end: End, name: Option<String>) {
        self.opened_in.insert(end, self.past.len());
        self.links.insert(end, name.iter().cloned().collect());
        match (self.mode, name) {
            (Mode::Foreign(kind), Some(name)) => self.line_opened(net, kind, end, &name),
            (Mode::Foreign(Foreign::Hocuspocus(version)), None) => {
                self.socket_opened(net, version, end);
            }
            _ => {}
        }
    }

    pub(crate) fn packet(&mut self, net: &mut Network, end: End) {
        match net.take(end) {
            Some(Packet::Frame(frame)) if self.links.contains_key(&end) => {
                self.frame(net, end, &frame);
            }
            Some(Packet::Closed(_)) => self.left(net, end),
            Some(Packet::Garbage(_)) => unreachable!("services are sound"),
            Some(Packet::Frame(_)) | None => {}
        }
    }

    /// Closes a link, as it does on any exception of its own.
    pub(crate) fn kick(&mut self, net: &mut Network, end: End, code: u16) {
        if self.links.contains_key(&end) {
            net.note(|| format!("the server closes {end:?} with {code}"));
            net.close(end, Some(code));
            self.left(net, end);
        }
    }

    /// Whether it lets nobody into this document.
    pub(crate) fn denies(&self, now: Millis, name: &str) -> bool {
        self.denied.get(name).is_some_and(|until| now < *until)
    }

    /// Closes a document and lets nobody into it until then.
    pub(crate) fn deny(&mut self, net: &mut Network, name: String, until: Millis) {
        let joined = self.links.iter().filter(|(_, names)| names.contains(&name));
        for end in joined.map(|(end, _)| *end).collect::<Vec<_>>() {
            match self.mode.has_lines() {
                true => self.kick(net, end, GOING_AWAY),
                false => self.let_go(net, end, &name),
            }
        }
        self.denied.insert(name, until);
    }

    fn left(&mut self, net: &mut Network, end: End) {
        let Some(names) = self.links.remove(&end) else { return };
        if let Mode::Foreign(kind) = self.mode {
            self.sockets.remove(&end);
            names.iter().for_each(|name| self.leave_room(net, kind, end, name));
        }
    }

    fn frame(&mut self, net: &mut Network, end: End, frame: &Bytes) {
        if frame.len() > FRAME_BYTES_MAX {
            self.kick(net, end, TOO_BIG);
            return;
        }
        match self.mode {
            Mode::Foreign(Foreign::Hocuspocus(version)) => {
                return self.socket_frame(net, version, end, frame);
            }
            Mode::Foreign(kind) => return self.line_frame(net, kind, end, frame),
            Mode::Persistent | Mode::Broadcast | Mode::Relay(_) => {}
        }
        let (name, message) = link::decode(frame).expect("the relay frames what it sends");
        if let Some(joined) = self.links.get_mut(&end) {
            joined.insert(name.to_owned());
        }
        match self.mode {
            Mode::Broadcast => self.pass_on(net, end, name, frame),
            Mode::Persistent => self.keep(net, end, name, &message),
            Mode::Relay(_) | Mode::Foreign(_) => unreachable!("that is handled elsewhere"),
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
        let foreign = self.mode.foreign().is_some();
        let each = if foreign { FOREIGN_SNAPSHOT_FRAMES } else { SNAPSHOT_FRAMES };
        if self.frames.is_multiple_of(each) {
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
        let held = self.documents.iter().map(|(name, it)| (name.clone(), held_by(it))).collect();
        self.past.push(held);
        self.rooms.clear();
        self.sockets.clear();
        self.up = false;
        self.back = back;
    }

    pub(crate) fn start(&mut self) {
        if std::mem::replace(&mut self.up, true) {
            return;
        }
        let documents = match self.back {
            Return::Kept => return,
            Return::Older if self.mode.foreign().is_some() => {
                self.older.get(self.older.len() / 2).cloned().unwrap_or_default()
            }
            Return::Recent | Return::Older => self.older.last().cloned().unwrap_or_default(),
            Return::Empty => Documents::new(),
        };
        self.rolled_back = true;
        self.partly |= self.back != Return::Empty;
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
        let held = self.documents.get(name).map(held_by).unwrap_or_default();
        contains(&held, what)
    }

    /// Whether it held all that before the connection to this end was over for it.
    pub(crate) fn held_until(&self, end: End, name: &str, what: &Want) -> bool {
        let past = self.opened_in.get(&end).and_then(|life| self.past.get(*life));
        match past {
            Some(past) => past.get(name).map_or(what.is_empty(), |held| contains(held, what)),
            None => self.holds(name, what),
        }
    }
}

fn held_by(editor: &Editor) -> Want {
    let whole = Update::parse(editor.everything().into()).expect("an editor's update parses");
    Want::of(&whole)
}

fn contains(held: &Want, what: &Want) -> bool {
    held.structs.contains_all(&what.structs) && held.deletes.contains_all(&what.deletes)
}
