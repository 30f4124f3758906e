//! The bounds that operators set.

use tempfile::TempDir;
use yrelay::config::Bounds;

use crate::client::Client;
use crate::local::Relay;
use crate::wait::eventually;

const MIB: usize = 1 << 20;

fn of_messages(message_bytes_max: usize) -> Bounds {
    Bounds { message_bytes_max, ..Bounds::default() }
}

#[test]
fn a_message_may_be_as_long_as_is_set() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::bounded(directory.path(), of_messages(64 << 10));
    let mut author = Client::synced(relay.address(), "notes", 1);
    author.save(&"x".repeat(65_000));
    author.write(&"x".repeat(65_536));
    assert_eq!(author.closed(), 1009);
}

#[test]
fn a_message_of_20_mib_passes_where_32_are_set() {
    let text = "0123456789abcdef".repeat(20 * MIB / 16);
    let directory = TempDir::new().unwrap();
    let relay = Relay::bounded(directory.path(), of_messages(32 * MIB));
    let mut author = Client::synced(relay.address(), "notes", 1);
    let mut other = Client::synced(relay.address(), "notes", 2);
    author.write(&text);
    // It does not crowd out what comes next.
    author.save("!");
    let text = text + "!";
    other.read_until(&text);
    assert!(Client::synced(relay.address(), "notes", 3).text() == text);
}

/// Somebody writes a document and leaves.
fn visit(relay: &Relay) {
    Client::synced(relay.address(), "notes", 1).save("x");
    eventually("it is left", || relay.pages.document("notes")["clients"] == 0);
}

/// What nobody has open leaves memory under these bounds, and what is open stays.
fn leaves_memory(bounds: Bounds) {
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let patient = Relay::alone(directories[0].path());
    visit(&patient);
    let relay = Relay::bounded(directories[1].path(), bounds);
    let mut open = Client::synced(relay.address(), "open", 2);
    open.save("x");
    visit(&relay);
    eventually("it leaves memory", || relay.pages.metric("documents") == 1);
    assert_eq!(relay.pages.document("open")["clients"], 1);
    assert_eq!(Client::synced(relay.address(), "notes", 3).text(), "x");
    // That one began to look earlier.
    assert_eq!(patient.pages.metric("documents"), 1);
}

#[test]
fn documents_leave_memory_where_more_is_used_than_is_set() {
    leaves_memory(Bounds { memory_bytes: 1, ..Bounds::default() });
}

#[test]
fn documents_leave_memory_once_they_were_idle_for_as_long_as_is_set() {
    leaves_memory(Bounds { idle_ms: 1, ..Bounds::default() });
}

#[test]
fn the_defaults_are_allowed() {
    use yrelay::limits;
    let Bounds { message_bytes_max, memory_bytes, idle_ms, retain_ms: _, strangers } =
        Bounds::default();
    assert!(limits::MESSAGE_BYTES_MAX_ALLOWED.contains(&message_bytes_max));
    assert!(limits::MEMORY_BYTES_ALLOWED.contains(&memory_bytes));
    assert!(limits::IDLE_MS_ALLOWED.contains(&idle_ms));
    assert!(limits::CONNECTIONS_PER_ADDRESS_ALLOWED.contains(&strangers.connections_per_address));
}
