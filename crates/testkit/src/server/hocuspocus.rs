//! Hocuspocus' server, versions 2 to 4: who is let in to which document over one connection.

use std::collections::BTreeMap;

use bytes::Bytes;
use yrelay_core::Millis;
use yrelay_core::decode::put_var_bytes;
use yrelay_core::hocuspocus::{self, Message};
use yrelay_core::wire::{self, Message as Yjs};

use super::yjs::Timer;
use super::{Foreign, Server};
use crate::network::{End, Event, Network};

/// One connection.
pub(super) struct Socket {
    entries: BTreeMap<String, Entry>,
    heard_at: Millis,
}

/// How far one document has come on a connection.
enum Entry {
    /// It waits for the token, or for what becomes of it.
    Waiting {
        asked: bool,
        frames: Vec<Bytes>,
    },
    Open,
    /// It is being closed: whatever comes until then is lost.
    Closing,
    /// Whatever comes is swallowed.
    Denied,
}

/// How long it may take to look at a token.
const AUTH_MS_MAX: Millis = 300;
/// How long it may take to close a document.
const CLOSING_MS_MAX: Millis = 30;
/// Of version 4, a connection on which more wait is closed. (There it is 100.)
const WAITING_MAX: usize = 2;
const TOO_MANY: u16 = 4205;
/// Version 4 looks so often whether anything was said.
const LOOK_MS: Millis = 60_000;
const SILENT: u16 = 4408;
const LAST_LEFT: u16 = 1000;

pub(super) fn framed(name: &str, message: &[u8]) -> Bytes {
    [&hocuspocus::prefix(name)[..], message].concat().into()
}

impl Server {
    pub(super) fn socket_opened(&mut self, net: &mut Network, version: u8, end: End) {
        self.sockets.insert(end, Socket { entries: BTreeMap::new(), heard_at: net.now });
        if version == 4 {
            net.after(LOOK_MS, Event::Server(Timer::Look(end)));
        }
    }

    pub(crate) fn look(&mut self, net: &mut Network, end: End) {
        let Some(socket) = self.sockets.get(&end) else { return };
        if net.now >= socket.heard_at + LOOK_MS {
            self.kick(net, end, SILENT);
        } else {
            net.after(LOOK_MS, Event::Server(Timer::Look(end)));
        }
    }

    pub(super) fn socket_frame(&mut self, net: &mut Network, version: u8, end: End, frame: &Bytes) {
        let parts = hocuspocus::split(frame).expect("the relay frames what it sends");
        let decoded = hocuspocus::decode(&parts.message).expect("the relay sends what parses");
        let Some(socket) = self.sockets.get_mut(&end) else { return };
        socket.heard_at = net.now;
        let name = parts.name.to_owned();
        match (socket.entries.get_mut(&name), decoded) {
            (Some(Entry::Denied | Entry::Closing), _) => {}
            (Some(Entry::Open), message) => {
                self.open_message(net, version, end, &name, message);
            }
            (None, Message::Closed { .. }) => {}
            (Some(Entry::Waiting { .. }), Message::Closed { .. }) => {
                socket.entries.remove(&name);
            }
            (entry, message) => {
                let is_token = matches!(message, Message::Token(_));
                let asks = match entry {
                    Some(Entry::Waiting { asked, frames }) => {
                        if !is_token {
                            frames.push(parts.message);
                        }
                        is_token && !std::mem::replace(asked, *asked || is_token)
                    }
                    _ => {
                        let frames = if is_token { Vec::new() } else { vec![parts.message] };
                        let waiting = Entry::Waiting { asked: is_token, frames };
                        socket.entries.insert(name.clone(), waiting);
                        is_token
                    }
                };
                if asks {
                    let wait = net.random.upto(AUTH_MS_MAX);
                    net.after(wait, Event::Server(Timer::Entered(end, name)));
                }
                self.bound_waiting(net, version, end);
            }
        }
    }

    fn bound_waiting(&mut self, net: &mut Network, version: u8, end: End) {
        let Some(socket) = self.sockets.get(&end) else { return };
        let waits = |entry: &&Entry| matches!(entry, Entry::Waiting { .. });
        if version == 4 && socket.entries.values().filter(waits).count() > WAITING_MAX {
            self.kick(net, end, TOO_MANY);
        }
    }

    /// It has looked at a token.
    pub(crate) fn entered(&mut self, net: &mut Network, end: End, name: &str) {
        let Some(Foreign::Hocuspocus(version)) = self.mode.foreign() else { return };
        let denies = self.denies(net.now, name);
        let Some(socket) = self.sockets.get_mut(&end) else { return };
        if !matches!(socket.entries.get(name), Some(Entry::Waiting { asked: true, .. })) {
            return;
        }
        let entry = socket.entries.remove(name);
        if denies {
            if version < 4 {
                socket.entries.insert(name.to_owned(), Entry::Denied);
            }
            net.send(end, framed(name, &hocuspocus::denied("permission-denied")));
            return;
        }
        socket.entries.insert(name.to_owned(), Entry::Open);
        if let Some(names) = self.links.get_mut(&end) {
            names.insert(name.to_owned());
        }
        net.send(end, framed(name, &hocuspocus::granted(false)));
        let is_new = !self.rooms.contains_key(name);
        self.rooms.entry(name.to_owned()).or_default();
        self.show_present(net, end, name, |message| framed(name, &message));
        if is_new && version == 4 {
            let whole = self.shown(name).everything();
            if whole != wire::EMPTY_UPDATE {
                net.send(end, framed(name, &wire::update(&whole)));
            }
        }
        if let Some(Entry::Waiting { frames, .. }) = entry {
            for message in frames {
                let message = hocuspocus::decode(&message).expect("it was decoded before");
                self.open_message(net, version, end, name, message);
            }
        }
    }

    fn open_message(
        &mut self,
        net: &mut Network,
        version: u8,
        end: End,
        name: &str,
        message: Message,
    ) {
        match message {
            Message::Yjs(message) => self.yjs_message(net, version, end, name, &message),
            Message::Closed { .. } => {
                if let Some(socket) = self.sockets.get_mut(&end) {
                    socket.entries.insert(name.to_owned(), Entry::Closing);
                }
                let wait = net.random.upto(CLOSING_MS_MAX);
                net.after(wait, Event::Server(Timer::Closed(end, name.to_owned())));
            }
            Message::Token(_) => {}
            other => panic!("{name}: {other:?} went up"),
        }
    }

    /// It has closed what a client has left.
    pub(crate) fn closed(&mut self, net: &mut Network, end: End, name: &str) {
        let Some(Foreign::Hocuspocus(version)) = self.mode.foreign() else { return };
        let Some(socket) = self.sockets.get(&end) else { return };
        if !matches!(socket.entries.get(name), Some(Entry::Closing)) {
            return;
        }
        self.leave_document(net, end, name);
        let socket = self.sockets.get(&end);
        if version > 2 {
            net.send(end, framed(name, &closed("provider_initiated")));
        } else if socket.is_some_and(|socket| socket.entries.is_empty()) {
            self.kick(net, end, LAST_LEFT);
        }
    }

    fn leave_document(&mut self, net: &mut Network, end: End, name: &str) {
        let Some(kind) = self.mode.foreign() else { return };
        if let Some(socket) = self.sockets.get_mut(&end) {
            socket.entries.remove(name);
        }
        if let Some(names) = self.links.get_mut(&end) {
            names.remove(name);
        }
        self.leave_room(net, kind, end, name);
    }

    /// Closes one document on a connection. (Version 2 says nothing of that, so that nobody knows:
    /// its applications are not to do so.)
    pub(crate) fn let_go(&mut self, net: &mut Network, end: End, name: &str) {
        if self.mode.foreign() == Some(Foreign::Hocuspocus(2)) {
            return;
        }
        let socket = self.sockets.get(&end);
        let entry = socket.and_then(|socket| socket.entries.get(name));
        if let Some(Entry::Open) = entry {
            net.send(end, framed(name, &closed("closed by the server")));
            self.leave_document(net, end, name);
        }
    }

    fn yjs_message(
        &mut self,
        net: &mut Network,
        version: u8,
        end: End,
        name: &str,
        message: &Bytes,
    ) {
        let message = wire::messages(message).next().expect("a message");
        match message.expect("the relay sends what parses") {
            Yjs::SyncStep1(vector) => {
                let shown = self.shown(name);
                let answer = wire::sync_step2(&shown.difference(&vector));
                let question = wire::sync_step1(&shown.state_vector());
                net.send(end, framed(name, &question));
                net.send(end, framed(name, &answer));
            }
            Yjs::SyncStep2(update) | Yjs::Update { update, .. } => {
                let news = self.take_update(name, &update);
                let status = framed(name, &hocuspocus::sync_status(true));
                if version == 4 {
                    net.send(end, status.clone());
                }
                if let Some(news) = news {
                    self.tell_all(net, name, None, &framed(name, &wire::update(&news)));
                }
                if version < 4 {
                    net.send(end, status);
                }
            }
            Yjs::Awareness(body) => {
                let room = self.rooms.entry(name.to_owned()).or_default();
                let changed = room.present.apply(net.now, end, &body, version < 4);
                if let Some(message) = room.present.message(&changed) {
                    self.tell_all(net, name, None, &framed(name, &message));
                }
            }
            Yjs::QueryAwareness => {}
            other => panic!("{name}: {other:?} went up"),
        }
    }
}

/// "This document is closed", as servers say it.
fn closed(reason: &str) -> Bytes {
    let mut out = hocuspocus::leave().to_vec();
    put_var_bytes(&mut out, reason.as_bytes());
    out.into()
}
