//! What can befall the link of a service.

use yrelay_core::Millis;
use yrelay_core::upstream::Failure;

use crate::garbage::Garbage;
use crate::network::{End, Event};
use crate::server::{self, Return};
use crate::service::{Refusal, Timer};
use crate::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection breaks; each side notices within that time.
    Cut { late_ms: Millis },
    /// The connection breaks; we and the server notice after these times.
    HalfOpen { ours_ms: Millis, theirs_ms: Millis },
    /// Nothing moves for a while, then all goes on.
    Freeze { way: Way, ms: Millis },
    /// For a while every message takes up to so long to leave and to arrive.
    Trickle { slow_ms: Millis, ms: Millis },
    /// The server sends what no server should.
    Litter(Garbage),
    /// The server closes the connection.
    Close { code: u16 },
    /// The connection breaks and for a while none is let in.
    Refuse { failure: Failure, ms: Millis },
    /// The login is refused, until after a while there is another one.
    Login { ms: Millis },
    /// The services notice within that time.
    KillServer { down_ms: Millis, late_ms: Millis, back: Return },
    /// A frame gets lost, as no sound network loses one.
    Lose { way: Way },
    /// The server lets nobody into a document for a while.
    Deny { document: usize, ms: Millis },
    /// It closes a document that goes over a connection with others.
    LetGo { document: usize },
    /// The machine sleeps, with the clients on it.
    Suspend { ms: Millis, meanwhile: Meanwhile },
}

/// A direction of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
    Both,
}

/// What becomes of the connection while one side sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    Kept,
    /// It is cut, and the server notices within that time.
    Cut {
        late_ms: Millis,
    },
}

impl World<'_> {
    pub(crate) fn inflict(&mut self, service: usize, fault: Fault) {
        let ends = self.struck(service, fault);
        let net = &mut self.net;
        let now = net.now;
        match fault {
            Fault::Cut { late_ms } => {
                ends.iter().for_each(|end| net.cut(end.connection, late_ms));
            }
            Fault::HalfOpen { ours_ms, theirs_ms } => {
                ends.iter().for_each(|end| net.sever(end.connection, [ours_ms, theirs_ms]));
            }
            Fault::Freeze { way, ms } => {
                for end in ends {
                    if way != Way::Down {
                        net.stall(end, now + ms);
                    }
                    if way != Way::Up {
                        net.stall(end.other(), now + ms);
                    }
                }
            }
            Fault::Trickle { slow_ms, ms } => {
                for end in ends {
                    net.slow(end.connection, Some(slow_ms));
                    net.after(ms, Event::Speeds(end.connection));
                }
            }
            Fault::Litter(garbage) => self.litter(service, garbage),
            Fault::Close { code } => {
                for end in ends {
                    match &mut self.server {
                        Some(server) => server.kick(net, end.other(), code),
                        None => net.hang_up(end.other(), code),
                    }
                }
            }
            Fault::Refuse { failure, ms } => {
                self.services[service].refusal = Some(Refusal { failure, until: now + ms });
                ends.iter().for_each(|end| net.cut(end.connection, 1_000));
            }
            Fault::Login { ms } => {
                let refusal = Refusal { failure: Failure::Unauthorized, until: now + ms };
                self.services[service].refusal = Some(refusal);
                net.after(ms, Event::LoginChanges(service));
                self.inflict(service, Fault::Close { code: 4401 });
            }
            Fault::KillServer { down_ms, late_ms, back } => {
                if let Some(server) = &mut self.server {
                    server.kill(net, back, late_ms);
                    net.after(down_ms, Event::ServerReturns);
                }
            }
            Fault::Lose { way } => {
                for end in ends {
                    let to = if way == Way::Up { end.other() } else { end };
                    net.lose(to);
                }
            }
            Fault::Deny { document, ms } => {
                if let Some(server) = &mut self.server {
                    server.deny(net, self.documents[document].to_encoded(), now + ms);
                }
            }
            Fault::LetGo { document } => self.let_go(&ends, document),
            Fault::Suspend { ms, meanwhile } => self.suspend(service, ms, meanwhile),
        }
    }

    fn let_go(&mut self, ends: &[End], document: usize) {
        let name = self.documents[document].to_encoded();
        for end in ends {
            if let Some(server) = &mut self.server {
                server.let_go(&mut self.net, end.other(), &name);
            }
        }
    }

    /// Our ends of the connections that a fault strikes: where each document has its own, all or
    /// any one of them.
    fn struck(&mut self, service: usize, fault: Fault) -> Vec<End> {
        let ends = self.services[service].ends_up();
        let strikes_all = matches!(fault, Fault::Refuse { .. } | Fault::Login { .. });
        if ends.len() < 2 || strikes_all || self.net.random.upto(1) == 0 {
            return ends;
        }
        let at = self.net.random.upto(ends.len() as u64 - 1) as usize;
        vec![ends[at]]
    }

    /// The server sends garbage, about a document that is in memory there if one is.
    fn litter(&mut self, service: usize, garbage: Garbage) {
        if self.services[service].has_lines() {
            for end in self.services[service].ends_up() {
                self.net.litter(end.other(), garbage.message());
            }
            return;
        }
        let Some(end) = self.services[service].link() else { return };
        let id = &self.documents[self.net.random.upto(self.documents.len() as u64 - 1) as usize];
        self.net.note(|| format!("the server sends {garbage:?} to service {service}"));
        let dialect = self.services[service].dialect();
        self.net.litter(end.other(), garbage.frame(dialect, &id.to_encoded()));
    }

    pub(crate) fn server_timer(&mut self, timer: server::Timer) {
        let Some(server) = &mut self.server else { return };
        match timer {
            server::Timer::Loaded(name) => server.loaded(&mut self.net, &name),
            server::Timer::Entered(end, name) => server.entered(&mut self.net, end, &name),
            server::Timer::Closed(end, name) => server.closed(&mut self.net, end, &name),
            server::Timer::Announce(name, id) => server.announce(&mut self.net, &name, id),
            server::Timer::Look(end) => server.look(&mut self.net, end),
        }
    }

    /// There is another login.
    pub(crate) fn change_login(&mut self, number: usize) {
        let service = &mut self.services[number];
        let refused = |refusal: &Refusal| refusal.failure == Failure::Unauthorized;
        service.refusal.take_if(|refusal| refused(refusal));
        if service.memory.is_some() {
            service.timer(&mut self.net, Timer::Login);
        }
    }
}
