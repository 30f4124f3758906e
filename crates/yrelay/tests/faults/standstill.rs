//! The machine above stands still: nothing comes of it, and nothing says that it is gone.

use std::time::Duration;

use tempfile::TempDir;

use crate::client::Client;
use crate::program::Program;
use crate::wait::within;

/// Silence is found after 35 s; a little for a busy machine.
const FOUND: Duration = Duration::from_secs(45);
/// A server that was away for long is tried again after up to half a minute.
const BACK: Duration = Duration::from_secs(60);

#[test]
fn a_server_that_stands_still_is_found_and_nothing_is_lost() {
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let above = Program::serve(&["--data-dir", directories[1].path().to_str().unwrap()]);
    let url = format!("ws://{}/", above.address);
    let relay = Program::start(directories[0].path(), &["-s", &url]);
    let pages = relay.pages();
    let mut author = Client::synced(relay.address, "notes", 1);
    let mut other = Client::synced(relay.address, "notes", 2);
    author.save("before");
    pages.until_synced("notes");
    above.signal("STOP");
    author.save(", meanwhile");
    other.read_until("before, meanwhile");
    assert_eq!(pages.document("notes")["confirmed"], false);
    within(FOUND, "the silence is noticed", || pages.upstream()["state"] != "online");
    // Who did not answer its pings meanwhile is gone as well.
    let mut author = author.rejoin(relay.address, "notes");
    author.save(", offline");
    above.signal("CONT");
    within(BACK, "all has gone up", || pages.document("notes")["synced"] == true);
    above.kill();
    let above = Program::start(directories[1].path(), &[]);
    let reader = Client::synced(above.address, "notes", 3);
    assert_eq!(reader.text(), "before, meanwhile, offline");
}
