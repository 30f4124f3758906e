//! People come and go for long, some without a word, and the way up breaks again and again:
//! nothing is lost, nobody stays who has gone, and nothing grows.
#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tempfile::TempDir;
use yrelay_core::decode::put_varuint;
use yrelay_core::wire;

use crate::ledger::{Account, Writer, read};
use crate::process::{Vitals, slope};
use crate::program::Program;
use crate::proxy::Proxy;
use crate::random::Random;
use crate::scale::{is_long, scaled, soak};
use crate::socket::{Message, Socket};
use crate::wait::{now, within};

const SEED: u64 = 4;
/// At any time; then others are opened, so that none grows without end.
const DOCUMENTS: usize = 20;
const ERA: Duration = Duration::from_secs(60);
/// What one visit may write.
const EDITS: usize = 16;
/// How far memory may have grown in the second half of the time, as pages are kept and given back.
const GROWTH_KIB: u64 = 16 << 10;
/// A link that is dead is found after 35 s, and who was behind it is gone 10 s later.
const PATIENCE: Duration = Duration::from_secs(60);
/// A page being read, a document being loaded.
const FEW: usize = 8;

fn document(era: u64, number: usize) -> String {
    format!("{era}-{number}")
}

/// Comes, is present, writes a little, and goes in one of the ways in which people go.
fn visit(address: SocketAddr, document: &str, id: u64, random: &mut Random) -> Account {
    let mut writer = Writer::join(address, document, id);
    writer.socket.binary(&present(id));
    for _ in 0..random.below(EDITS) {
        writer.write();
        writer.until_acknowledged();
        random.pause(scaled(Duration::from_millis(200), Duration::from_secs(4)));
    }
    match random.below(4) {
        0 => {
            writer.socket.close(1000);
            while !matches!(writer.socket.read(), Message::Close(_) | Message::End) {}
        }
        1 => drop(writer.socket.stream.shutdown(std::net::Shutdown::Both)),
        2 => {
            // It is frozen, and then killed.
            random.pause(scaled(Duration::from_secs(1), Duration::from_secs(30)));
        }
        _ => {
            // It is killed while something for it is still unread.
            writer.write();
            let socket = SockRef::from(&writer.socket.stream);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    writer.account
}

fn present(id: u64) -> Vec<u8> {
    let mut entry = vec![1];
    put_varuint(&mut entry, id);
    entry.extend(b"\x01\x02{}");
    wire::awareness(&entry).into()
}

/// Nobody is present in a document.
fn is_deserted(address: SocketAddr, document: &str) -> bool {
    let mut socket = Socket::connect(address, &format!("/{document}"));
    socket.binary(&[3]);
    loop {
        match socket.read() {
            Message::Binary(frame) if frame[0] == 1 => return frame == wire::KEEP_ALIVE,
            Message::Binary(_) => {}
            end => panic!("{end:?}"),
        }
    }
}

/// What happens to the way up, as long as it takes.
fn trouble(proxy: &Proxy, random: &mut Random) {
    let long = scaled(Duration::from_millis(500), Duration::from_secs(20));
    random.pause(long);
    match random.below(scaled(3, 4)) {
        0 => proxy.cut(),
        1 => {
            proxy.refuse(true);
            proxy.cut();
            random.pause(long);
            proxy.refuse(false);
        }
        2 => {
            proxy.freeze();
            random.pause(long);
            proxy.thaw();
        }
        _ => proxy.strand(),
    }
}

fn documents(eras: RangeInclusive<u64>) -> impl Iterator<Item = String> {
    eras.flat_map(|era| (0..DOCUMENTS).map(move |number| document(era, number)))
}

fn era(start: Instant) -> u64 {
    start.elapsed().as_secs() / ERA.as_secs()
}

/// A service, a server above it, and the way between them.
struct Site {
    programs: [Program; 2],
    proxy: Proxy,
}

impl Site {
    fn start(directories: &[TempDir; 2]) -> Self {
        let above = Program::serve(&["--data-dir", directories[1].path().to_str().unwrap()]);
        let proxy = Proxy::start(above.address.port());
        let relay = Program::start(directories[0].path(), &["-s", &proxy.url()]);
        relay.pages().until_upstream_is("online");
        Self { programs: [relay, above], proxy }
    }

    fn vitals(&self) -> [Vitals; 2] {
        self.programs.each_ref().map(|program| Vitals::of(program.pid()))
    }

    /// People come and go for so long. Returns what they were told.
    fn live(&self, people: usize, (start, end): (Instant, Duration)) -> Vec<Account> {
        let ids = AtomicU64::new(1);
        let person = |number: usize| {
            // One in four is a client of the server above.
            let address = self.programs[usize::from(number.is_multiple_of(4))].address;
            let mut random = Random(SEED << 32 | number as u64);
            let mut accounts = Vec::new();
            while start.elapsed() < end {
                let document = document(era(start), random.below(DOCUMENTS));
                let id = ids.fetch_add(1, Ordering::Relaxed);
                accounts.push(visit(address, &document, id, &mut random));
            }
            accounts
        };
        thread::scope(|scope| {
            let person = &person;
            let people = (0..people).map(|number| scope.spawn(move || person(number)));
            let people: Vec<_> = people.collect();
            let mut random = Random(SEED);
            while start.elapsed() < end {
                trouble(&self.proxy, &mut random);
            }
            people.into_iter().flat_map(|person| person.join().unwrap()).collect()
        })
    }

    /// Without dead links nobody has to wait until those who are gone expire.
    fn is_deserted_in(&self, eras: RangeInclusive<u64>) {
        let patience = scaled(Duration::from_secs(20), PATIENCE);
        for program in &self.programs {
            for document in documents(eras.clone()) {
                let what = format!("{document} is deserted");
                within(patience, &what, || is_deserted(program.address, &document));
            }
        }
    }

    fn has_kept(&self, accounts: &mut [Account], eras: RangeInclusive<u64>) {
        let pages = self.programs[0].pages();
        let settled = || pages.documents().iter().all(|document| document["synced"] == true);
        within(PATIENCE, "all has gone up", settled);
        for program in &self.programs {
            for document in documents(eras.clone()) {
                let found = read(program.address, &document);
                for account in accounts.iter_mut().filter(|account| account.document == document) {
                    account.settle(&found);
                }
            }
        }
    }
}

#[test]
fn people_come_and_go_and_nothing_grows() {
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let site = Site::start(&directories);
    let at_rest = site.vitals();
    let people = scaled(20, 200);
    let (start, end) = (now(), soak());
    let (mut accounts, samples) = thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut samples = Vec::new();
            while start.elapsed() < end {
                samples.push((start.elapsed(), site.vitals()));
                thread::park_timeout(end / 200);
            }
            samples
        });
        (site.live(people, (start, end)), watching.join().unwrap())
    });
    let visits = accounts.len();
    let edits: usize = accounts.iter().map(|account| account.acknowledged).sum();
    let last = era(start);
    site.is_deserted_in(last.saturating_sub(1)..=last);
    site.has_kept(&mut accounts, 0..=last);
    println!("{visits} visits in {end:?}, {edits} edits acknowledged and none lost, no ghosts");
    for (n, name) in ["service", "serve"].iter().enumerate() {
        let at_rest = at_rest[n].descriptors;
        within(PATIENCE, "what was opened is closed", || {
            site.vitals()[n].descriptors <= at_rest + FEW
        });
        let most = samples.iter().map(|(_, vitals)| vitals[n].descriptors).max().unwrap();
        assert!(most <= at_rest + people + FEW, "{most} descriptors");
        let memory: Vec<_> = samples.iter().map(|(at, vitals)| (*at, vitals[n].kib)).collect();
        let [third, last] = quarters(&memory);
        let slope = slope(&memory[memory.len() / 2..]) / 1024.0;
        println!(
            "{name}: descriptors at most {most}, at rest {at_rest}; memory {third} KiB in the third \
             quarter and {last} KiB in the last, {slope:.1} MiB/h"
        );
        assert!(!is_long() || last < third + GROWTH_KIB, "it grows: {memory:?}");
    }
}

/// The medians of the third and the last quarter.
fn quarters(memory: &[(Duration, u64)]) -> [u64; 2] {
    let length = memory.len();
    [length / 2..length * 3 / 4, length * 3 / 4..length].map(|range| {
        let mut quarter: Vec<_> = memory[range].iter().map(|(_, kib)| *kib).collect();
        quarter.sort_unstable();
        quarter[quarter.len() / 2]
    })
}
