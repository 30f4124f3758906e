//! Whatever stands where the server should, those below work on.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;
use yrelay::config::{Config, Storage, Upstream};
use yrelay::target::Target;

use crate::client::Client;
use crate::local::{Relay, config};
use crate::wait::eventually;

/// So many attempts while a few edits are written: the pauses grow, and clients hurry but one.
const ATTEMPTS: usize = 12;

/// Answers every request with this, and hangs up. Returns where, and how often it was asked.
fn fake(answer: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    // Lives as long as the tests do.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
            reply(stream, &answer);
        }
    });
    (url, asked)
}

/// Whoever asked may have hung up.
fn reply(mut stream: TcpStream, answer: &[u8]) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
        request.extend(byte);
    }
    let _ = stream.write_all(answer);
}

#[test]
fn whatever_the_server_answers_those_below_work_on() {
    let http = |head: &str| format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n").into_bytes();
    for (answer, state, words) in [
        (http("404 Not Found"), "offline", "404"),
        (http("429 Too Many Requests\r\nRetry-After: 3600"), "offline", "429"),
        (http("500 Internal Server Error"), "offline", "500"),
        (http("302 Found\r\nLocation: ws://127.0.0.1:9/"), "offline", "302"),
        (http("401 Unauthorized"), "unauthorized", "401"),
        (http("403 Forbidden"), "unauthorized", "403"),
        (b"\x00\x01\x02 garbage \xff\r\n\r\n".to_vec(), "offline", "HTTP"),
        (vec![b'x'; 1 << 20], "offline", ""),
        (Vec::new(), "offline", "connection lost"),
    ] {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(40)]).into_owned();
        let (url, asked) = fake(answer);
        let directory = TempDir::new().unwrap();
        let storage = Storage::Directory(directory.path().into());
        let upstream = Some(Upstream::open(Target::parse(&url).unwrap()));
        let relay = Relay::of(Config { storage, upstream, ..config() });
        eventually(&format!("{shown:?} is understood"), || {
            let upstream = relay.pages.upstream();
            let reason = upstream["reason"].as_str().unwrap_or_default();
            upstream["state"] == state && !reason.is_empty() && reason.contains(words)
        });
        let mut author = Client::synced(relay.address(), "notes", 1);
        let mut other = Client::synced(relay.address(), "notes", 2);
        for _ in 0..20 {
            author.save("x");
            other.read_until(&author.text());
        }
        let document = relay.pages.document("notes");
        assert_eq!((&document["saved"], &document["synced"]), (&true.into(), &false.into()));
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked <= ATTEMPTS, "{shown:?}: asked {asked} times");
    }
}
