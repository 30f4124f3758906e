//! Who has which document open, and gets what the others say.

use std::collections::HashMap;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::yjs;

pub(super) use crate::yjs::EMPTY_STEP_2;

/// What begins a frame of a link.
const LINK: [u8; 2] = [2, 0];
/// "Send me all": what joins a link to a document.
const STEP_1: &[u8] = &[0, 0, 1, 0];

/// All documents.
#[derive(Default)]
pub(super) struct Hub {
    /// Where everything goes as well.
    pub(super) upstream: Option<mpsc::Sender<Bytes>>,
    rooms: HashMap<String, Vec<Member>>,
    next: u64,
}

/// One client, or one document of a link.
pub(super) struct Member {
    pub(super) id: u64,
    pub(super) queue: mpsc::Sender<Bytes>,
    /// What stands before each message on a link.
    pub(super) prefix: Option<Bytes>,
}

/// As much of a message as has to be known.
pub(super) enum Kind {
    Step1,
    Step2,
    Other,
}

pub(super) fn kind(message: &[u8]) -> Kind {
    match message {
        [0, 0, ..] => Kind::Step1,
        [0, 1, ..] => Kind::Step2,
        _ => Kind::Other,
    }
}

/// The name in a frame of a link, and all before the message.
pub(super) fn split(frame: &[u8]) -> Result<(&str, &[u8]), yjs::Fault> {
    let rest = frame.strip_prefix(&LINK).ok_or("not a frame of a link")?;
    let mut reader = yjs::Reader::new(rest);
    let name = str::from_utf8(reader.bytes()?).map_err(|_| "no name")?;
    Ok((name, &frame[..frame.len() - reader.left().len()]))
}

fn prefix(name: &str) -> Bytes {
    let mut prefix = LINK.to_vec();
    yjs::put_bytes(&mut prefix, name.as_bytes());
    prefix.into()
}

impl Hub {
    /// Adds a member. The first one brings the upstream with it.
    pub(super) fn join(&mut self, name: &str, member: impl FnOnce(u64) -> Member) -> u64 {
        if !self.rooms.contains_key(name)
            && let Some(upstream) = self.upstream.clone()
        {
            let prefix = prefix(name);
            // What does not fit is told once a message does not either.
            let _ = upstream.try_send([&prefix, STEP_1].concat().into());
            self.add(name, |id| Member { id, queue: upstream, prefix: Some(prefix) });
        }
        self.add(name, member)
    }

    fn add(&mut self, name: &str, member: impl FnOnce(u64) -> Member) -> u64 {
        self.next += 1;
        self.rooms.entry(name.to_owned()).or_default().push(member(self.next));
        self.next
    }

    /// A frame for a document came over a link: it is, or becomes, a member.
    pub(super) fn join_link(
        &mut self,
        name: &str,
        queue: &mpsc::Sender<Bytes>,
        prefix: &[u8],
    ) -> u64 {
        let members = self.rooms.get(name).map_or(&[][..], |members| members);
        let found = members.iter().find(|member| member.queue.same_channel(queue));
        found.map(|member| member.id).unwrap_or_else(|| {
            let prefix = Some(Bytes::copy_from_slice(prefix));
            self.add(name, |id| Member { id, queue: queue.clone(), prefix })
        })
    }

    /// All but its author get a message. Who does not keep up is out.
    pub(super) fn pass_on(&mut self, name: &str, author: u64, message: &Bytes) {
        let Some(members) = self.rooms.get_mut(name) else { return };
        members.retain(|member| {
            if member.id == author {
                return true;
            }
            let message = match &member.prefix {
                None => message.clone(),
                Some(prefix) => [&prefix[..], message].concat().into(),
            };
            let sent = member.queue.try_send(message);
            if sent.is_err() {
                eprintln!("{name}: a member does not keep up");
            }
            sent.is_ok()
        });
    }

    /// A client has gone.
    pub(super) fn leave(&mut self, name: &str, id: u64) {
        if let Some(members) = self.rooms.get_mut(name) {
            members.retain(|member| member.id != id);
            if members.is_empty() {
                self.rooms.remove(name);
            }
        }
    }

    /// A link has gone.
    pub(super) fn leave_all(&mut self, queue: &mpsc::Sender<Bytes>) {
        self.rooms.retain(|_, members| {
            members.retain(|member| !member.queue.same_channel(queue));
            !members.is_empty()
        });
    }
}
