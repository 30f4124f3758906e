//! Carrying out the steps of a script.

use crate::client::Mood;
use crate::editor::Edit;
use crate::network::Event;
use crate::script::Step;
use crate::world::World;

impl World<'_> {
    pub(crate) fn step(&mut self, step: &Step) {
        if self.is_asleep(step) {
            return;
        }
        let net = &mut self.net;
        let now = net.now;
        match *step {
            Step::Edit { client, ref edit } => self.write(client, edit),
            Step::Burst { client, count } => {
                for nth in 0..count {
                    self.write(client, &Edit::Insert { at: nth * 7, len: 0 });
                }
            }
            Step::CutClient { client, late_ms } => {
                if let Some(end) = self.clients[client].end {
                    net.cut(end.connection, late_ms);
                }
            }
            Step::Lie { client, garbage } => self.clients[client].lie(net, garbage),
            Step::StallClient { client, ms } => {
                if let Some(end) = self.clients[client].end {
                    net.stall(end.other(), now + ms);
                }
            }
            Step::Leave { client } => self.clients[client].leave(net),
            Step::ComeBack { client } => self.clients[client].come_back(net),
            Step::Move { client, service } => self.clients[client].move_to(net, service),
            Step::Vanish { client } => self.clients[client].vanish(net),
            Step::Link { service, fault } => self.inflict(service, fault),
            Step::Crash { service, down_ms } => {
                self.services[service].crash(net);
                net.after(down_ms, Event::ServiceReturns(service));
            }
            Step::DiskFails { service, ms } => self.services[service].disk.fails_until = now + ms,
            Step::DiskLies { service, ms } => self.services[service].disk.lies_until = now + ms,
            Step::DiskSlow { service, ms } => self.services[service].disk.slow_until = now + ms,
            Step::LoadsFail { service, ms } => self.services[service].loads_fail_until = now + ms,
        }
    }

    /// Somebody writes, connected or not.
    fn write(&mut self, client: usize, edit: &Edit) {
        let client = &mut self.clients[client];
        if client.mood != Mood::Gone {
            self.edits += 1;
            client.edit(&mut self.net, edit);
        }
    }

    /// Whoever is to do this sleeps.
    fn is_asleep(&self, step: &Step) -> bool {
        let sleeps = |service: usize| self.services[service].sleep.until.is_some();
        let client = match step {
            Step::Move { service, .. } if sleeps(*service) => return true,
            Step::Move { client, .. }
            | Step::Edit { client, .. }
            | Step::Burst { client, .. }
            | Step::Lie { client, .. }
            | Step::Leave { client }
            | Step::ComeBack { client }
            | Step::Vanish { client } => *client,
            _ => return false,
        };
        sleeps(self.clients[client].service)
    }
}
