//! A TCP proxy that does to connections what networks do.

use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A slow connection passes a piece this often.
const PIECE_EVERY: Duration = Duration::from_millis(50);
const PIECES_PER_SECOND: usize = 20;

/// Of what is under way to the server, so much waits in the proxy, and about as much in its socket.
const BUFFER_BYTES: usize = 16 << 10;

/// Passes every connection on to another port of this machine, until told otherwise.
pub struct Proxy {
    port: u16,
    network: Arc<Network>,
}

/// What all threads of a proxy share.
#[derive(Default)]
struct Network {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    refusing: bool,
    frozen: bool,
    ended: bool,
    bytes_per_second: Option<usize>,
    /// Bytes toward the server until all is cut.
    until_cut: Option<usize>,
    spoiling: bool,
    accepted: usize,
    /// Connections with a smaller number are cut.
    cut: usize,
    /// Connections with a smaller number are never served again.
    stranded: usize,
    /// Both ends of each connection, by its number.
    open: Vec<(usize, [TcpStream; 2])>,
    up: usize,
    down: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Proxy {
    /// Listens before the server at `port`.
    pub fn start(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        hold_little(&listener);
        let own = listener.local_addr().expect("a listener has an address").port();
        let network = Arc::<Network>::default();
        let shared = Arc::clone(&network);
        thread::spawn(move || shared.listen(&listener, port));
        Proxy { port: own, network }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections were made so far, those that were refused among them.
    pub fn accepted(&self) -> usize {
        self.network.state().accepted
    }

    /// How many bytes went to the server so far.
    pub fn bytes_up(&self) -> usize {
        self.network.state().up
    }

    /// How many bytes came from the server so far.
    pub fn bytes_down(&self) -> usize {
        self.network.state().down
    }

    /// Closes all connections.
    pub fn cut(&self) {
        self.network.change(State::cut);
    }

    /// Whether new connections are closed at once: the server cannot be reached.
    pub fn refuse(&self, refusing: bool) {
        self.network.change(|state| state.refusing = refusing);
    }

    /// Lets nothing through in either direction, new connections included, and closes nothing.
    pub fn freeze(&self) {
        self.network.change(|state| state.frozen = true);
    }

    /// Ends `freeze`: what was held back arrives.
    pub fn thaw(&self) {
        self.network.change(|state| state.frozen = false);
    }

    /// Lets nothing through any more on the connections that are, and never closes them. New ones
    /// work.
    pub fn strand(&self) {
        self.network.change(|state| state.stranded = state.accepted);
    }

    /// Lets so many bytes through in a second, in each direction, in small pieces.
    pub fn trickle(&self, bytes_per_second: Option<usize>) {
        self.network.change(|state| state.bytes_per_second = bytes_per_second);
    }

    /// Flips a bit of what comes by next.
    pub fn spoil(&self) {
        self.network.change(|state| state.spoiling = true);
    }

    /// Closes all connections after so many more bytes toward the server.
    pub fn cut_after(&self, bytes: usize) {
        self.network.change(|state| state.until_cut = Some(bytes));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.network.change(|state| {
            state.ended = true;
            state.cut();
        });
        // Whoever listens looks up.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl State {
    fn cut(&mut self) {
        self.cut = self.accepted;
        let stranded = self.stranded;
        self.open.retain(|(number, ends)| {
            if *number >= stranded || self.ended {
                shut(ends);
            }
            *number < stranded && !self.ended
        });
    }

    fn holds_back(&self, number: usize) -> bool {
        !self.ended && (self.frozen || number < self.stranded)
    }
}

impl Network {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn listen(self: Arc<Self>, listener: &TcpListener, port: u16) {
        for client in listener.incoming().flatten() {
            let number = {
                let mut state = self.state();
                if state.ended {
                    return;
                }
                state.accepted += 1;
                state.accepted - 1
            };
            let network = Arc::clone(&self);
            thread::spawn(move || network.serve(number, client, port));
        }
    }

    fn serve(self: Arc<Self>, number: usize, client: TcpStream, port: u16) {
        drop(self.served(number));
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("a connection takes its options");
        }
        let ends = [client, server];
        let copy = || ends.each_ref().map(|end| end.try_clone().expect("files can be opened"));
        {
            let mut state = self.state();
            if state.refusing || state.ended || number < state.cut {
                return;
            }
            state.open.push((number, copy()));
        }
        let [from, to] = copy();
        let network = Arc::clone(&self);
        thread::spawn(move || network.pass(number, &[from, to], Way::Up));
        let [to, from] = ends;
        self.pass(number, &[from, to], Way::Down);
    }

    /// Copies until the end of the stream, which it passes on, or a failure, which ends both ways.
    fn pass(&self, number: usize, ends: &[TcpStream; 2], way: Way) {
        let copied = self.copy(number, ends, way);
        drop(self.served(number));
        match copied {
            Ok(()) => drop(ends[1].shutdown(Shutdown::Write)),
            Err(_) => shut(ends),
        }
    }

    fn copy(&self, number: usize, [from, to]: &[TcpStream; 2], way: Way) -> io::Result<()> {
        let (mut from, mut to) = (from, to);
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            let length = from.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            let mut rest = &mut buffer[..length];
            while !rest.is_empty() {
                let (piece, next) = rest.split_at_mut(self.allow(number, way, rest.len())?);
                if let [.., last] = piece
                    && mem::take(&mut self.state().spoiling)
                {
                    *last ^= 1;
                }
                to.write_all(piece)?;
                rest = next;
                self.cut_if_due();
            }
        }
    }

    /// Waits until so many bytes or fewer may pass, and says how many.
    fn allow(&self, number: usize, way: Way, length: usize) -> io::Result<usize> {
        let mut state = self.state();
        let mut piece = length;
        if let Some(rate) = state.bytes_per_second {
            piece = piece.min((rate / PIECES_PER_SECOND).max(1));
            state = self.wait_for_a_piece(state);
        }
        drop(state);
        let mut state = self.served(number);
        if number < state.cut {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if way == Way::Down {
            state.down += piece;
            return Ok(piece);
        }
        if let Some(left) = &mut state.until_cut {
            piece = piece.min(*left);
            *left -= piece;
        }
        state.up += piece;
        Ok(piece)
    }

    fn wait_for_a_piece<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let slow = |state: &mut State| state.bytes_per_second.is_some();
        let waited = self.changed.wait_timeout_while(state, PIECE_EVERY, slow);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits until a connection is served.
    fn served(&self, number: usize) -> MutexGuard<'_, State> {
        let state = self.state();
        let served = self.changed.wait_while(state, |state| state.holds_back(number));
        served.unwrap_or_else(PoisonError::into_inner)
    }

    fn cut_if_due(&self) {
        let mut state = self.state();
        if state.until_cut == Some(0) {
            state.until_cut = None;
            state.cut();
        }
    }
}

/// A network holds little of what is under way; the system's buffers would hold megabytes.
#[cfg(unix)]
fn hold_little(listener: &TcpListener) {
    let set = rustix::net::sockopt::set_socket_recv_buffer_size(listener, BUFFER_BYTES);
    set.expect("a socket takes its options");
}

#[cfg(not(unix))]
fn hold_little(_listener: &TcpListener) {}

fn shut(ends: &[TcpStream; 2]) {
    for end in ends {
        drop(end.shutdown(Shutdown::Both));
    }
}
