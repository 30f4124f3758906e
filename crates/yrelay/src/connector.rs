//! Opens WebSockets to a server: names, TCP, TLS, the upgrade.

mod page;
mod refused;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use yrelay_core::fellow;

use crate::socket::Stream;
use crate::target::Target;
use crate::ws::{self, Reader, Writer};
use crate::{clock, limits, listen};

pub use page::PageError;
pub use refused::Refused;

/// Why there is no connection, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No TCP connection.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The connection broke before the answer.
    #[error("unreachable: connection lost before the answer")]
    Unanswered,
    /// No TLS session: mostly the certificate.
    #[error("no secure connection: {0}")]
    Tls(String),
    /// The server answered with another status than 101.
    #[error("{0}")]
    Refused(Refused),
    /// What answered is no WebSocket server.
    #[error("no WebSocket server: {0}")]
    NotWebSocket(&'static str),
}

/// A WebSocket that was opened.
pub struct Opened {
    /// What comes.
    pub reader: Reader,
    /// What goes.
    pub writer: Writer,
    /// The server grants our own subprotocol, as some do with any that is offered.
    pub is_granted: bool,
}

/// What is asked of the server.
pub(crate) struct Call<'a> {
    /// Path and query.
    pub(crate) path: &'a str,
    /// Whether we offer to speak as yrelays do.
    pub(crate) offers_own: bool,
    /// The header of that name.
    pub(crate) authorization: Option<&'a HeaderValue>,
}

/// Opens WebSockets to one server.
#[derive(Clone)]
pub struct Connector {
    target: Target,
    /// Where the address asks for it.
    tls: Option<TlsConnector>,
}

impl Connector {
    /// For TLS it trusts what the machine trusts, and `authorities` beside.
    pub fn new(
        target: Target,
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, rustls::Error> {
        let tls = target.secure.then(|| trusting(authorities)).transpose()?;
        Ok(Self { target, tls })
    }

    /// Where they lead.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Opens a WebSocket at the address itself, and offers to speak as yrelays do. `authorization`
    /// is the header of that name. Runs inside a `LocalSet`.
    pub async fn connect(
        &self,
        authorization: Option<&HeaderValue>,
    ) -> Result<Opened, ConnectError> {
        self.call(&Call { path: &self.target.path, offers_own: true, authorization }).await
    }

    /// Opens a WebSocket. Runs inside a `LocalSet`.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Opened, ConnectError> {
        let stream = dial(&self.target).await?;
        let work = async {
            let stream = self.secure(stream).await?;
            upgrade(&self.target, call, stream).await
        };
        let late = || ConnectError::Unreachable(no_answer(limits::UPGRADE_MS));
        let (upgraded, is_granted) =
            clock::timeout(limits::UPGRADE_MS, work).await.ok_or_else(late)??;
        let (reader, writer) = ws::join(upgraded, limits::UPSTREAM_MESSAGE_BYTES_MAX);
        Ok(Opened { reader, writer, is_granted })
    }

    async fn secure(&self, stream: TcpStream) -> Result<Stream, ConnectError> {
        let Some(tls) = &self.tls else { return Ok(Stream::Tcp(stream)) };
        let host = &self.target.host;
        let name = ServerName::try_from(host.clone())
            .map_err(|_| ConnectError::Tls(format!("{host} is no server name")))?;
        let stream = tls.connect(name, stream).await;
        let stream = stream.map_err(|error| ConnectError::Tls(tls_words(&error, &self.target)))?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

fn trusting(
    authorities: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls_platform_verifier::Verifier::new_with_extra_roots(authorities, provider.clone())?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous() // the name of a builder: the verifier is the platform's
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Tries all addresses of the name in turn.
async fn dial(target: &Target) -> Result<TcpStream, ConnectError> {
    let unknown = || ConnectError::Unreachable(format!("the name {} is unknown", target.host));
    let addresses = resolve(target).await.ok_or_else(unknown)?;
    let mut error = unknown();
    for address in addresses {
        match clock::timeout(limits::CONNECT_MS, TcpStream::connect(address)).await {
            Some(Ok(stream)) => {
                // Without it small updates wait for the peer's delayed acknowledgements.
                let _ = stream.set_nodelay(true);
                bound_unsent(&stream);
                return Ok(stream);
            }
            Some(Err(failed)) => error = ConnectError::Unreachable(io_words(&failed)),
            None => error = ConnectError::Unreachable(no_answer(limits::CONNECT_MS)),
        }
    }
    Err(error)
}

/// Lets the system take no more than it can soon send: what it holds, nothing can overtake.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn bound_unsent(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(limits::LINK_UNSENT_BYTES);
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn bound_unsent(_: &TcpStream) {}

async fn resolve(target: &Target) -> Option<Vec<SocketAddr>> {
    if target.host == "localhost" {
        return Some(listen::loopback(target.port).into());
    }
    let lookup = lookup_host((target.host.as_str(), target.port));
    Some(clock::timeout(limits::CONNECT_MS, lookup).await?.ok()?.collect())
}

async fn upgrade(
    target: &Target,
    call: &Call<'_>,
    stream: Stream,
) -> Result<(Upgraded, bool), ConnectError> {
    let key = ws::key().map_err(|error| ConnectError::Unreachable(error.to_string()))?;
    let request = request(target, call, &key)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|e| http_words(&e))?;
    tokio::task::spawn_local(connection.with_upgrades());
    let response = sender.send_request(request).await.map_err(|e| http_words(&e))?;
    check(&response, &key)?;
    let granted = text(response.headers(), &header::SEC_WEBSOCKET_PROTOCOL);
    let is_granted =
        call.offers_own && granted.is_some_and(|granted| granted.trim() == fellow::SUBPROTOCOL);
    let upgraded = hyper::upgrade::on(response).await.map_err(|e| http_words(&e))?;
    Ok((upgraded, is_granted))
}

fn request(
    target: &Target,
    call: &Call<'_>,
    key: &str,
) -> Result<Request<Empty<Bytes>>, ConnectError> {
    let mut request = Request::get(call.path)
        .header(header::HOST, target.authority())
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, key);
    if call.offers_own {
        request = request.header(header::SEC_WEBSOCKET_PROTOCOL, fellow::SUBPROTOCOL);
    }
    if let Some(authorization) = call.authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    // Target::parse has seen the same path pass.
    request.body(Empty::new()).map_err(|_| ConnectError::NotWebSocket("the address is malformed"))
}

fn check<B>(response: &Response<B>, key: &str) -> Result<(), ConnectError> {
    let headers = response.headers();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(ConnectError::Refused(Refused::read(response.status(), headers)));
    }
    let upgrade = text(headers, &header::UPGRADE);
    if !upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")) {
        return Err(ConnectError::NotWebSocket("it switches to another protocol"));
    }
    if text(headers, &header::SEC_WEBSOCKET_ACCEPT) != Some(&ws::accept_key(key.as_bytes())) {
        return Err(ConnectError::NotWebSocket("its answer does not belong to our request"));
    }
    if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return Err(ConnectError::NotWebSocket("it uses an extension we did not offer"));
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn no_answer(ms: u64) -> String {
    format!("no answer within {} s", ms / 1000)
}

fn http_words(error: &hyper::Error) -> ConnectError {
    if error.is_parse() {
        return ConnectError::NotWebSocket("it does not speak HTTP/1.1");
    }
    ConnectError::Unanswered
}

fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset => "connection reset".into(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no route".into(),
        io::ErrorKind::TimedOut => "no answer".into(),
        _ => error.to_string(),
    }
}

fn tls_words(error: &io::Error, target: &Target) -> String {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let host = &target.host;
    match cause {
        Some(rustls::Error::InvalidCertificate(reason)) => match reason {
            // A bad signature is how an authority looks that has the name of a known one.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
                "the certificate of {host} is signed by an unknown authority; if you trust that, \
                 give its certificate with --tls-ca FILE"
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the certificate of {host} has expired")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the certificate of {host} is not valid yet, by this machine's clock")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the certificate is not for {host}")
            }
            other => format!("the certificate of {host} is not valid: {other}"),
        },
        Some(rustls::Error::InvalidMessage(_)) => format!("{target} does not speak TLS"),
        Some(other) => other.to_string(),
        None => io_words(error),
    }
}
