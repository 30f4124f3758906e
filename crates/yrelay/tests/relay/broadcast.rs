//! A server that passes everything on and keeps nothing.

use yrelay_core::wire;

use crate::client::Client;
use crate::program::Program;
use crate::wait::eventually;

fn until_clients(relay: &Program, document: &str, count: u64) {
    let are_there = || relay.pages().document(document)["clients"] == count;
    eventually(&format!("{count} clients of {document}"), are_there);
}

#[test]
fn clients_answer_each_other() {
    let relay = Program::serve(&["--broadcast-only"]);
    let mut first = Client::join(relay.address, "notes", 1);
    first.write("x");
    until_clients(&relay, "notes", 1);
    let mut second = Client::join(relay.address, "notes", 2);
    until_clients(&relay, "notes", 2);
    second.ask();
    let asked = first.next();
    assert_eq!(asked, wire::sync_step1(&second.editor.state_vector()), "what it was sent, unread");
    first.take(&asked);
    second.read_until("x");
    second.write("y");
    first.read_until("xy");
    // What no y-websocket client would say is passed on as well.
    second.socket.binary(b"\xff\xff");
    assert_eq!(first.next(), b"\xff\xff");
    assert_eq!(relay.pages().document("notes")["bytes"], 0);
}

#[test]
fn nothing_is_kept() {
    let relay = Program::serve(&["--broadcast-only"]);
    let mut first = Client::join(relay.address, "a/b", 1);
    first.write("x");
    until_clients(&relay, "a/b", 1);
    drop(first);
    until_clients(&relay, "a/b", 0);
    let mut second = Client::join(relay.address, "a/b", 2);
    let mut third = Client::join(relay.address, "a/b", 3);
    until_clients(&relay, "a/b", 2);
    second.ask();
    // What comes is from the other client and from no replica.
    third.write("z");
    second.read_until("z");
}
