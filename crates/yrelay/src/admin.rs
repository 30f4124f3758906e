//! The pages below `/-/store/`: what yrelay's own commands ask a running relay for. Whoever has
//! the token of `yrelay.run` may; no web page can have it.

use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use yrelay_core::id::DocumentId;
use yrelay_core::update::Update;

use crate::documents::packed;
use crate::http::{Response, json, plain, respond};
use crate::moving::Fault;
use crate::relay::Relay;
use crate::resolve;
use crate::run_file::Token;
use crate::{clock, limits};

/// Where they are.
pub(crate) const PREFIX: &str = "/-/store/";
/// The list, and below it each document.
pub(crate) const DOCUMENTS: &str = "documents";
/// A copy of all.
pub(crate) const BACKUP: &str = "backup";

const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The relay, to those who have the token.
pub struct Admin {
    relay: Rc<Relay>,
    token: Token,
}

impl Admin {
    /// A relay and what opens it.
    pub(crate) fn new(relay: Rc<Relay>, token: Token) -> Self {
        Self { relay, token }
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        given.and_then(|given| given.strip_prefix(b"Bearer ")).is_some_and(|it| self.token.is(it))
    }
}

/// Whether a path is one of these pages.
pub(crate) fn is_for(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// Answers a request whose origin and host are all right.
pub(crate) async fn answer(admin: Option<&Admin>, request: Request<Incoming>) -> Response {
    let Some(admin) = admin.filter(|admin| admin.admits(request.headers())) else {
        return plain(StatusCode::FORBIDDEN, "these pages are for yrelay's own commands");
    };
    let relay = &admin.relay;
    let path = request.uri().path().to_owned();
    let page = path.strip_prefix(PREFIX).unwrap_or_default();
    let done = match (request.method(), page) {
        (&Method::GET, DOCUMENTS) => return json(&relay.list(|id| relay.routes.of(id).is_some())),
        (&Method::POST, BACKUP) => back_up(relay, request).await,
        _ => match document(page) {
            Ok(id) => of_document(relay, &id, request).await,
            Err(fault) => Err(fault),
        },
    };
    done.unwrap_or_else(|fault| match fault {
        Fault::Unknown(_) => plain(StatusCode::NOT_FOUND, &fault.to_string()),
        Fault::Encrypted(_) | Fault::Other(_) => plain(StatusCode::CONFLICT, &fault.to_string()),
    })
}

fn document(page: &str) -> Result<DocumentId, Fault> {
    let path = page.strip_prefix(DOCUMENTS).filter(|path| path.starts_with('/'));
    let path = path.ok_or_else(|| Fault::Other("there is no such page".to_owned()))?;
    DocumentId::from_path(path).map_err(|error| Fault::Other(error.to_string()))
}

async fn of_document(
    relay: &Rc<Relay>,
    id: &DocumentId,
    request: Request<Incoming>,
) -> Result<Response, Fault> {
    let done = || plain(StatusCode::OK, "done");
    match *request.method() {
        Method::GET => {
            let updates = relay.read(id).await?;
            Ok(respond(StatusCode::OK, BYTES, packed::pack(&updates)))
        }
        Method::PUT => {
            let update = Update::parse(body(request, limits::PUT_BYTES_MAX).await?);
            let update = update.map_err(|error| Fault::Other(error.to_string()))?;
            relay.put(id, &update).await.map(|()| done())
        }
        Method::DELETE => relay.delete(id).await.map(|()| done()),
        Method::POST => {
            let word = body(request, limits::WORD_BYTES_MAX).await?;
            let asked = resolve::Request::read(&word);
            let asked = asked.ok_or_else(|| Fault::Other("that is no decision".to_owned()))?;
            Ok(respond(StatusCode::OK, BYTES, relay.resolve(id, asked).await?))
        }
        _ => Err(Fault::Other("only GET, PUT, POST and DELETE".to_owned())),
    }
}

/// The body is the whole path of the file.
async fn back_up(relay: &Relay, request: Request<Incoming>) -> Result<Response, Fault> {
    const PATH_BYTES_MAX: usize = 64 << 10;
    let path = body(request, PATH_BYTES_MAX).await?;
    let path = std::str::from_utf8(&path).map(PathBuf::from).ok().filter(|p| p.is_absolute());
    let path = path.ok_or_else(|| Fault::Other("the path of the file must be whole".to_owned()))?;
    relay.back_up(path).await.map(|()| plain(StatusCode::OK, "done"))
}

async fn body(request: Request<Incoming>, bytes_max: usize) -> Result<Bytes, Fault> {
    let body = Limited::new(request.into_body(), bytes_max).collect();
    let late = || Fault::Other("the request does not end".to_owned());
    let body = clock::timeout(limits::PUT_BODY_MS, body).await.ok_or_else(late)?;
    body.map(|body| body.to_bytes()).map_err(|error| Fault::Other(error.to_string()))
}
