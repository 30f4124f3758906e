//! The harness's own network: what it holds back, cuts and lets through.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use yrelay_interop::{Proxy, eventually_eq, steady};

/// Sends everything back, until the stream ends.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    port
}

fn dial(proxy: &Proxy) -> TcpStream {
    let address = proxy.url();
    let address = address.trim_start_matches("ws://").trim_end_matches('/');
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn says(mut stream: &TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

fn hears(mut stream: &TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, text.as_bytes());
}

/// For a moment.
fn hears_nothing(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
}

fn is_cut(mut stream: &TcpStream) {
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn what_is_held_back_arrives_after_the_thaw() {
    let proxy = Proxy::start(echo());
    let early = dial(&proxy);
    says(&early, "one");
    hears(&early, "one");
    proxy.freeze();
    let late = dial(&proxy);
    says(&early, "two");
    says(&late, "three");
    hears_nothing(&early);
    hears_nothing(&late);
    proxy.thaw();
    hears(&early, "two");
    hears(&late, "three");
    assert_eq!((proxy.bytes_up(), proxy.bytes_down()), (11, 11));
}

#[test]
fn the_stranded_are_left_alone_for_ever() {
    let proxy = Proxy::start(echo());
    let old = dial(&proxy);
    says(&old, "one");
    hears(&old, "one");
    proxy.strand();
    let new = dial(&proxy);
    says(&old, "two");
    says(&new, "three");
    hears(&new, "three");
    proxy.cut();
    is_cut(&new);
    hears_nothing(&old);
}

#[test]
fn a_cut_takes_all_and_a_refusal_those_that_come() {
    let proxy = Proxy::start(echo());
    let stream = dial(&proxy);
    says(&stream, "one");
    hears(&stream, "one");
    proxy.refuse(true);
    is_cut(&dial(&proxy));
    says(&stream, "two");
    hears(&stream, "two");
    proxy.cut();
    is_cut(&stream);
    proxy.refuse(false);
    let stream = dial(&proxy);
    says(&stream, "three");
    hears(&stream, "three");
    assert_eq!(proxy.accepted(), 3);
}

#[test]
fn a_cut_may_come_in_the_middle() {
    let proxy = Proxy::start(echo());
    proxy.cut_after(4);
    let mut stream = dial(&proxy);
    says(&stream, "seven!!");
    let mut heard = Vec::new();
    drop(stream.read_to_end(&mut heard));
    assert!(heard.len() <= 4);
    assert_eq!(proxy.bytes_up(), 4);
    let stream = dial(&proxy);
    says(&stream, "seven!!");
    hears(&stream, "seven!!");
}

#[test]
fn a_trickle_takes_its_time() {
    let proxy = Proxy::start(echo());
    proxy.trickle(Some(100));
    let stream = dial(&proxy);
    says(&stream, &"x".repeat(2_000));
    eventually_eq("some has passed", || proxy.bytes_up() >= 20, &true);
    assert!(proxy.bytes_up() < 500, "{}", proxy.bytes_up());
    proxy.trickle(None);
    hears(&stream, &"x".repeat(2_000));
    assert_eq!(steady(Duration::from_millis(100), || proxy.bytes_down()), 2_000);
}
