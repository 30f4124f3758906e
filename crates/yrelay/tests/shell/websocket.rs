//! WebSockets over real sockets: what goes through, what is bounded, who is waited for.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use yrelay::limits;
use yrelay::pump::Ended;
use yrelay::ws::Error;

use crate::common::*;

#[test]
fn frames_reach_the_others_of_the_document() {
    run(async {
        let server = Server::start();
        let mut author = server.client("/notes").await;
        let mut other = server.client("/notes?client=elva").await;
        let mut stranger = server.client("/other").await;
        let mut strangers_friend = server.client("/other").await;
        author.send("one").await;
        stranger.send("two").await;
        other.send("three").await;
        assert_eq!(other.receive().await, "one");
        assert_eq!(author.receive().await, "three", "and not its own");
        assert_eq!(strangers_friend.receive().await, "two");
    });
}

#[test]
fn localhost_is_reached_over_both_families() {
    run(async {
        let server = Server::start();
        for address in &server.addresses {
            Client::connect(*address, "/notes").await.unwrap();
        }
        let v6 = std::net::TcpListener::bind("[::1]:0").is_ok();
        assert_eq!(server.addresses.len(), 1 + usize::from(v6));
    });
}

#[test]
fn who_does_not_read_is_still_read_from() {
    run(async {
        let server = Server::start();
        let mut idle = server.client("/notes").await;
        let mut busy = server.client("/notes").await;
        // More than both socket buffers hold: the relay's write is stuck.
        let big = vec![7; limits::MESSAGE_BYTES_MAX];
        busy.send(big.clone()).await;
        for n in 0..100u8 {
            idle.send(vec![n]).await;
            assert_eq!(busy.receive().await[..], [n]);
        }
        assert!(idle.receive().await == big);
    });
}

#[test]
fn who_does_not_read_is_closed_and_the_others_go_on() {
    run(async {
        let server = Server::start();
        let mut idle = server.client("/notes").await;
        let mut busy = server.client("/notes").await;
        let mut third = server.client("/notes").await;
        let big = vec![7; limits::MESSAGE_BYTES_MAX];
        for _ in 0..3 {
            busy.send(big.clone()).await;
            assert!(third.receive().await == big);
        }
        // Its queue was thrown away; what the relay was writing may arrive whole or not.
        match idle.closed().await {
            Ok(close) => assert_eq!(close.code, 1013),
            Err(error) => assert!(matches!(error, Error::Lost(_)), "{error}"),
        }
        let Event::Ended(Ended::Ours(close)) = server.event() else { panic!("still there") };
        assert_eq!(close.code, 1013);
    });
}

#[test]
fn a_message_may_be_so_long_and_no_longer() {
    run(async {
        let server = Server::start();
        let mut author = server.client("/notes").await;
        let mut other = server.client("/notes").await;
        author.send(vec![1; limits::MESSAGE_BYTES_MAX]).await;
        assert_eq!(other.receive().await.len(), limits::MESSAGE_BYTES_MAX);
        author.send(vec![1; limits::MESSAGE_BYTES_MAX + 1]).await;
        assert_eq!(author.closed().await.unwrap().code, 1009);
    });
}

/// A frame of a client, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut frame = vec![first];
    match u16::try_from(length) {
        Ok(0..126) => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

#[test]
fn broken_frames_close_with_their_code() {
    let server = Server::start();
    let fragments: Vec<u8> = [0x02, 0x00]
        .into_iter()
        .flat_map(|first| frame(first, &vec![0; limits::MESSAGE_BYTES_MAX / 2 + 1]))
        .collect();
    for (name, bytes, code) in [
        ("unmasked", vec![0x82, 0x01, 0x00], 1002),
        ("reserved bit", frame(0xc2, b"x"), 1002),
        ("unknown opcode", frame(0x83, b"x"), 1002),
        ("text that is none", frame(0x81, b"\xff"), 1007),
        ("fragments too long together", fragments, 1009),
        ("a close", frame(CLOSE, &4000u16.to_be_bytes()), 4000),
    ] {
        let mut stream = server.raw("/notes");
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.len() >= 4, "{name}: {answer:?}");
        assert_eq!(answer[0], CLOSE, "{name}");
        assert_eq!(u16::from_be_bytes([answer[2], answer[3]]), code, "{name}");
        drop(stream);
        match server.event() {
            Event::Ended(Ended::Fault(close)) => assert_eq!(close.code, code, "{name}"),
            Event::Ended(Ended::Theirs(close)) => assert_eq!((close.code, code), (4000, 4000)),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn bytes_that_came_with_the_handshake_count() {
    run(async {
        let server = Server::start();
        let mut other = server.client("/notes").await;
        let mut stream = TcpStream::connect(server.addresses[0]).unwrap();
        let head = request("GET", "/notes", &[UPGRADE, &["Host: localhost"]].concat());
        let early = [head.as_bytes(), &frame(0x82, b"early")].concat();
        stream.write_all(&early).unwrap();
        assert_eq!(other.receive().await, "early");
    });
}

#[test]
fn pings_are_answered_until_nobody_reads_the_answers() {
    let server = Server::start();
    let mut stream = server.raw("/notes");
    stream.write_all(&frame(PING, b"hello")).unwrap();
    let mut pong = [0; 7];
    stream.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\x8a\x05hello");
    let flood: Vec<u8> = (0..1000).flat_map(|_| frame(PING, &[0; 125])).collect();
    // The socket buffers take some ten megabytes of answers; then the relay has enough.
    let refused = (0..10_000).any(|_| stream.write_all(&flood).is_err());
    assert!(refused);
    let Event::Ended(Ended::Fault(close)) = server.event() else { panic!("no fault") };
    assert_eq!(close.code, 1008);
}
