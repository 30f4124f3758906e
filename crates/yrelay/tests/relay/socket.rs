//! A WebSocket by hand, blocking: what it reads, leaves unread and writes is the test's choice.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::wait::{PATIENCE, now};

/// Either end of a WebSocket.
pub(crate) struct Socket {
    pub(crate) stream: TcpStream,
    is_client: bool,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    Binary(Vec<u8>),
    Text(Vec<u8>),
    /// A close frame; 1005 where it names no code.
    Close(u16),
    /// The connection is gone without one.
    End,
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

impl Socket {
    /// The client's end; the path must be one that is let in.
    pub(crate) fn connect(address: SocketAddr, path: &str) -> Self {
        Self::connect_with(address, path, "")
    }

    /// The same, with further lines in the request.
    pub(crate) fn connect_with(address: SocketAddr, path: &str, lines: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        let mut this = Self::new(stream, true);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
        );
        this.stream.write_all(request.as_bytes()).unwrap();
        let head = this.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        this
    }

    /// The server's end: reads the request and answers it. `answer` gets the login that came with
    /// it and gives a status and further lines. `None` unless the status is 101.
    pub(crate) fn accept(
        stream: TcpStream,
        answer: impl FnOnce(Option<&str>) -> (u16, &'static str),
    ) -> Option<Self> {
        let mut this = Self::new(stream, false);
        let head = this.head()?;
        let header = |name: &str| {
            head.lines().find_map(|line| {
                line.to_ascii_lowercase().starts_with(name).then(|| &line[name.len()..])
            })
        };
        let (status, lines) = answer(header("authorization: "));
        let key = header("sec-websocket-key: ")?;
        let accept = BASE64.encode(
            sha1_smol::Sha1::from(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
                .digest()
                .bytes(),
        );
        let answer = format!(
            "HTTP/1.1 {status} Whatever\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
        );
        this.stream.write_all(answer.as_bytes()).ok()?;
        (status == 101).then_some(this)
    }

    fn new(stream: TcpStream, is_client: bool) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, is_client }
    }

    /// Another handle to the same connection.
    pub(crate) fn twin(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap(), is_client: self.is_client }
    }

    fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        String::from_utf8(head).ok()
    }

    /// The next message; pings are answered.
    pub(crate) fn read(&mut self) -> Message {
        let start = now();
        loop {
            let (opcode, payload) = match self.frame() {
                Ok(frame) => frame,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    panic!("nothing comes")
                }
                Err(_) => return Message::End,
            };
            match opcode {
                BINARY => return Message::Binary(payload),
                TEXT => return Message::Text(payload),
                CLOSE => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    return Message::Close(code);
                }
                PING => {
                    // A server may be left alone for long, a client waits for something.
                    assert!(!self.is_client || start.elapsed() < PATIENCE, "only pings come");
                    self.write(PONG, &payload);
                }
                PONG => {}
                other => panic!("opcode {other}"),
            }
        }
    }

    fn frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        assert_eq!(head[0] & 0xf0, 0x80, "one frame for each message");
        let mut length = [0; 8];
        let bytes = match head[1] & 0x7f {
            126 => 2,
            127 => 8,
            length_itself => {
                length[7] = length_itself;
                0
            }
        };
        self.stream.read_exact(&mut length[8 - bytes..][..bytes])?;
        let mut mask = [0; 4];
        assert_eq!(head[1] & 0x80 != 0, !self.is_client, "clients mask, servers do not");
        if !self.is_client {
            self.stream.read_exact(&mut mask)?;
        }
        let mut payload = vec![0; usize::try_from(u64::from_be_bytes(length)).unwrap()];
        self.stream.read_exact(&mut payload)?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        Ok((head[0] & 0x0f, payload))
    }

    pub(crate) fn binary(&mut self, payload: &[u8]) {
        self.write(BINARY, payload);
    }

    pub(crate) fn text(&mut self, payload: &str) {
        self.write(TEXT, payload.as_bytes());
    }

    pub(crate) fn close(&mut self, code: u16) {
        self.write(CLOSE, &code.to_be_bytes());
    }

    /// The beginning of a binary message that says how long it is.
    pub(crate) fn announce(&mut self, length: u64) {
        let head = self.frame_head(BINARY, length);
        let _ = self.stream.write_all(&head);
    }

    /// Whoever is written to may be gone: reading shows it.
    fn write(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = self.frame_head(opcode, payload.len() as u64);
        frame.extend(payload);
        let _ = self.stream.write_all(&frame);
    }

    /// The mask of clients is zero, which leaves the payload as it is.
    fn frame_head(&self, opcode: u8, length: u64) -> Vec<u8> {
        let mask_bit = if self.is_client { 0x80 } else { 0 };
        let mut head = vec![0x80 | opcode];
        match length {
            0..126 => head.push(mask_bit | length as u8),
            126..0x1_0000 => {
                head.push(mask_bit | 126);
                head.extend((length as u16).to_be_bytes());
            }
            _ => {
                head.push(mask_bit | 127);
                head.extend(length.to_be_bytes());
            }
        }
        if self.is_client {
            head.extend([0; 4]);
        }
        head
    }

    /// Ends the connection without a word.
    pub(crate) fn cut(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
