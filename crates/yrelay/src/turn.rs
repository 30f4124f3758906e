//! The end of a turn of the event loop: what was queued in it leaves then, with one write for each
//! peer, and no task of the peer's is woken for it.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::outbox::Outbox;

/// The outboxes that were filled in this turn. Clones are the same turn.
#[derive(Clone)]
pub(crate) struct Turn(Rc<Shared>);

struct Shared {
    filled: RefCell<Vec<Outbox>>,
    ends: Notify,
    /// To be done before anything leaves.
    before: Box<dyn Fn()>,
}

impl Turn {
    /// `before` is done before anything of a turn leaves.
    pub(crate) fn new(before: impl Fn() + 'static) -> Self {
        let before = Box::new(before);
        Self(Rc::new(Shared { filled: RefCell::default(), ends: Notify::new(), before }))
    }

    /// Something leaves before the turn ends.
    pub(crate) fn leave(&self) {
        (self.0.before)();
    }

    /// An outbox has something that is to leave.
    pub(crate) fn add(&self, outbox: Outbox) {
        let mut filled = self.0.filled.borrow_mut();
        filled.push(outbox);
        if filled.len() == 1 {
            self.0.ends.notify_one();
        }
    }

    /// Ends turns for ever. Woken by the first who fills an outbox, it comes after all those who
    /// were ready to run by then.
    pub(crate) async fn run(self) {
        let mut leaving = Vec::new();
        loop {
            self.0.ends.notified().await;
            (self.0.before)();
            mem::swap(&mut *self.0.filled.borrow_mut(), &mut leaving);
            for outbox in leaving.drain(..) {
                outbox.leave();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::pump::{Ended, pump};
    use crate::ws::{self, Close};
    use crate::{clock, limits};

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap());
        let (peer, ours) = tokio::join!(peer, listener.accept());
        (peer.unwrap(), ours.unwrap().0)
    }

    fn numbered(number: u32) -> Bytes {
        let mut message = vec![0; 1_000];
        message[..4].copy_from_slice(&number.to_be_bytes());
        message.into()
    }

    async fn number(peer: &mut TcpStream) -> u32 {
        let mut frame = [0; 4 + 1_000];
        peer.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[..4], [0x82, 0x7e, 0x03, 0xe8]);
        u32::from_be_bytes(frame[4..8].try_into().unwrap())
    }

    #[tokio::test]
    async fn what_is_queued_leaves_at_the_end_of_the_turn_in_one_write() {
        let (mut peer, ours) = connected().await;
        let (_reader, writer) = ws::accept_tcp(ours);
        let turn = Turn::new(|| {});
        let outbox = Outbox::leaving_in(&turn, limits::OUTBOX_ROOM_BYTES);
        let attached = outbox.attach(writer);
        for letter in [b"a", b"b"] {
            outbox.push(Bytes::from_static(letter)).unwrap();
        }
        assert_eq!(outbox.bytes(), 2);
        assert!(clock::timeout(10, turn.clone().run()).await.is_none());
        assert_eq!(outbox.bytes(), 0, "it has left");
        let mut seen = [0; 100];
        let length = peer.read(&mut seen).await.unwrap();
        assert_eq!(seen[..length], *b"\x82\x01a\x82\x01b");
        // Without a writer it waits for whoever asks.
        drop(attached);
        outbox.push(Bytes::from_static(b"c")).unwrap();
        assert!(clock::timeout(10, turn.run()).await.is_none());
        let mut batch = Vec::new();
        outbox.next_batch(&mut batch).await;
        assert_eq!(batch, [Bytes::from_static(b"c")]);
    }

    #[tokio::test]
    async fn who_reads_slowly_gets_everything_in_order_and_the_close_last() {
        let (mut peer, ours) = connected().await;
        let (reader, writer) = ws::accept_tcp(ours);
        let turn = Turn::new(|| {});
        let outbox = Outbox::leaving_in(&turn, limits::OUTBOX_ROOM_BYTES);
        let mut sent = 0;
        let fill = async {
            // More than the system takes: what leaves at the end of a turn does not go all at once.
            while outbox.has_room() {
                outbox.push(numbered(sent)).unwrap();
                sent += 1;
                tokio::task::yield_now().await;
            }
            for expected in 0..sent {
                assert_eq!(number(&mut peer).await, expected);
            }
            // The way is free again.
            for more in sent..sent + 3 {
                outbox.push(numbered(more)).unwrap();
                assert_eq!(number(&mut peer).await, more);
            }
            outbox.push(numbered(sent + 3)).unwrap();
            outbox.close(Close::new(1001, ""));
            assert_eq!(number(&mut peer).await, sent + 3);
            let mut close = [0; 4];
            peer.read_exact(&mut close).await.unwrap();
            assert_eq!(close, [0x88, 2, 0x03, 0xe9]);
            peer.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).await.unwrap();
        };
        let all = async { tokio::join!(pump(reader, writer, &outbox, async |_| {}), fill).0 };
        let ended = tokio::select! {
            ended = all => ended,
            () = turn.clone().run() => unreachable!("turns do not end"),
        };
        assert_eq!(ended, Ended::Ours(Close::new(1001, "")));
    }
}
