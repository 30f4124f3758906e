//! What a store was given and what it has promised, each with the moment of the disk at which it
//! did; and whether what a store shows keeps the promises.

use std::collections::BTreeMap;

use super::*;

/// Something between the store and its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Appended(u64),
    /// The highest of the appended, and whether some of them were local and never confirmed.
    Saved(u64),
    Forgetting,
    Forgotten,
}

/// Numbers of updates begin anew above a multiple of this when a document was deleted.
const LIFE: u64 = 1_000_000;

#[derive(Debug, Default, Clone)]
struct Account {
    events: Vec<(usize, Event)>,
    lives: u64,
    appended: u64,
    saved: u64,
    forgetting: bool,
}

/// The accounts of all documents.
#[derive(Debug, Default, Clone)]
pub(super) struct Ledger(BTreeMap<DocumentId, Account>);

/// An update of a number: as many bytes as wished, all of them telling the number.
pub(super) fn numbered(number: u64, words: usize) -> Bytes {
    number.to_le_bytes().repeat(words.max(1)).into()
}

/// The numbers of the updates that are held, however long they are.
pub(super) fn numbers(loaded: &Loaded) -> Vec<u64> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let mut numbers = Vec::new();
    for update in &loaded.updates {
        // Long ones are compared whole: number by number would take most of the time.
        if update[8..] == update[..update.len() - 8] {
            numbers.push(number(&update[..8]));
        } else {
            numbers.extend(update.chunks(8).map(number));
        }
    }
    numbers.dedup();
    numbers
}

impl Ledger {
    /// What a store shows at its opening counts as saved: its callers take it so.
    pub(super) fn shown(store: &Store, names: &[DocumentId]) -> Self {
        let mut ledger = Self::default();
        for name in names {
            let loaded = store.load(name).unwrap();
            let account = ledger.0.entry(name.clone()).or_default();
            if let Some(last) = numbers(&loaded).last() {
                account.lives = last / LIFE;
                account.appended = last % LIFE;
                account.saved = account.appended;
                account.events.extend([
                    (0, Event::Appended(account.appended)),
                    (0, Event::Saved(account.saved)),
                ]);
            }
        }
        ledger
    }

    fn account(&mut self, name: &DocumentId) -> &mut Account {
        self.0.entry(name.clone()).or_default()
    }

    /// The next sequence number of a document, and the number that its update tells.
    pub(super) fn append(&mut self, at: usize, name: &DocumentId) -> (u64, u64) {
        let account = self.account(name);
        account.appended += 1;
        account.events.push((at, Event::Appended(account.appended)));
        (account.appended, account.lives * LIFE + account.appended)
    }

    pub(super) fn forget(&mut self, at: usize, name: &DocumentId) {
        let account = self.account(name);
        account.forgetting = true;
        account.events.push((at, Event::Forgetting));
    }

    /// What a store says of its documents.
    pub(super) fn hear(&mut self, at: usize, store: &Store) {
        for (name, outcome) in store.outcomes() {
            let account = self.account(&name);
            if let Some(seq) = outcome.saved {
                account.saved = account.saved.max(seq);
                account.events.push((at, Event::Saved(seq)));
            }
        }
        for (name, account) in self.0.iter_mut().filter(|(_, account)| account.forgetting) {
            if !store.forgets(name) {
                account.events.push((at, Event::Forgotten));
                let lives = account.lives + 1;
                let events = std::mem::take(&mut account.events);
                *account = Account { events, lives, ..Account::default() };
            }
        }
    }

    /// Whether the document has nothing that waits.
    pub(super) fn is_saved(&self, name: &DocumentId) -> bool {
        self.0.get(name).is_none_or(|it| it.saved == it.appended && !it.forgetting)
    }

    /// The snapshot of all that is saved of it.
    pub(super) fn snapshot(&self, name: &DocumentId) -> (u64, Vec<Bytes>) {
        let account = self.0.get(name).cloned().unwrap_or_default();
        let piece = |numbers: std::ops::RangeInclusive<u64>| -> Bytes {
            numbers.flat_map(|n| (account.lives * LIFE + n).to_le_bytes()).collect()
        };
        let middle = account.saved / 2;
        let pieces = [piece(1..=middle), piece(middle + 1..=account.saved)];
        (account.saved, pieces.into_iter().filter(|piece| !piece.is_empty()).collect())
    }

    /// Holds what a store shows against what was promised up to a moment.
    pub(super) fn check(&self, at: usize, name: &DocumentId, loaded: &Loaded) {
        let Some(account) = self.0.get(name) else {
            assert_eq!(*loaded, Loaded::default(), "{name} was never written");
            return;
        };
        account
            .check(at, &numbers(loaded))
            .unwrap_or_else(|error| panic!("{name} at {at}: {error}"));
    }
}

impl Account {
    fn check(&self, at: usize, shown: &[u64]) -> Result<(), String> {
        // Of each life: appended, saved. A first life that began before is the one in `events`.
        let first =
            self.lives - self.events.iter().filter(|(_, e)| *e == Event::Forgotten).count() as u64;
        let (mut begun, mut ended) = (first, first);
        let mut lives = BTreeMap::from([(first, (0, 0))]);
        for (_, event) in self.events.iter().filter(|(when, _)| *when <= at) {
            let life = lives.entry(ended).or_default();
            match event {
                Event::Appended(number) => life.0 = *number,
                Event::Saved(number) => life.1 = *number,
                Event::Forgetting => begun = ended + 1,
                Event::Forgotten => ended = begun,
            }
        }
        let of = |life: u64| lives.get(&life).copied().unwrap_or_default();
        let Some(last) = shown.last() else {
            let blank = begun > ended || of(ended).1 == 0;
            return if blank {
                Ok(())
            } else {
                Err(format!("{:?} were saved, it is blank", of(ended)))
            };
        };
        let (life, last) = (last / LIFE, last % LIFE);
        let (appended, saved) = of(life);
        let whole: Vec<u64> = (1..=last).map(|number| life * LIFE + number).collect();
        if life < ended || life > begun {
            Err(format!("what was deleted is back: {shown:?}"))
        } else if whole != shown {
            Err(format!("it has holes: {shown:?}"))
        } else if last < saved {
            Err(format!("{saved} were saved, {last} are there"))
        } else if last > appended {
            Err(format!("{appended} were appended, {last} are there"))
        } else {
            Ok(())
        }
    }
}
