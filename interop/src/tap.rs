//! A tap, which tells what clients and a server say to each other.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::process::Process;
use crate::{install, port, steady};

/// A frame that passed a tap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether the server sent it.
    pub is_from_server: bool,
    /// Its bytes.
    pub hex: String,
}

/// A WebSocket relay before a server that notes every frame.
pub struct Tap {
    port: u16,
    frames: Arc<Mutex<Vec<Frame>>>,
    _process: Process,
}

impl Tap {
    /// Starts a tap and waits until it listens.
    pub fn start(server_url: &str) -> Tap {
        let port = port::free();
        let frames = Arc::<Mutex<Vec<Frame>>>::default();
        let mut command = install::tap();
        command.arg(port.to_string()).arg(server_url);
        let seen = Arc::clone(&frames);
        let on_line = move |line: String| {
            if let Some(frame) = frame(&line) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
            }
            Some(line)
        };
        let process = Process::spawn("tap", &mut command, Box::new(on_line));
        process.ready(|line| line == "listening");
        Tap { port, frames, _process: process }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }

    /// Waits until nothing has passed for so long; returns what has since the last call.
    pub fn take(&self, span: Duration) -> Vec<Frame> {
        steady(span, || self.frames().len());
        mem::take(&mut *self.frames())
    }

    fn frames(&self) -> MutexGuard<'_, Vec<Frame>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn frame(line: &str) -> Option<Frame> {
    let (from, hex) = line.split_once(' ')?;
    let is_from_server = match from {
        "server" => true,
        "client" => false,
        _ => return None,
    };
    Some(Frame { is_from_server, hex: hex.to_owned() })
}
