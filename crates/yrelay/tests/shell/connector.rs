//! Connecting to other servers: what goes out, how failures are told.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use hyper::header::HeaderValue;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use yrelay::connector::{ConnectError, Connector, Refused};
use yrelay::target::Target;

use crate::common::*;

/// A server for one connection. It gives the answer and returns what it was asked.
fn once(answer: impl Into<Vec<u8>>) -> (u16, JoinHandle<String>) {
    let answer = answer.into();
    serve_once(move |mut stream| {
        let request = head(&mut stream);
        stream.write_all(&answer).unwrap();
        request
    })
}

fn serve_once<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (u16, JoinHandle<T>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, thread::spawn(move || serve(listener.accept().unwrap().0)))
}

async fn connect(url: &str, authorization: Option<&str>) -> Result<(), ConnectError> {
    let connector = Connector::new(Target::parse(url).unwrap(), []).unwrap();
    let authorization = authorization.map(|value| HeaderValue::from_str(value).unwrap());
    connector.connect(authorization.as_ref()).await.map(drop)
}

#[test]
fn failures_are_told_apart() {
    let refused = |status, basic, retry_after_ms| {
        ConnectError::Refused(Refused { status, basic, retry_after_ms })
    };
    let http = |line: &str| format!("HTTP/1.1 {line}\r\n\r\n").into_bytes();
    for (answer, error) in [
        (
            http("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"ELVA\""),
            refused(401, true, None),
        ),
        (http("401 No\r\nWWW-Authenticate: Bearer"), refused(401, false, None)),
        (http("302 Found\r\nLocation: ws://evil.example/"), refused(302, false, None)),
        (http("200 OK\r\nContent-Length: 0"), refused(200, false, None)),
        (http("503 Busy\r\nRetry-After: 5"), refused(503, false, Some(5_000))),
        (
            http("101 Hi\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x"),
            ConnectError::NotWebSocket("its answer does not belong to our request"),
        ),
        (
            http("101 Hi\r\nConnection: Upgrade\r\nUpgrade: h2c"),
            ConnectError::NotWebSocket("it switches to another protocol"),
        ),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n".into(),
            ConnectError::NotWebSocket("it does not speak HTTP/1.1"),
        ),
        (b"".into(), ConnectError::Unanswered),
    ] {
        run(async {
            let (port, server) = once(answer.clone());
            let outcome = connect(&format!("ws://127.0.0.1:{port}/"), None).await;
            assert_eq!(outcome, Err(error.clone()), "{}", String::from_utf8_lossy(&answer));
            assert_eq!(error.to_string().lines().count(), 1);
            server.join().unwrap();
        });
    }
}

#[test]
fn the_request_says_what_it_must_and_no_more() {
    run(async {
        let (port, server) = once("");
        let _ = connect(&format!("ws://127.0.0.1:{port}/a%20b?c=d"), Some("Basic Zm9v")).await;
        let request = server.join().unwrap();
        let mut lines: Vec<_> = request.trim_end().lines().map(str::to_ascii_lowercase).collect();
        lines.retain(|line| !line.starts_with("sec-websocket-key: "));
        assert_eq!(
            lines,
            [
                "get /a%20b?c=d http/1.1",
                &format!("host: 127.0.0.1:{port}"),
                "connection: upgrade",
                "upgrade: websocket",
                "sec-websocket-version: 13",
                "sec-websocket-protocol: yrelay.1",
                "authorization: basic zm9v",
            ]
        );
    });
}

#[test]
fn nobody_there_is_said_in_words() {
    run(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        drop(listener);
        let error = connect(&url, None).await.unwrap_err();
        assert_eq!(error.to_string(), "unreachable: connection refused");
    });
}

#[test]
fn all_addresses_of_a_name_are_tried() {
    run(async {
        // Only one family of localhost answers.
        for address in ["127.0.0.1", "::1"] {
            let Ok(listener) = TcpListener::bind((address, 0)) else { continue };
            let port = listener.local_addr().unwrap().port();
            let server = thread::spawn(move || head(&mut listener.accept().unwrap().0));
            let error = connect(&format!("ws://localhost:{port}/"), None).await.unwrap_err();
            assert_eq!(error.to_string(), "unreachable: connection lost before the answer");
            assert!(server.join().unwrap().contains(&format!("localhost:{port}")));
        }
    });
}

#[test]
fn a_server_without_tls_is_no_secure_one() {
    run(async {
        let (port, server) = serve_once(|mut stream| {
            let _ = stream.read(&mut [0; 1024]);
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        });
        let error = connect(&format!("wss://127.0.0.1:{port}/"), None).await.unwrap_err();
        let words = format!("no secure connection: wss://127.0.0.1:{port}/ does not speak TLS");
        assert_eq!(error.to_string(), words);
        server.join().unwrap();
    });
}

struct Authority {
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        Self { issuer: rcgen::CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Answers one request with 401 over TLS, as `name`; after a failed handshake with nothing.
    fn server(&self, name: &str, (from, until): (i32, i32)) -> (u16, JoinHandle<()>) {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        serve_once(move |stream| {
            let connection = ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            if stream.read(&mut [0; 1024]).is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 401 No\r\n\r\n");
            }
        })
    }
}

#[test]
fn certificates_are_verified() {
    run(async {
        let authority = Authority::new();
        let far = 2999;
        for (trusted, name, years, words) in [
            (
                true,
                "localhost",
                (2020, far),
                "refused with HTTP status 401: it wants a login: give --user and --password-file",
            ),
            (
                false,
                "localhost",
                (2020, far),
                "no secure connection: the certificate of localhost is signed by an unknown \
                 authority; if you trust that, give its certificate with --tls-ca FILE",
            ),
            (
                true,
                "other.example",
                (2020, far),
                "no secure connection: the certificate is not for localhost",
            ),
            (
                true,
                "localhost",
                (2020, 2021),
                "no secure connection: the certificate of localhost has expired",
            ),
            (
                true,
                "localhost",
                (far - 1, far),
                "no secure connection: the certificate of localhost is not valid yet, by this \
                 machine's clock",
            ),
        ] {
            let (port, server) = authority.server(name, years);
            let target = Target::parse(&format!("wss://localhost:{port}/")).unwrap();
            let trust = trusted.then(|| authority.certificate());
            let connector = Connector::new(target, trust).unwrap();
            let error = connector.connect(None).await.err().unwrap();
            assert_eq!(error.to_string(), words);
            server.join().unwrap();
        }
    });
}
