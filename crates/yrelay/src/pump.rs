//! One WebSocket at work: reads and writes at once, looks whether the peer is still there.

use std::cell::Cell;
use std::fmt;

use bytes::Bytes;
use tokio::task::coop;

use crate::outbox::Outbox;
use crate::socket::Life;
use crate::ws::{self, Close, Error, Frame, Incoming, Reader, Writer};
use crate::{clock, limits};

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The peer closed it.
    Theirs(Close),
    /// We closed it, through the outbox.
    Ours(Close),
    /// The peer broke the protocol; this is what it was told.
    Fault(Close),
    /// It broke.
    Lost(String),
    /// No sign of life.
    Silent,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Theirs(close) => write!(f, "left ({})", close.code),
            Self::Ours(close) => write!(f, "closed ({}: {})", close.code, close.reason),
            Self::Fault(close) => write!(f, "refused ({}: {})", close.code, close.reason),
            Self::Lost(reason) => write!(f, "connection lost: {reason}"),
            Self::Silent => write!(f, "no sign of life for {} s", limits::DEAD_MS / 1000),
        }
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        match error {
            Error::Lost(reason) => Self::Lost(reason),
            Error::Fault(close) => Self::Fault(close),
        }
    }
}

/// Moves messages until the connection ends: those that come in go to `take`, those in the outbox
/// go out, and neither waits for the other. While `take` is busy nothing is read and the peer's
/// silence is not held against it. After [`Outbox::close`] what still comes in is thrown away.
pub async fn pump(
    mut reader: Reader,
    mut writer: Writer,
    outbox: &Outbox,
    take: impl AsyncFnMut(Frame),
) -> Ended {
    let life = reader.life();
    let busy = Cell::new(false);
    let ended = tokio::select! {
        ended = read(&mut reader, outbox, &busy, take) => ended,
        ended = write(&mut writer, outbox) => ended,
        ended = watch(&life, &busy) => ended,
        ended = give_up(outbox) => ended,
    };
    part(reader, writer, &ended).await;
    match (ended, outbox.close_asked()) {
        (Ended::Fault(close), _) => Ended::Fault(close),
        (_, Some(close)) => Ended::Ours(close),
        (ended, None) => ended,
    }
}

async fn read(
    reader: &mut Reader,
    outbox: &Outbox,
    busy: &Cell<bool>,
    mut take: impl AsyncFnMut(Frame),
) -> Ended {
    let life = reader.life();
    loop {
        // One buffer may hold a thousand messages: let the others in between.
        coop::consume_budget().await;
        match reader.next().await {
            Ok(Incoming::Frame(frame)) if !outbox.is_closing() => {
                busy.set(true);
                take(frame).await;
                busy.set(false);
                life.touch();
            }
            Ok(Incoming::Frame(_) | Incoming::Control) => {}
            Ok(Incoming::Closed(close)) => return Ended::Theirs(close),
            Err(error) => return error.into(),
        }
    }
}

async fn write(writer: &mut Writer, outbox: &Outbox) -> Ended {
    let Err(error) = try_write(writer, outbox).await else {
        // The close frame is out. The peer's answer ends the reading, or time does.
        return std::future::pending().await;
    };
    error.into()
}

/// Ends well after a close frame only.
async fn try_write(writer: &mut Writer, outbox: &Outbox) -> Result<(), Error> {
    let mut batch: Vec<Bytes> = Vec::new();
    let mut ping_at = clock::now_ms() + limits::PING_MS;
    loop {
        let close = tokio::select! {
            close = outbox.next_batch(&mut batch) => close,
            () = clock::sleep_until(ping_at) => {
                ping_at = clock::now_ms() + limits::PING_MS;
                writer.ping()?;
                None
            }
        };
        for message in batch.drain(..) {
            writer.feed(message)?;
        }
        if let Some(close) = &close {
            writer.close(close)?;
        }
        writer.flush().await?;
        outbox.written();
        if close.is_some() {
            return Ok(());
        }
    }
}

/// Ends when the peer has given no sign of life for too long.
async fn watch(life: &Life, busy: &Cell<bool>) -> Ended {
    loop {
        clock::sleep_until(life.heard_ms() + limits::DEAD_MS).await;
        if busy.get() {
            life.touch();
        } else if clock::now_ms() >= life.heard_ms() + limits::DEAD_MS {
            return Ended::Silent;
        }
    }
}

/// Ends when a close has been under way for too long.
async fn give_up(outbox: &Outbox) -> Ended {
    let close = outbox.closing().await;
    clock::sleep(limits::CLOSE_MS).await;
    Ended::Ours(close)
}

/// Lets the last frame out where there is one. Time is bounded: the peer may not read.
async fn part(reader: Reader, mut writer: Writer, ended: &Ended) {
    match ended {
        Ended::Theirs(_) => {
            clock::timeout(limits::CLOSE_MS, writer.flush()).await;
        }
        Ended::Fault(_) => {
            clock::timeout(limits::CLOSE_MS, ws::linger(reader, writer)).await;
        }
        Ended::Ours(_) | Ended::Lost(_) | Ended::Silent => {}
    }
}
