//! The documents of a running relay, asked for over its port.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Method, Request, StatusCode};
use yrelay_core::id::DocumentId;
use yrelay_core::update::Update;

use super::packed;
use crate::admin::{BACKUP, DOCUMENTS, PREFIX};
use crate::connector::Connector;
use crate::limits;
use crate::moving::{Fault, Listed};
use crate::resolve;
use crate::run_file::Run;
use crate::target::Target;

/// A relay that has shown in `yrelay.run` where it is.
pub(super) struct Running {
    connector: Connector,
    authorization: HeaderValue,
    pid: u32,
}

impl Running {
    pub(super) fn new(run: &Run) -> Option<Self> {
        let target = Target::parse(&run.url).ok()?;
        let mut authorization = HeaderValue::from_str(&run.token.bearer()).ok()?;
        authorization.set_sensitive(true);
        let connector = Connector::new(target, []).ok()?;
        Some(Self { connector, authorization, pid: run.pid })
    }

    pub(super) async fn list(&self) -> Result<Vec<Listed>, Fault> {
        let ms = limits::READ_MS;
        let body = self.ask(Method::GET, DOCUMENTS, Bytes::new(), ms, "").await?;
        serde_json::from_slice(&body).map_err(|error| self.odd(&error.to_string()))
    }

    pub(super) async fn read(&self, id: &DocumentId) -> Result<Vec<Update>, Fault> {
        let body = self.of(Method::GET, id, Bytes::new(), limits::READ_MS).await?;
        packed::unpack(body).ok_or_else(|| self.odd("it sends no updates"))
    }

    pub(super) async fn put(&self, id: &DocumentId, update: &Update) -> Result<(), Fault> {
        let ms = limits::PUT_BODY_MS + limits::PUT_MS + limits::ANSWER_GRACE_MS;
        self.of(Method::PUT, id, update.bytes().clone(), ms).await.map(drop)
    }

    pub(super) async fn delete(&self, id: &DocumentId) -> Result<(), Fault> {
        let ms = limits::PUT_MS + limits::ANSWER_GRACE_MS;
        self.of(Method::DELETE, id, Bytes::new(), ms).await.map(drop)
    }

    pub(super) async fn resolve(
        &self,
        id: &DocumentId,
        request: resolve::Request,
    ) -> Result<Bytes, Fault> {
        let word = Bytes::from_static(request.word().as_bytes());
        let ms = limits::THEIRS_MS + limits::ANSWER_GRACE_MS;
        self.of(Method::POST, id, word, ms).await
    }

    pub(super) async fn back_up(&self, path: &str) -> Result<(), Fault> {
        let path = Bytes::copy_from_slice(path.as_bytes());
        self.ask(Method::POST, BACKUP, path, limits::BACKUP_MS, "").await.map(drop)
    }

    async fn of(
        &self,
        method: Method,
        id: &DocumentId,
        body: Bytes,
        ms: u64,
    ) -> Result<Bytes, Fault> {
        let page = format!("{DOCUMENTS}/{}", id.to_encoded());
        self.ask(method, &page, body, ms, id.as_str()).await
    }

    async fn ask(
        &self,
        method: Method,
        page: &str,
        body: Bytes,
        ms: u64,
        document: &str,
    ) -> Result<Bytes, Fault> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        let uri = format!("{PREFIX}{page}").parse();
        *request.uri_mut() = uri.map_err(|error| Fault::Other(format!("{page}: {error}")))?;
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        let answer = self.connector.ask(request, limits::READ_BYTES_MAX, ms).await;
        let answer = answer.map_err(|error| self.odd(&error.to_string()))?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            StatusCode::NOT_FOUND if !document.is_empty() => {
                Err(Fault::Unknown(document.to_owned()))
            }
            StatusCode::CONFLICT => {
                let line = String::from_utf8_lossy(answer.body()).trim_end().to_owned();
                Err(Fault::Other(line))
            }
            status => Err(self.odd(&format!("HTTP status {}", status.as_u16()))),
        }
    }

    fn odd(&self, why: &str) -> Fault {
        let (pid, target) = (self.pid, self.connector.target());
        Fault::Other(format!(
            "the relay that has the data directory (process {pid}) does not answer as it should \
             at {target}: {why}; try again, or stop it first"
        ))
    }
}
