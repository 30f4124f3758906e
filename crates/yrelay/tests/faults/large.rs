//! A large store is as soon ready as a small one, also after `kill -9`.

use tempfile::TempDir;

use crate::client::Client;
use crate::program::Program;
use crate::scale::scaled;
use crate::wait::now;

const DOCUMENT_BYTES: usize = 1 << 20;

#[test]
fn a_large_store_is_there_after_a_kill() {
    let directory = TempDir::new().unwrap();
    let program = Program::start(directory.path(), &[]);
    let documents = scaled(16, 1_000);
    let text = "0123456789abcdef".repeat(DOCUMENT_BYTES / 16);
    for number in 0..documents {
        Client::synced(program.address, &number.to_string(), 1).save(&text);
    }
    // With something in the log that has to be looked through.
    let mut last = Client::synced(program.address, "last", 1);
    last.save("saved");
    last.write(", and on its way");
    program.kill();
    let file = directory.path().join("yrelay.db");
    let bytes = std::fs::metadata(file).unwrap().len();
    let start = now();
    let program = Program::start(directory.path(), &[]);
    let ready = start.elapsed();
    let start = now();
    assert_eq!(Client::synced(program.address, "0", 2).text(), text);
    let first = start.elapsed();
    assert!(Client::synced(program.address, "last", 2).text().starts_with("saved"));
    let last = (documents - 1).to_string();
    assert_eq!(Client::synced(program.address, &last, 2).text(), text);
    println!(
        "{} MiB: ready after {ready:?}, a document of 1 MiB after {first:?} more",
        bytes >> 20
    );
}
