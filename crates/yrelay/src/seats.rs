//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::config::Strangers;

/// All connections. Clones are the same. (Nothing of it is shared between threads, but hyper takes
/// no stream that could not be.)
#[derive(Clone)]
pub struct Seats(Arc<Shared>);

struct Shared {
    max: usize,
    strangers: Strangers,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place, until it is dropped.
pub struct Seat {
    seats: Seats,
    /// Counted there, unless its address is not.
    address: Option<IpAddr>,
}

impl Seats {
    /// So many in all, and of strangers as many from one address as these may.
    pub fn new(max: usize, strangers: Strangers) -> Self {
        Self(Arc::new(Shared { max, strangers, taken: Mutex::default(), freed: Notify::new() }))
    }

    /// How many there are.
    pub fn max(&self) -> usize {
        self.0.max
    }

    /// Whether there is one left.
    pub fn has_one(&self) -> bool {
        self.0.taken().all < self.0.max
    }

    /// Waits until there is one.
    pub async fn free(&self) {
        while !self.has_one() {
            let freed = self.0.freed.notified();
            freed.await;
        }
    }

    /// Takes one. If those of its address are all taken, returns how many these are: then it is
    /// there only to be told so.
    pub fn take(&self, address: IpAddr) -> (Seat, Option<usize>) {
        let mut taken = self.0.taken();
        taken.all += 1;
        let seat = |address| Seat { seats: self.clone(), address };
        if !self.0.strangers.include(address) {
            return (seat(None), None);
        }
        let address = network(address);
        let most = self.0.strangers.connections_per_address;
        let count = taken.by_address.entry(address).or_default();
        if *count >= most {
            return (seat(None), Some(most));
        }
        *count += 1;
        (seat(Some(address)), None)
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.taken();
        taken.all -= 1;
        if let Some(address) = self.address
            && let Some(count) = taken.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
        self.seats.0.freed.notify_waiters();
    }
}

/// What one party has of addresses: of IPv6 a whole network, to choose from at will.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(per_address: usize) -> Seats {
        Seats::new(100, Strangers { connections_per_address: per_address, ..Strangers::default() })
    }

    fn of(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn so_many_sit_down_and_no_more_until_one_leaves() {
        let seats = Seats::new(2, Strangers::default());
        let first = seats.take(of("127.0.0.1"));
        assert!(seats.has_one());
        let second = seats.take(of("127.0.0.1"));
        assert!(!seats.has_one());
        drop(first);
        assert!(seats.has_one());
        drop(second);
    }

    #[test]
    fn an_address_has_so_many_and_others_have_theirs() {
        let seats = seats(2);
        let (first, full) = seats.take(of("192.0.2.1"));
        assert_eq!(full, None);
        // The same one, as a socket for both families has it.
        let (_second, full) = seats.take(of("::ffff:192.0.2.1"));
        assert_eq!(full, None);
        let (third, full) = seats.take(of("192.0.2.1"));
        assert_eq!(full, Some(2));
        drop(third);
        assert_eq!(seats.take(of("192.0.2.2")).1, None);
        assert_eq!(seats.take(of("192.0.2.1")).1, Some(2), "who was turned away did not count");
        drop(first);
        assert_eq!(seats.take(of("192.0.2.1")).1, None);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_this_machine_is_none() {
        let seats = seats(1);
        let _seat = seats.take(of("2001:db8::1"));
        assert_eq!(seats.take(of("2001:db8::ffff:2")).1, Some(1));
        assert_eq!(seats.take(of("2001:db8:0:1::1")).1, None);
        let local = ["127.0.0.1", "::1", "127.0.0.1", "::1", "::ffff:127.0.0.1"].map(of);
        let local = local.map(|address| seats.take(address));
        assert!(local.iter().all(|(_, full)| full.is_none()));
    }

    #[test]
    fn who_has_left_is_not_remembered() {
        let seats = seats(1);
        for number in 0..100u8 {
            let _ = seats.take([192, 0, 2, number].into());
            let _ = seats.take([127, 0, 0, number].into());
        }
        assert!(seats.0.taken().by_address.is_empty());
    }
}
