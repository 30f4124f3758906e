//! What the relay takes for granted about ELVA 0.33's server.

use yrelay_interop::{Client, Keeping, Kind, Server, Software, eventually_eq, ready};

/// An update by client 1 that inserts one letter into a text.
const UPDATE: &[u8] = b"\x01\x01\x01\x00\x04\x01\x04text\x01x\x00";
/// Client 9 is present, with the state `{}`.
const AWARENESS: &[u8] = b"\x01\x06\x01\x09\x01\x02{}";
const STEP_1: &[u8] = b"\x00\x00\x01\x00";
const STEP_2_EMPTY: &[u8] = b"\x00\x01\x02\x00\x00";

fn framed(message: &[u8]) -> Vec<u8> {
    [b"\x02\x00\x05notes", message].concat()
}

fn sync(kind: u8, update: &[u8]) -> Vec<u8> {
    let length = u8::try_from(update.len()).expect("a short update");
    framed(&[&[0, kind, length], update].concat())
}

#[test]
fn a_keeping_server_answers_step_1_with_step_2_and_then_asks_itself() {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(Keeping::Memory));
    let link = Client::start(Kind::Raw, &server.url()).open("");
    link.send_frame(&framed(STEP_1));
    let expected = vec![framed(STEP_2_EMPTY), framed(STEP_1)];
    eventually_eq("step 2, then step 1", || link.frames(), &expected);
}

#[test]
fn a_keeping_server_passes_on_updates_even_repeated_but_no_awareness() {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let links = Client::start(Kind::Raw, &server.url());
    let (author, witness) = (links.open(""), links.open(""));
    witness.send_frame(&framed(STEP_1));
    eventually_eq("the witness is a member", || witness.frames().len(), &2);
    author.send_frame(&framed(AWARENESS));
    author.send_frame(&sync(1, UPDATE));
    author.send_frame(&sync(2, b"\x00\x00"));
    author.send_frame(&sync(2, UPDATE));
    let expected = vec![sync(2, UPDATE), sync(2, UPDATE)];
    eventually_eq("both, as updates", || witness.frames()[2..].to_vec(), &expected);
    assert_eq!(author.frames(), Vec::<Vec<u8>>::new(), "nothing is echoed");
}

#[test]
fn a_broadcasting_server_passes_on_everything_unread() {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(Keeping::Nothing));
    let links = Client::start(Kind::Raw, &server.url());
    let (author, witness) = (links.open(""), links.open(""));
    witness.send_frame(&framed(STEP_1));
    // The witness is a member once the author's first frame reaches it.
    eventually_eq(
        "the witness is a member",
        || {
            author.send_frame(&framed(STEP_1));
            witness.frames().first().cloned()
        },
        &Some(framed(STEP_1)),
    );
    let said = [framed(AWARENESS), sync(1, UPDATE), sync(2, b"\xff"), framed(b"\x66\x00")];
    for frame in &said {
        author.send_frame(frame);
    }
    let tail = || witness.frames().into_iter().filter(|f| *f != framed(STEP_1)).collect::<Vec<_>>();
    eventually_eq("all of it", tail, &said.to_vec());
}

#[test]
fn one_document_can_close_the_link_of_all() {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let links = Client::start(Kind::Raw, &server.url());
    let malformed = links.open("");
    malformed.send_frame(&sync(2, b"\xff\xff"));
    eventually_eq("closed as if nothing were wrong", || malformed.close_code(), &Some(1000));

    let big = links.open("");
    big.send_frame(&framed(&vec![0; 1 << 20]));
    eventually_eq("closed as too big", || big.close_code(), &Some(1009));

    // The first opening of a file in a directory that does not exist fails; later the document
    // is taken for open, and kept in memory only.
    let slash = links.open("");
    slash.send_frame(b"\x02\x00\x03a/b\x00\x00\x01\x00");
    eventually_eq("closed for its name", || slash.close_code(), &Some(1000));
    let again = links.open("");
    again.send_frame(b"\x02\x00\x03a/b\x00\x00\x01\x00");
    eventually_eq("taken for open", || again.frames().len(), &2);
}

#[test]
fn a_keeping_server_garbles_client_ids_of_more_than_32_bits() {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(Keeping::Memory));
    let link = Client::start(Kind::Raw, &server.url()).open("");
    let wide = b"\x01\x01\x87\x80\x80\x80\x50\x00\x04\x01\x04text\x01x\x00";
    let garbled = b"\x01\x01\x07\x00\x04\x01\x04text\x01x\x00";
    link.send_frame(&sync(2, wide));
    link.send_frame(&framed(STEP_1));
    let answer = || link.frames().first().cloned();
    eventually_eq("content of another author", answer, &Some(sync(1, garbled)));
}
