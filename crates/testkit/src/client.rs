//! An editor: a Yjs document behind a provider, as y-websocket's or as ELVA's.

use std::collections::BTreeMap;

use bytes::Bytes;
use yrelay_core::Millis;
use yrelay_core::id::DocumentId;
use yrelay_core::id_set::IdSet;
use yrelay_core::replica::Want;
use yrelay_core::update::Update;
use yrelay_core::wire::{self, Message};

use crate::editor::{Edit, Editor};
use crate::garbage::Garbage;
use crate::network::{End, Event, Network, Packet};
use crate::presence::Presence;

/// What a client does at a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Try to connect.
    Connect,
    /// Look after the awareness table and the connection.
    Check,
}

/// How its provider behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// y-websocket: has awareness, and sends on whatever awareness it hears.
    Js,
    /// ELVA 0.33: no awareness; sends all it has on connecting, and back what it hears.
    Python,
}

/// Whether it wants to be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Here,
    Away,
    /// It never comes back.
    Gone,
}

pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) service: usize,
    pub(crate) document: DocumentId,
    pub(crate) style: Style,
    pub(crate) mood: Mood,
    pub(crate) editor: Editor,
    pub(crate) presence: Presence,
    pub(crate) end: Option<End>,
    /// Its last connection, and whether something it wrote was still on its way over that when
    /// the present one began: the service passes that on to it as somebody else's, unsaved.
    former: Option<End>,
    overlaps: bool,
    /// What each service has acknowledged: echoed as saved.
    pub(crate) acknowledged: BTreeMap<usize, Want>,
    /// Attempts since the last connection.
    tries: u32,
    heard_at: Millis,
    /// Since when nobody can hear of it: it is gone or away, or its service is down or asleep.
    pub(crate) absent_since: Option<Millis>,
    /// Own structs sent as they were written, on this connection, and what of them came back.
    sent: IdSet,
    returned: IdSet,
    /// The messages with them, while no echo of them has come.
    unanswered: Vec<Bytes>,
    /// Its step 2 has come.
    synced: bool,
    /// It has said on this connection what no sound client says.
    lied: bool,
}

/// y-websocket up to 3 gives up on a connection that brings nothing for this time.
const SILENCE_MS: Millis = 30_000;
pub(crate) const CHECK_MS: Millis = 3_000;
const RETRY_MS: Millis = 100;
const RETRY_MS_MAX: Millis = 2_500;

impl Client {
    pub(crate) fn new(
        number: usize,
        id: u64,
        service: usize,
        document: DocumentId,
        style: Style,
        now: Millis,
    ) -> Self {
        Self {
            number,
            service,
            document,
            style,
            mood: Mood::Here,
            editor: Editor::new(id),
            presence: Presence::new(now, id),
            end: None,
            former: None,
            overlaps: false,
            acknowledged: BTreeMap::new(),
            tries: 0,
            heard_at: 0,
            absent_since: None,
            sent: IdSet::new(),
            returned: IdSet::new(),
            unanswered: Vec::new(),
            synced: false,
            lied: false,
        }
    }

    pub(crate) fn start(&mut self, net: &mut Network) {
        net.after(0, Event::Client(self.number, Timer::Connect));
        if self.style == Style::Js {
            let phase = net.random.upto(CHECK_MS);
            net.after(phase, Event::Client(self.number, Timer::Check));
        }
    }

    /// Nobody answered.
    pub(crate) fn retry(&mut self, net: &mut Network) {
        let wait = (RETRY_MS << self.tries.min(10)).min(RETRY_MS_MAX);
        self.tries += 1;
        net.after(wait, Event::Client(self.number, Timer::Connect));
    }

    pub(crate) fn wants_connection(&self) -> bool {
        self.mood == Mood::Here && self.end.is_none()
    }

    pub(crate) fn opened(&mut self, net: &mut Network, end: End) {
        self.overlaps = self.former.replace(end).is_some_and(|former| net.is_busy(former.other()));
        self.end = Some(end);
        self.tries = 0;
        self.heard_at = net.now;
        self.sent = IdSet::new();
        self.returned = IdSet::new();
        self.unanswered.clear();
        self.synced = false;
        self.lied = false;
        net.send(end, wire::sync_step1(&self.editor.state_vector()));
        match self.style {
            Style::Js => {
                self.presence.enter(net.now);
                self.tell(net, self.presence.own());
            }
            Style::Python => net.send(end, wire::sync_step2(&self.editor.everything())),
        }
    }

    fn tell(&self, net: &mut Network, messages: impl IntoIterator<Item = Bytes>) {
        if let Some(end) = self.end {
            for message in messages {
                net.send(end, message);
            }
        }
    }

    pub(crate) fn packet(&mut self, net: &mut Network, packet: Packet) {
        match packet {
            Packet::Closed(code) => {
                net.note(|| format!("client {} lost its connection: {code:?}", self.number));
                assert!(
                    self.lied || code.is_none_or(|code| matches!(code, 1000 | 1001 | 1013)),
                    "client {} was refused with {code:?}",
                    self.number
                );
                self.disconnected(net);
            }
            Packet::Garbage(_) => unreachable!("services are sound"),
            Packet::Frame(frame) => {
                self.heard_at = net.now;
                let mut messages = wire::messages(&frame);
                let first = messages.next().expect("a frame holds a message");
                assert!(messages.next().is_none(), "providers read one message of a frame");
                self.message(net, first.expect("the relay sends what parses"));
            }
        }
    }

    pub(crate) fn lie(&mut self, net: &mut Network, garbage: Garbage) {
        if let Some(end) = self.end {
            self.lied = true;
            net.litter(end, garbage.message());
        }
    }

    fn disconnected(&mut self, net: &mut Network) {
        self.end = None;
        self.presence.alone();
        if self.mood == Mood::Here {
            self.retry(net);
        }
    }

    fn message(&mut self, net: &mut Network, message: Message) {
        match message {
            Message::SyncStep1(vector) => {
                let answer = wire::sync_step2(&self.editor.difference(&vector));
                self.tell(net, [answer]);
            }
            Message::SyncStep2(update) => {
                self.synced = true;
                self.take(net, update, None);
            }
            Message::Update { update, message } => self.take(net, update, Some(&message)),
            Message::Awareness(body) if self.style == Style::Js => {
                let forwarded = self.presence.apply(net.now, &body).expect("sound awareness");
                self.tell(net, forwarded);
            }
            Message::Awareness(_) | Message::QueryAwareness => {}
            other => panic!("client {} was sent {other:?}", self.number),
        }
    }

    fn take(&mut self, net: &mut Network, bytes: Bytes, message: Option<&Bytes>) {
        let update = Update::parse(bytes).expect("the relay sends what parses");
        let held = Want::of(&update);
        let acknowledged = self.acknowledged.entry(self.service).or_default();
        for range in held.structs.ranges(self.editor.id()) {
            let again = self.returned.overlaps(self.editor.id(), range.clone()).next();
            assert!(again.is_none(), "client {} got {again:?} of its own twice", self.number);
            self.returned.insert(self.editor.id(), range.clone());
            if !self.overlaps || self.sent.contains_range(self.editor.id(), &range) {
                acknowledged.structs.insert(self.editor.id(), range);
            }
        }
        if let Some(at) = self.unanswered.iter().position(|sent| Some(sent) == message) {
            self.unanswered.remove(at);
            acknowledged.merge(&held);
        }
        let news = self.editor.apply(update.bytes());
        if self.style == Style::Python
            && let Some(news) = news
        {
            self.publish(net, &news);
        }
    }

    pub(crate) fn edit(&mut self, net: &mut Network, edit: &Edit) {
        if let Some(update) = self.editor.edit(edit) {
            self.publish(net, &update);
        }
    }

    fn publish(&mut self, net: &mut Network, update: &Bytes) {
        if self.end.is_none() {
            return;
        }
        let own = self.editor.id();
        let parsed = Update::parse(update.clone()).expect("an editor writes what parses");
        for range in parsed.structs().ranges(own) {
            self.sent.insert(own, range);
        }
        let message = wire::update(update);
        self.unanswered.push(message.clone());
        self.tell(net, [message]);
    }

    /// `woke_at`: when its machine last woke.
    pub(crate) fn check(&mut self, net: &mut Network, woke_at: Millis) {
        if self.mood == Mood::Gone {
            return;
        }
        net.after(CHECK_MS, Event::Client(self.number, Timer::Check));
        let messages = self.presence.check(net.now);
        self.tell(net, messages);
        if let Some(end) = self.end
            && net.now > self.heard_at + SILENCE_MS
        {
            net.note(|| format!("client {} hears nothing", self.number));
            let slept = woke_at > self.heard_at;
            assert!(
                slept || net.is_troubled(end),
                "client {} was sent nothing for 30 s",
                self.number
            );
            net.close(end, Some(1000));
            self.disconnected(net);
        }
    }

    /// Closes the document in good order.
    pub(crate) fn leave(&mut self, net: &mut Network) {
        if self.mood != Mood::Here {
            return;
        }
        self.mood = Mood::Away;
        if let Some(end) = self.end.take() {
            if self.style == Style::Js {
                let farewell = self.presence.leave();
                if let Some(farewell) = farewell {
                    net.send(end, farewell);
                }
            }
            net.close(end, Some(1000));
        }
        self.presence.alone();
    }

    pub(crate) fn come_back(&mut self, net: &mut Network) {
        if self.mood == Mood::Away {
            self.mood = Mood::Here;
            net.after(0, Event::Client(self.number, Timer::Connect));
        }
    }

    /// It closes the document in good order and opens it on another machine.
    pub(crate) fn move_to(&mut self, net: &mut Network, service: usize) {
        let was_here = self.mood == Mood::Here;
        self.leave(net);
        self.service = service;
        if was_here {
            self.come_back(net);
        }
    }

    /// Its machine is thrown into the sea.
    pub(crate) fn vanish(&mut self, net: &mut Network) {
        self.mood = Mood::Gone;
        if let Some(end) = self.end.take() {
            net.cut(end.connection, crate::network::DEAD_MS);
            net.abandon(end);
        }
    }

    /// That it is up to date and all it wrote on this connection was acknowledged.
    pub(crate) fn assert_settled(&self) {
        let number = self.number;
        assert!(self.end.is_some(), "client {number} is not connected");
        assert!(self.synced, "client {number} was sent no step 2");
        let own = self.editor.id();
        for range in self.sent.ranges(own) {
            assert!(
                self.returned.contains_range(own, &range),
                "client {number} waits for the echo of {range:?}"
            );
        }
    }
}
