//! Takes the port.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use crate::holder;
use crate::target::bracketed;

/// Tries to find a port that is free on both families.
const ATTEMPTS_MAX: usize = 32;

/// Sockets that listen, all on the same port.
#[derive(Debug)]
pub struct Listeners {
    /// At least one.
    pub sockets: Vec<TcpListener>,
    /// Theirs, in the same order.
    pub addresses: Vec<SocketAddr>,
    /// The real one.
    pub port: u16,
}

/// Why the port could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {host}:{port}: {reason}")]
pub struct ListenError {
    host: String,
    port: u16,
    /// With the way out.
    pub reason: Reason,
}

/// What is wrong with the address.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// Another program has it, or another yrelay: ` by NAME (pid N)` where that can be found out.
    #[error("address in use{0}; stop it or choose another port")]
    InUse(String),
    /// The host has no address.
    #[error("no such host; give a name or an address of this machine, such as localhost")]
    NoSuchHost,
    /// The address is another machine's.
    #[error("not an address of this machine; try localhost")]
    NotOurs,
    /// Ports below 1024 mostly.
    #[error("permission denied; choose a port above 1023")]
    Denied,
    /// Anything else, in the system's words.
    #[error("{0}")]
    Other(io::Error),
}

impl Listeners {
    /// Listens on all addresses of `host`; `localhost` is both loopback addresses, where the
    /// machine has both. Port 0 takes a free one.
    pub fn bind(host: &str, port: u16) -> Result<Self, ListenError> {
        let addresses = addresses(host, port)?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            match bind_all(&addresses) {
                Ok(sockets) => return Self::of(sockets).map_err(|e| error(e, host, port)),
                // A free port of one family may be taken in the other.
                Err(e) if taken(&e) && port == 0 && attempts < ATTEMPTS_MAX => {}
                Err(e) => return Err(error(e, host, port)),
            }
        }
    }

    /// `ws://HOST:PORT` with the host as given and the real port.
    pub fn url(&self, host: &str) -> String {
        format!("ws://{}:{}", bracketed(host), self.port)
    }

    fn of(sockets: Vec<TcpListener>) -> io::Result<Self> {
        let addresses: Vec<_> =
            sockets.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        let port = addresses.first().map_or(0, SocketAddr::port);
        for socket in &sockets {
            socket.set_nonblocking(true)?;
        }
        Ok(Self { sockets, addresses, port })
    }
}

/// What `localhost` is, whatever the machine's tables say.
pub(crate) fn loopback(port: u16) -> [SocketAddr; 2] {
    [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// Where `host` would listen.
pub fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, ListenError> {
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(loopback(port).into());
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let found = (bare, port).to_socket_addrs().map(BTreeSet::from_iter).unwrap_or_default();
    if found.is_empty() {
        return Err(ListenError { host: bracketed(host), port, reason: Reason::NoSuchHost });
    }
    Ok(found.into_iter().collect())
}

/// All addresses on one port, that of the first where it is 0. A family that the machine lacks is
/// left out, but not all of them.
fn bind_all(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut sockets = Vec::new();
    let mut missing = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut port = None;
    for address in addresses {
        match TcpListener::bind((address.ip(), port.unwrap_or(address.port()))) {
            Ok(socket) => {
                port = Some(socket.local_addr()?.port());
                sockets.push(socket);
            }
            Err(error) if taken(&error) || denied(&error) => return Err(error),
            Err(error) => missing = error,
        }
    }
    if sockets.is_empty() { Err(missing) } else { Ok(sockets) }
}

fn taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn error(error: io::Error, host: &str, port: u16) -> ListenError {
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => {
            let by = holder::of_port(port).map(|holder| format!(" by {holder}"));
            Reason::InUse(by.unwrap_or_default())
        }
        io::ErrorKind::AddrNotAvailable => Reason::NotOurs,
        io::ErrorKind::PermissionDenied => Reason::Denied,
        _ => Reason::Other(error),
    };
    ListenError { host: bracketed(host), port, reason }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpStream};

    use super::*;

    #[test]
    fn localhost_is_both_families_on_one_port() {
        let listeners = Listeners::bind("localhost", 0).unwrap();
        assert_ne!(listeners.port, 0);
        assert_eq!(listeners.url("localhost"), format!("ws://localhost:{}", listeners.port));
        TcpStream::connect((Ipv4Addr::LOCALHOST, listeners.port)).unwrap();
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, listeners.port)).unwrap();
        }
    }

    #[test]
    fn a_port_taken_in_one_family_only_is_taken() {
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let Ok(other) = TcpListener::bind((address, 0)) else { continue };
            let port = other.local_addr().unwrap().port();
            let error = Listeners::bind("localhost", port).unwrap_err();
            assert!(matches!(error.reason, Reason::InUse(_)), "{error}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_has_the_port_is_named() {
        let first = Listeners::bind("localhost", 0).unwrap();
        let error = Listeners::bind("localhost", first.port).unwrap_err().to_string();
        assert!(error.contains("address in use by "), "{error}");
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
    }

    #[test]
    fn ipv6_hosts_are_taken_with_and_without_brackets_and_shown_with() {
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
            return;
        }
        for host in ["::1", "[::1]"] {
            let listeners = Listeners::bind(host, 0).unwrap();
            assert_eq!(listeners.url(host), format!("ws://[::1]:{}", listeners.port));
        }
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        // TEST-NET-1 of RFC 5737: nobody's.
        let error = Listeners::bind("192.0.2.1", 0).unwrap_err();
        assert!(matches!(error.reason, Reason::NotOurs), "{error}");
    }
}
