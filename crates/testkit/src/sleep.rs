//! Machines that sleep: nothing runs on them, and their monotonic clock stands still.

use yrelay_core::Millis;

use crate::client::Timer;
use crate::fault::Meanwhile;
use crate::network::{DEAD_MS, Event, Network, Party};
use crate::service::{self, Service};
use crate::world::World;

/// Time that is lost in a larger piece than this was slept.
const JUMP_MS: Millis = 5_000;
/// So often the clocks are compared.
const LOOK_MS: Millis = 2_000;

/// Whether a machine sleeps, and how much it has slept.
#[derive(Debug, Default)]
pub(crate) struct Sleep {
    /// In the network's time.
    pub(crate) since: Millis,
    pub(crate) until: Option<Millis>,
    slept_ms: Millis,
    /// When it last woke.
    pub(crate) woke_at: Millis,
    /// When its relay is to have noticed that it slept long.
    noticed_at: Option<Millis>,
}

impl Service {
    /// What its monotonic clock shows.
    pub(crate) fn now(&self, net: &Network) -> Millis {
        net.now - self.sleep.slept_ms
    }

    /// A time of that clock in the network's time.
    pub(crate) fn in_net_time(&self, at: Millis) -> Millis {
        at.saturating_add(self.sleep.slept_ms)
    }
}

impl Sleep {
    /// Connections are to be younger than this.
    pub(crate) fn anew_since(&self, now: Millis) -> Option<Millis> {
        self.noticed_at.filter(|at| now >= *at).map(|_| self.woke_at)
    }
}

impl World<'_> {
    /// A machine falls asleep, with all that runs on it.
    pub(crate) fn suspend(&mut self, number: usize, ms: Millis, meanwhile: Meanwhile) {
        let service = &mut self.services[number];
        let now = self.net.now;
        if service.sleep.until.is_some() || ms == 0 {
            return;
        }
        if let Meanwhile::Cut { late_ms } = meanwhile {
            for end in service.ends_up() {
                // We notice when we ask, long after: unless somebody looks at the clock.
                let ours_ms = ms + self.net.random.upto(DEAD_MS);
                let theirs_ms = self.net.random.upto(late_ms);
                self.net.sever(end.connection, [ours_ms, theirs_ms]);
            }
        }
        service.sleep.since = now;
        service.sleep.until = Some(now + ms);
        let homes: Vec<usize> = self.clients.iter().map(|client| client.service).collect();
        self.net.postpone(ms, |event| match event {
            Event::Client(client, _) => homes[*client] == number,
            Event::Service(service, ..) => *service == number,
            _ => false,
        });
        self.net.at(now + ms, Event::Wakes(number));
    }

    pub(crate) fn wake(&mut self, number: usize) {
        let service = &mut self.services[number];
        let ms = self.net.now - service.sleep.since;
        service.sleep.until = None;
        service.sleep.slept_ms += ms;
        service.sleep.woke_at = self.net.now;
        service.sleep.noticed_at = None;
        if service.memory.is_some() && ms > JUMP_MS {
            service.sleep.noticed_at = Some(self.net.now + LOOK_MS + 1);
            let wait = self.net.random.upto(LOOK_MS);
            service.after(&mut self.net, wait, service::Timer::Woke);
        }
    }

    /// Until when whoever this concerns sleeps.
    pub(crate) fn sleeps_until(&self, event: &Event) -> Option<Millis> {
        let machine = |party| match party {
            Party::Client(client) => Some(self.clients[client].service),
            Party::Service(service) => Some(service),
            Party::Server => None,
        };
        let service = match event {
            Event::Packet(end) | Event::Room(end) => machine(self.net.party(*end))?,
            Event::Client(client, Timer::Connect | Timer::Check) => self.clients[*client].service,
            Event::Service(service, ..) => *service,
            Event::ServiceReturns(service) | Event::LoginChanges(service) => *service,
            Event::Server(_)
            | Event::ServerReturns
            | Event::Step(_)
            | Event::Wakes(_)
            | Event::Speeds(_) => {
                return None;
            }
        };
        self.services[service].sleep.until
    }

    /// Until when somebody sleeps.
    pub(crate) fn last_waking(&self) -> Option<Millis> {
        self.services.iter().filter_map(|service| service.sleep.until).max()
    }
}
