//! What is acknowledged is on the disk, and stays there.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::client::Client;
use crate::local::Relay;
use crate::program::{Program, start_error};
use crate::wait::eventually;

/// The relay's own file, as another program opens it.
pub(crate) fn database(directory: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(directory.join("yrelay.db"), flags).unwrap()
}

/// A directory in which the store's log takes nothing: all is up to the database.
#[cfg(target_os = "linux")]
fn without_log() -> TempDir {
    let directory = TempDir::new().unwrap();
    for log in ["yrelay.db-tail0", "yrelay.db-tail1"] {
        std::os::unix::fs::symlink("/dev/full", directory.path().join(log)).unwrap();
    }
    directory
}

#[test]
fn the_log_saves_while_the_database_cannot() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::alone(directory.path());
    let mut author = Client::synced(relay.address(), "notes", 1);
    author.save("a");
    let disk = database(directory.path());
    disk.execute_batch("BEGIN IMMEDIATE").unwrap();
    author.save("b");
    assert!(relay.pages.metric("syncs_total") > 1);
    assert_eq!(relay.pages.document("notes")["saved"], true);
    assert_eq!(relay.pages.metric("unsaved_bytes"), 0);
    disk.execute_batch("ROLLBACK").unwrap();
    drop((author, relay));
    assert_eq!(Relay::alone(directory.path()).handle.stored, 1);
}

#[test]
#[cfg(target_os = "linux")]
fn others_get_an_update_at_once_and_its_author_once_it_is_on_the_disk() {
    let directory = without_log();
    let relay = Relay::alone(directory.path());
    let mut author = Client::synced(relay.address(), "notes", 1);
    let mut other = Client::synced(relay.address(), "notes", 2);
    author.save("a");
    let disk = database(directory.path());
    disk.execute_batch("BEGIN IMMEDIATE").unwrap();
    let message = author.write("b");
    other.read_until("ab");
    assert_eq!(author.sent_so_far(), Vec::<Vec<u8>>::new());
    let document = relay.pages.document("notes");
    assert_eq!((&document["saved"], &document["synced"]), (&false.into(), &false.into()));
    assert!(relay.pages.metric("unsaved_bytes") > 0);
    disk.execute_batch("ROLLBACK").unwrap();
    author.receive(&message);
    let stored = disk
        .query_row("SELECT bytes FROM updates WHERE seq = 2", [], |row| row.get::<_, Vec<u8>>(0));
    assert_eq!(stored.unwrap(), message[3..]);
    assert_eq!(relay.pages.document("notes")["saved"], true);
    assert_eq!(relay.pages.metric("unsaved_bytes"), 0);
}

#[test]
#[cfg(target_os = "linux")]
fn who_writes_much_at_once_is_told_of_all_of_it() {
    let directory = without_log();
    let relay = Relay::alone(directory.path());
    let mut author = Client::synced(relay.address(), "notes", 1);
    let mut other = Client::synced(relay.address(), "notes", 2);
    let disk = database(directory.path());
    disk.execute_batch("BEGIN IMMEDIATE").unwrap();
    let messages: Vec<_> = (0..3_000).map(|_| author.write("x")).collect();
    eventually("all of it is there", || {
        relay.pages.metric("received_messages_total") > messages.len() as u64 + 1
    });
    disk.execute_batch("ROLLBACK").unwrap();
    for message in messages {
        author.receive(&message);
    }
    other.read_until(&author.text());
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_takes_nothing_is_shown_and_is_tried_again() {
    let directory = without_log();
    let relay = Relay::alone(directory.path());
    let mut author = Client::synced(relay.address(), "notes", 1);
    let mut other = Client::synced(relay.address(), "notes", 2);
    let disk = database(directory.path());
    disk.execute_batch("BEGIN IMMEDIATE").unwrap();
    let message = author.write("a");
    eventually("it fails", || relay.pages.document("notes")["unsaved"] == true);
    assert_eq!(relay.pages.metric("unsaved_documents"), 1);
    other.read_until("a");
    assert_eq!(author.sent_so_far(), Vec::<Vec<u8>>::new());
    disk.execute_batch("ROLLBACK").unwrap();
    author.receive(&message);
    assert_eq!(relay.pages.document("notes")["unsaved"], false);
    assert_eq!(relay.pages.metric("unsaved_documents"), 0);
}

#[test]
fn what_was_acknowledged_is_there_after_a_stop_and_a_start() {
    let directory = TempDir::new().unwrap();
    {
        let relay = Relay::alone(directory.path());
        assert_eq!(relay.handle.stored, 0);
        Client::synced(relay.address(), "notes", 1).save("one");
        Client::synced(relay.address(), "a%20b/%C3%BC", 2).save("two");
    }
    let relay = Relay::alone(directory.path());
    assert_eq!(relay.handle.stored, 2);
    let shelved = relay.pages.document("a b/\u{fc}");
    assert_eq!((&shelved["saved"], &shelved["clients"]), (&true.into(), &0.into()));
    for (document, text) in [("notes", "one"), ("a%20b/%c3%bc", "two"), ("new", "")] {
        assert_eq!(Client::synced(relay.address(), document, 3).text(), text);
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let directory = TempDir::new().unwrap();
    let mut written = String::new();
    for round in 0..10 {
        let program = Program::start(directory.path(), &[]);
        let mut author = Client::synced(program.address, "notes", 100 + round);
        let mut other = Client::synced(program.address, "notes", 200 + round);
        assert!(author.text().starts_with(&written), "round {round}: lost what was acknowledged");
        let before = author.text();
        let (mut sent, mut acknowledged) = (0, 0);
        // The more rounds, the deeper into a stream of updates the kill comes.
        while acknowledged < 1 + 13 * round {
            while sent < acknowledged + 20 {
                author.write("x");
                sent += 1;
            }
            let echo = author.next();
            acknowledged += u64::from(echo[..2] == [0, 2]);
        }
        other.read_until(&format!("{before}{}", "x".repeat(acknowledged as usize)));
        program.kill();
        written = before + &"x".repeat(acknowledged as usize);
    }
    let relay = Relay::alone(directory.path());
    let text = Client::synced(relay.address(), "notes", 1).text();
    assert!(text.starts_with(&written), "{} of {}", text.len(), written.len());
}

#[test]
fn a_second_process_on_the_same_directory_is_refused_in_one_line() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::alone(directory.path());
    let words = start_error(directory.path());
    assert_eq!(words.lines().count(), 1, "{words}");
    assert!(words.starts_with("error: ") && words.contains(&format!("{}", std::process::id())));
    Client::synced(relay.address(), "notes", 1).save("unharmed");
}
