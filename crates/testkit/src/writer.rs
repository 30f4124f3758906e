//! Draws a script from its seed.

use yrelay_core::Millis;
use yrelay_core::backoff::Random;
use yrelay_core::event::Dialect;
use yrelay_core::upstream::Failure;

use crate::client::Style;
use crate::editor::Edit;
use crate::fault::{Fault, Meanwhile, Way};
use crate::garbage::Garbage;
use crate::script::{Person, Script, Step};
use crate::server::{Foreign, Mode, Return};

struct Writer {
    random: Random,
    services: usize,
    people: usize,
    server: Option<Mode>,
    relay: Option<Dialect>,
    foreign: Option<Foreign>,
    documents: usize,
    calm_at: Millis,
}

impl Script {
    pub(crate) fn write(server: Option<Mode>, seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5c21_17e5);
        // Where one of them is the server, there is one more.
        let more = usize::from(server.is_some_and(Mode::is_relay));
        let services = 1 + more + random.upto(2) as usize;
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
        let relay = match server {
            Some(Mode::Relay(dialect)) => Some(dialect),
            _ => None,
        };
        let people_count = people.len();
        let mut writer = Writer {
            random,
            services,
            people: people_count,
            server,
            relay,
            foreign: server.and_then(Mode::foreign),
            documents,
            calm_at,
        };
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
        Self {
            seed,
            server,
            services,
            documents,
            people,
            steps,
            calm_at,
            latency_ms_max: None,
            trap: None,
        }
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
            if let Step::DiskLies { service, ms } = step {
                let crash = Step::Crash { service, down_ms: self.random.upto(500) };
                steps.push((at + self.random.upto(ms.min(self.calm_at - at)), crash));
            }
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
        let kinds = if self.server.is_some() { 36 } else { 18 };
        match self.random.upto(kinds) {
            0..=2 => Step::CutClient { client, late_ms },
            3 => Step::StallClient { client, ms },
            4 | 5 => Step::Leave { client },
            6 => Step::ComeBack { client },
            // (Without a server nobody could complete what one leaves in the middle of.)
            7 if self.server.is_some() => Step::Move { client, service },
            7 => Step::ComeBack { client },
            8 if self.people > 2 => Step::Vanish { client },
            8 | 9 => Step::DiskFails { service, ms },
            10 => Step::DiskSlow { service, ms },
            11 => Step::LoadsFail { service, ms: ms.min(5_000) },
            12 if self.random.upto(4) == 0 => Step::Burst { client, count: 520 },
            12 | 13 => Step::Burst { client, count: 3 + self.number(60) },
            14 | 15 => Step::Crash { service, down_ms: ms },
            16 => {
                let lies = Garbage::MESSAGES;
                Step::Lie { client, garbage: lies[self.below(lies.len())] }
            }
            17 => Step::DiskLies { service, ms },
            18 if self.relay.is_none() => Step::Link { service, fault: self.sleep() },
            _ => Step::Link { service, fault: self.fault(ms, late_ms) },
        }
    }

    /// Something that befalls a link.
    fn fault(&mut self, ms: Millis, late_ms: Millis) -> Fault {
        let way = [Way::Up, Way::Down, Way::Both][self.below(3)];
        if self.relay == Some(Dialect::Own) && self.below(4) == 0 {
            return Fault::Lose { way };
        }
        if let Some(foreign) = self.foreign
            && self.below(2) == 0
        {
            return self.foreign_fault(foreign, ms, late_ms);
        }
        // Servers that are relays send no garbage, and are killed as services are.
        let kinds = if self.relay.is_some() { 9 } else { 14 };
        match self.random.upto(kinds) {
            0 | 1 => Fault::Cut { late_ms },
            2 => Fault::HalfOpen {
                ours_ms: self.random.upto(35_000),
                theirs_ms: self.random.upto(ms),
            },
            3 | 4 => Fault::Refuse { failure: Failure::Unreachable, ms },
            5 => {
                let retry_after_ms = self.random.upto(30_000);
                Fault::Refuse { failure: Failure::Busy { retry_after_ms }, ms }
            }
            6 => Fault::Refuse { failure: Failure::Unauthorized, ms },
            7 => Fault::Login { ms },
            8 => Fault::Freeze { way, ms },
            9 => Fault::Trickle { slow_ms: 200 + self.random.upto(2_800), ms },
            10 | 11 => {
                let garbage = Garbage::of(self.server);
                Fault::Litter(garbage[self.below(garbage.len())])
            }
            12 => Fault::Close { code: [1000, 1001, 1009, 1013, 4401][self.below(5)] },
            13 => self.sleep(),
            _ => {
                let back = [Return::Kept, Return::Older, Return::Empty][self.below(3)];
                Fault::KillServer { down_ms: ms, late_ms, back }
            }
        }
    }

    /// Something that befalls a link to a server of another kind.
    fn foreign_fault(&mut self, foreign: Foreign, ms: Millis, late_ms: Millis) -> Fault {
        let document = self.below(self.documents);
        match self.random.upto(5) {
            0 => Fault::Deny { document, ms },
            1 if matches!(foreign, Foreign::Hocuspocus(_)) => Fault::LetGo { document },
            1 | 2 => {
                let codes = [1000, 1011, 1013, 4205, 4401, 4403, 4408, 4500];
                Fault::Close { code: codes[self.below(codes.len())] }
            }
            3 => Fault::Cut { late_ms },
            _ => {
                let all = [Return::Kept, Return::Recent, Return::Older, Return::Empty];
                Fault::KillServer { down_ms: ms, late_ms, back: all[self.below(4)] }
            }
        }
    }

    /// A nap, a meeting, and now and then a night.
    fn sleep(&mut self) -> Fault {
        let ms = match self.random.upto(99) {
            0 => 8 * 3_600_000,
            1..=4 => 600_000,
            _ => [4_000, 20_000, 60_000][self.below(3)],
        };
        let ms = 500 + self.random.upto(ms - 500);
        let late_ms = [0, 2_000, 35_000][self.below(3)];
        let meanwhile = [Meanwhile::Kept, Meanwhile::Cut { late_ms }][self.below(2)];
        Fault::Suspend { ms, meanwhile }
    }
}
