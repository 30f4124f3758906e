//! Laptops: unplugged, put to sleep, moved, given a wrong password.

use std::time::Duration;
use std::{fs, iter};

use serde_json::Value;
use tempfile::TempDir;
use yrelay_interop::{
    Client, Document, Gate, Keeping, Kind, Pair, Proxy, Relay, Server, Software, clocks_ready,
    converge, eventually, ready, within,
};

/// A sleep is noticed within 2 s; a little for a busy machine.
const AWAKE: Duration = Duration::from_secs(8);
/// What is not noticed at once is noticed after 35 s.
const FOUND: Duration = Duration::from_secs(40);
const HOUR: Duration = Duration::from_secs(3600);

fn on_laptops() -> Pair {
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let proxies = [(); 2].map(|()| Proxy::start(server.port()));
    let relays = proxies.each_ref().map(|proxy| Relay::on_laptop(&["-s", &proxy.url()]));
    Pair::join(server, proxies, relays)
}

#[test]
fn a_machine_that_slept_and_moved_is_back_at_once() {
    if !ready() || !clocks_ready() {
        return;
    }
    let pair = on_laptops();
    pair.documents[0].append("<before>");
    pair.converge(|text| text == "<before>");
    for round in 2..4 {
        pair.relays[0].freeze();
        pair.proxies[0].strand();
        pair.documents[1].append("<meanwhile>");
        eventually("saved", || pair.documents[1].saved());
        pair.relays[0].jump_clock(HOUR);
        pair.relays[0].thaw();
        pair.documents[0].append("<awake>");
        within(AWAKE, "a new connection", || pair.proxies[0].accepted() == round);
        let length = "<before>".len() + (round - 1) * "<meanwhile><awake>".len();
        pair.converge(|text| text.len() == length);
        pair.confirmed();
    }
    assert_eq!(pair.proxies[1].accepted(), 1, "the other machine was awake");
}

#[test]
fn a_machine_that_slept_says_since_when_it_is_online_again() {
    if !ready() || !clocks_ready() {
        return;
    }
    let pair = on_laptops();
    let [relay, _] = &pair.relays;
    relay.freeze();
    relay.jump_clock(HOUR);
    let woke = relay.unix_ms();
    relay.thaw();
    within(AWAKE, "a new connection", || pair.proxies[0].accepted() == 2);
    pair.online();
    let upstream = relay.status()["upstream"].take();
    let since = upstream["since"].as_u64();
    assert!(since >= Some(woke), "{upstream}, and it slept until {woke}");
}

const SEED: u64 = 9;
const EVENTS: usize = 10;
/// What each person types, a letter at a time.
const LETTERS: usize = 300;
const EVERY_MS: u64 = 100;
const PASSWORD: &str = "sesame";

#[derive(Clone, Copy, Debug)]
enum Event {
    /// The server cannot be reached.
    Unplug,
    /// It can.
    Plug,
    /// The machine sleeps, and wakes where it was.
    Sleep,
    /// The machine sleeps, and wakes elsewhere.
    SleepAndMove,
    /// The way to the server is lost without a word.
    Move,
    /// The password is spoilt, and wanted again.
    Spoil,
    /// The password is mended.
    Mend,
}

impl Event {
    /// What may happen, as often as it does: most of it only where it changes something.
    const ALL: [Event; 10] = [
        Event::Unplug,
        Event::Unplug,
        Event::Plug,
        Event::Plug,
        Event::Sleep,
        Event::SleepAndMove,
        Event::Move,
        Event::Spoil,
        Event::Spoil,
        Event::Mend,
    ];
}

/// Somebody with a laptop, and what the world has done to it.
struct Person {
    home: TempDir,
    proxy: Proxy,
    relay: Relay,
    client: Client,
    document: Document,
    plugged: bool,
    right: bool,
    /// The connection with which the way was lost.
    lost: Option<usize>,
    letter: &'static str,
}

impl Person {
    fn new(gate: &Gate, letter: &'static str) -> Person {
        let home = TempDir::new().expect("temporary directories can be made");
        let file = home.path().join("password");
        fs::write(&file, PASSWORD).expect("temporary directories are writable");
        let proxy = Proxy::start(gate.port());
        let url = proxy.url();
        let file = file.to_str().expect("a plain path");
        let relay = Relay::on_laptop(&["-s", &url, "-u", "anna", "--password-file", file]);
        let client = Client::start(Kind::YWebsocket3, &relay.url());
        let document = client.open("notes");
        let (plugged, right, lost) = (true, true, None);
        Person { home, proxy, relay, client, document, plugged, right, lost, letter }
    }

    /// Whether that would change anything.
    fn may_meet(&self, event: Event) -> bool {
        match event {
            Event::Unplug => self.plugged,
            Event::Plug => !self.plugged,
            Event::Spoil => self.right,
            Event::Mend => !self.right,
            Event::Sleep | Event::SleepAndMove | Event::Move => true,
        }
    }

    fn meet(&mut self, event: Event, other: &Document) {
        match event {
            Event::Unplug => {
                self.plugged = false;
                self.proxy.refuse(true);
                self.proxy.cut();
            }
            Event::Plug => {
                self.plugged = true;
                self.proxy.refuse(false);
            }
            Event::Sleep => self.sleep(other, || ()),
            Event::SleepAndMove => self.sleep(other, || self.proxy.strand()),
            Event::Move => {
                self.lost = Some(self.proxy.accepted());
                self.proxy.strand();
            }
            Event::Spoil => {
                self.write_password("wrong");
                self.right = false;
                self.proxy.cut();
            }
            Event::Mend => {
                self.write_password(PASSWORD);
                self.right = true;
            }
        }
        if matches!(event, Event::Sleep | Event::SleepAndMove) {
            self.lost = None;
        }
    }

    /// Until the other person has typed a little.
    fn sleep(&self, other: &Document, meanwhile: impl Fn()) {
        self.client.freeze();
        self.relay.freeze();
        meanwhile();
        types_on(other);
        self.relay.jump_clock(HOUR);
        self.relay.thaw();
        self.client.thaw();
    }

    fn write_password(&self, text: &str) {
        let file = self.home.path().join("password");
        fs::write(file, text).expect("temporary directories are writable");
    }

    fn upstream(&self) -> Value {
        self.relay.status()["upstream"].take()
    }

    fn before(&self) -> Before {
        Before { state: self.relay.upstream_state(), unix_ms: self.relay.unix_ms() }
    }

    /// Whether what its relay says is so.
    fn is_told_the_truth(&self, upstream: &Value) -> bool {
        let state = upstream["state"].as_str().expect("a state has a name");
        if self.lost == Some(self.proxy.accepted()) && state == "online" {
            // Nobody can know yet.
            return true;
        }
        match (self.plugged, self.right) {
            // A refused login is not tried again without a reason.
            (false, false) => ["offline", "unauthorized"].contains(&state),
            (false, true) => state == "offline",
            (true, false) => state == "unauthorized",
            (true, true) => state == "online",
        }
    }

    /// Status says how it is within a bounded time, and the details fit.
    fn status_tells_the_truth(&self, event: Event, before: &Before) {
        let mut upstream = self.upstream();
        let due = match upstream["next_try"].as_u64() {
            Some(due) if upstream["state"] == "offline" => due,
            _ => 0,
        };
        let patience = Duration::from_millis(due.saturating_sub(self.relay.unix_ms())) + AWAKE;
        within(patience, &format!("status tells the truth after {event:?}"), || {
            upstream = self.upstream();
            self.is_told_the_truth(&upstream)
        });
        let now = self.relay.unix_ms();
        let since = upstream["since"].as_u64().expect("since is a time");
        assert!(since <= now && since > now - 24 * 3_600_000, "{upstream} at {now}");
        if (before.state == "online") != (upstream["state"] == "online") {
            assert!(since + 1_000 >= before.unix_ms, "{upstream}, {event:?} after {before:?}");
        }
        if upstream["state"] == "online" {
            assert_eq!(
                [&upstream["reason"], &upstream["next_try"]],
                [&Value::Null; 2],
                "{upstream}"
            );
        } else {
            let reason = upstream["reason"].as_str().expect("a reason is given");
            assert_eq!(reason.lines().count(), 1, "{upstream}");
            let soon = now - 2_000..now + 301_000;
            let due = upstream["next_try"].as_u64();
            assert!(due.is_none_or(|due| soon.contains(&due)), "{upstream} at {now}");
        }
    }
}

/// What a relay said before something happened, and when that was.
#[derive(Debug)]
struct Before {
    state: String,
    unix_ms: u64,
}

/// Waits until its person has typed some more.
fn types_on(document: &Document) {
    let typed = document.text().len();
    eventually("a person types", || {
        let now = document.text().len();
        now >= typed + 5 || now >= LETTERS
    });
}

/// Pseudo-random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).expect("it is below a usize")
    }
}

/// A laptop can be unplugged, put to sleep, moved and given a wrong password in any order during
/// an editing session of two people on two services, and at the end both have everything, and
/// status always said the truth.
#[test]
fn two_people_write_whatever_happens_to_their_laptops() {
    if !ready() || !clocks_ready() {
        return;
    }
    eprintln!("seed {SEED}");
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let gate = Gate::start(&server.url(), "anna", PASSWORD);
    let mut people = ["l", "r"].map(|letter| Person::new(&gate, letter));
    for person in &people {
        person.document.type_slowly(&person.letter.repeat(LETTERS), EVERY_MS);
    }
    let mut random = Random(SEED);
    for number in 0..EVENTS {
        let who = random.below(2);
        let event = iter::repeat_with(|| Event::ALL[random.below(Event::ALL.len())])
            .find(|event| people[who].may_meet(*event))
            .expect("there is always one");
        eprintln!("{number}: {event:?} of {}", people[who].letter);
        let [left, right] = &mut people;
        let (person, other) = if who == 0 { (left, right) } else { (right, left) };
        let before = [person.before(), other.before()];
        person.meet(event, &other.document);
        person.status_tells_the_truth(event, &before[0]);
        other.status_tells_the_truth(event, &before[1]);
        types_on(&person.document);
    }
    for person in &people {
        within(FOUND, "all is typed", || {
            person.document.text().matches(person.letter).count() == LETTERS
        });
    }
    for person in &mut people {
        person.write_password(PASSWORD);
        person.proxy.refuse(false);
        within(FOUND, "online in the end", || {
            person.upstream()["state"] == "online" && person.lost != Some(person.proxy.accepted())
        });
    }
    let [left, right] = people.each_ref().map(|person| &person.document);
    let text = converge(&[left, right], |text| text.len() == 2 * LETTERS);
    assert_eq!(text.matches('l').count(), LETTERS);
    for person in &people {
        eventually("confirmed", || person.relay.document("notes")["confirmed"] == true);
    }
    let direct = Client::start(Kind::Elva33Framed, &server.url()).open("notes");
    converge(&[left, &direct], |all| all == text);
}
