//! What is to go to one neighbour over a link and has not gone yet.
//!
//! It is a set of ids, so however long the link is slow or gone, what waits is the net change.

use bytes::Bytes;

use crate::replica::{Applied, Replica, Want};
use crate::update::Update;
use crate::{limits, wire};

/// What a neighbour lacks.
#[derive(Debug, Default)]
pub(crate) struct Outflow {
    want: Want,
    /// Its step 1 is to be answered, with whatever is wanted.
    answer: bool,
    /// The one message that holds all of `want`, as its author wrote it.
    fresh: Option<Bytes>,
}

/// What went with a message.
pub(crate) enum Sent {
    Nothing,
    All(Want),
    Part(Update),
}

impl Sent {
    pub(crate) fn want(self) -> Want {
        match self {
            Self::Nothing => Want::default(),
            Self::All(want) => want,
            Self::Part(update) => Want::of(&update),
        }
    }
}

impl Outflow {
    /// Whether there is something to send.
    pub(crate) fn is_ready(&self) -> bool {
        self.answer || !self.want.is_empty()
    }

    /// Whether all that it lacks has been sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.want.is_empty()
    }

    /// News. `message` is the whole of it as one message, if its author's bytes may be passed on.
    pub(crate) fn changed(&mut self, news: &Applied, message: Option<&Bytes>) {
        let alone = !self.is_ready();
        self.fresh =
            message.filter(|message| alone && message.len() <= limits::CHUNK_BYTES_MAX).cloned();
        self.want.structs.merge(&news.structs);
        self.want.deletes.merge(&news.deletes);
    }

    /// It has shown that it holds this.
    pub(crate) fn holds(&mut self, named: &Want) {
        self.fresh = None;
        self.want.subtract(named);
    }

    /// It lacks this and nothing else; what goes next is an `answer` or not.
    pub(crate) fn set(&mut self, want: Want, answer: bool) {
        self.fresh = None;
        self.want = want;
        self.answer = answer;
    }

    /// It has asked, and lacks this, too.
    pub(crate) fn add_to_answer(&mut self, want: &Want) {
        self.fresh = None;
        self.want.merge(want);
        self.answer = true;
    }

    /// The next message, with a part of about so many bytes at most.
    pub(crate) fn pull(&mut self, bytes_max: usize, replica: &Replica) -> Option<(Bytes, Sent)> {
        if let Some(message) = self.fresh.take().filter(|message| message.len() <= bytes_max) {
            return Some((message, Sent::All(std::mem::take(&mut self.want))));
        }
        let chunk = replica.take_chunk(&mut self.want, bytes_max);
        let answers = self.answer && chunk.as_ref().is_none_or(|chunk| chunk.complete);
        self.answer &= !answers;
        let Some(chunk) = chunk else {
            return answers.then(|| (wire::sync_step2(wire::EMPTY_UPDATE), Sent::Nothing));
        };
        let bytes = chunk.update.bytes();
        let message = if answers { wire::sync_step2(bytes) } else { wire::update(bytes) };
        Some((message, Sent::Part(chunk.update)))
    }
}
