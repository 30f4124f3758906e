//! What happens in one run: drawn from the seed, a list of steps.

use yrelay_core::Millis;
use yrelay_core::backoff::Random;

use crate::client::Style;
use crate::editor::Edit;
use crate::server::{Mode, Return};

/// Something that happens at a time of the script's choosing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Edit {
        client: usize,
        edit: Edit,
    },
    /// So many keystrokes, one after the other.
    Burst {
        client: usize,
        count: u32,
    },
    /// A client's connection breaks; each side notices within that time.
    CutClient {
        client: usize,
        late_ms: Millis,
    },
    /// A client reads nothing for a while.
    StallClient {
        client: usize,
        ms: Millis,
    },
    Leave {
        client: usize,
    },
    ComeBack {
        client: usize,
    },
    /// For good.
    Vanish {
        client: usize,
    },
    CutLink {
        service: usize,
        late_ms: Millis,
    },
    LinkDown {
        service: usize,
        ms: Millis,
    },
    /// The server closes the link, as it does over any exception.
    Kick {
        service: usize,
    },
    Crash {
        service: usize,
        down_ms: Millis,
    },
    DiskFails {
        service: usize,
        ms: Millis,
    },
    DiskSlow {
        service: usize,
        ms: Millis,
    },
    LoadsFail {
        service: usize,
        ms: Millis,
    },
    KillServer {
        down_ms: Millis,
        back: Return,
    },
}

/// One client of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person {
    pub(crate) id: u64,
    pub(crate) service: usize,
    pub(crate) document: usize,
    pub(crate) style: Style,
    /// It comes later, by a step.
    pub(crate) late: bool,
}

/// Who takes part in a run, and what happens.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) server: Option<Mode>,
    pub(crate) services: usize,
    pub(crate) documents: usize,
    pub(crate) people: Vec<Person>,
    pub(crate) steps: Vec<(Millis, Step)>,
    /// From then on nothing bad happens any more.
    pub(crate) calm_at: Millis,
}

struct Writer {
    random: Random,
    services: usize,
    people: usize,
    has_server: bool,
    calm_at: Millis,
}

impl Script {
    pub(crate) fn write(server: Option<Mode>, seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5c21_17e5);
        let services = 1 + random.upto(2) as usize;
        let documents = 1 + random.upto(2) as usize;
        let people = (0..2 + random.upto(4) as usize)
            .map(|_| Person {
                id: random.upto(u64::from(u32::MAX) - 10) + 10,
                service: random.upto(services as u64 - 1) as usize,
                document: random.upto(documents as u64 - 1) as usize,
                style: if random.upto(3) == 0 { Style::Python } else { Style::Js },
                late: random.upto(4) == 0,
            })
            .collect::<Vec<_>>();
        let calm_at = [3_000, 15_000, 60_000, 180_000][random.upto(3) as usize];
        let count = 4 + random.upto(60);
        let has_server = server.is_some();
        let mut writer = Writer { random, services, people: people.len(), has_server, calm_at };
        // Either steady writing with some faults, or hardly anything but faults.
        let edits_percent = [85, 60, 30][writer.below(3)];
        let mut steps: Vec<(Millis, Step)> = Vec::new();
        for _ in 0..count {
            writer.add(edits_percent, &mut steps);
        }
        if writer.below(4) == 0 {
            writer.close_the_office(&mut steps);
        }
        steps.sort_by_key(|(at, _)| *at);
        Self { seed, server, services, documents, people, steps, calm_at }
    }
}

impl Writer {
    fn below(&mut self, end: usize) -> usize {
        self.random.upto(end as u64 - 1) as usize
    }

    fn number(&mut self, max: u64) -> u32 {
        self.random.upto(max) as u32
    }

    fn add(&mut self, edits_percent: u64, steps: &mut Vec<(Millis, Step)>) {
        let at = self.random.upto(self.calm_at);
        if self.random.upto(99) < edits_percent {
            let client = self.below(self.people);
            // A person writes a few things in a row.
            for nth in 0..=self.random.upto(4) {
                let edit = self.edit();
                steps.push((at + nth * self.random.upto(300), Step::Edit { client, edit }));
            }
        } else {
            let step = self.trouble();
            steps.push((at, step));
        }
    }

    /// Everybody leaves and the machines go off: nobody looks while the rest is handed up.
    fn close_the_office(&mut self, steps: &mut Vec<(Millis, Step)>) {
        let away_ms = self.random.upto(2_500);
        for client in 0..self.people {
            steps.push((self.calm_at - away_ms, Step::Leave { client }));
        }
        for service in 0..self.services {
            steps.push((self.calm_at - away_ms / 2, Step::Crash { service, down_ms: 100 }));
        }
    }

    fn edit(&mut self) -> Edit {
        let (a, b) = (self.number(1_000), self.number(7));
        match self.random.upto(19) {
            0..=8 => Edit::Insert { at: a, len: b },
            9..=12 => Edit::Delete { at: a, len: b },
            13..=14 => Edit::Set { key: b, value: a },
            15 => Edit::Remove { key: b },
            16 => Edit::Nest { key: b },
            17 | 18 => Edit::SetNested { key: b, inner: a, value: a },
            _ if self.random.upto(19) == 0 => Edit::Paste { kib: 100 * (1 + b) },
            _ => Edit::Paste { kib: 1 },
        }
    }

    fn trouble(&mut self) -> Step {
        let client = self.below(self.people);
        let service = self.below(self.services);
        let ms = [20, 500, 3_000, 20_000, 60_000][self.below(5)];
        let ms = self.random.upto(ms);
        let late_ms = [0, 500, 35_000][self.below(3)];
        let kinds = if self.has_server { 22 } else { 15 };
        match self.random.upto(kinds) {
            0..=2 => Step::CutClient { client, late_ms },
            3 => Step::StallClient { client, ms },
            4 | 5 => Step::Leave { client },
            6 | 7 => Step::ComeBack { client },
            8 if self.people > 2 => Step::Vanish { client },
            8 | 9 => Step::DiskFails { service, ms },
            10 => Step::DiskSlow { service, ms },
            11 => Step::LoadsFail { service, ms: ms.min(5_000) },
            12 if self.random.upto(4) == 0 => Step::Burst { client, count: 520 },
            12 | 13 => Step::Burst { client, count: 3 + self.number(60) },
            14 | 15 => Step::Crash { service, down_ms: ms },
            16 | 17 => Step::CutLink { service, late_ms },
            18 | 19 => Step::LinkDown { service, ms },
            20 => Step::Kick { service },
            _ => {
                let back = [Return::Kept, Return::Older, Return::Empty][self.below(3)];
                Step::KillServer { down_ms: ms, back }
            }
        }
    }
}
