//! What stands between relay and server where the way is to be cut, or its bytes are counted.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::clock;

/// Passes connections on to a port of this machine, on threads of its own.
pub(super) struct Proxy {
    pub(super) port: u16,
    way: Arc<Way>,
}

#[derive(Default)]
struct Way {
    target: u16,
    is_cut: AtomicBool,
    bytes: AtomicU64,
    /// When the last connection came through; 0: none did.
    through_ns: AtomicU64,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// To this port, whether anybody listens there or not.
    pub(super) fn to(target: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let way = Arc::new(Way { target, ..Way::default() });
        let shared = way.clone();
        // It waits for the next connection until the process ends.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Where nobody is, the connection is closed at once.
                let _ = shared.clone().pass(stream);
            }
        });
        Ok(Self { port, way })
    }

    /// Ends all connections, and new ones at once.
    pub(super) fn cut(&self) {
        self.way.is_cut.store(true, Ordering::SeqCst);
        for stream in self.way.streams().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets connections through again.
    pub(super) fn mend(&self) {
        self.way.is_cut.store(false, Ordering::SeqCst);
    }

    /// Bytes so far, both ways.
    pub(super) fn bytes(&self) -> u64 {
        self.way.bytes.load(Ordering::Relaxed)
    }

    /// When the last connection came through, if one did.
    pub(super) fn through_ns(&self) -> Option<u64> {
        Some(self.way.through_ns.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Way {
    fn streams(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(self: Arc<Self>, below: TcpStream) -> io::Result<()> {
        let mut streams = self.streams();
        if self.is_cut.load(Ordering::SeqCst) {
            return Ok(());
        }
        let above = TcpStream::connect((Ipv4Addr::LOCALHOST, self.target))?;
        self.through_ns.store(clock::now_ns(), Ordering::Relaxed);
        for stream in [&below, &above] {
            stream.set_nodelay(true)?;
            streams.push(stream.try_clone()?);
        }
        drop(streams);
        for (from, to) in [(below.try_clone()?, above.try_clone()?), (above, below)] {
            let way = self.clone();
            thread::spawn(move || way.copy(from, to));
        }
        Ok(())
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            self.bytes.fetch_add(read as u64, Ordering::Relaxed);
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
