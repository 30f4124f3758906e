//! The formats that messages have: of Yjs, of links, of two yrelays.

use bytes::Bytes;
use yrelay_core::Role;
use yrelay_core::awareness::Awareness;
use yrelay_core::fellow::{self, Counts};
use yrelay_core::id::{DocumentId, PeerId};
use yrelay_core::state_vector::StateVector;
use yrelay_core::wire::{self, Message};
use yrelay_core::{limits, link};

use crate::tape::Tape;

/// A frame of Yjs' messages.
pub(crate) fn wire(bytes: &[u8]) {
    let frame = Bytes::copy_from_slice(bytes);
    let messages: Vec<_> = wire::messages(&frame).collect();
    assert!(messages.len() <= limits::MESSAGES_PER_FRAME_MAX + 1);
    let ended = messages.iter().position(|message| !matches!(message, Ok(m) if is_known(m)));
    assert!(ended.is_none_or(|at| at + 1 == messages.len()), "what is wrong is the last");
    for message in messages.into_iter().flatten() {
        if let Message::SyncStep1(body) = message {
            state_vector(&body);
        }
    }
}

fn is_known(message: &Message) -> bool {
    !matches!(message, Message::Unknown(_))
}

fn state_vector(body: &[u8]) {
    let Ok(vector) = StateVector::decode(body) else { return };
    let again = StateVector::decode(&vector.encode()).expect("what is written can be read");
    assert_eq!(again, vector);
    assert!(vector.covers(&again));
}

/// Awareness messages of several peers, and time.
pub(crate) fn awareness(bytes: &[u8]) {
    let mut tape = Tape(bytes);
    let mut awareness = Awareness::default();
    let mut now = 0;
    while !tape.has_ended() {
        let peer = PeerId(tape.below(3) as u64);
        let role = [Role::Client, Role::Link, Role::Upstream][peer.0 as usize];
        match tape.below(4) {
            0 => drop(awareness.detach(now, peer, role)),
            1 => {
                now += 1_000 * u64::from(tape.byte());
                drop(awareness.expire(now));
                assert!(awareness.next_expiry().is_none_or(|at| at > now));
            }
            _ => {
                let body = Bytes::copy_from_slice(tape.bytes());
                drop(awareness.announce(now, peer, role, &body));
            }
        }
        let living: Vec<u64> = awareness.living().collect();
        let Some(told) = awareness.encode(living.iter().copied()) else { continue };
        let mut other = Awareness::default();
        let upstream = (PeerId(9), Role::Upstream);
        let heard = other.announce(now, upstream.0, upstream.1, &told.into());
        heard.expect("what is told can be read");
        assert!(other.living().eq(living), "and says the same");
    }
}

/// Frames that carry a document's name.
pub(crate) fn link(bytes: &[u8]) {
    let frame = Bytes::copy_from_slice(bytes);
    let Ok(parts) = link::split(&frame) else { return };
    assert_eq!([&parts.prefix[..], &parts.message[..]].concat(), bytes);
    let Ok(id) = DocumentId::from_encoded(parts.name) else { return };
    assert!(id.as_str().len() <= limits::IDENTIFIER_BYTES_MAX);
    assert_eq!(DocumentId::from_encoded(&id.to_encoded()), Ok(id.clone()), "as it was");
    let prefix = link::prefix(&id.to_encoded());
    let named = link::split(&prefix).expect("what is written can be read").name.to_owned();
    assert_eq!(DocumentId::from_encoded(&named), Ok(id));
}

/// What two yrelays say to each other.
pub(crate) fn fellow(bytes: &[u8]) {
    let frame = Bytes::copy_from_slice(bytes);
    let _ = Counts::default().received(&frame);
    let Ok(Some(message)) = fellow::decode(&frame) else { return };
    let again = match &message {
        fellow::Message::Have { vector, .. } => {
            state_vector(&vector.encode());
            return;
        }
        fellow::Message::Ask { version } => fellow::ask(*version),
        fellow::Message::Saved { version, kept } => fellow::saved(*version, *kept),
        fellow::Message::Opaque(frame) => fellow::opaque(frame),
        fellow::Message::Aside(frame) => fellow::aside(frame),
        fellow::Message::Archive { count, digest, covers } => {
            fellow::archive(*count, digest, *covers)
        }
        fellow::Message::Leave => fellow::leave(),
        fellow::Message::Refused { .. } => return,
    };
    assert_eq!(fellow::decode(&again), Ok(Some(message)));
}
