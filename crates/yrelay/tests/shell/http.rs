//! HTTP over real sockets: who comes in, what the pages say.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use yrelay::origin::Rules;
use yrelay::{clock, limits};

use crate::common::*;

const HOST: &str = "Host: localhost:8000";

#[test]
fn every_path_has_its_answer() {
    let server = Server::start();
    for (method, path, status_expected, line) in [
        ("GET", "/-/healthy", 200, "ok\n"),
        ("HEAD", "/-/healthy", 200, ""),
        ("GET", "/-/healthy?x=1", 200, "ok\n"),
        ("GET", "/", 200, "[]"),
        ("HEAD", "/", 200, ""),
        ("POST", "/", 405, "only GET and HEAD\n"),
        ("DELETE", "/-/status", 405, "only GET and HEAD\n"),
        ("GET", "/-/nothing", 404, "no such page; there are /-/healthy, /-/status, /-/metrics\n"),
        ("GET", "/-/", 404, "no such page; there are /-/healthy, /-/status, /-/metrics\n"),
        ("GET", "/notes", 426, "this is a document: connect to it as a WebSocket (ws://)\n"),
        ("GET", "/a%00b", 400, "identifier holds a control character\n"),
        ("GET", "/%ff", 400, "identifier is not valid UTF-8\n"),
        ("GET", "http://evil.example/-/healthy", 400, "this is no proxy\n"),
    ] {
        let answer = server.ask(&request(method, path, &[HOST, "Connection: close"]));
        assert_eq!((status(&answer), body(&answer)), (status_expected, line), "{method} {path}");
    }
}

#[test]
fn status_and_metrics_are_in_their_formats() {
    let server = Server::start();
    let page = |path| server.ask(&request("GET", path, &[HOST, "Connection: close"]));
    let answer = page("/-/status");
    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    let status: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(status["role"], "serve");
    assert_eq!(status["upstream"]["state"], "none");
    assert_eq!(status["documents"], serde_json::json!([]));
    let answer = page("/-/metrics");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(body(&answer).contains("\nyrelay_clients 0\n"), "{answer}");
}

#[test]
fn an_upgrade_is_answered_with_the_key_of_the_standard() {
    let server = Server::start();
    let headers = [UPGRADE, &[HOST, "Sec-WebSocket-Protocol: yauth-token, other"]].concat();
    let mut stream = TcpStream::connect(server.addresses[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request("GET", "/notes", &headers).as_bytes()).unwrap();
    let answer = head(&mut stream);
    assert_eq!(status(&answer), 101);
    assert!(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
    // A browser that offers subprotocols fails where none is taken.
    assert!(answer.contains("sec-websocket-protocol: yauth-token\r\n"), "{answer}");
}

#[test]
fn upgrades_that_lead_nowhere_are_refused_with_a_line() {
    let server = Server::start();
    let without = |name: &str| -> Vec<&str> {
        UPGRADE.iter().copied().filter(|header| !header.starts_with(name)).collect()
    };
    let all = without("none of them");
    for (path, headers, status_expected, line) in [
        ("/-/status", &all, 400, "identifiers beginning with \"-/\" are reserved\n"),
        ("/%2d/status", &all, 400, "identifiers beginning with \"-/\" are reserved\n"),
        ("/a%0Ab", &all, 400, "identifier holds a control character\n"),
        ("/%c3", &all, 400, "identifier is not valid UTF-8\n"),
        ("/n", &without("Sec-WebSocket-V"), 426, "this is WebSocket version 13\n"),
        ("/n", &without("Sec-WebSocket-K"), 400, "the Sec-WebSocket-Key header is missing\n"),
    ] {
        let answer = server.ask(&request("GET", path, &[&headers[..], &[HOST]].concat()));
        assert_eq!((status(&answer), body(&answer)), (status_expected, line), "{path}");
    }
    let long = format!("/{}", "x".repeat(513));
    let answer = server.ask(&request("GET", &long, &[UPGRADE, &[HOST]].concat()));
    assert_eq!((status(&answer), body(&answer)), (400, "identifier longer than 512 bytes\n"));
    let answer = server.ask(&request("POST", "/n", &[UPGRADE, &[HOST]].concat()));
    assert_eq!(status(&answer), 400);
}

const ROUTES: [&str; 6] = ["/", "/-/healthy", "/-/status", "/-/metrics", "/-/nothing", "/notes"];

#[test]
fn strange_pages_and_names_are_refused_on_every_route() {
    let server = Server::start();
    let evil_page = [HOST, "Origin: http://evil.example"];
    let null_page = [HOST, "Origin: null"];
    let evil_name = ["Host: evil.example:8000"];
    let two_names = [HOST, HOST];
    for path in ROUTES {
        for (headers, expected) in [
            (&evil_page[..], 403),
            (&null_page[..], 403),
            (&evil_name[..], 403),
            (&two_names[..], 400),
            (&[], 400),
        ] {
            for kind in [UPGRADE, &["Connection: close"]] {
                let request = request("GET", path, &[kind, headers].concat());
                let answer = server.ask(&request);
                assert_eq!(status(&answer), expected, "{request}");
                assert_eq!(body(&answer).lines().count(), 1, "{answer}");
            }
        }
    }
}

#[test]
fn what_is_allowed_by_name_comes_in_and_nothing_beside() {
    let server = Server::with(Rules {
        allow_origins: vec!["https://editor.example".parse().unwrap()],
        allow_hosts: vec!["relay.internal".parse().unwrap()],
    });
    for (host, origin, expected) in [
        ("relay.internal:1", "https://editor.example", 200),
        ("localhost", "http://127.0.0.1:5173", 200),
        ("localhost", "https://editor.example.evil", 403),
        ("relay.internal.evil", "https://editor.example", 403),
    ] {
        let headers =
            [&*format!("Host: {host}"), &format!("Origin: {origin}"), "Connection: close"];
        let answer = server.ask(&request("GET", "/-/healthy", &headers));
        assert_eq!(status(&answer), expected, "{host} {origin}");
    }
}

#[test]
fn a_head_that_does_not_come_to_its_end_is_waited_for_so_long() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.addresses[0]).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(limits::HEADER_MS / 10))).unwrap();
    let start = clock::now_ms();
    let waited = || Duration::from_millis(clock::now_ms() - start);
    // Each byte comes long before the time is over.
    let mut head = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nX-Long: ".iter();
    loop {
        let _ = stream.write_all(&[*head.next().unwrap_or(&b'x')]);
        match stream.read(&mut [0]) {
            Err(error) if is_timeout(&error) => assert!(waited() < PATIENCE, "for ever"),
            _ => break,
        }
    }
    assert!(waited() >= Duration::from_millis(limits::HEADER_MS * 9 / 10), "{:?}", waited());
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[test]
fn a_long_head_is_refused() {
    let server = Server::start();
    let long = format!("X-Long: {}", "x".repeat(9 << 10));
    let answer = server.ask(&request("GET", "/-/healthy", &[HOST, &long]));
    assert_eq!(status(&answer), 431, "{answer}");
}

#[test]
fn rooms_are_listed_as_elva_does() {
    let server = Server::start();
    let _client = server.raw("/caf%C3%A9/1?client=elva");
    let answer = server.ask(&request("GET", "/", &[HOST, "Connection: close"]));
    let rooms: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    let room = serde_json::json!({
        "identifier": "café/1",
        "clients": 1,
        "persistent": true,
        "permanent": false,
        "secret": false,
    });
    assert_eq!(rooms, serde_json::json!([room]));
}
