//! A backlog on a slow way up.

use std::time::Duration;

use yrelay_interop::{Document, Keeping, Pair, converge, eventually, ready, within};

/// `notes` of the left relay has doubled to twice `backlog` bytes while the way up was away; now it
/// passes `rate` bytes a second.
struct Slow {
    pair: Pair,
    memos: [Document; 2],
    backlog: usize,
    before: usize,
}

impl Slow {
    fn build(rate: usize, backlog: usize) -> Slow {
        let pair = Pair::build(Keeping::Disk);
        let memos = pair.clients.each_ref().map(|client| client.open("memo"));
        memos[0].append("<memo>");
        pair.documents[0].append(&"x".repeat(backlog));
        pair.converge(|text| text.len() == backlog);
        converge(&memos.each_ref(), |text| text == "<memo>");
        pair.confirmed();
        let [proxy, _] = &pair.proxies;
        proxy.refuse(true);
        proxy.cut();
        eventually("the loss is noticed", || pair.relays[0].upstream_state() != "online");
        for number in 0..100 {
            pair.documents[0].append(&format!("{number:0width$}", width = backlog / 100));
        }
        eventually("all is saved", || pair.documents[0].saved());
        let before = proxy.bytes_up();
        proxy.trickle(Some(rate));
        proxy.refuse(false);
        let slow = Slow { pair, memos, backlog, before };
        eventually("the backlog is on its way", || slow.sent() > rate);
        slow
    }

    /// How many bytes have gone up.
    fn sent(&self) -> usize {
        self.pair.proxies[0].bytes_up() - self.before
    }

    fn arrives(&self, patience: Duration) {
        let [_, right] = &self.pair.documents;
        within(patience, "the backlog arrives", || right.text().len() >= 2 * self.backlog);
        self.pair.converge(|text| text.len() == 2 * self.backlog);
        self.pair.confirmed();
    }
}

#[test]
fn a_backlog_goes_up_once() {
    if !ready() {
        return;
    }
    let slow = Slow::build(10_000, 60_000);
    slow.pair.documents[1].set("right", "meanwhile");
    slow.memos[0].append("<on the way>");
    slow.arrives(Duration::from_secs(20));
    converge(&slow.memos.each_ref(), |text| text == "<memo><on the way>");
    assert!(slow.sent() < slow.backlog * 3 / 2, "{} for {}", slow.sent(), slow.backlog);
}

#[test]
fn a_memo_overtakes_a_backlog() {
    if !ready() {
        return;
    }
    let slow = Slow::build(25_000, 250_000);
    let [left, right] = &slow.memos;
    left.append("<on the way>");
    eventually("the memo arrives", || right.text() == "<memo><on the way>");
    assert!(slow.sent() < slow.backlog * 3 / 4, "after {} of {}", slow.sent(), slow.backlog);
    slow.arrives(Duration::from_secs(20));
}

/// The server pings every 20 s and waits 20 s for the answer, which stands behind the backlog.
#[test]
fn a_backlog_gets_through_a_link_of_six_kilobytes_a_second() {
    if !ready() {
        return;
    }
    let slow = Slow::build(6_000, 270_000);
    slow.arrives(Duration::from_secs(120));
}
