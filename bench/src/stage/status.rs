//! What yrelay says of itself: whether the server above has proved that it holds everything.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Whether the relay on this port is online, and all of at least so many documents confirmed.
pub(super) fn is_confirmed(port: u16, documents: usize) -> Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let host = format!("127.0.0.1:{port}");
    write!(stream, "GET /-/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status: Value = serde_json::from_str(body)?;
    let listed = status["documents"].as_array().context("no documents")?;
    let confirmed = listed.iter().filter(|document| document["confirmed"] == true).count();
    let is_online = status["upstream"]["state"] == "online";
    Ok(is_online && confirmed == listed.len() && confirmed >= documents)
}
