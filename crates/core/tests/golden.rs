//! Frames that were recorded between other programs: each is read as what it is, and what we would
//! send ourselves is written to the same bytes.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use bytes::Bytes;
use serde_json::Value;
use yrelay_core::Role;
use yrelay_core::awareness::Awareness;
use yrelay_core::hocuspocus::{self, Message as Framed};
use yrelay_core::id::PeerId;
use yrelay_core::state_vector::StateVector;
use yrelay_core::update::Update;
use yrelay_core::wire::{self, Message};

/// Servers with a connection for each document.
const PLAIN: [&str; 4] = [
    include_str!("frames/elva37.json"),
    include_str!("frames/pycrdt-websocket.json"),
    include_str!("frames/y-sweet.json"),
    include_str!("frames/y-websocket-server.json"),
];
/// Versions 2, 3 and 4.
const HOCUSPOCUS: [&str; 3] = [
    include_str!("frames/hocuspocus-2.json"),
    include_str!("frames/hocuspocus-3.json"),
    include_str!("frames/hocuspocus-4.json"),
];

struct Recorded {
    by_server: bool,
    frame: Bytes,
    /// Where it is from, to be shown.
    place: String,
    kind: String,
}

fn recorded(file: &str) -> Vec<Recorded> {
    let lines: Vec<Value> = serde_json::from_str(file).unwrap();
    let read = |line: &Value| {
        let place = line["what"].as_str().unwrap().to_owned();
        let kind = place.rsplit(": ").next().unwrap().to_owned();
        let frame = common::bytes(line["hex"].as_str().unwrap()).into();
        Recorded { by_server: line["from"] == "server", frame, place, kind }
    };
    lines.iter().map(read).collect()
}

/// Checks that a Yjs message is of this kind, one alone, with content that we take. Returns it as
/// we write it.
fn written_yjs(kind: &str, message: &Bytes) -> Option<Bytes> {
    let mut messages = wire::messages(message);
    let first = messages.next()?.ok()?;
    assert_eq!(messages.next(), None);
    let parsed =
        |update: &Bytes| Update::parse(update.clone()).map(|update| update.bytes().clone());
    Some(match (kind, first) {
        ("sync step 1", Message::SyncStep1(vector)) => {
            let vector = StateVector::decode(&vector).unwrap();
            assert_eq!(StateVector::decode(&vector.encode()), Ok(vector.clone()));
            wire::sync_step1(&vector.encode())
        }
        ("sync step 2", Message::SyncStep2(update)) => wire::sync_step2(&parsed(&update).unwrap()),
        ("update", Message::Update { update, message: whole }) => {
            assert_eq!(&whole, message);
            wire::update(&parsed(&update).unwrap())
        }
        ("awareness", Message::Awareness(entries)) => {
            let news = Awareness::default().announce(0, PeerId(1), Role::Upstream, &entries);
            assert_eq!(news.unwrap().refused, 0);
            wire::awareness(&entries)
        }
        ("query awareness", Message::QueryAwareness) => hocuspocus::query_awareness(),
        ("y-sweet's sync status", Message::SyncStatus(payload)) => wire::sync_status(&payload),
        _ => return None,
    })
}

/// The same of a message of Hocuspocus.
fn written_framed(by_server: bool, kind: &str, message: &Bytes) -> Option<Bytes> {
    Some(match (kind, hocuspocus::decode(message).ok()?) {
        ("auth", Framed::Token(token)) if !by_server => hocuspocus::token(&token),
        // We ask nobody, and close none.
        ("the server asks for a token", Framed::Token(token)) if token.is_empty() => {
            message.clone()
        }
        ("auth granted", Framed::Granted { read_only }) => hocuspocus::granted(read_only),
        ("auth denied", Framed::Denied { reason }) => hocuspocus::denied(&reason),
        ("stateless", Framed::Stateless(payload)) => hocuspocus::stateless(&payload),
        ("sync status", Framed::SyncStatus(taken)) => hocuspocus::sync_status(taken),
        ("close", Framed::Closed { reason }) if by_server && !reason.is_empty() => message.clone(),
        ("close", Framed::Closed { reason }) if reason.is_empty() => hocuspocus::leave(),
        (_, Framed::Yjs(message)) => return written_yjs(kind, &message),
        _ => return None,
    })
}

fn written(recorded: &Recorded) -> Option<Bytes> {
    let Recorded { by_server, frame, kind, .. } = recorded;
    match kind.as_str() {
        "ping" => return hocuspocus::is_ping(frame).then(|| frame.clone()),
        "pong" => return hocuspocus::is_pong(frame).then(hocuspocus::pong),
        _ => {}
    }
    let parts = hocuspocus::split(frame).unwrap();
    let message = written_framed(*by_server, kind, &parts.message)?;
    Some([&hocuspocus::prefix(parts.name)[..], &message].concat().into())
}

/// What others write otherwise than we do, to the same effect.
fn written_otherwise(recorded: &Recorded, ours: &Bytes) -> bool {
    match recorded.kind.as_str() {
        // Providers of version 4 say behind the token which version they are.
        "auth" => recorded.frame == [&ours[..], b"\x054.8.0"].concat(),
        // The order of clients is anyone's choice.
        "sync step 1" => recorded.frame.len() == ours.len(),
        _ => false,
    }
}

fn check(recorded: &Recorded, ours: Option<&Bytes>) {
    let place = &recorded.place;
    let ours = ours.unwrap_or_else(|| panic!("{place}: is read as something else"));
    let same = recorded.frame == *ours || written_otherwise(recorded, ours);
    assert!(same, "{place}: {} is written as {}", common::hex(&recorded.frame), common::hex(ours));
}

#[test]
fn frames_of_plain_servers() {
    for recorded in PLAIN.iter().flat_map(|file| recorded(file)) {
        if recorded.kind == "encrypted" {
            // What tells us that it is.
            let first = wire::messages(&recorded.frame).next();
            assert_eq!(first, Some(Ok(Message::Unknown(b'g'.into()))), "{}", recorded.place);
            continue;
        }
        check(&recorded, written_yjs(&recorded.kind, &recorded.frame).as_ref());
    }
}

#[test]
fn frames_of_hocuspocus() {
    for recorded in HOCUSPOCUS.iter().flat_map(|file| recorded(file)) {
        check(&recorded, written(&recorded).as_ref());
    }
}

#[test]
fn every_file_has_frames_of_both_sides() {
    for file in PLAIN.into_iter().chain(HOCUSPOCUS) {
        let frames = recorded(file);
        assert!(frames.iter().any(|it| it.by_server) && frames.iter().any(|it| !it.by_server));
        for kind in ["sync step 1", "sync step 2", "update", "awareness"] {
            assert!(frames.iter().any(|it| it.by_server && it.kind == kind), "{kind}");
        }
    }
}
