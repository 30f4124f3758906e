//! What stays on the heap when everybody has left: counted, and not seen from outside, where what
//! the allocator keeps for later hides it. Alone in its process, as whatever else ran would count.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../relay/client.rs"]
#[expect(dead_code, reason = "the tests of the relay use the rest")]
mod client;
#[path = "../relay/local.rs"]
#[expect(dead_code, reason = "the tests of the relay use the rest")]
mod local;
#[path = "../relay/server.rs"]
#[expect(dead_code, reason = "the tests of the relay use the rest")]
mod server;
#[path = "../relay/socket.rs"]
#[expect(dead_code, reason = "the tests of the relay use the rest")]
mod socket;
#[path = "../relay/wait.rs"]
mod wait;

use std::alloc::System;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tempfile::TempDir;
use yrelay::config::{Bounds, Config, Storage, Upstream};
use yrelay::status::Role;
use yrelay::target::Target;

use crate::client::{Client, present};
use crate::local::{Relay, config};
use crate::socket::Message;
use crate::wait::eventually;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const VISITS: usize = 800;
/// So many visit at a time.
const PEOPLE: usize = 8;
/// Documents, where there are not as many as visits.
const FEW: usize = 10;
/// Of one visit nothing stays. What little does for some seconds, as timers do, is no leak.
const VISIT_BYTES: usize = 128;
/// Of a stored document each relay keeps its name and how it stands.
const DOCUMENT_BYTES: usize = 256;

fn live() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Nobody's document stays in memory.
fn relay(role: Role, directory: &Path, upstream: Option<Upstream>) -> Relay {
    let storage = Storage::Directory(directory.into());
    let bounds = Bounds { idle_ms: 0, ..Bounds::default() };
    Relay::of(Config { role, storage, upstream, bounds, ..config() })
}

fn visit(address: SocketAddr, document: &str, number: u64) {
    let mut client = Client::synced(address, document, number);
    client.socket.binary(&present(1, 1));
    client.save("x");
    client.socket.close(1000);
    while !matches!(client.socket.read(), Message::Close(_) | Message::End) {}
}

/// Each of these documents is visited. Returns what there is once all have left memory.
fn visited(relays: &[Relay; 2], document: impl Fn(usize) -> String + Sync) -> usize {
    let addresses = relays.each_ref().map(Relay::address);
    thread::scope(|scope| {
        for person in 0..PEOPLE {
            let document = &document;
            scope.spawn(move || {
                for number in (person..VISITS).step_by(PEOPLE) {
                    visit(addresses[number / FEW % 2], &document(number), number as u64 + 1);
                }
            });
        }
    });
    for relay in relays {
        eventually("all have left memory", || relay.pages.metric("documents") == 0);
    }
    live()
}

#[test]
fn of_a_visit_nothing_stays_and_of_a_document_its_name() {
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let above = relay(Role::Serve, directories[0].path(), None);
    let url = format!("ws://{}", above.address());
    let upstream = Upstream::open(Target::parse(&url).unwrap());
    let below = relay(Role::Service, directories[1].path(), Some(upstream));
    below.pages.until_upstream_is("online");
    let relays = [above, below];
    let few = |number| format!("few-{}", number % FEW);
    visited(&relays, few);
    let before = visited(&relays, few);
    let after = visited(&relays, few);
    println!("{before} bytes; {after} after {VISITS} visits");
    eventually("a visit leaves nothing", || live() < before + VISITS * VISIT_BYTES);
    let before = live();
    let after = visited(&relays, |number| format!("new-{number}"));
    println!("{before} bytes; {after} after {VISITS} new documents");
    let most = before + VISITS * (VISIT_BYTES + relays.len() * DOCUMENT_BYTES);
    eventually("a document leaves its name", || live() < most);
}
