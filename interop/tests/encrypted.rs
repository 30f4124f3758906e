//! Documents that ELVA 0.37 encrypts: kept unread, there for who comes later.

use serde_json::json;
use yrelay_interop::{
    Client, Document, Kind, Relay, Site, Software, converge, eventually, eventually_eq, ready,
    yrelay,
};

const SECRET: &str = "open sesame";

/// A program that has the document open, and the document.
fn open(relay: &Relay) -> (Client, Document) {
    open_at(&relay.url())
}

fn open_at(url: &str) -> (Client, Document) {
    let client = Client::start(Kind::Elva37, url);
    let document = client.open_secret("vault", SECRET);
    (client, document)
}

/// Messages that a relay has received so far.
fn received(relay: &Relay) -> u64 {
    let page = relay.page("/-/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix("yrelay_received_messages_total "));
    line.expect("it is counted").parse().expect("counts are numbers")
}

fn saved(relay: &Relay) {
    eventually_eq("it is saved", || relay.document("vault")["saved"].clone(), &json!(true));
}

fn bytes(relay: &Relay) -> u64 {
    relay.document("vault")["bytes"].as_u64().expect("a size is a number")
}

#[test]
fn who_comes_later_and_alone_sees_the_text_though_the_relay_was_killed() {
    if !ready() {
        return;
    }
    let mut relay = Relay::start(&[]);
    {
        let (_client, author) = open(&relay);
        let (_other, witness) = open(&relay);
        author.append("hidden");
        author.append(" treasure");
        author.delete(0, 1);
        converge(&[&author, &witness], |text| text == "idden treasure");
        saved(&relay);
    }
    relay.kill();
    relay.restart();
    let (_one, reader) = open(&relay);
    converge(&[&reader], |text| text == "idden treasure");
    assert!(yrelay(&relay.data(), &["documents"]).contains("vault  (encrypted)"));

    // Who was there before is back, with something of its own, and both agree.
    let (_two, author) = open(&relay);
    author.append("!");
    reader.append("?");
    let text = converge(&[&reader, &author], |text| text.len() == "idden treasure!?".len());
    relay.kill();
    relay.restart();
    let (_three, late) = open(&relay);
    converge(&[&reader, &author, &late], |seen| seen == text);
}

/// Each comes alone, after the others: it sees the text, and what it says of that itself is not
/// kept but for one frame. So the log grows with each who comes by what is there, and not by all
/// that was ever said. And nobody answers what somebody asked who was there before.
#[test]
fn the_log_does_not_grow_by_being_read() {
    if !ready() {
        return;
    }
    const LENGTH: usize = 100;
    let relay = Relay::start(&[]);
    let (_here, witness) = open(&relay);
    {
        let (_client, author) = open(&relay);
        (0..LENGTH).for_each(|_| author.append("x"));
        converge(&[&author, &witness], |text| text.len() == LENGTH);
    }
    let clients = || relay.document("vault")["clients"].clone();
    eventually_eq("the author has left", clients, &json!(1));
    saved(&relay);
    let mut sizes = Vec::new();
    for _ in 0..4 {
        let before = received(&relay);
        let (client, reader) = open(&relay);
        converge(&[&reader, &witness], |text| text.len() == LENGTH);
        eventually("it was asked and has answered", || received(&relay) > before + 3);
        eventually("and that is all", || relay.document("vault")["saved"] == true);
        sizes.push(bytes(&relay));
        // Its opening, what it repeats, its answers; the answer of the one who is there; and both
        // say now and then that they are.
        let spoken = received(&relay) - before;
        assert!(spoken <= LENGTH as u64 + 3 + 2 + 1 + 2, "{spoken}");
        drop((client, reader));
        eventually_eq("it has left", clients, &json!(1));
    }
    let each = (sizes[3] - sizes[0]) / 3;
    assert!(each < 5_000, "{sizes:?}");
}

/// Two relays below a third: one writes while the server is away, and is gone when it is back.
#[test]
fn what_was_written_offline_goes_over_links_once_they_are_back() {
    if !ready() {
        return;
    }
    let mut server = Relay::serve(&[]);
    let relays = [(); 2].map(|()| Relay::below(&server.url()));
    for relay in &relays {
        eventually_eq("online", || relay.upstream_state(), &"online".to_owned());
    }
    let (_left, left) = open(&relays[0]);
    left.append("hidden");
    let confirmed = |relay: &Relay| relay.document("vault")["confirmed"].clone();
    eventually_eq("it is above", || confirmed(&relays[0]), &json!(true));
    server.kill();
    for relay in &relays {
        eventually("the loss is noticed", || relay.upstream_state() != "online");
    }
    {
        let (_guest, guest) = open(&relays[0]);
        converge(&[&left, &guest], |text| text == "hidden");
        guest.append("<guest>");
        converge(&[&left, &guest], |text| text == "hidden<guest>");
    }
    let (_right, right) = open(&relays[1]);
    right.append("<right>");
    server.restart();
    let text = converge(&[&left, &right], |text| text.len() == "hidden<guest><right>".len());
    for relay in &relays {
        eventually_eq("it is above", || confirmed(relay), &json!(true));
    }
    // Nobody was sent away, and who comes to the server itself sees it all.
    let (_late, late) = open(&server);
    converge(&[&left, &right, &late], |seen| seen == text);
    for relay in &relays {
        let page = relay.page("/-/metrics");
        assert!(!page.contains("rejected_total{reason=\"resync\"} 1"), "{page}");
    }
}

/// A relay below a server of ELVA 0.37, and a program at each of them. The server keeps nothing that
/// it cannot read, and of each document it loses the first frame of which that shows.
struct Meeting {
    site: Site,
    here: Client,
    near: Document,
    there: Client,
    far: Document,
}

impl Meeting {
    fn new() -> Meeting {
        let site = Site::build(Software::Elva37, &[]);
        let (here, near) = open(&site.relay);
        let (there, far) = open_at(&site.server.url());
        Meeting { site, here, near, there, far }
    }

    fn converge(&self, complete: impl Fn(&str) -> bool) -> String {
        converge(&[&self.near, &self.far], complete)
    }

    fn see_each_other(&self) {
        eventually("both see each other", || {
            self.near.announce("near");
            self.far.announce("far");
            self.near.peers() == ["far"] && self.far.peers() == ["near"]
        });
    }

    /// Both write something that the other one cannot hear yet.
    fn write(&self) {
        self.near.append("<near>");
        self.far.append("<far>");
    }

    fn server_goes(&self) {
        self.site.server.kill();
        let is_online = || self.site.relay.upstream_state() == "online";
        eventually("the loss is noticed", || !is_online() && !self.far.connected());
    }

    fn relay_is_online(&self) {
        eventually_eq("online", || self.site.relay.upstream_state(), &"online".to_owned());
    }
}

fn pieces(count: usize) -> impl Fn(&str) -> bool {
    move |text| ["<near>", "<far>"].iter().all(|piece| text.matches(piece).count() == count)
}

#[test]
fn one_at_a_relay_and_one_at_a_server_of_elva_37_meet_and_go_on() {
    if !ready() {
        return;
    }
    let mut meeting = Meeting::new();
    meeting.near.append("near ");
    meeting.converge(|text| text == "near ");
    meeting.far.append("far");
    meeting.converge(|text| text == "near far");
    meeting.near.delete(0, 5);
    meeting.converge(|text| text == "far");
    meeting.far.delete(0, 3);
    meeting.converge(str::is_empty);
    meeting.see_each_other();

    // The server comes back, and then the relay before the other program.
    meeting.server_goes();
    meeting.write();
    meeting.there.freeze();
    meeting.site.server.restart();
    meeting.relay_is_online();
    meeting.there.thaw();
    meeting.converge(pieces(1));
    meeting.see_each_other();
    // Or after it.
    meeting.server_goes();
    meeting.write();
    meeting.site.relay.freeze();
    meeting.site.server.restart();
    eventually("it is there", || meeting.far.connected());
    meeting.site.relay.thaw();
    meeting.converge(pieces(2));
    meeting.see_each_other();

    meeting.site.relay.kill();
    // This program does not come back if it loses a connection on which it speaks.
    eventually("the loss is noticed", || !meeting.near.connected());
    meeting.write();
    meeting.site.relay.restart();
    meeting.converge(pieces(3));
    meeting.see_each_other();
}

/// Only the relay has what was written: it is told to who comes to it, and from there to others.
#[test]
fn who_comes_when_all_have_left_gets_it_from_the_relay_and_not_from_a_server_of_elva_37() {
    if !ready() {
        return;
    }
    let Meeting { mut site, here, near, there, far } = Meeting::new();
    near.append("near ");
    converge(&[&near, &far], |text| text == "near ");
    far.append("far");
    let text = converge(&[&near, &far], |text| text == "near far");
    saved(&site.relay);
    here.kill();
    there.kill();
    // The relay comes back twice with nobody who says anything: the server is not to take that
    // for a document that it can read.
    for _ in 0..2 {
        site.server.kill();
        eventually("the loss is noticed", || site.relay.upstream_state() != "online");
        site.server.restart();
        eventually_eq("online", || site.relay.upstream_state(), &"online".to_owned());
        // Killed before that, it would take the document for one that it can read, for ever.
        let is_kept = || site.server.data().join("vault.y").exists();
        eventually("the server has seen that it cannot read it", || !is_kept());
    }
    site.relay.kill();
    site.relay.restart();
    let (_late, late) = open(&site.relay);
    converge(&[&late], |seen| seen == text);
    // Who asks there before is answered by nobody.
    eventually_eq("online", || site.relay.upstream_state(), &"online".to_owned());
    let (_fresh, fresh) = open_at(&site.server.url());
    converge(&[&late, &fresh], |seen| seen == text);
    fresh.append("!");
    converge(&[&late, &fresh], |seen| seen.ends_with('!'));
    assert!(!site.server.data().join("vault.y").exists(), "the server keeps nothing");
}
