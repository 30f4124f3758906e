//! The documents of a data directory, for commands: through the relay that runs there, or else
//! straight from the store. What is done with them is the same.

pub mod packed;
mod running;

use std::path::{self, Path};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;
use yrelay_core::id::DocumentId;
use yrelay_core::update::Update;

use crate::config::{Bounds, Config, Patterns, Storage};
use crate::keeping::Policies;
use crate::metrics::Metrics;
use crate::moving::{Fault, Listed};
use crate::origin::Rules;
use crate::relay::Relay;
use crate::resolve;
use crate::run_file::{self, Run};
use crate::shutdown;
use crate::status::Role;
use crate::store::{self, Follow, Place, Store, StoreError};

pub use crate::moving::joined;
use running::Running;

/// The documents of a data directory. Lives inside a `LocalSet`; ends with
/// [`Documents::close`].
pub struct Documents(Holder);

enum Holder {
    /// Nobody else has the store: a relay without port and upstream works on it.
    Here { relay: Rc<Relay>, follows: bool },
    /// A relay runs there.
    Running(Running),
}

impl Documents {
    /// Those of a data directory, which is made if there is none and `make` says so. Documents of
    /// names that `opaque` matches are never kept.
    pub fn open(directory: &Path, opaque: &Patterns, make: bool) -> Result<Self, Fault> {
        if !make && !store::exists(directory) {
            return Err(Fault::Other(format!(
                "nothing is stored in {}: name another place with --data-dir DIR",
                directory.display()
            )));
        }
        let news = Arc::new(Notify::new());
        let wake = news.clone();
        let place = Place::Directory(directory.to_owned());
        match Store::open_following(place, Follow::AsBefore, move || wake.notify_one()) {
            Ok(opened) => {
                run_file::remove_stale(directory);
                let follows = opened.upstream.is_some();
                let config = &alone(directory, opaque);
                let relay =
                    Relay::new(config, opened, news, Vec::new(), Rc::new(Metrics::default()));
                relay.start();
                Ok(Self(Holder::Here { relay, follows }))
            }
            Err(error @ StoreError::InUse { pid, .. }) => {
                // A killed relay may have left its own: another program may have that port by now.
                let run = Run::read(directory).filter(|run| pid.is_none_or(|pid| pid == run.pid));
                let running = run.and_then(|run| Running::new(&run));
                running.map(|it| Self(Holder::Running(it))).ok_or_else(|| failed(&error))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// All of them, in order of their identifiers.
    pub async fn list(&self) -> Result<Vec<Listed>, Fault> {
        match &self.0 {
            Holder::Here { relay, follows } => Ok(relay.list(|_| *follows)),
            Holder::Running(running) => running.list().await,
        }
    }

    /// All that is held of one, as updates to be applied in this order. What stands behind a gap
    /// comes last.
    pub async fn read(&self, id: &DocumentId) -> Result<Vec<Update>, Fault> {
        match &self.0 {
            Holder::Here { relay, .. } => relay.read(id).await,
            Holder::Running(running) => running.read(id).await,
        }
    }

    /// Adds what an update holds to a document. It is saved then.
    pub async fn put(&self, id: &DocumentId, update: &Update) -> Result<(), Fault> {
        match &self.0 {
            Holder::Here { relay, .. } => relay.put(id, update).await,
            Holder::Running(running) => running.put(id, update).await,
        }
    }

    /// Forgets a document and sends its clients away. Other holders can bring it back.
    pub async fn delete(&self, id: &DocumentId) -> Result<(), Fault> {
        match &self.0 {
            Holder::Here { relay, .. } => relay.delete(id).await,
            Holder::Running(running) => running.delete(id).await,
        }
    }

    /// Decides what becomes of one that the server has made anew. Returns what the server holds,
    /// where that was asked for.
    pub async fn resolve(
        &self,
        id: &DocumentId,
        request: resolve::Request,
    ) -> Result<Bytes, Fault> {
        match &self.0 {
            Holder::Here { .. } => Err(Fault::Other(
                "no relay runs here, and only a connected one knows: start `yrelay service`"
                    .to_owned(),
            )),
            Holder::Running(running) => running.resolve(id, request).await,
        }
    }

    /// Copies all that is saved, as of one moment, to a file that is not there yet.
    pub async fn back_up(&self, path: &Path) -> Result<(), Fault> {
        let path = path::absolute(path).map_err(|error| Fault::Other(error.to_string()))?;
        match &self.0 {
            Holder::Here { relay, .. } => relay.back_up(path).await,
            Holder::Running(running) => {
                let name = path.to_str().ok_or_else(|| {
                    Fault::Other(format!("{}: its name is not valid UTF-8", path.display()))
                })?;
                running.back_up(name).await
            }
        }
    }

    /// Whether a running relay has them.
    pub fn is_live(&self) -> bool {
        matches!(self.0, Holder::Running(_))
    }

    /// Leaves them. What was put is saved already.
    pub async fn close(self) -> Result<(), Fault> {
        match self.0 {
            Holder::Here { relay, .. } => {
                shutdown::stop(&relay).await.map_err(|error| failed(&error))
            }
            Holder::Running(_) => Ok(()),
        }
    }
}

fn failed(error: &StoreError) -> Fault {
    Fault::Other(error.to_string())
}

/// A relay that nobody can connect to. What it has dealt with leaves memory soon.
fn alone(directory: &Path, opaque: &Patterns) -> Config {
    Config {
        role: Role::Service,
        host: "localhost".to_owned(),
        port: 0,
        upstream: None,
        routes: Vec::new(),
        storage: Storage::Directory(directory.to_owned()),
        rules: Rules::default(),
        opaque: opaque.clone(),
        bounds: Bounds { idle_ms: 0, ..Bounds::default() },
        accounts: None,
        policies: Policies::ALL,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tempfile::TempDir;
    use tokio::task::LocalSet;
    use yrelay_core::close::CloseReason;
    use yrelay_core::event::Input;

    use super::*;
    use crate::clock;
    use crate::keeping::Asked;
    use crate::outbox::Outbox;
    use crate::relay::Come;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, test);
    }

    fn open(directory: &TempDir) -> (Documents, Rc<Relay>) {
        let documents = Documents::open(directory.path(), &Patterns::default(), true).unwrap();
        let Holder::Here { relay, .. } = &documents.0 else { unreachable!("nobody else is here") };
        let relay = relay.clone();
        (documents, relay)
    }

    fn letter() -> Update {
        let bytes = b"\x01\x01\x01\x00\x04\x01\x04text\x01x\x00";
        Update::parse(Bytes::from_static(bytes)).unwrap()
    }

    async fn stored(directory: &TempDir) -> DocumentId {
        let id = DocumentId::new("notes").unwrap();
        let (documents, _) = open(directory);
        documents.put(&id, &letter()).await.unwrap();
        documents.close().await.unwrap();
        id
    }

    #[test]
    fn a_load_from_before_a_deletion_brings_nothing_back() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let id = stored(&directory).await;
            let (documents, relay) = open(&directory);
            // It begins to load, is deleted, and begins to load anew, all in one turn.
            let open = || {
                relay.with(|state, relay| {
                    state.open(relay, &id, crate::keeping::Asked::default()).number
                })
            };
            open();
            let (deleted, _) = tokio::join!(documents.delete(&id), async { open() });
            deleted.unwrap();
            let replica = || relay.state.borrow().documents[&id].document.replica().cloned();
            let is_loaded = async {
                loop {
                    match replica() {
                        Some(replica) => return replica.is_empty(),
                        None => clock::sleep(1).await,
                    }
                }
            };
            assert_eq!(clock::timeout(20_000, is_loaded).await, Some(true));
            documents.close().await.unwrap();
        });
    }

    #[test]
    fn who_goes_away_while_it_is_saved_leaves_nobody_behind() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let (documents, relay) = open(&directory);
            let id = DocumentId::new("notes").unwrap();
            assert_eq!(clock::timeout(0, documents.put(&id, &letter())).await, None);
            let left = async {
                while !relay.state.borrow().clients.is_empty() {
                    clock::sleep(1).await;
                }
            };
            assert_eq!(clock::timeout(20_000, left).await, Some(()));
            assert_eq!(documents.list().await.unwrap()[0].clients, 0);
            documents.close().await.unwrap();
        });
    }

    #[test]
    fn what_is_put_while_it_is_deleted_is_refused() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let id = stored(&directory).await;
            let (documents, _) = open(&directory);
            let update = letter();
            let (put, deleted) = tokio::join!(documents.put(&id, &update), documents.delete(&id));
            assert_eq!(put, Err(Fault::Other("the document was deleted".to_owned())));
            deleted.unwrap();
            assert_eq!(documents.list().await, Ok(vec![]));
            assert_eq!(documents.read(&id).await, Err(Fault::Unknown("notes".to_owned())));
            documents.close().await.unwrap();
            assert!(open(&directory).0.list().await.unwrap().is_empty());
        });
    }

    /// A broken invariant of our own: the store has never been given so much.
    const NEVER_APPENDED: Input = Input::Saved { seq: u64::MAX };

    #[test]
    fn a_panic_in_a_document_costs_its_clients_their_connection_and_nothing_else() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let [id, other] = ["notes", "other"].map(|name| DocumentId::new(name).unwrap());
            let (documents, relay) = open(&directory);
            let join = |id| {
                let outbox = Outbox::new();
                let (peer, _) = relay.join(id, Asked::default(), Come::alone(outbox.clone()));
                (peer, outbox)
            };
            let ((peer, client), (peer_elsewhere, elsewhere)) = (join(&id), join(&other));
            documents.put(&id, &letter()).await.unwrap();
            relay.input(&id, NEVER_APPENDED);
            assert_eq!(client.close_asked().unwrap().code, CloseReason::Internal.code());
            assert_eq!(elsewhere.close_asked(), None);
            relay.leave(&id, peer);
            // It comes from the store again, and takes more; so does the other.
            assert_eq!(documents.read(&id).await.unwrap(), [letter()]);
            let more = Update::parse(Bytes::from_static(b"\x01\x01\x01\x01\x84\x01\x00\x01y\x00"));
            documents.put(&id, &more.unwrap()).await.unwrap();
            documents.put(&other, &letter()).await.unwrap();
            relay.leave(&other, peer_elsewhere);
            documents.close().await.unwrap();

            let (documents, _) = open(&directory);
            let listed = documents.list().await.unwrap();
            assert_eq!(listed.iter().filter(|document| document.bytes > 0).count(), 2);
            documents.close().await.unwrap();
        });
    }
}
