//! Encrypted documents between two yrelays, and with links below.

use std::collections::BTreeSet;

use bytes::Bytes;
use yrelay_core::backoff::Random;
use yrelay_core::fellow::{self, Message};
use yrelay_core::id::PeerId;

use crate::script::{A, B, C, Script};

/// What a peer of our own kind was sent, in words.
fn said(frame: &Bytes) -> String {
    match fellow::decode(frame).unwrap() {
        Some(Message::Opaque(frame)) => String::from_utf8_lossy(&frame).into_owned(),
        Some(Message::Aside(frame)) => format!("aside {}", String::from_utf8_lossy(&frame)),
        Some(Message::Archive { count, covers, .. }) => {
            format!("keeps {count}{}", if covers { ", all of yours" } else { "" })
        }
        Some(Message::Ask { .. }) => "ask".to_owned(),
        Some(Message::Saved { kept, .. }) => format!("saved {kept:?}"),
        other => panic!("{other:?}"),
    }
}

/// Two relays, the second below the first, on a link that may be cut.
struct Chain {
    above: Script,
    below: Script,
    link: u64,
    /// What went over the link since the last look.
    log: Vec<String>,
}

impl Chain {
    fn new(above: Script, below: Script) -> Self {
        let mut chain = Self { above, below, link: 500, log: Vec::new() };
        chain.connect();
        chain
    }

    fn connect(&mut self) {
        self.link += 1;
        self.below.fellow_up();
        self.above.fellow_joins(PeerId(self.link));
        self.run();
    }

    fn cut(&mut self) {
        self.below.link_down();
        self.above.detach(PeerId(self.link));
    }

    /// All that is under way arrives, and is saved.
    fn run(&mut self) {
        loop {
            self.above.save();
            self.below.save();
            if let Some(message) = self.below.pull() {
                self.log.push(format!("up {}", said(&message)));
                self.above.frame(PeerId(self.link), message);
                continue;
            }
            self.above.room(PeerId(self.link));
            let down = self.above.take(PeerId(self.link));
            if down.is_empty() {
                return;
            }
            for message in down {
                self.log.push(format!("down {}", said(&message)));
                self.below.tell(message);
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, log: &[&str]) {
        self.run();
        assert_eq!(std::mem::take(&mut self.log), log);
    }
}

fn fresh() -> Chain {
    Chain::new(Script::new(), Script::new())
}

#[test]
fn frames_go_up_are_kept_there_and_confirmed() {
    let mut chain = fresh();
    chain.below.attach(A);
    chain.below.frame(A, "gAAAAone");
    assert_eq!(chain.below.confirmed(), Some(false));
    chain.expect(&[
        "up keeps 1",
        "up gAAAAone",
        "down keeps 1",
        "up keeps 1, all of yours",
        "up ask",
        "down saved Disk",
    ]);
    assert_eq!(chain.below.confirmed(), Some(true));
    assert_eq!(chain.above.frames, [("gAAAAone".into(), true)]);
    chain.above.attach(B);
    chain.above.frame(B, "gAAAAtwo");
    chain.expect(&["down gAAAAtwo"]);
    chain.below.expect(A, &["step1", "gAAAAtwo"]);
    assert_eq!(chain.below.frames[1], ("gAAAAtwo".into(), false));
    assert_eq!(chain.below.confirmed(), Some(true));
}

#[test]
fn who_joins_below_gets_what_is_kept_above() {
    let mut chain = Chain::new(Script::with_frames(&[], &["gAAAAone", "gAAAAtwo"]), Script::new());
    chain.expect(&[]);
    chain.below.attach(A);
    chain.below.frame(A, "gAAAAall that A has");
    chain.run();
    chain.below.expect(A, &["step1", "gAAAAone", "gAAAAtwo"]);
    assert_eq!(chain.above.frames.len(), 3);
    assert_eq!(chain.below.confirmed(), Some(true));
}

#[test]
fn a_reconnect_costs_what_the_other_side_lacks() {
    let mut chain = fresh();
    chain.below.attach(A);
    chain.below.frame(A, "gAAAAone");
    chain.run();
    // Nothing, where nothing was written; and nobody is sent away.
    chain.cut();
    chain.log.clear();
    chain.connect();
    let nothing = ["up keeps 1", "down keeps 1, all of yours", "up ask", "down saved Disk"];
    chain.expect(&nothing);
    assert!(chain.below.closed.is_empty());
    // What was written below, ...
    chain.cut();
    chain.below.frame(A, "gAAAAtwo");
    chain.connect();
    chain.expect(&[
        "up keeps 2",
        "down keeps 1",
        "up keeps 2, all of yours",
        "up gAAAAtwo",
        "up ask",
        "down saved Disk",
    ]);
    // ... or above, ...
    chain.cut();
    chain.above.attach(B);
    chain.above.frame(B, "gAAAAthree");
    chain.connect();
    chain.expect(&[
        "up keeps 2",
        "down keeps 3, all of yours",
        "up ask",
        "down gAAAAthree",
        "down saved Disk",
    ]);
    // ... or on both sides: all of it, and what is known is dropped.
    chain.cut();
    chain.above.frame(B, "gAAAAabove");
    chain.below.frame(A, "gAAAAbelow");
    chain.connect();
    chain.run();
    for relay in [&chain.above, &chain.below] {
        assert_eq!(relay.frames.len(), 5);
    }
    assert_eq!(chain.below.confirmed(), Some(true));
    chain.cut();
    chain.log.clear();
    chain.connect();
    assert_eq!(chain.log[1], "down keeps 5, all of yours", "the same, in another order");
}

#[test]
fn a_relay_above_that_has_lost_all_is_sent_all() {
    let mut chain = fresh();
    chain.below.attach(A);
    chain.below.frame(A, "gAAAAone");
    chain.above.attach(B);
    chain.above.frame(B, "gAAAAtwo");
    chain.run();
    assert_eq!((chain.below.confirmed(), chain.below.lost), (Some(true), 0));
    chain.cut();
    let mut chain = Chain::new(Script::new(), chain.below);
    assert_eq!(chain.below.lost, 1);
    chain.run();
    assert_eq!(chain.above.frames.len(), 2);
    assert_eq!(chain.below.confirmed(), Some(true));
    assert!(chain.below.document.can_evict() || chain.below.standing().clients > 0);
}

/// It was deleted there, say. The link stands, as it is for other documents, too.
#[test]
fn a_relay_above_that_has_dropped_it_hears_all_with_the_next_word() {
    let mut chain = fresh();
    chain.below.attach(A);
    chain.below.frame(A, "gAAAAone");
    chain.run();
    chain.above = Script::new();
    chain.above.fellow_joins(PeerId(chain.link));
    chain.below.frame(A, "gAAAAtwo");
    chain.run();
    assert_eq!(chain.above.frames.len(), 2);
    assert_eq!(chain.below.confirmed(), Some(true));
}

#[test]
fn what_is_not_kept_above_is_not_confirmed() {
    let mut chain = Chain::new(Script::passing(), Script::new());
    chain.below.attach(A);
    chain.below.frame(A, "gAAAAone");
    chain.expect(&[
        "up keeps 1",
        "up gAAAAone",
        "down keeps 0",
        "up keeps 1, all of yours",
        "up gAAAAone",
        "up ask",
        "down saved Memory",
    ]);
    assert_eq!(chain.below.confirmed(), None);
    chain.below.detach(A);
    assert!(chain.below.document.can_evict());
}

/// In a ring of relays what is not kept would go round for ever.
#[test]
fn what_comes_back_goes_no_further() {
    let mut t = Script::new();
    t.fellow_joins(A);
    t.fellow_joins(B);
    t.attach(C);
    for frame in [fellow::aside(b"gAAAAquestion"), fellow::opaque(b"gAAAAanswer")] {
        t.frame(A, frame.clone());
        t.frame(B, frame);
    }
    t.tell_silent(C);
    t.expect(C, &["step1", "gAAAAquestion", "gAAAAanswer"]);
    assert_eq!(t.frames.len(), 1);
    while t.room(A) || t.room(B) {}
    let mut told = |peer| {
        let said: Vec<String> = t.take(peer).iter().map(said).collect();
        said.into_iter().filter(|said| !said.starts_with("keeps")).collect::<Vec<_>>()
    };
    assert_eq!(told(A), [""; 0]);
    assert_eq!(told(B), ["aside gAAAAquestion", "gAAAAanswer"]);
}

/// Such a link brings programs that can only be told what there is when it comes.
#[test]
fn a_link_of_another_kind_is_sent_all_when_it_joins() {
    let mut t = Script::with_frames(&["gAAAAone"], &["gAAAAtwo"]);
    t.elva_joins(A);
    t.frame(A, "gAAAAnews");
    while t.room(A) {}
    t.expect(A, &["gAAAAone", "gAAAAtwo"]);
    t.attach(B);
    t.tell_silent(B);
    t.expect(B, &["gAAAAone", "gAAAAtwo", "gAAAAnews"]);
    t.frame(B, "gAAAAmore");
    while t.room(A) {}
    t.expect(A, &["gAAAAmore"]);
    t.detach(A);
    t.detach(B);
    t.save();
    assert!(t.document.can_evict());
}

/// Links come and go, relays restart, both sides write: in the end both keep all of it, and whoever
/// joins either gets each frame once.
#[test]
fn whatever_happens_both_sides_end_with_all_of_it() {
    for seed in 1..300 {
        let mut random = Random::new(seed);
        let mut chain = fresh();
        let mut is_up = true;
        chain.below.attach(A);
        chain.above.attach(B);
        let mut said = BTreeSet::new();
        for step in 0..40 {
            let frame = Bytes::from(format!("gAAAA{step}"));
            match random.upto(7) {
                0..=2 => {
                    said.insert(frame.clone());
                    chain.below.frame(A, frame);
                }
                3 => {
                    said.insert(frame.clone());
                    chain.above.frame(B, frame);
                }
                4 if is_up => chain.run(),
                5 if !is_up => {
                    chain.connect();
                    is_up = true;
                }
                kind => {
                    if std::mem::take(&mut is_up) {
                        chain.cut();
                    }
                    let is_below = kind == 6;
                    let (relay, client) =
                        if is_below { (&mut chain.below, A) } else { (&mut chain.above, B) };
                    relay.save();
                    relay.restart();
                    relay.attach(client);
                    relay.tell_silent(client);
                }
            }
        }
        if !is_up {
            chain.connect();
        }
        chain.run();
        for relay in [&mut chain.above, &mut chain.below] {
            relay.attach(C);
            relay.tell_silent(C);
            let mut told = relay.take(C);
            told.retain(|frame| frame.starts_with(b"gAAAA"));
            assert_eq!(told.len(), said.len(), "seed {seed}");
            assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), said, "seed {seed}");
        }
        if !chain.below.frames.is_empty() {
            assert_eq!(chain.below.confirmed(), Some(true), "seed {seed}");
        }
    }
}
