//! The client's side of WebSocket (RFC 6455), as little of it as a measuring client needs.
//!
//! Frames that go out are masked once, beforehand, with one fixed key: a server has to unmask
//! them like any other, and sending is a write of ready bytes. Of frames that come in only the
//! heads are read.

/// Any key will do, but zero, which a server could notice and skip its work for.
const KEY: [u8; 4] = [0x5a, 0xc3, 0x96, 0x3d];

/// The request that asks for a WebSocket.
pub fn request(path: &str, host: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// Where the answer to the request ends, once it is there.
pub fn response(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    if bytes.starts_with(b"HTTP/1.1 101") {
        return Ok(Some(end + 4));
    }
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Err(format!("no WebSocket: {}", String::from_utf8_lossy(line)))
}

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on where the frame before ended.
    Continuation,
    /// Text, which no Yjs server sends.
    Text,
    /// Data.
    Binary,
    /// The server leaves.
    Close,
    /// To be answered.
    Ping,
    /// An answer.
    Pong,
}

/// The head of a frame from a server, and where its payload is.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// No continuation follows.
    pub is_final: bool,
    /// What it is for.
    pub opcode: Opcode,
    /// Where its payload begins.
    pub start: usize,
    /// Where its payload ends, which may not be there yet.
    pub end: usize,
}

/// Reads the head at the beginning of `bytes`, once it is there.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let opcode = match first & 0x7f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        other => return Err(format!("a frame of an unknown kind: {other:#x}")),
    };
    let (start, length): (usize, u64) = match *second {
        length @ 0..126 => (2, u64::from(length)),
        126 => match rest {
            [a, b, ..] => (4, u64::from(u16::from_be_bytes([*a, *b]))),
            _ => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (10, u64::from_be_bytes(*length)),
            None => return Ok(None),
        },
        _ => return Err("a masked frame from a server".into()),
    };
    let length = usize::try_from(length).map_err(|_| "a frame that fits nowhere")?;
    let end = start.checked_add(length).ok_or("a frame that fits nowhere")?;
    Ok(Some(Head { is_final: first & 0x80 != 0, opcode, start, end }))
}

/// Appends a binary frame with this payload, given in parts.
pub fn put_binary(out: &mut Vec<u8>, payload: &[&[u8]]) {
    put_frame(out, 0x82, payload);
}

/// Appends the answer to a ping.
pub fn put_pong(out: &mut Vec<u8>, payload: &[u8]) {
    put_frame(out, 0x8a, &[payload]);
}

fn put_frame(out: &mut Vec<u8>, first: u8, payload: &[&[u8]]) {
    let length: usize = payload.iter().map(|part| part.len()).sum();
    out.push(first);
    match length {
        0..126 => out.push(0x80 | length as u8),
        126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(KEY);
    let bytes = payload.iter().copied().flatten();
    out.extend(bytes.zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_once_they_are_whole() {
        let binary = |start, end| Some(Head { is_final: true, opcode: Opcode::Binary, start, end });
        assert_eq!(head(&[0x82, 5]), Ok(binary(2, 7)));
        assert_eq!(head(&[0x82, 126, 1, 0]), Ok(binary(4, 260)));
        assert_eq!(head(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Ok(binary(10, 65_546)));
        for partial in [&[] as &[u8], &[0x82], &[0x82, 126, 1], &[0x82, 127, 0, 0, 0, 0, 0, 1, 0]] {
            assert_eq!(head(partial), Ok(None));
        }
        assert!(head(&[0x82, 0x85]).is_err());
        assert!(head(&[0xc2, 5]).is_err());
    }

    #[test]
    fn frames_are_masked() {
        let mut out = Vec::new();
        put_binary(&mut out, &[&[1, 2], &[3, 4, 5]]);
        let [a, b, c, d] = KEY;
        assert_eq!(out, [0x82, 0x85, a, b, c, d, 1 ^ a, 2 ^ b, 3 ^ c, 4 ^ d, 5 ^ a]);
        for (length, start) in [(125, 6), (126, 8), (65_535, 8), (65_536, 14)] {
            let mut out = Vec::new();
            put_binary(&mut out, &[&vec![0; length]]);
            assert_eq!(out.len(), start + length);
        }
    }

    #[test]
    fn an_answer_other_than_101_is_an_error() {
        assert_eq!(response(b"HTTP/1.1 101 Switching Protocols\r\n\r"), Ok(None));
        assert_eq!(response(b"HTTP/1.1 101 Switching Protocols\r\n\r\nx"), Ok(Some(36)));
        assert!(response(b"HTTP/1.1 403 Forbidden\r\n\r\n").unwrap_err().contains("403"));
    }
}
