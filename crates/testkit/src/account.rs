//! What went up for one document on one connection, and whether it was more than needed.

use bytes::Bytes;
use yrelay_core::event::Habit;
use yrelay_core::id::DocumentId;
use yrelay_core::id_set::IdSet;
use yrelay_core::replica::{Replica, Want};
use yrelay_core::state_vector::StateVector;
use yrelay_core::update::Update;
use yrelay_core::wire::{self, Message};
use yrelay_core::{Millis, limits};

pub(crate) struct Account {
    habit: Habit,
    /// The server keeps documents.
    keeps: bool,
    first_asked_at: Option<Millis>,
    asked_at: Millis,
    /// When anything was last written here.
    changed_at: Millis,
    /// There was a quiet time before the last change: what is asked then may have to wait.
    was_quiet: bool,
    /// The server has sent a step 1.
    named: bool,
    /// When it sent a step 2 behind which no step 1 has come.
    half_since: Option<Millis>,
    /// It took so long between the two that it seemed to keep nothing; or they came to a question
    /// of which nobody here knows any more.
    mistaken: bool,
    /// All that the server has shown to hold.
    held: Want,
    /// Structs that went up.
    sent: IdSet,
    /// What may go up since the server named what it holds, and what did, in bytes.
    budget: usize,
    spent: usize,
    /// Something went up before that.
    early: bool,
}

/// What each message or change may take besides its content.
const SLACK_BYTES: usize = 64;

impl Account {
    pub(crate) fn new(habit: Habit, keeps: bool) -> Self {
        Self {
            habit,
            keeps,
            first_asked_at: None,
            asked_at: 0,
            changed_at: 0,
            was_quiet: false,
            named: false,
            half_since: None,
            mistaken: false,
            held: Want::default(),
            sent: IdSet::new(),
            budget: 4 * SLACK_BYTES,
            spent: 0,
            early: false,
        }
    }

    /// Whether the halves of an answer of the server came so far apart, or so late, that nobody
    /// could know that they were one.
    pub(crate) fn is_mistaken(&self, now: Millis) -> bool {
        let patience_ms = match self.habit {
            Habit::Keeps => limits::UPSTREAM_KEEPER_ANSWER_MS,
            _ if self.named => limits::UPSTREAM_KEEPER_ANSWER_MS,
            Habit::Unknown | Habit::Silent => limits::UPSTREAM_ANSWER_MS,
        };
        self.mistaken || self.half_since.is_some_and(|at| now >= at + patience_ms)
    }

    /// Somebody here writes.
    pub(crate) fn changed(&mut self, now: Millis, bytes: usize) {
        self.was_quiet |= now >= self.changed_at.max(self.asked_at) + limits::PROOF_QUIET_MS;
        self.changed_at = now;
        self.budget += bytes + SLACK_BYTES;
    }

    /// A message of the server. `replica`: what is held here.
    pub(crate) fn hears(
        &mut self,
        now: Millis,
        message: &Bytes,
        replica: impl FnOnce() -> Replica,
    ) {
        let message = wire::messages(message).next();
        self.mistaken = self.is_mistaken(now);
        match message {
            // Asked for before the document left memory: what follows belongs to either question.
            Some(Ok(Message::SyncStep2(_) | Message::SyncStep1(_)))
                if self.first_asked_at.is_none() =>
            {
                self.mistaken = true;
            }
            Some(Ok(Message::SyncStep2(_))) => drop(self.half_since.get_or_insert(now)),
            Some(Ok(Message::SyncStep1(_))) => self.half_since = None,
            _ => {}
        }
        match message {
            Some(Ok(Message::SyncStep2(update) | Message::Update { update, .. })) => {
                let update = Update::parse(update).expect("the server sends what parses");
                self.held.merge(&Want::of(&update));
            }
            Some(Ok(Message::SyncStep1(vector))) => {
                let vector = StateVector::decode(&vector).expect("a sound state vector");
                if self.keeps && !std::mem::replace(&mut self.named, true) {
                    let replica = replica();
                    self.budget += self.net_difference(&replica, &vector);
                }
                self.named = true;
                for (client, clock) in vector.iter() {
                    self.held.structs.insert(client, 0..clock);
                }
            }
            _ => {}
        }
    }

    /// Bytes of what is held here and not there.
    fn net_difference(&self, replica: &Replica, theirs: &StateVector) -> usize {
        let structs = replica.missing_from(theirs);
        let mut want = Want { structs, deletes: replica.deletes().clone() };
        want.subtract(&self.held);
        let mut bytes = 0;
        while let Some(chunk) = replica.take_chunk(&mut want, limits::CHUNK_BYTES_MAX) {
            bytes += chunk.update.bytes().len();
        }
        bytes
    }

    /// A message goes up. What stands beyond a gap is offered again and again.
    pub(crate) fn sends(
        &mut self,
        now: Millis,
        id: &DocumentId,
        message: Message,
        incomplete: bool,
    ) {
        match message {
            Message::SyncStep1(_) => self.asks(now, id, incomplete),
            Message::SyncStep2(update) | Message::Update { update, .. } => {
                assert!(
                    self.named || self.is_out_of_patience(now),
                    "{id}: an update went up before the server had named what it lacks"
                );
                let update = Update::parse(update).expect("the relay sends what parses");
                if self.keeps && !incomplete && !self.is_mistaken(now) {
                    self.judge(id, &update);
                }
                if !incomplete {
                    self.sent.merge(&update.structs());
                }
                self.early |= !self.named;
            }
            Message::Awareness(_) | Message::QueryAwareness => {}
            other => panic!("{id}: {other:?} went up"),
        }
    }

    fn is_out_of_patience(&self, now: Millis) -> bool {
        let patience_ms = match self.habit {
            Habit::Keeps if self.keeps => limits::UPSTREAM_KEEPER_ANSWER_MS,
            // (One that only passes on may show that sooner.)
            Habit::Keeps | Habit::Unknown | Habit::Silent => limits::UPSTREAM_ANSWER_MS,
        };
        self.first_asked_at.is_some_and(|at| now >= at + patience_ms)
    }

    /// One proof after each quiet time; while people write, one in a longer time.
    fn asks(&mut self, now: Millis, id: &DocumentId, incomplete: bool) {
        let asked_at = std::mem::replace(&mut self.asked_at, now);
        if self.first_asked_at.is_none() {
            self.first_asked_at = Some(now);
            return;
        }
        let was_quiet = std::mem::take(&mut self.was_quiet);
        let quiet = was_quiet || now >= asked_at.max(self.changed_at) + limits::PROOF_QUIET_MS;
        let busy = now >= asked_at + limits::PROOF_BUSY_MS;
        assert!(
            quiet || busy || incomplete,
            "{id}: asked at {asked_at} and {now}, last written in at {}",
            self.changed_at
        );
    }

    /// Nothing goes up twice, and nothing that the server has shown to hold.
    fn judge(&mut self, id: &DocumentId, update: &Update) {
        let structs = update.structs();
        let again = structs.intersection(&self.sent);
        assert!(again.is_empty(), "{id}: {again:?} went up twice");
        if !self.named {
            return;
        }
        let known = structs.intersection(&self.held.structs);
        assert!(known.is_empty(), "{id}: {known:?} went up, which the server holds");
        let nothing_new = structs.is_empty() && self.held.deletes.contains_all(&update.deletes());
        assert!(update.is_empty() || !nothing_new, "{id}: an update told the server nothing new");
        self.spent += update.bytes().len();
        assert!(
            self.early || self.spent <= self.budget + self.budget / 5,
            "{id}: {} bytes went up for a difference of {}",
            self.spent,
            self.budget
        );
    }
}
