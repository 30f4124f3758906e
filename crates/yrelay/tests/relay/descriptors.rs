//! As many connections as there are file descriptors for, and no more.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;

use crate::client::Client;
use crate::program::Program;
use crate::wait::{PATIENCE, eventually};

/// What is left of 64 file descriptors when the relay has its own.
const CONNECTIONS: usize = 32;

const REQUEST: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn start(directory: &TempDir) -> Program {
    Program::start_with_descriptors(directory.path(), 40, 64)
}

fn knock(program: &Program) -> TcpStream {
    let stream = TcpStream::connect(program.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Whether something has come; the end has.
fn has_come(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let outcome = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    !outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// They go on as if nobody else was there.
fn live_on(clients: &mut [Client]) {
    let [author, others @ ..] = clients else { panic!("nobody is there") };
    for _ in 0..20 {
        author.save("x");
    }
    others.iter_mut().for_each(|other| other.read_until(&author.text()));
}

#[test]
fn at_the_bound_others_wait_until_somebody_leaves() {
    let directory = TempDir::new().unwrap();
    let program = start(&directory);
    let mut clients: Vec<Client> = (0..CONNECTIONS)
        .map(|number| Client::synced(program.address, "notes", number as u64))
        .collect();
    let mut waiting: Vec<TcpStream> = (0..100).map(|_| knock(&program)).collect();
    waiting.iter_mut().for_each(|stream| stream.write_all(REQUEST).unwrap());
    live_on(&mut clients);
    assert!(!waiting.iter().any(has_come), "one too many was let in");
    drop(clients.pop());
    // One after the other, as each is sent away when it asks for nothing more.
    let mut answer = [0; 12];
    waiting[0].read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    live_on(&mut clients);
    drop(waiting);
    clients.push(Client::synced(program.address, "notes", 99));
    live_on(&mut clients);
}

#[test]
fn who_only_knocks_keeps_nobody_out() {
    let directory = TempDir::new().unwrap();
    let program = start(&directory);
    let silent: Vec<TcpStream> = (0..CONNECTIONS / 2).map(|_| knock(&program)).collect();
    let mut clients = vec![Client::synced(program.address, "notes", 1)];
    // It took the place of the oldest.
    eventually("the oldest is closed", || has_come(&silent[0]));
    assert!(!silent[1..].iter().any(has_come));
    let _flood: Vec<TcpStream> = (0..200).map(|_| knock(&program)).collect();
    clients.push(Client::synced(program.address, "notes", 2));
    live_on(&mut clients);
}

/// Something else in the process has taken what was spared, say.
#[test]
fn where_there_is_no_descriptor_left_others_wait_and_all_goes_on() {
    let directory = TempDir::new().unwrap();
    let program = start(&directory);
    let mut clients: Vec<Client> =
        (0..3).map(|number| Client::synced(program.address, "notes", number)).collect();
    let pid = Pid::from_raw(program.pid() as i32);
    let limit = |current| Rlimit { current: Some(current), maximum: Some(64) };
    prlimit(pid, Resource::Nofile, limit(3)).unwrap();
    let mut waiting = knock(&program);
    waiting.write_all(REQUEST).unwrap();
    live_on(&mut clients);
    assert!(!has_come(&waiting), "there was one left");
    prlimit(pid, Resource::Nofile, limit(64)).unwrap();
    let mut answer = [0; 12];
    waiting.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    clients.push(Client::synced(program.address, "notes", 99));
    live_on(&mut clients);
}
