//! What the program takes of memory, seen from outside.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use yrelay_core::{link, wire};

use crate::client::{Client, Editor};
use crate::program::Program;
use crate::socket::{Message, Socket};
use crate::wait::{eventually, now};

const MIB: usize = 1 << 20;

impl Program {
    /// So much it has in memory now (`VmRSS`), or had at most (`VmHWM`).
    fn memory(&self, field: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<usize>().unwrap() << 10
    }
}

/// How much more the program takes at any time while `work` goes on.
fn growth(program: &Program, work: impl FnOnce()) -> usize {
    let before = program.memory("VmRSS");
    work();
    program.memory("VmHWM") - before
}

/// Sends what is to hurt; whoever survives it is answered.
fn throw(mut socket: Socket, bomb: &[u8]) {
    socket.binary(bomb);
    socket.binary(&[3]);
    loop {
        match socket.read() {
            Message::Binary(frame) if frame.first() != Some(&1) => {}
            _ => return,
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Small messages that promise a hundred million of something, or more.
fn bombs() -> Vec<Vec<u8>> {
    const COUNTS: [&str; 4] = ["80c2d72f", "ffffffff07", "ffffffff0f", "ffffffffffffff0f"];
    let updates = [
        "",                              // clients
        "01",                            // structs
        "00",                            // clients whose structs are deleted
        "00 01 01",                      // deleted ranges
        "01 01 01 00 00",                // clocks of what was collected
        "01 01 01 00 0a",                // clocks left out
        "01 01 01 00 01 01 01 74",       // clocks deleted
        "01 01 01 00 02 01 01 74",       // JSON texts
        "01 01 01 00 04 01 01 74",       // letters
        "01 01 01 00 03 01 01 74",       // bytes
        "01 01 01 00 08 01 01 74",       // values
        "01 01 01 00 08 01 01 74 01 75", // values in a value
        "01 01 01 00 08 01 01 74 01 76", // keys of one
        "01 01 01 00 08 01 01 74 01 77", // letters of one
        "01 01 01 00 08 01 01 74 01 74", // bytes of one
    ];
    let mut bombs = vec![[&hex("010101000801017401")[..], &b"\x75\x01".repeat(100_000)].concat()];
    for count in COUNTS {
        bombs.extend(updates.iter().map(|update| hex(&format!("{update} {count} 00 00"))));
    }
    let mut bombs: Vec<Vec<u8>> =
        bombs.iter().map(|update| wire::update(update).to_vec()).collect();
    for count in COUNTS.map(hex) {
        bombs.push(wire::sync_step1(&count).to_vec());
        bombs.push(wire::awareness(&count).to_vec());
        bombs.push(wire::awareness(&[&[1, 1, 1][..], &count].concat()).to_vec());
        for head in [&[0, 0][..], &[0, 1], &[0, 2], &[1], &[2], &[102]] {
            bombs.push([head, &count].concat());
        }
    }
    bombs
}

#[test]
fn what_promises_much_and_brings_little_costs_little() {
    let directory = TempDir::new().unwrap();
    let data_dir = directory.path().to_str().unwrap();
    let program = Program::serve(&["--data-dir", data_dir]);
    let mut good = Client::synced(program.address, "notes", 1);
    good.save("a");
    let grown = growth(&program, || {
        for bomb in bombs() {
            throw(Socket::connect(program.address, "/notes"), &bomb);
            for lines in ["", "Sec-WebSocket-Protocol: yrelay.1\r\n"] {
                let mut below = Socket::connect_with(program.address, "/", lines);
                below.binary(&[&link::prefix("notes")[..], &bomb].concat());
                below.binary(&bomb);
                below.close(1000);
                while !matches!(below.read(), Message::Close(_) | Message::End) {}
            }
        }
        // Messages of which nothing comes but their length.
        let announced: Vec<Socket> = (0..8).map(|_| announce(program.address)).collect();
        good.save("b");
        drop(announced);
    });
    assert!(grown < 32 * MIB, "{} KiB", grown >> 10);
    assert_eq!(Client::synced(program.address, "notes", 2).text(), "ab");
}

fn announce(address: SocketAddr) -> Socket {
    let mut socket = Socket::connect(address, "/notes");
    socket.announce(yrelay::limits::MESSAGE_BYTES_MAX as u64);
    socket
}

/// The last changes are kept for whoever returns: they, and not the buffers that they came in.
#[test]
fn what_is_kept_of_a_large_message_is_no_larger_than_itself() {
    let directory = TempDir::new().unwrap();
    let program = Program::start(directory.path(), &[]);
    let mut author = Client::synced(program.address, "notes", 1);
    let junk = [&[77][..], &vec![0; MIB]].concat();
    let grown = growth(&program, || {
        for _ in 0..64 {
            author.socket.binary(&junk);
            author.save("x");
            let message = wire::update(&author.editor.write("y"));
            author.socket.binary(&[&message[..], &junk].concat());
            author.receive(&message);
        }
    });
    assert!(grown < 32 * MIB, "{} KiB", grown >> 10);
}

/// Of a document that is passed on only nothing else is kept.
#[test]
fn who_does_not_read_costs_its_queue_and_no_more() {
    const FROZEN: usize = 4;
    let program = Program::serve(&["--broadcast-only"]);
    let grown = growth(&program, || {
        for number in 0..FROZEN {
            let path = format!("/secret{number}");
            let _frozen = Socket::connect(program.address, &path);
            let [mut author, mut other] = [(); 2].map(|()| Socket::connect(program.address, &path));
            let count = number as u64 + 1;
            while program.pages().metric("rejected_total{reason=\"too_slow\"}") < count {
                author.binary(&vec![b'x'; 256 << 10]);
                assert!(matches!(other.read(), Message::Binary(_)), "it is held up");
            }
            std::mem::forget(_frozen);
        }
    });
    assert!(grown < FROZEN * 8 * MIB, "{} KiB", grown >> 10);
}

const DOCUMENTS: usize = 10_000;
const DOCUMENT_BYTES: usize = 4 << 10;

fn with_little_memory(directory: &TempDir) -> Program {
    let data_dir = directory.path().to_str().unwrap();
    Program::serve(&["--data-dir", data_dir, "--memory", "16MiB", "--idle", "1d"])
}

/// So many of them fit into that memory, and some more.
fn few_are_left(program: &Program) -> bool {
    program.pages().metric("documents") < 3_000
}

#[test]
fn documents_touched_once_do_not_stay() {
    let directory = TempDir::new().unwrap();
    let program = with_little_memory(&directory);
    let mut below = Socket::connect(program.address, "/");
    let update = wire::update(&Editor::new(1).write(&"x".repeat(DOCUMENT_BYTES)));
    let grown = growth(&program, || {
        for name in 0..DOCUMENTS {
            below.binary(&[&link::prefix(&name.to_string())[..], &update].concat());
        }
        let received = || program.pages().metric("received_messages_total");
        eventually("all have come", || received() == DOCUMENTS as u64);
        eventually("they leave", || few_are_left(&program));
    });
    println!("{DOCUMENTS} documents written: {} KiB", grown >> 10);
    // What came while its document was being loaded is not in the store's hands before that.
    eventually("all are saved", || {
        let documents = program.pages().documents();
        documents.len() == DOCUMENTS && documents.iter().all(|document| document["saved"] == true)
    });
    program.kill();

    let program = with_little_memory(&directory);
    let mut below = Socket::connect(program.address, "/");
    let grown = growth(&program, || {
        for name in 0..DOCUMENTS {
            let prefix = link::prefix(&name.to_string());
            below.binary(&[&prefix[..], &wire::sync_step1(&[0])].concat());
            loop {
                let Message::Binary(frame) = below.read() else { panic!("the link has ended") };
                if frame.starts_with(&prefix) && frame.len() > DOCUMENT_BYTES {
                    break;
                }
            }
        }
    });
    println!("{DOCUMENTS} documents read: {} KiB", grown >> 10);
    assert!(grown < 48 * MIB, "{} KiB", grown >> 10);
    eventually("they leave", || few_are_left(&program));
}

/// Half of all messages arrive within the first of these, 99 of 100 within the second.
fn percentiles(mut took: Vec<Duration>) -> (Duration, Duration) {
    took.sort();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

/// How long it takes from one to the other, many times.
fn latencies(program: &Program) -> (Duration, Duration) {
    let [mut author, mut other] = [(); 2].map(|()| Socket::connect(program.address, "/secret"));
    let frame = vec![b'x'; 4 << 10];
    let took = (0..5_000).map(|_| {
        let start = now();
        author.binary(&frame);
        assert!(matches!(other.read(), Message::Binary(_)));
        start.elapsed()
    });
    percentiles(took.collect())
}

/// Whether figures are wanted. They are no bounds: what else goes on on a machine would break them.
fn is_measured() -> bool {
    std::env::var_os("YRELAY_LONG").is_some_and(|long| long == "1")
}

#[test]
fn how_much_those_who_do_not_read_delay_others() {
    if !is_measured() {
        return;
    }
    let run = |count: usize| {
        let program = Program::serve(&["--broadcast-only"]);
        let frozen: Vec<Socket> =
            (0..count).map(|_| Socket::connect(program.address, "/secret")).collect();
        let (half, most) = latencies(&program);
        let sent_away = program.pages().metric("rejected_total{reason=\"too_slow\"}");
        let memory = program.memory("VmHWM") >> 10;
        println!(
            "{count:2} frozen: p50 {half:?}, p99 {most:?}; {sent_away} sent away; {memory} KiB"
        );
        drop(frozen);
    };
    run(0); // warms up
    for frozen in [0, 1, 10, 0, 1, 10] {
        run(frozen);
    }
}

#[test]
fn how_much_a_connection_and_a_document_take() {
    if !is_measured() {
        return;
    }
    const COUNT: usize = 500;
    let directory = TempDir::new().unwrap();
    let program = Program::start(directory.path(), &["--idle", "1d"]);
    let before = program.memory("VmRSS");
    let same: Vec<Socket> = (0..COUNT).map(|_| Socket::connect(program.address, "/one")).collect();
    let connections = program.memory("VmRSS") - before;
    drop(same);
    let before = program.memory("VmRSS");
    let open: Vec<Client> = (0..COUNT)
        .map(|number| {
            let mut client = Client::synced(program.address, &number.to_string(), 1);
            client.save("x");
            client
        })
        .collect();
    let both = program.memory("VmRSS") - before;
    drop(open);
    println!(
        "{} bytes a connection; {} with a document of its own",
        connections / COUNT,
        both / COUNT
    );
}
