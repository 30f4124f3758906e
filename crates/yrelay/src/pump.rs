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

impl Ended {
    /// The close code of a peer that gave one, or that broke the protocol.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Theirs(close) | Self::Fault(close) => Some(close.code),
            Self::Ours(_) | Self::Lost(_) | Self::Silent => None,
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Theirs(close) => write!(f, "closed by the other side ({close})"),
            Self::Ours(close) => write!(f, "closed ({close})"),
            Self::Fault(close) => write!(f, "refused ({close})"),
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
    let attached = outbox.attach(writer.clone());
    let ended = tokio::select! {
        ended = read(&mut reader, outbox, &busy, take) => ended,
        ended = write(&mut writer, outbox) => ended,
        ended = watch(&life, &busy) => ended,
        ended = give_up(outbox) => ended,
    };
    drop(attached);
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::Notify;

    use super::*;

    const PING: [u8; 2] = [0x89, 0];
    const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];
    const CLOSE_1001: [u8; 4] = [0x88, 2, 0x03, 0xe9];

    const PIPE_BYTES: usize = 64 << 10;

    /// A peer that speaks bytes, and our end of its WebSocket.
    fn pair() -> (DuplexStream, Reader, Writer) {
        let (peer, ours) = duplex(PIPE_BYTES);
        let (reader, writer) = ws::accept_pipe(ours);
        (peer, reader, writer)
    }

    /// Runs a test under a clock that moves only when nobody has work.
    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(test);
    }

    async fn read<const N: usize>(peer: &mut DuplexStream) -> [u8; N] {
        let mut bytes = [0; N];
        peer.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// Within a quarter of a second: the clock and the timers round.
    fn at(start: u64, ms: u64) {
        let passed = clock::now_ms() - start;
        assert!((ms..ms + 250).contains(&passed), "{passed} ms instead of {ms}");
    }

    #[test]
    fn a_silent_peer_is_pinged_twice_and_given_up() {
        run(async {
            let (mut peer, reader, writer) = pair();
            let start = clock::now_ms();
            let outbox = Outbox::new();
            let watching = async {
                assert_eq!(read(&mut peer).await, PING);
                at(start, limits::PING_MS);
                assert_eq!(read(&mut peer).await, PING);
                at(start, 2 * limits::PING_MS);
            };
            let (ended, ()) = tokio::join!(pump(reader, writer, &outbox, async |_| {}), watching);
            assert_eq!(ended, Ended::Silent);
            at(start, limits::DEAD_MS);
            assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
        });
    }

    #[test]
    fn a_peer_that_answers_pings_stays() {
        run(async {
            let (mut peer, reader, writer) = pair();
            let start = clock::now_ms();
            let outbox = Outbox::new();
            let answering = async {
                for _ in 0..10 {
                    assert_eq!(read(&mut peer).await, PING);
                    peer.write_all(&PONG).await.unwrap();
                }
                at(start, 10 * limits::PING_MS);
                drop(peer);
            };
            let (ended, ()) = tokio::join!(pump(reader, writer, &outbox, async |_| {}), answering);
            assert!(matches!(ended, Ended::Lost(_)), "{ended}");
        });
    }

    #[test]
    fn a_peer_that_takes_what_it_is_sent_stays_however_slow() {
        run(async {
            let (mut peer, reader, writer) = pair();
            let start = clock::now_ms();
            let outbox = Outbox::new();
            let size = 1 << 20;
            outbox.push(Bytes::from(vec![0; size])).unwrap();
            let slow = async {
                let mut part = vec![0; 64 << 10];
                for _ in 0..size / part.len() {
                    clock::sleep(10_000).await;
                    peer.read_exact(&mut part).await.unwrap();
                }
                drop(peer);
            };
            let (ended, ()) = tokio::join!(pump(reader, writer, &outbox, async |_| {}), slow);
            assert!(matches!(ended, Ended::Lost(_)), "{ended}");
            assert!(clock::now_ms() - start >= 150_000);
        });
    }

    #[test]
    fn a_peer_that_takes_nothing_is_given_up() {
        run(async {
            let (_peer, reader, writer) = pair();
            let start = clock::now_ms();
            let outbox = Outbox::new();
            outbox.push(Bytes::from(vec![0; 1 << 20])).unwrap();
            let ended = pump(reader, writer, &outbox, async |_| {}).await;
            assert_eq!(ended, Ended::Silent);
            at(start, limits::DEAD_MS);
        });
    }

    #[test]
    fn while_a_frame_is_being_taken_nothing_is_read_and_writing_goes_on() {
        run(async {
            let (mut peer, reader, writer) = pair();
            let outbox = Outbox::new();
            let (gate, taken) = (Notify::new(), RefCell::new(Vec::new()));
            let take = async |frame| {
                gate.notified().await;
                taken.borrow_mut().push(frame);
            };
            let scene = async {
                for letter in *b"ab" {
                    peer.write_all(&[0x82, 0x81, 0, 0, 0, 0, letter]).await.unwrap();
                }
                // Far longer than a silent peer may live.
                for n in 0..10 {
                    clock::sleep(10_000).await;
                    outbox.push(Bytes::from(vec![n])).unwrap();
                }
                let mut received = Vec::new();
                while received.len() < 10 {
                    match read(&mut peer).await {
                        PING => {}
                        [0x82, 1] => received.push(peer.read_u8().await.unwrap()),
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(received, Vec::from_iter(0..10));
                assert!(taken.borrow().is_empty());
                gate.notify_one();
                clock::sleep(1).await;
                assert_eq!(*taken.borrow(), [Frame::Binary("a".into())]);
                gate.notify_one();
                clock::sleep(1).await;
                assert_eq!(taken.borrow().len(), 2);
                drop(peer);
            };
            let (ended, ()) = tokio::join!(pump(reader, writer, &outbox, take), scene);
            assert!(matches!(ended, Ended::Lost(_)), "{ended}");
        });
    }

    #[test]
    fn our_close_follows_the_queue_and_waits_for_the_answer() {
        for answers in [true, false] {
            run(async {
                let (mut peer, reader, writer) = pair();
                let start = clock::now_ms();
                let outbox = Outbox::new();
                outbox.push("x".into()).unwrap();
                outbox.close(Close::new(1001, ""));
                let taken = RefCell::new(0);
                let leaving = async {
                    assert_eq!(read(&mut peer).await, [0x82, 1, b'x']);
                    assert_eq!(read(&mut peer).await, CLOSE_1001);
                    // What comes after our close is thrown away.
                    peer.write_all(&[0x82, 0x81, 0, 0, 0, 0, b'x']).await.unwrap();
                    if answers {
                        peer.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).await.unwrap();
                    }
                };
                let take = async |_| *taken.borrow_mut() += 1;
                let (ended, ()) = tokio::join!(pump(reader, writer, &outbox, take), leaving);
                assert_eq!(ended, Ended::Ours(Close::new(1001, "")));
                assert_eq!(*taken.borrow(), 0);
                at(start, if answers { 0 } else { limits::CLOSE_MS });
            });
        }
    }

    #[test]
    fn their_close_is_answered() {
        run(async {
            let (mut peer, reader, writer) = pair();
            let outbox = Outbox::new();
            let leaving = async {
                peer.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).await.unwrap();
                assert_eq!(read(&mut peer).await, CLOSE_1001);
            };
            let (ended, ()) = tokio::join!(pump(reader, writer, &outbox, async |_| {}), leaving);
            assert_eq!(ended, Ended::Theirs(Close::new(1001, "")));
            assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
        });
    }
}
