//! Pages with programs of Hocuspocus, where logins are asked for: no page can send one with the
//! upgrade, so it comes as the token of a document. Until one is right, nothing but tokens is looked
//! at, nothing of what comes is kept, and the connection counts as one that only knocks.

use std::net::SocketAddr;

use bytes::Bytes;
use yrelay_core::hocuspocus::{self, Message, Parts};

use crate::guard::{Denial, Guard};
use crate::metrics::Metrics;
use crate::ws::{self, Close, Error, Frame, Incoming, Reader, Writer};
use crate::{clock, limits};

/// What Hocuspocus itself says.
const DENIED: &str = "permission-denied";

/// A connection that has shown a right token, in this frame.
pub(crate) struct Admitted {
    pub(crate) first: Bytes,
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
}

/// Waits for a right token. Whoever shows none in time is sent away.
pub(crate) async fn admitted(
    guard: &Guard,
    metrics: &Metrics,
    address: SocketAddr,
    mut reader: Reader,
    mut writer: Writer,
) -> Option<Admitted> {
    let shown = first_right(guard, metrics, address, &mut reader, &mut writer);
    let late = || Err(Close::new(4401, "no right token was shown in time").into());
    let shown = clock::timeout(limits::TOKEN_MS, shown).await.unwrap_or_else(late);
    match shown {
        Ok(first) => return Some(Admitted { first, reader, writer }),
        Err(Gone::Ours(close)) => {
            tracing::info!(%address, %close, "a page is sent away");
            let _ = writer.close(&close);
        }
        Err(Gone::Theirs) => {}
    }
    clock::timeout(limits::CLOSE_MS, ws::linger(reader, writer)).await;
    None
}

/// A connection is to end.
enum Gone {
    Ours(Close),
    /// It has ended, or broken a rule, and what there is to say of that is queued.
    Theirs,
}

impl From<Close> for Gone {
    fn from(close: Close) -> Self {
        Self::Ours(close)
    }
}

impl From<Error> for Gone {
    fn from(_: Error) -> Self {
        Self::Theirs
    }
}

async fn first_right(
    guard: &Guard,
    metrics: &Metrics,
    address: SocketAddr,
    reader: &mut Reader,
    writer: &mut Writer,
) -> Result<Bytes, Gone> {
    let mut is_first = true;
    loop {
        let frame = match reader.next().await? {
            Incoming::Frame(Frame::Binary(frame)) => frame,
            Incoming::Frame(Frame::Text(_)) => Bytes::new(),
            Incoming::Control => continue,
            Incoming::Closed(_) => return Err(Gone::Theirs),
        };
        match token(&frame) {
            Some((prefix, token)) => {
                match judge(guard, metrics, &token, address).await? {
                    true => return Ok(frame),
                    false => writer.feed(denial(&prefix))?,
                }
                writer.flush().await?;
            }
            None if is_first => {
                metrics.reject("login");
                return Err(Close::new(4401, Denial::Missing.to_string()).into());
            }
            // What programs go on to say of a document, not having been let in.
            None => {}
        }
        is_first = false;
    }
}

/// The token that a frame shows, and how the frames of its document begin.
fn token(frame: &Bytes) -> Option<(Bytes, String)> {
    let Parts { prefix, message, .. } = hocuspocus::split(frame).ok()?;
    match hocuspocus::decode(&message).ok()? {
        Message::Token(token) => Some((prefix, token)),
        _ => None,
    }
}

/// Whether a token is right. Where that cannot be said now, all is to be tried again later.
pub(crate) async fn judge(
    guard: &Guard,
    metrics: &Metrics,
    token: &str,
    address: SocketAddr,
) -> Result<bool, Close> {
    let denial = match guard.admit_token(token, address).await {
        Ok(()) => return Ok(true),
        Err(denial) => denial,
    };
    metrics.reject("login");
    match denial {
        Denial::Missing | Denial::Wrong => Ok(false),
        Denial::Busy => Err(Close::new(1013, denial.to_string())),
    }
}

/// Said in the protocol: versions 3 and 4 come back for ever after any close.
pub(crate) fn denial(prefix: &[u8]) -> Bytes {
    [prefix, &hocuspocus::denied(DENIED)].concat().into()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::accounts::AccountsFile;

    const FRAME: &[u8] = b"\x82\x85\0\0\0\0\x01a\x02\x00\x00";
    const DENIAL: &[u8] = b"\x82\x16\x01a\x02\x01\x11permission-denied";
    const CLOSE_4401: [u8; 2] = 4401_u16.to_be_bytes();

    fn guard() -> Guard {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let jane = "jane:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n";
        std::fs::write(&path, jane).unwrap();
        Guard::new(AccountsFile::read(&path).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn who_shows_no_right_token_in_time_is_sent_away() {
        let (mut peer, ours) = duplex(1024);
        let (reader, writer) = ws::accept_pipe(ours);
        let address = ([192, 0, 2, 1], 9).into();
        let (guard, metrics) = (guard(), Metrics::default());
        let start = clock::now_ms();
        let scene = async {
            let mut denial = [0; DENIAL.len()];
            for _ in 0..3 {
                clock::sleep(limits::TOKEN_MS / 4).await;
                peer.write_all(FRAME).await.unwrap();
                peer.read_exact(&mut denial).await.unwrap();
                assert_eq!(denial, DENIAL);
            }
            let mut close = [0; 4];
            peer.read_exact(&mut close).await.unwrap();
            assert_eq!((close[0], &close[2..]), (0x88, &CLOSE_4401[..]));
            let passed = clock::now_ms() - start;
            assert!((limits::TOKEN_MS..limits::TOKEN_MS + 250).contains(&passed), "{passed} ms");
            drop(peer);
        };
        let (shown, ()) = tokio::join!(admitted(&guard, &metrics, address, reader, writer), scene);
        assert!(shown.is_none());
    }
}
