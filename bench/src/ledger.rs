//! Who said what when, and who has heard it: every delivery is checked here.
//!
//! A client knows, for each author of its document, how far it has heard. What arrives has to go
//! on exactly there: less is doubled, more leaves something out, and who wrote it must belong to
//! the document. Servers may cut and merge updates as they like.

use std::rc::Rc;

use hdrhistogram::Histogram;

use crate::script::{self, Script};
use crate::yjs::{self, Run};

/// Latencies up to this are told apart.
const LATENCY_MAX_US: u64 = 600_000_000;
/// Faults that are kept word for word.
const FAULTS_MAX: usize = 8;

/// One client as a listener, and perhaps as an author.
#[derive(Debug, Default)]
pub struct Seat {
    /// The document it has open.
    pub document: usize,
    /// Its number among all authors, if it is one.
    pub author: Option<usize>,
    /// Which histogram its latencies belong to: 0 near, 1 far.
    pub tier: usize,
    /// An author waits for it.
    pub is_counted: bool,
    /// How far it has heard each author of its document.
    pub known: Vec<u64>,
    /// All that it was told, for those that look into it. They have the document once they have
    /// heard all that was said: some servers say first that they have nothing, and send it then.
    pub told: Option<Vec<Vec<u8>>>,
}

/// Somebody who says something.
#[derive(Debug)]
pub struct Author {
    /// Its client id.
    pub id: u64,
    /// What it says.
    pub script: Rc<Script>,
    /// Its connection's number.
    pub connection: usize,
    /// How much of the script was said.
    pub said: usize,
    /// Messages that everybody has heard, counted from the beginning.
    pub done: usize,
    /// How far its echo came.
    pub echoed: usize,
    listeners: u32,
    /// When each message was said, or should have been.
    at_ns: Vec<u64>,
    heard: Vec<u32>,
}

/// The authors of all documents, and what became of what they said.
pub struct Ledger {
    /// All authors, those of a document side by side.
    pub authors: Vec<Author>,
    /// The first author of each document.
    first: Vec<usize>,
    /// From being said until another client heard it: near and far, in microseconds.
    pub latency: [Histogram<u64>; 2],
    /// From being said until the author heard it back.
    pub echo: Histogram<u64>,
    /// Messages heard, counted once for each listener.
    pub delivered: u64,
    /// Deliveries by tier within the time in which people notice nothing.
    pub prompt: u64,
    /// States of presence that a newer one replaced on the way.
    pub superseded: u64,
    /// What was told may be told again: a relay that was killed has passed on more than it had
    /// stored, and hears it from the author once more.
    pub may_repeat: bool,
    /// What is lost is what is measured: what comes after a gap is not heard, as no Yjs client shows
    /// it, and that is no fault.
    pub may_lose: bool,
    /// Authors whose messages were heard by all since this was last emptied.
    pub due: Vec<usize>,
    faults: Vec<String>,
    faults_count: u64,
}

/// What counts as at once.
const PROMPT_US: u64 = 50_000;

/// For microseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_MAX_US, 3).expect("the bounds are sound")
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            authors: Vec::new(),
            first: Vec::new(),
            latency: [histogram(), histogram()],
            echo: histogram(),
            delivered: 0,
            prompt: 0,
            superseded: 0,
            may_repeat: false,
            may_lose: false,
            due: Vec::new(),
            faults: Vec::new(),
            faults_count: 0,
        }
    }
}

impl Ledger {
    /// Adds a document with authors. Returns the number of the first one.
    pub fn add_document(&mut self, scripts: &[Rc<Script>]) -> usize {
        let (document, first) = (self.first.len(), self.authors.len());
        self.first.push(first);
        self.authors.extend(scripts.iter().enumerate().map(|(index, script)| Author {
            id: script::author_id(document, index),
            script: script.clone(),
            connection: usize::MAX,
            said: 0,
            done: 0,
            echoed: 0,
            listeners: 0,
            at_ns: Vec::with_capacity(script.len()),
            heard: Vec::with_capacity(script.len()),
        }));
        first
    }

    /// The authors of a document.
    pub fn authors_of(&self, document: usize) -> std::ops::Range<usize> {
        let end = self.first.get(document + 1).copied().unwrap_or(self.authors.len());
        self.first[document]..end
    }

    /// Adds a client, whose connection has this number.
    pub fn seat(&mut self, connection: usize, seat: &mut Seat) {
        let authors = self.authors_of(seat.document);
        seat.known = vec![0; authors.len()];
        for author in authors {
            if seat.author == Some(author) {
                self.authors[author].connection = connection;
            } else if seat.is_counted {
                self.authors[author].listeners += 1;
            }
        }
    }

    /// An author says its next message. Returns which one it is.
    pub fn say(&mut self, author: usize, at_ns: u64) -> usize {
        let author = &mut self.authors[author];
        author.at_ns.push(at_ns);
        author.heard.push(0);
        author.said += 1;
        author.said - 1
    }

    /// A client was told a part of the document.
    pub fn hear_update(&mut self, seat: &mut Seat, update: &[u8], is_answer: bool, now_ns: u64) {
        let heard = yjs::runs(update, |run| self.hear_run(seat, &run, is_answer, now_ns));
        if let Err(fault) = heard {
            self.fault(format!("document {}: an update is unsound: {fault}", seat.document));
        }
    }

    fn hear_run(
        &mut self,
        seat: &mut Seat,
        run: &Run<'_>,
        is_answer: bool,
        now_ns: u64,
    ) -> Result<(), yjs::Fault> {
        let author = self.author(seat, run.client)?;
        let index = author - self.first[seat.document];
        let (known, end) = (seat.known[index], run.clock + run.length);
        if end > self.authors[author].said as u64 * self.authors[author].script.unit {
            return Err("nobody has written that");
        }
        if run.text.is_some_and(|text| !is_right(run.clock, text)) {
            return Err("not what was written");
        }
        // An author that has come back does not ask for what it wrote.
        let is_own = seat.author == Some(author);
        if run.clock > known && !is_own {
            if self.may_lose {
                return Ok(());
            }
            return Err("something before it was left out");
        }
        if run.clock < known && !is_answer && !is_own && !self.may_repeat {
            return Err("it was told before");
        }
        if end > known {
            seat.known[index] = end;
            let unit = self.authors[author].script.unit;
            self.hear(seat, author, (known / unit) as usize, (end / unit) as usize, now_ns);
        }
        Ok(())
    }

    /// A client was told who is present.
    pub fn hear_awareness(&mut self, seat: &mut Seat, entries: &[u8], now_ns: u64) {
        let heard = yjs::entries(entries, |client, clock, state| {
            // Some servers are present themselves.
            if !self.is_author(client) || state == b"null" {
                return Ok(());
            }
            let author = self.author(seat, client)?;
            if !self.authors[author].script.is_presence {
                return Ok(());
            }
            if clock > self.authors[author].said as u64 {
                return Err("nobody has said that");
            }
            if !script::is_presence(clock, state) {
                return Err("not what was said");
            }
            let index = author - self.first[seat.document];
            let known = seat.known[index];
            let is_own = seat.author == Some(author);
            if clock <= known && !is_own {
                return Err("it was told before");
            }
            if clock > known {
                seat.known[index] = clock;
                self.superseded += clock - known - 1;
                self.hear(seat, author, known as usize, clock as usize, now_ns);
            }
            Ok(())
        });
        if let Err(fault) = heard {
            self.fault(format!("document {}: presence is unsound: {fault}", seat.document));
        }
    }

    /// Whether this is the id of an author of any document.
    fn is_author(&self, id: u64) -> bool {
        script::author_of(id).is_some_and(|(document, index)| {
            document < self.first.len() && index < self.authors_of(document).len()
        })
    }

    /// Whether a client has heard all that was said in its document.
    pub fn has_all(&self, seat: &Seat) -> bool {
        let authors = &self.authors[self.authors_of(seat.document)];
        let said = authors.iter().map(|author| author.said as u64 * author.script.unit);
        said.eq(seat.known.iter().copied())
    }

    fn author(&self, seat: &Seat, id: u64) -> Result<usize, yjs::Fault> {
        let (document, index) = script::author_of(id).ok_or("nobody is called so")?;
        if document != seat.document {
            return Err("it belongs to another document");
        }
        let authors = self.authors_of(document);
        if index >= authors.len() {
            return Err("nobody is called so");
        }
        Ok(authors.start + index)
    }

    fn hear(&mut self, seat: &Seat, number: usize, from: usize, to: usize, now_ns: u64) {
        let author = &mut self.authors[number];
        for message in from..to {
            // What was replaced by a newer state was never heard by itself.
            if author.script.is_presence && message + 1 < to {
                author.heard[message] += u32::from(seat.is_counted);
                continue;
            }
            let us = now_ns.saturating_sub(author.at_ns[message]) / 1000;
            if seat.author == Some(number) {
                self.echo.saturating_record(us);
            } else {
                self.delivered += 1;
                self.prompt += u64::from(us <= PROMPT_US);
                self.latency[seat.tier].saturating_record(us);
                author.heard[message] += u32::from(seat.is_counted);
            }
        }
        if seat.author == Some(number) {
            author.echoed = author.echoed.max(to);
            return;
        }
        let before = author.done;
        while author.done < author.said && author.heard[author.done] == author.listeners {
            author.done += 1;
        }
        if author.done > before {
            self.due.push(number);
        }
    }

    /// Begins the figures anew; what is checked goes on.
    pub fn reset_figures(&mut self) {
        self.latency.iter_mut().for_each(Histogram::reset);
        self.echo.reset();
        (self.delivered, self.prompt, self.superseded) = (0, 0, 0);
    }

    /// Everybody has heard everything.
    pub fn is_done(&self) -> bool {
        self.authors.iter().all(|author| author.done == author.said)
    }

    /// Every author has heard everything back.
    pub fn is_echoed(&self) -> bool {
        self.authors.iter().all(|author| author.echoed == author.said)
    }

    /// Deliveries that are still to come.
    pub fn missing(&self) -> u64 {
        let missing = |author: &Author| {
            let heard: u64 = author.heard.iter().map(|heard| u64::from(*heard)).sum();
            author.said as u64 * u64::from(author.listeners) - heard
        };
        self.authors.iter().map(missing).sum()
    }

    /// Notes that something went wrong.
    pub fn fault(&mut self, fault: String) {
        self.faults_count += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    /// Whether something went wrong.
    pub fn has_faults(&self) -> bool {
        self.faults_count > 0
    }

    /// All that went wrong, taken out.
    pub fn take_faults(&mut self) -> Vec<String> {
        let mut faults = std::mem::take(&mut self.faults);
        let more = std::mem::take(&mut self.faults_count) - faults.len() as u64;
        if more > 0 {
            faults.push(format!("and {more} more"));
        }
        faults
    }
}

/// Whether this text is what every author types at this clock.
fn is_right(clock: u64, text: &[u8]) -> bool {
    let mut at = clock;
    text.chunks(64 << 10).all(|part| {
        let expected = script::letters(at, part.len());
        at += part.len() as u64;
        part == expected
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yjs::{Message, messages};

    /// A document with one author, whose script has three messages of two letters, and a listener.
    fn one_of_each() -> (Ledger, Seat, Vec<Vec<u8>>) {
        let id = script::author_id(0, 0);
        let script = Rc::new(script::typing(id, &[], 2, 3));
        let updates = (0..3).map(|number| unmasked(script.frames(number, number + 1))).collect();
        let mut ledger = Ledger::default();
        ledger.add_document(&[script]);
        let mut seat = Seat { is_counted: true, ..Seat::default() };
        ledger.seat(1, &mut seat);
        for at in 0..3 {
            ledger.say(0, at);
        }
        (ledger, seat, updates)
    }

    /// The update in a masked frame.
    fn unmasked(frame: &[u8]) -> Vec<u8> {
        let (key, masked) = (&frame[2..6], &frame[6..]);
        let plain: Vec<u8> = masked.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b).collect();
        let mut update = Vec::new();
        messages(&plain, |message| {
            let Message::Update(bytes) = message else { panic!("{message:?}") };
            update = bytes.to_vec();
            Ok(())
        })
        .unwrap();
        update
    }

    fn faults_of(order: &[usize]) -> (u64, String) {
        let (mut ledger, mut seat, updates) = one_of_each();
        for number in order {
            ledger.hear_update(&mut seat, &updates[*number], false, 1_000_000);
        }
        (ledger.missing(), ledger.take_faults().join("; "))
    }

    #[test]
    fn each_exactly_once_and_in_order() {
        assert_eq!(faults_of(&[0, 1, 2]), (0, String::new()));
        assert_eq!(faults_of(&[0, 1]), (1, String::new()));
        for (order, fault) in [
            (&[0usize, 1, 1, 2] as &[usize], "told before"),
            (&[0, 2], "left out"),
            (&[1, 0, 2], "left out"),
        ] {
            let (_, faults) = faults_of(order);
            assert!(faults.contains(fault), "{order:?}: {faults}");
        }
    }

    #[test]
    fn what_nobody_wrote_is_wrong() {
        let (mut ledger, mut seat, updates) = one_of_each();
        let mut wrong = updates[0].clone();
        *wrong.iter_mut().rfind(|byte| **byte == b'b').unwrap() = b'c';
        ledger.hear_update(&mut seat, &wrong, false, 0);
        assert!(ledger.take_faults()[0].contains("not what was written"));
        let other = script::typing(script::author_id(1, 0), &[], 2, 1);
        ledger.hear_update(&mut seat, &unmasked(other.frames(0, 1)), false, 0);
        assert!(ledger.take_faults()[0].contains("another document"));
        let longer = script::typing(script::author_id(0, 0), &[], 8, 1);
        ledger.hear_update(&mut seat, &unmasked(longer.frames(0, 1)), false, 0);
        assert!(ledger.take_faults()[0].contains("nobody has written"));
    }

    #[test]
    fn an_echo_is_not_a_delivery() {
        let (mut ledger, _, updates) = one_of_each();
        let mut own = Seat { author: Some(0), ..Seat::default() };
        ledger.seat(0, &mut own);
        ledger.hear_update(&mut own, &updates[0], false, 2_000);
        assert_eq!((ledger.delivered, ledger.echo.len(), ledger.missing()), (0, 1, 3));
    }

    #[test]
    fn presence_may_be_replaced_but_never_told_twice() {
        let id = script::author_id(0, 0);
        let mut ledger = Ledger::default();
        ledger.add_document(&[Rc::new(script::presence(id, &[], 3))]);
        let mut seat = Seat { is_counted: true, ..Seat::default() };
        ledger.seat(1, &mut seat);
        for at in 0..3 {
            ledger.say(0, at);
        }
        let entry = |clock| yjs::awareness(id, clock, &script::state(clock))[2..].to_vec();
        ledger.hear_awareness(&mut seat, &entry(1), 0);
        ledger.hear_awareness(&mut seat, &entry(3), 0);
        assert_eq!((ledger.delivered, ledger.superseded, ledger.missing()), (2, 1, 0));
        assert!(ledger.take_faults().is_empty());
        ledger.hear_awareness(&mut seat, &entry(3), 0);
        assert!(ledger.take_faults()[0].contains("told before"));
        let wrong = yjs::awareness(id, 3, &script::state(2))[2..].to_vec();
        ledger.hear_awareness(&mut seat, &wrong, 0);
        assert!(ledger.take_faults()[0].contains("not what was said"));
    }
}
