//! `kill -9` at any moment: what anybody has received is there.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::ledger::{Account, Watcher, Writer, read};
use crate::program::{Program, command};
use crate::random::Random;
use crate::scale::scaled;
use crate::wait::now;

const SEED: u64 = 1;
const DOCUMENTS: usize = 3;
const WRITERS: usize = 2;
/// Of each writer: a thousand in all.
const BURST: usize = 167;
/// Then other documents are written, so that none grows without end.
const CYCLES_PER_DOCUMENT: usize = 10;

/// When, after the burst.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// As soon as others have all of it.
    AtOnce,
    /// While they write on; compactions are then under way.
    Later,
    /// While it stops.
    Stopping,
}

fn documents(cycle: usize) -> Vec<String> {
    let era = cycle / CYCLES_PER_DOCUMENT;
    (0..DOCUMENTS).map(|n| format!("{era}-{n}")).collect()
}

/// People write a thousand edits, others receive them, and the program is killed.
fn cycle(program: Program, number: usize, moment: Moment, random: &mut Random) -> Vec<Writer> {
    let documents = documents(number);
    let (relayed, all_relayed) = mpsc::channel();
    let ready = Barrier::new(DOCUMENTS * WRITERS);
    let address = program.address;
    thread::scope(|scope| {
        let people: Vec<_> = (documents.iter().zip(0_u64..))
            .map(|(document, n)| {
                let mut watcher = Watcher::join(address, document);
                let relayed = relayed.clone();
                let watching = scope.spawn(move || {
                    assert_eq!(watcher.watch(BURST * WRITERS), None);
                    relayed.send(()).unwrap();
                    watcher.watch(usize::MAX);
                    watcher.received
                });
                let writing = (0..WRITERS as u64).map(|writer| {
                    let id = (number as u64 * DOCUMENTS as u64 + n) * WRITERS as u64 + writer + 1;
                    let mut writer = Writer::join(address, document, id);
                    let ready = &ready;
                    scope.spawn(move || {
                        ready.wait();
                        for _ in 0..BURST {
                            writer.write();
                        }
                        writer.write_to_the_end(moment != Moment::AtOnce).0
                    })
                });
                (watching, writing.collect::<Vec<_>>())
            })
            .collect();
        for _ in &documents {
            all_relayed.recv().unwrap();
        }
        match moment {
            Moment::AtOnce => {}
            Moment::Later => random.pause(Duration::from_millis(60)),
            Moment::Stopping => {
                program.signal("TERM");
                random.pause(Duration::from_millis(40));
            }
        }
        program.kill();
        let mut writers = Vec::new();
        for (watching, writing) in people {
            let received: HashSet<Vec<u8>> = watching.join().unwrap();
            let of_document = writing.into_iter().map(|writer| writer.join().unwrap());
            writers.extend(of_document.map(|writer| writer.seen(&received)));
        }
        writers
    })
}

/// Kills it before it has said that it is ready.
fn false_start(directory: &Path, random: &mut Random) {
    let mut child = command(directory, &[]).spawn().unwrap();
    random.pause(Duration::from_millis(80));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Looks what is left of what they wrote, and lets them come back.
fn return_to(program: &Program, mut writers: Vec<Writer>) -> Vec<Account> {
    for of_document in writers.chunks_mut(WRITERS) {
        let found = read(program.address, &of_document[0].account.document);
        for writer in of_document {
            let lost = writer.account.clone().settle(&found);
            assert_eq!(lost, 0, "of what others had received: {:?}", writer.account);
            writer.return_to(program.address);
        }
    }
    writers.into_iter().map(|writer| writer.account).collect()
}

#[test]
fn nothing_that_anybody_received_is_lost_and_the_rest_comes_back_with_its_authors() {
    let directory = TempDir::new().unwrap();
    let mut random = Random(SEED);
    let (mut accounts, mut starts): (Vec<Account>, Vec<Duration>) = Default::default();
    let (mut acknowledged, mut relayed) = (0, [0; 3]);
    let mut last: Option<Vec<Writer>> = None;
    let cycles = scaled(20, 1000);
    for number in 0..=cycles {
        if random.below(3) == 0 {
            false_start(directory.path(), &mut random);
        }
        let start = now();
        let program = Program::start(directory.path(), &[]);
        starts.push(start.elapsed());
        if let Some(writers) = last.take() {
            accounts.extend(return_to(&program, writers));
        }
        if number == cycles {
            for account in &mut accounts {
                account.settle(&read(program.address, &account.document));
            }
            break;
        }
        let moment = [Moment::AtOnce, Moment::Later, Moment::Stopping][random.below(3)];
        let writers = cycle(program, number, moment, &mut random);
        for writer in &writers {
            acknowledged += writer.account.acknowledged;
            relayed[moment as usize] += writer.account.relayed;
        }
        last = Some(writers);
    }
    starts.sort_unstable();
    let ready = [starts[starts.len() / 2], starts[starts.len() - 1]];
    println!(
        "{cycles} kills: nothing is lost of {acknowledged} edits acknowledged, and nothing of"
    );
    println!(
        "those that others had received: {relayed:?} (a burst, more of it, a signal to stop);"
    );
    println!("ready after {ready:?} (median, most)");
}
