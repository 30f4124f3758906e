//! A TCP proxy that counts connections.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Passes every connection on to another port of this machine.
pub struct Proxy {
    port: u16,
    accepted: Arc<AtomicUsize>,
}

impl Proxy {
    /// Listens before the server at `port`, as long as the test runs.
    pub fn start(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let own = listener.local_addr().expect("a listener has an address").port();
        let accepted = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&accepted);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                drop(TcpStream::connect(("127.0.0.1", port)).and_then(|it| join(&client, &it)));
            }
        });
        Proxy { port: own, accepted }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }

    /// How many connections were made so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// Copies in both directions until each side has ended.
fn join(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    for (from, to) in [(client, server), (server, client)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            drop(io::copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Write));
        });
    }
    Ok(())
}
