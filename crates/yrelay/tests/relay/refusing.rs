//! One bad peer hurts only itself, and is told what it did.

use tempfile::TempDir;
use yrelay_core::wire;

use crate::client::Client;
use crate::local::Relay;
use crate::socket::Message;
use crate::wait::eventually;

/// A sync message that promises five bytes and brings one.
const MALFORMED: &[u8] = &[0, 2, 5, 1];

#[test]
fn what_does_not_parse_closes_its_sender_and_goes_nowhere() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::alone(directory.path());
    let mut good = Client::synced(relay.address(), "notes", 1);
    let mut other = Client::synced(relay.address(), "notes", 2);
    good.save("a");
    other.read_until("a");
    let mut texts = Client::synced(relay.address(), "notes", 3);
    texts.socket.text("hello");
    assert_eq!(texts.closed(), 1003);
    let mut garbles = Client::synced(relay.address(), "notes", 4);
    garbles.socket.binary(MALFORMED);
    // What it says after that is not heard.
    let unheard = garbles.editor.write("b");
    garbles.socket.binary(&wire::update(&unheard));
    assert_eq!(garbles.closed(), 1007);
    assert_eq!(other.sent_so_far(), Vec::<Vec<u8>>::new());
    good.save("c");
    other.read_until("ac");
    assert_eq!(Client::synced(relay.address(), "notes", 5).text(), "ac");
    assert_eq!(relay.pages.metric("rejected_total{reason=\"text_frame\"}"), 1);
    assert_eq!(relay.pages.metric("rejected_total{reason=\"malformed\"}"), 1);
    eventually("they have left", || relay.pages.document("notes")["clients"] == 2);
}

#[test]
fn who_keeps_coming_with_the_same_is_told_not_to() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::alone(directory.path());
    let garble = |document: &str| {
        let mut client = Client::join(relay.address(), document, 1);
        client.socket.binary(MALFORMED);
        client.closed()
    };
    assert_eq!([garble("a"), garble("a")], [1007, 1007]);
    assert_eq!(garble("b"), 1007, "another document");
    let mut texts = Client::join(relay.address(), "a", 1);
    texts.socket.text("another reason");
    assert_eq!(texts.closed(), 1003);
    assert_eq!(garble("a"), 4400);
    Client::synced(relay.address(), "a", 2).save("the document is as good as before");
}

#[test]
fn a_message_that_is_too_big_closes_its_sender() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::alone(directory.path());
    let mut other = Client::synced(relay.address(), "notes", 2);
    let announce = || {
        let mut client = Client::synced(relay.address(), "notes", 1);
        client.socket.announce(yrelay::limits::MESSAGE_BYTES_MAX as u64 + 1);
        client.closed()
    };
    assert_eq!(announce(), 1009);
    eventually("it is counted", || relay.pages.metric("rejected_total{reason=\"too_big\"}") == 1);
    other.save("unharmed");
}

#[test]
fn who_does_not_read_is_closed_and_finds_everything_when_it_returns() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::alone(directory.path());
    let mut slow = Client::synced(relay.address(), "notes", 1);
    let mut author = Client::synced(relay.address(), "notes", 2);
    let mut other = Client::synced(relay.address(), "notes", 3);
    let mut stranger = Client::synced(relay.address(), "other", 4);
    let mut closings = 0;
    while closings == 0 {
        assert!(author.text().len() < 40 << 20, "all of it is queued");
        author.save(&"x".repeat(512 << 10)); // more at once would be pulled
        other.read_until(&author.text());
        stranger.save("y");
        closings = relay.pages.metric("rejected_total{reason=\"too_slow\"}");
    }
    let end = loop {
        match slow.socket.read() {
            Message::Binary(frame) => {
                assert_ne!(frame, wire::KEEP_ALIVE, "it is kept though it missed something");
                slow.take(&frame);
            }
            end => break end,
        };
    };
    assert!(matches!(end, Message::Close(1013) | Message::End), "{end:?}");
    author.save("the end");
    let slow = slow.rejoin(relay.address(), "notes");
    assert_eq!(slow.text(), author.text());
    assert!(slow.text().ends_with("the end"));
}
