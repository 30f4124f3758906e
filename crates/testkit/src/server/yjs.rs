//! Servers with a connection for each document: y-websocket's, pycrdt's and ELVA's as of 0.37.

use bytes::Bytes;
use yrelay_core::wire::{self, Message};

use super::present::{self, Present};
use super::{Foreign, Server};
use crate::editor::Editor;
use crate::network::{End, Event, Network};

/// What a server does at a time of its own.
#[derive(Debug)]
pub(crate) enum Timer {
    /// It has read a document from its store.
    Loaded(String),
    /// It has looked at a token.
    Entered(End, String),
    /// A document is closed that was left there.
    Closed(End, String),
    /// It looks whether a connection is alive.
    Look(End),
    /// It announces itself in a document, as a client of this id.
    Announce(String, u64),
}

/// What a server has in memory of a document besides its content.
#[derive(Default)]
pub(super) struct Room {
    pub(super) present: Present,
    /// What it shows while it reads its store.
    loading: Option<Editor>,
    /// The id under which it is present itself.
    pub(super) phantom: Option<u64>,
    /// Somebody has said something. Of ELVA, what that is decides what becomes of the room.
    spoken: bool,
}

/// pycrdt announces itself so often.
const ANNOUNCE_MS: u64 = 15_000;
/// How long it may take to read the store.
const LOAD_MS_MAX: u64 = 2_500;

impl Server {
    pub(super) fn line_opened(&mut self, net: &mut Network, kind: Foreign, end: End, name: &str) {
        let is_new = !self.rooms.contains_key(name);
        let room = self.rooms.entry(name.to_owned()).or_default();
        if is_new && kind == (Foreign::YWebsocket { slow: true }) {
            room.loading = Some(Editor::new(3));
            let wait = net.random.upto(LOAD_MS_MAX);
            net.after(wait, Event::Server(Timer::Loaded(name.to_owned())));
        }
        if is_new && kind == Foreign::Pycrdt {
            let id = present::PHANTOMS_FROM + net.random.upto(1 << 52);
            room.phantom = Some(id);
            let wait = net.random.upto(ANNOUNCE_MS);
            net.after(wait, Event::Server(Timer::Announce(name.to_owned(), id)));
        }
        if !matches!(kind, Foreign::Elva37 { .. }) {
            let step_1 = wire::sync_step1(&self.shown(name).state_vector());
            net.send(end, step_1);
        }
        if matches!(kind, Foreign::YWebsocket { .. }) {
            self.show_present(net, end, name, |message| message);
        }
        if let (Foreign::YSweet, Some(room)) = (kind, self.rooms.get(name)) {
            let everybody = room.present.message(&room.present.everybody_ever());
            net.send(end, everybody.unwrap_or(Bytes::from_static(wire::KEEP_ALIVE)));
        }
    }

    /// The room says that it is there itself, as long as it is the same.
    pub(crate) fn announce(&mut self, net: &mut Network, name: &str, id: u64) {
        if self.rooms.get(name).is_some_and(|room| room.phantom == Some(id)) {
            self.tell_all(net, name, None, &present::phantom(id, 1 + net.now));
            net.after(ANNOUNCE_MS, Event::Server(Timer::Announce(name.to_owned(), id)));
        }
    }

    /// What it shows to hold of a document.
    pub(super) fn shown(&mut self, name: &str) -> &Editor {
        let document = self.documents.entry(name.to_owned()).or_insert_with(|| Editor::new(2));
        let loading = self.rooms.get(name).and_then(|room| room.loading.as_ref());
        loading.unwrap_or(document)
    }

    pub(super) fn show_present(
        &self,
        net: &mut Network,
        end: End,
        name: &str,
        framed: impl Fn(Bytes) -> Bytes,
    ) {
        let Some(room) = self.rooms.get(name) else { return };
        if let Some(message) = room.present.message(&room.present.everybody(net.now)) {
            net.send(end, framed(message));
        }
    }

    pub(crate) fn loaded(&mut self, net: &mut Network, name: &str) {
        let shown = self.rooms.get_mut(name).and_then(|room| room.loading.take());
        if let (Some(shown), Some(document)) = (shown, self.documents.get(name)) {
            let late = document.difference(&shown.state_vector());
            if late != wire::EMPTY_UPDATE {
                self.tell_all(net, name, None, &wire::update(&late));
            }
        }
    }

    pub(super) fn line_frame(&mut self, net: &mut Network, kind: Foreign, end: End, frame: &Bytes) {
        let Some(name) = self.links.get(&end).and_then(|names| names.first().cloned()) else {
            return;
        };
        if kind == (Foreign::Elva37 { keeps: false }) {
            self.tell_all(net, &name, Some(end), frame);
            return;
        }
        let is_elva = matches!(kind, Foreign::Elva37 { .. });
        assert!(!is_elva || frame.len() > 1, "{name}: it ends a connection over one byte");
        let room = self.rooms.entry(name.clone()).or_default();
        let spoken = std::mem::replace(&mut room.spoken, true);
        let message = wire::messages(frame).next().expect("a message");
        match message.expect("the relay sends what parses") {
            Message::SyncStep1(vector) => {
                let shown = self.shown(&name);
                let difference = match kind {
                    Foreign::YWebsocket { .. } | Foreign::YSweet => shown.difference(&vector),
                    _ => shown.whole_difference(&vector),
                };
                let vector = shown.state_vector();
                net.send(end, wire::sync_step2(&difference));
                if kind == (Foreign::Elva37 { keeps: true }) {
                    net.send(end, wire::sync_step1(&vector));
                }
            }
            Message::SyncStep2(update) | Message::Update { update, .. } => {
                self.line_update(net, kind, end, &name, &update);
            }
            Message::Awareness(body) => self.line_awareness(net, kind, end, &name, &body),
            Message::QueryAwareness if spoken => {}
            other => panic!("{name}: {other:?} went up"),
        }
    }

    fn line_update(
        &mut self,
        net: &mut Network,
        kind: Foreign,
        end: End,
        name: &str,
        update: &Bytes,
    ) {
        if update == wire::EMPTY_UPDATE {
            return;
        }
        let news = self.take_update(name, update);
        if kind == (Foreign::Elva37 { keeps: true }) {
            self.tell_all(net, name, Some(end), &wire::update(update));
        } else if let Some(news) = news {
            self.tell_all(net, name, None, &wire::update(&news));
        }
    }

    /// Takes it in. Returns what of it was new to what it shows.
    pub(super) fn take_update(&mut self, name: &str, update: &[u8]) -> Option<Bytes> {
        let news = self.shown(name).apply(update);
        if self.rooms.get(name).is_some_and(|room| room.loading.is_some()) {
            self.documents.get(name).expect("it is shown").apply(update);
        }
        self.remember();
        news
    }

    fn line_awareness(
        &mut self,
        net: &mut Network,
        kind: Foreign,
        end: End,
        name: &str,
        body: &Bytes,
    ) {
        let message = wire::awareness(body);
        match kind {
            Foreign::YWebsocket { .. } | Foreign::YSweet => {
                let room = self.rooms.entry(name.to_owned()).or_default();
                let changed = match kind {
                    Foreign::YSweet => room.present.take(net.now, end, body),
                    _ => room.present.apply(net.now, end, body, true),
                };
                if let Some(message) = room.present.message(&changed) {
                    self.tell_all(net, name, None, &message);
                }
            }
            Foreign::Pycrdt => {
                let except = Some(end).filter(|_| present::is_one_departure(body));
                self.tell_all(net, name, except, &message);
            }
            _ => self.tell_all(net, name, Some(end), &message),
        }
    }

    pub(super) fn tell_all(
        &self,
        net: &mut Network,
        name: &str,
        except: Option<End>,
        message: &Bytes,
    ) {
        for (end, joined) in &self.links {
            if Some(*end) != except && joined.contains(name) {
                net.send(*end, message.clone());
            }
        }
    }

    /// A connection has left a document.
    pub(super) fn leave_room(&mut self, net: &mut Network, kind: Foreign, end: End, name: &str) {
        let is_last = !self.links.values().any(|joined| joined.contains(name));
        let Some(room) = self.rooms.get_mut(name) else { return };
        let gone = match kind {
            Foreign::YSweet => room.present.leave_alone(end),
            _ => room.present.leave(end),
        };
        let farewell = room.present.message(&gone);
        match (kind, farewell) {
            (Foreign::YWebsocket { .. } | Foreign::YSweet, Some(message)) => {
                self.tell_all(net, name, None, &message);
            }
            (Foreign::Hocuspocus(_), Some(message)) => {
                self.tell_all(net, name, None, &super::hocuspocus::framed(name, &message));
            }
            _ => {}
        }
        let leaves = !matches!(kind, Foreign::YWebsocket { slow: false } | Foreign::YSweet);
        if is_last && leaves {
            self.rooms.remove(name);
        }
    }
}
