//! Asked to end while people write: soon, well, and nothing that anybody has seen is lost.

use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::ledger::{Account, Watcher, Writer, read};
use crate::program::Program;
use crate::random::Random;
use crate::scale::scaled;
use crate::signals::signals;
use crate::socket::Message;
use crate::wait::now;

const SEED: u64 = 2;
const DOCUMENTS: [&str; 3] = ["a", "b", "c"];
/// Each document is watched until so much of it was seen; then the writers go on.
const SEEN: usize = 100;
const PROMISE: Duration = Duration::from_secs(5);

/// How it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Once,
    /// The second time says that there is no time.
    Twice,
}

/// People write until it has ended; how long that took.
fn cycle(
    program: Program,
    number: u64,
    asked: Asked,
    random: &mut Random,
) -> (Vec<Account>, Duration) {
    let is_good = |end: &Message| match asked {
        Asked::Once => *end == Message::Close(1001),
        Asked::Twice => matches!(end, Message::Close(1001) | Message::End),
    };
    let (seen, all_seen) = mpsc::channel();
    let ready = Barrier::new(DOCUMENTS.len());
    let address = program.address;
    thread::scope(|scope| {
        let people = [0, 1, 2].map(|n| {
            let document = &format!("{}-{number}", DOCUMENTS[n]);
            let mut watcher = Watcher::join(address, document);
            let writer = Writer::join(address, document, number * 10 + n as u64 + 1);
            let (seen, ready) = (seen.clone(), &ready);
            let watching = scope.spawn(move || {
                assert_eq!(watcher.watch(SEEN), None);
                seen.send(()).unwrap();
                let end = watcher.watch(usize::MAX);
                assert!(end.as_ref().is_some_and(is_good), "{end:?}");
                watcher.socket.close(1001);
                watcher.received
            });
            let writing = scope.spawn(move || {
                ready.wait();
                let (mut writer, end) = writer.write_to_the_end(true);
                assert!(is_good(&end), "{end:?}");
                writer.socket.close(1001);
                writer
            });
            (watching, writing)
        });
        for _ in DOCUMENTS {
            all_seen.recv().unwrap();
        }
        random.pause(Duration::from_millis(30));
        let start = now();
        let signals = signals();
        program.signal(signals[random.below(signals.len())]);
        if asked == Asked::Twice {
            random.pause(Duration::from_millis(20));
            program.signal("TERM");
        }
        let code = program.code();
        assert!(code == Some(0) || asked == Asked::Twice && code == Some(130), "{code:?}");
        let took = start.elapsed();
        let accounts = people.map(|(watching, writing)| {
            let received = watching.join().unwrap();
            writing.join().unwrap().seen(&received).account
        });
        (accounts.into(), took)
    })
}

#[test]
fn whenever_it_is_asked_to_end_it_ends_soon_and_has_kept_what_anybody_saw() {
    let directory = TempDir::new().unwrap();
    let mut random = Random(SEED);
    let mut last: (Asked, Vec<Account>) = (Asked::Once, Vec::new());
    let (mut relayed, mut longest) = (0, Duration::ZERO);
    let cycles = scaled(20, 500);
    for number in 0..=cycles {
        let program = Program::start(directory.path(), &[]);
        let (asked, accounts) = &mut last;
        for account in accounts {
            let lost = account.settle(&read(program.address, &account.document));
            assert!(lost == 0 || *asked == Asked::Twice, "others have received more than it kept");
        }
        if number == cycles {
            break;
        }
        let asked = if random.below(4) == 0 { Asked::Twice } else { Asked::Once };
        let (accounts, took) = cycle(program, number, asked, &mut random);
        assert!(took < PROMISE, "{took:?}");
        longest = longest.max(took);
        if asked == Asked::Once {
            relayed += accounts.iter().map(|account| account.relayed).sum::<usize>();
        }
        last = (asked, accounts);
    }
    println!(
        "{cycles} ends under load: of {relayed} edits relayed before one signal none is lost, of"
    );
    println!("those acknowledged before two none; it takes {longest:?} at most");
}
