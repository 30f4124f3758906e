//! HTTP: who may come in, which path means what. Upgrades become WebSockets, the rest is answered
//! here.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use yrelay_core::event::Dialect;
use yrelay_core::fellow;
use yrelay_core::id::{DocumentId, IdError};

use crate::admin::{self, Admin};
use crate::guard::{Denial, Guard};
use crate::keeping::Asked;
use crate::metrics::Metrics;
use crate::origin::{Refusal, Rules};
use crate::socket::Stream;
use crate::status::{Room, Status};
use crate::tokens::Admitted;
use crate::ws::{self, Reader, Writer};
use crate::{clock, limits, tokens};

/// What lies behind the routes: the relay.
pub trait Routes {
    /// For `/-/status`.
    fn status(&self) -> Status;
    /// For `/-/metrics`: Prometheus' text format.
    fn metrics(&self) -> String;
    /// For the list at `/`.
    fn rooms(&self) -> Vec<Room>;
    /// Takes a WebSocket for a document. Must not block: it spawns what it needs on the `LocalSet`.
    fn attach(
        &self,
        id: DocumentId,
        asked: Asked,
        peer: SocketAddr,
        reader: Reader,
        writer: Writer,
    );
    /// Takes a WebSocket for many documents, of a program or a relay below. Must not block, either.
    fn attach_many(&self, peer: SocketAddr, who: Many, reader: Reader, writer: Writer);
}

/// Who comes to the root, with many documents.
pub enum Many {
    /// That is to be seen. So it offers to speak.
    Unknown(Dialect),
    /// A page that has shown a right token in this frame. This one judges those that follow.
    Page(Rc<Guard>, Bytes),
}

/// What every connection needs to know.
pub struct Site {
    /// The relay.
    pub routes: Rc<dyn Routes>,
    /// Who may come in.
    pub rules: Rules,
    /// Who else may, where logins are asked for.
    pub guard: Option<Rc<Guard>>,
    /// Counts who may not.
    pub metrics: Rc<Metrics>,
    /// A longer message of a client is refused.
    pub message_bytes_max: usize,
    /// What opens to yrelay's own commands.
    pub admin: Option<Admin>,
}

/// Who has connected.
pub struct Visitor {
    /// From where.
    pub peer: SocketAddr,
    /// To a listener that only this machine reaches.
    pub on_loopback: bool,
    /// There are so many from there, which are as many as may be.
    pub crowded: Option<usize>,
}

pub(crate) type Response = hyper::Response<Full<Bytes>>;

/// What a WebSocket is for.
enum Purpose {
    /// Plain Yjs messages of one document, and what its client asks for.
    Document(DocumentId, Asked),
    /// Those of many, each behind a prefix.
    Many(Dialect),
    /// The same, if the first shows a token, and one of them is right.
    Page(Rc<Guard>),
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const VERSION: HeaderValue = HeaderValue::from_static("13");
/// RFC 7617 has no other charset.
const CHALLENGE: HeaderValue =
    HeaderValue::from_static("Basic realm=\"yrelay\", charset=\"UTF-8\"");
const READ_ONLY: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// Needs no login: whoever asks is told nothing but that somebody is there.
const HEALTHY: &str = "/-/healthy";

/// Serves one connection to its end, or to its upgrade; a WebSocket goes on elsewhere.
pub async fn serve(site: Rc<Site>, stream: Stream, visitor: Visitor) {
    let peer = visitor.peer;
    let upgrade = Cell::new(None);
    let service = service_fn(|request| {
        let (site, visitor, upgrade) = (&site, &visitor, &upgrade);
        async move { Ok::<_, Infallible>(answer(site, request, visitor, upgrade).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::HEADER_MS))
        // A client that has said all it had to say still gets its answer.
        .half_close(true)
        .max_buf_size(limits::HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%peer, %error, "request failed");
    }
    let Some((purpose, upgrade)): Option<(Purpose, OnUpgrade)> = upgrade.take() else { return };
    // The 101 is written: there is nothing to wait for.
    if let Some(Ok(upgraded)) = clock::timeout(limits::HEADER_MS, upgrade).await {
        let (mut reader, writer) = ws::accept(upgraded, site.message_bytes_max);
        match purpose {
            Purpose::Document(id, asked) => site.routes.attach(id, asked, peer, reader, writer),
            Purpose::Many(dialect) => {
                site.routes.attach_many(peer, Many::Unknown(dialect), reader, writer);
            }
            Purpose::Page(guard) => {
                reader.take_up_to(limits::TOKEN_MESSAGE_BYTES_MAX);
                let shown = tokens::admitted(&guard, &site.metrics, peer, reader, writer).await;
                let Some(Admitted { first, mut reader, writer }) = shown else { return };
                reader.take_up_to(site.message_bytes_max);
                site.routes.attach_many(peer, Many::Page(guard, first), reader, writer);
            }
        }
    }
}

async fn answer(
    site: &Site,
    mut request: Request<Incoming>,
    visitor: &Visitor,
    upgrade: &Cell<Option<(Purpose, OnUpgrade)>>,
) -> Response {
    if let Some(most) = visitor.crowded {
        return crowded(site, most);
    }
    if let Err(refusal) = site.rules.check(request.headers(), visitor.on_loopback) {
        return refused(site, refusal);
    }
    // `GET http://host/path`: what a proxy is sent. Its host would overrule the one just checked.
    if request.uri().authority().is_some() {
        return plain(StatusCode::BAD_REQUEST, "this is no proxy");
    }
    if admin::is_for(request.uri().path()) {
        return admin::answer(site.admin.as_ref(), request).await;
    }
    let judge = site.guard.clone().filter(|_| may_show_tokens(&request));
    if judge.is_none()
        && let Some(denied) = denied(site, &request, visitor.peer).await
    {
        return denied;
    }
    if !wants_upgrade(request.headers()) {
        return page(site, &request);
    }
    match handshake(&request) {
        Ok(purpose) => {
            let purpose = judge.map_or(purpose, Purpose::Page);
            upgrade.set(Some((purpose, hyper::upgrade::on(&mut request))));
            switching(request.headers())
        }
        Err((status, line)) => {
            site.metrics.reject("request");
            plain(status, &line)
        }
    }
}

fn crowded(site: &Site, most: usize) -> Response {
    site.metrics.reject("address");
    let mut response = plain(
        StatusCode::SERVICE_UNAVAILABLE,
        &format!("there are {most} connections from your address, and may be no more"),
    );
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, limits::CROWDED_RETRY_S.into());
    headers.insert(header::CONNECTION, CLOSE);
    response
}

fn refused(site: &Site, refusal: Refusal) -> Response {
    let (status, label) = match refusal {
        Refusal::NoHost => (StatusCode::BAD_REQUEST, "host"),
        Refusal::Host => (StatusCode::FORBIDDEN, "host"),
        Refusal::Origin => (StatusCode::FORBIDDEN, "origin"),
    };
    site.metrics.reject(label);
    plain(status, &refusal.to_string())
}

/// What is said to somebody without a login, where one is asked for.
async fn denied(site: &Site, request: &Request<Incoming>, peer: SocketAddr) -> Option<Response> {
    let guard = site.guard.as_ref().filter(|_| request.uri().path() != HEALTHY)?;
    let denial = guard.admit(request.headers(), peer).await.err()?;
    site.metrics.reject("login");
    let (status, header, value) = match denial {
        Denial::Missing | Denial::Wrong => {
            (StatusCode::UNAUTHORIZED, header::WWW_AUTHENTICATE, CHALLENGE)
        }
        Denial::Busy => {
            (StatusCode::SERVICE_UNAVAILABLE, header::RETRY_AFTER, HeaderValue::from_static("1"))
        }
    };
    let mut response = plain(status, &denial.to_string());
    response.headers_mut().insert(header, value);
    Some(response)
}

/// Whether a request may be that of a page with programs of Hocuspocus, which show their logins
/// later. What is no page can show one at once, and ELVA 0.33 does so only when it is asked to.
fn may_show_tokens(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    wants_upgrade(headers)
        && DocumentId::from_path(request.uri().path()) == Err(IdError::Missing)
        && headers.contains_key(header::ORIGIN)
        && !headers.contains_key(header::AUTHORIZATION)
        && offered(headers) != Dialect::Own
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &header::CONNECTION, "upgrade")
        && has_token(headers, &header::UPGRADE, "websocket")
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// What a WebSocket is for, or why there is none.
fn handshake(request: &Request<Incoming>) -> Result<Purpose, (StatusCode, String)> {
    let bad = |line: &str| Err((StatusCode::BAD_REQUEST, line.to_owned()));
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return bad("WebSockets begin with GET and HTTP/1.1");
    }
    let purpose = match DocumentId::from_path(request.uri().path()) {
        Ok(id) => {
            let query = request.uri().query().unwrap_or_default();
            Purpose::Document(id, Asked::from_query(query))
        }
        Err(IdError::Missing) => Purpose::Many(offered(request.headers())),
        Err(error) => return bad(&error.to_string()),
    };
    let headers = request.headers();
    if headers.get(header::SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return Err((StatusCode::UPGRADE_REQUIRED, "this is WebSocket version 13".into()));
    }
    if !headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        return bad("the Sec-WebSocket-Key header is missing");
    }
    Ok(purpose)
}

/// How a relay offers to speak.
fn offered(headers: &HeaderMap) -> Dialect {
    let own = has_token(headers, &header::SEC_WEBSOCKET_PROTOCOL, fellow::SUBPROTOCOL);
    if own { Dialect::Own } else { Dialect::Elva }
}

fn switching(headers: &HeaderMap) -> Response {
    let mut response = hyper::Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::CONNECTION, UPGRADE);
    answer.insert(header::UPGRADE, WEBSOCKET);
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map_or(&b""[..], HeaderValue::as_bytes);
    if let Ok(accept) = HeaderValue::from_str(&ws::accept_key(key)) {
        answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = first_protocol(headers) {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// Browsers that offer subprotocols fail where none is taken; Yjs has no opinion on them.
fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    HeaderValue::from_str(offered.split(',').next()?.trim()).ok()
}

fn page(site: &Site, request: &Request<Incoming>) -> Response {
    let path = request.uri().path();
    let page: &dyn Fn() -> Response = match path {
        "/" => &|| json(&site.routes.rooms()),
        HEALTHY => &|| plain(StatusCode::OK, "ok"),
        "/-/status" => &|| json(&site.routes.status()),
        "/-/metrics" => &|| respond(StatusCode::OK, PROMETHEUS, site.routes.metrics()),
        _ => &|| document_page(path),
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
        response.headers_mut().insert(header::ALLOW, READ_ONLY);
        return response;
    }
    page()
}

fn document_page(path: &str) -> Response {
    match DocumentId::from_path(path) {
        Ok(_) => plain(
            StatusCode::UPGRADE_REQUIRED,
            "this is a document: connect to it as a WebSocket (ws://)",
        ),
        Err(IdError::Reserved) => plain(
            StatusCode::NOT_FOUND,
            "no such page; there are /-/healthy, /-/status, /-/metrics",
        ),
        Err(error) => plain(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

pub(crate) fn plain(status: StatusCode, line: &str) -> Response {
    respond(status, TEXT, format!("{line}\n"))
}

pub(crate) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => respond(StatusCode::OK, JSON, body),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

pub(crate) fn respond(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response {
    let mut response = hyper::Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(header::CONNECTION, UPGRADE);
        headers.insert(header::UPGRADE, WEBSOCKET);
        headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION);
    }
    response
}
