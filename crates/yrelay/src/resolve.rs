//! What becomes of a document that the server has made anew: somebody decides.

use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::oneshot;
use yrelay_core::close::CloseReason;
use yrelay_core::event::{Dialect, Input, Withheld};
use yrelay_core::history::History;
use yrelay_core::id::DocumentId;

use crate::moving::Fault;
use crate::relay::Relay;
use crate::state::State;
use crate::{clock, limits};

/// What is asked of a document that has diverged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// All that the server holds of it.
    Theirs,
    /// What is here is given up for what the server holds.
    Adopt,
    /// Both are to be one.
    Merge,
}

impl Request {
    /// As it travels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Theirs => "theirs",
            Self::Adopt => "adopt",
            Self::Merge => "merge",
        }
    }

    /// Reads what [`Request::word`] has written.
    pub fn read(word: &[u8]) -> Option<Self> {
        let all = [Self::Theirs, Self::Adopt, Self::Merge];
        all.into_iter().find(|request| request.word().as_bytes() == word)
    }
}

impl Relay {
    /// Does what is asked. What the server holds is the answer to [`Request::Theirs`].
    pub(crate) async fn resolve(
        self: &Rc<Self>,
        id: &DocumentId,
        request: Request,
    ) -> Result<Bytes, Fault> {
        self.with(|state, _| state.has_diverged(id))?;
        match request {
            Request::Theirs => return self.theirs(id).await,
            Request::Adopt => self.with(|state, relay| state.adopt(relay, id)),
            Request::Merge => self.with(|state, relay| state.merge(relay, id)),
        }
        tracing::info!(document = %id, decided = request.word(), "no more diverged");
        Ok(Bytes::new())
    }

    async fn theirs(self: &Rc<Self>, id: &DocumentId) -> Result<Bytes, Fault> {
        let (tell, told) = oneshot::channel();
        let asked = self.with(|state, relay| {
            let link = relay.routes.of(id).and_then(|link| state.above.get(link));
            if link.is_none_or(|link| link.dialect() == Dialect::Own) {
                return false;
            }
            state.asking.push((id.clone(), tell));
            state.input(relay, id, Input::AskForTheirs);
            true
        });
        if !asked {
            return Err(Fault::Other(
                "the server is a relay, which sends no copy to look at: choose --adopt or --branch"
                    .to_owned(),
            ));
        }
        let late = || Fault::Other("the server does not send what it holds: try again".to_owned());
        let told = clock::timeout(limits::THEIRS_MS, told).await;
        told.and_then(Result::ok).ok_or_else(late)
    }
}

impl State {
    fn has_diverged(&self, id: &DocumentId) -> Result<(), Fault> {
        let slot = self.documents.get(id);
        if slot.is_none() && !self.stored.contains_key(id) {
            return Err(Fault::Unknown(id.to_string()));
        }
        match slot.and_then(|slot| slot.document.standing().withheld) {
            Some(Withheld::Diverged) => Ok(()),
            _ => Err(Fault::Other(format!(
                "{id:?} has not diverged, as far as is known: that shows while the server is \
                 connected and somebody has the document open"
            ))),
        }
    }

    /// What a server holds that has another history.
    pub(crate) fn tell_theirs(&mut self, id: &DocumentId, update: &Bytes) {
        for (_, tell) in self.asking.extract_if(.., |(asked, _)| asked == id) {
            let _ = tell.send(update.clone());
        }
    }

    /// All that is here is forgotten, but for whose it was: who brings that back is sent away.
    fn adopt(&mut self, relay: &Relay, id: &DocumentId) {
        let slot = self.documents.get(id);
        let mut history = slot.map(|slot| slot.document.history().clone()).unwrap_or_default();
        if let Some(replica) = slot.and_then(|slot| slot.document.replica()) {
            history.abandon(&replica.state_vector());
        }
        self.forget(relay, id, CloseReason::Replaced);
        relay.store.note_history(id, history);
    }

    /// It is attached anew, and nobody looks whose history it is.
    fn merge(&mut self, relay: &Relay, id: &DocumentId) {
        self.input(relay, id, Input::Merge);
        let history =
            self.documents.get(id).map(|slot| slot.document.history().clone()).unwrap_or_default();
        debug_assert!(!History::is_known(&history));
        self.attach_anew(relay, id);
    }
}
