//! One client: a socket, a WebSocket on it, and the conversation by which it joins a document.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::ledger::{Ledger, Seat};
use crate::ws::{self, Opcode};
use crate::yjs::{self, Message};

/// Where a document is to be had, and how its server wants to be spoken to.
#[derive(Debug, Clone)]
pub struct Address {
    /// The server.
    pub socket: SocketAddr,
    /// Path and query.
    pub path: String,
    /// What stands before each message, either way.
    pub prefix: Vec<u8>,
    /// The first message, before Yjs' own.
    pub greeting: Option<Vec<u8>>,
}

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// There is no connection, or not yet.
    Away,
    /// The request for a WebSocket is out.
    Asking,
    /// Step 1 is out.
    Joining,
    /// Step 2 is here: it has the document, and may write.
    Joined,
}

/// What went over all connections.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Frames from servers.
    pub frames_in: u64,
    /// Bytes from servers.
    pub bytes_in: u64,
    /// Writes to servers.
    pub writes: u64,
    /// Bytes to servers.
    pub bytes_out: u64,
}

/// One client.
pub struct Connection {
    /// Where it belongs.
    pub address: Address,
    /// What it is there for.
    pub seat: Seat,
    /// How far it has come.
    pub phase: Phase,
    /// When it began to connect.
    pub dialed_ns: u64,
    /// When it had the document.
    pub joined_ns: u64,
    dials: u32,
    /// What the server lacks was sent.
    has_answered: bool,
    stream: Option<TcpStream>,
    /// Read, but not whole.
    rest: Vec<u8>,
    fragments: Vec<u8>,
    /// Not taken by the socket yet.
    pending: Vec<u8>,
}

/// What a client works with that belongs to all.
pub struct Shared<'a> {
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) traffic: &'a mut Traffic,
    pub(crate) now_ns: u64,
}

impl Connection {
    /// Somebody who is not there yet.
    pub fn new(address: Address, seat: Seat) -> Self {
        Self {
            address,
            seat,
            phase: Phase::Away,
            dialed_ns: 0,
            joined_ns: 0,
            dials: 0,
            has_answered: false,
            stream: None,
            rest: Vec::new(),
            fragments: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Begins to connect, from this address. The socket is to be registered.
    pub fn dial(&mut self, from: Ipv4Addr, now_ns: u64) -> io::Result<&mut TcpStream> {
        let stream = connect(from, self.address.socket)?;
        // Without it a small write may wait for the answer to the one before.
        stream.set_nodelay(true)?;
        self.phase = Phase::Away;
        self.dialed_ns = now_ns;
        self.dials += 1;
        self.has_answered = false;
        self.rest.clear();
        self.fragments.clear();
        self.pending.clear();
        Ok(self.stream.insert(stream))
    }

    /// What it writes may go out. Who comes back first sends what the server lacks, since that
    /// comes before.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Joined && (self.has_answered || self.dials == 1)
    }

    /// Leaves without a word.
    pub fn hang_up(&mut self) {
        self.stream = None;
        self.phase = Phase::Away;
    }

    /// The socket takes bytes.
    pub fn writable(&mut self, shared: &mut Shared<'_>) -> io::Result<()> {
        let Some(stream) = &self.stream else { return Ok(()) };
        if self.phase == Phase::Away {
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            if stream.peer_addr().is_err() {
                return Ok(());
            }
            self.phase = Phase::Asking;
            let request = ws::request(&self.address.path, &self.address.socket.to_string());
            return self.write(&request, shared.traffic);
        }
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() { Ok(()) } else { self.write(&pending, shared.traffic) }
    }

    /// Writes frames, or keeps them until the socket takes more.
    pub fn write(&mut self, frames: &[u8], traffic: &mut Traffic) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        if !self.pending.is_empty() {
            self.pending.extend(frames);
            return Ok(());
        }
        let mut left = frames;
        while !left.is_empty() {
            match stream.write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    traffic.writes += 1;
                    traffic.bytes_out += written as u64;
                    left = &left[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.pending.extend(left);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The socket has bytes, or its end (`ends`).
    pub fn readable(
        &mut self,
        scratch: &mut [u8],
        ends: bool,
        shared: &mut Shared<'_>,
    ) -> io::Result<()> {
        loop {
            let Some(stream) = &mut self.stream else { return Ok(()) };
            let read = match stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            shared.traffic.bytes_in += read as u64;
            if self.rest.is_empty() {
                let used = self.take(&scratch[..read], shared)?;
                self.rest.extend(&scratch[used..read]);
            } else {
                let mut rest = std::mem::take(&mut self.rest);
                rest.extend(&scratch[..read]);
                let used = self.take(&rest, shared)?;
                rest.drain(..used);
                // Thousands of idle clients keep no buffers.
                self.rest = if rest.is_empty() { Vec::new() } else { rest };
            }
            // A short read has emptied the socket: no need to be told so (epoll(7)).
            if read < scratch.len() && !ends {
                return Ok(());
            }
        }
    }

    /// Works through what was read. Returns how much of it is done with.
    fn take(&mut self, bytes: &[u8], shared: &mut Shared<'_>) -> io::Result<usize> {
        let mut at = 0;
        if self.phase == Phase::Asking {
            let Some(end) = ws::response(bytes).map_err(io::Error::other)? else { return Ok(0) };
            at = end;
            self.phase = Phase::Joining;
            self.join(shared)?;
        }
        while let Some(head) = ws::head(&bytes[at..]).map_err(io::Error::other)? {
            let Some(payload) = bytes.get(at + head.start..at + head.end) else { break };
            shared.traffic.frames_in += 1;
            at += head.end;
            match head.opcode {
                Opcode::Binary if head.is_final => self.hear(payload, shared)?,
                Opcode::Binary | Opcode::Continuation => {
                    self.fragments.extend(payload);
                    if head.is_final {
                        let whole = std::mem::take(&mut self.fragments);
                        self.hear(&whole, shared)?;
                    }
                }
                Opcode::Ping => {
                    let mut pong = Vec::new();
                    ws::put_pong(&mut pong, payload);
                    self.write(&pong, shared.traffic)?;
                }
                Opcode::Close => return Err(io::Error::other(closing(payload))),
                Opcode::Text | Opcode::Pong => {}
            }
        }
        Ok(at)
    }

    /// Asks for the document, but for what is known of it.
    fn join(&mut self, shared: &mut Shared<'_>) -> io::Result<()> {
        let mut frames = Vec::new();
        if let Some(greeting) = &self.address.greeting {
            ws::put_binary(&mut frames, &[greeting]);
        }
        let mut clocks = Vec::new();
        let authors = shared.ledger.authors_of(self.seat.document);
        for (author, known) in authors.zip(&self.seat.known) {
            let is_own = self.seat.author == Some(author);
            let author = &shared.ledger.authors[author];
            if author.script.is_presence {
                continue;
            }
            // An author has what it wrote, heard back or not.
            let clock = if is_own { author.said as u64 * author.script.unit } else { *known };
            if clock > 0 {
                clocks.push((author.id, clock));
            }
        }
        ws::put_binary(&mut frames, &[&self.address.prefix, &yjs::step_1(&clocks)]);
        self.write(&frames, shared.traffic)
    }

    fn hear(&mut self, frame: &[u8], shared: &mut Shared<'_>) -> io::Result<()> {
        let Some(frame) = self.without_prefix(frame) else {
            shared.ledger.fault(format!("{}: a frame of another document", self.address.path));
            return Ok(());
        };
        let mut asked = None;
        let now_ns = shared.now_ns;
        let ledger = &mut *shared.ledger;
        let (seat, phase, joined_ns) = (&mut self.seat, &mut self.phase, &mut self.joined_ns);
        let heard = yjs::messages(frame, |message| {
            match message {
                Message::Step1(vector) => asked = Some(vector),
                Message::Step2(update) | Message::Update(update) => {
                    let is_answer = matches!(message, Message::Step2(_));
                    let looks = seat.told.is_some();
                    ledger.hear_update(seat, update, is_answer || looks, now_ns);
                    if let Some(told) = &mut seat.told {
                        told.push(update.to_vec());
                    }
                    let has_it = if looks { ledger.has_all(seat) } else { is_answer };
                    if *phase == Phase::Joining && has_it {
                        *phase = Phase::Joined;
                        *joined_ns = now_ns;
                    }
                }
                Message::Awareness(entries) => ledger.hear_awareness(seat, entries, now_ns),
                Message::Other => {}
            }
            Ok(())
        });
        if let Err(fault) = heard {
            ledger.fault(format!("{}: a frame is unsound: {fault}", self.address.path));
        }
        asked.map_or(Ok(()), |vector| self.answer(vector, shared))
    }

    /// Sends what a server lacks of what this client wrote, and that this is all.
    fn answer(&mut self, vector: &[u8], shared: &mut Shared<'_>) -> io::Result<()> {
        self.has_answered = true;
        let mut frames = Vec::new();
        if let Some(author) = self.seat.author.map(|author| &shared.ledger.authors[author])
            && !author.script.is_presence
            && self.dials > 1
        {
            let clock = yjs::clock_of(vector, author.id).map_err(io::Error::other)?;
            let from = ((clock / author.script.unit) as usize).min(author.said);
            frames.extend(author.script.frames(from, author.said));
        }
        ws::put_binary(&mut frames, &[&self.address.prefix, yjs::EMPTY_STEP_2]);
        self.write(&frames, shared.traffic)
    }

    fn without_prefix<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        frame.strip_prefix(&*self.address.prefix)
    }
}

/// A connection on its way, from an address of this machine.
fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    if from != Ipv4Addr::LOCALHOST {
        socket.bind(&SocketAddr::from((from, 0)).into())?;
    }
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// What a close frame says.
fn closing(payload: &[u8]) -> String {
    match payload {
        [a, b, reason @ ..] => {
            let code = u16::from_be_bytes([*a, *b]);
            format!("closed with {code} {}", String::from_utf8_lossy(reason))
        }
        _ => "closed".into(),
    }
}
