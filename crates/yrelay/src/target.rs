//! The address of an upstream.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use hyper::Uri;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;

/// Stands in an address for the name of a document.
pub(crate) const IDENTIFIER: &str = "{identifier}";

/// The address of a WebSocket server, as given by `--server`. Never holds a login: see [`Address`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `wss`: TLS, with the server's name verified.
    pub secure: bool,
    /// A name or an IP address, in small letters; IPv6 without brackets.
    pub host: String,
    /// The port, the scheme's own where none was given.
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub path: String,
}

/// Why a text is no address of a WebSocket server. Never repeats the text: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither `ws://` nor `wss://` in front.
    #[error("it must begin with ws:// or wss://")]
    Scheme,
    /// An address of a web page.
    #[error("it is an http address; write ws:// for http:// and wss:// for https://")]
    Http,
    /// `user:password@`, where an address alone is asked for.
    #[error("it holds a login; leave out everything up to the @")]
    Login,
    /// Nothing between the slashes.
    #[error("the host is missing")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// `#` and what follows.
    #[error("it must not hold a # part")]
    Fragment,
    /// Anything else, such as blanks.
    #[error("it holds characters that no address may hold")]
    Malformed,
}

/// An address as people write it: with a login in it, perhaps.
#[derive(Debug, Clone)]
pub struct Address {
    /// The address itself.
    pub target: Target,
    /// Who is to log in there.
    pub user: Option<String>,
    /// With which password.
    pub password: Option<SecretString>,
}

impl Address {
    /// Reads `ws://[USER[:PASSWORD]@]HOST[:PORT][/PATH]` or the same with `wss`. The login is
    /// percent-decoded.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let begin = text.find("://").ok_or(TargetError::Scheme)? + 3;
        let end = text[begin..].find(['/', '?', '#']).map_or(text.len(), |end| begin + end);
        let Some(at) = text[begin..end].rfind('@').map(|at| begin + at) else {
            return Ok(Self { target: Target::parse(text)?, user: None, password: None });
        };
        let (user, password) = match text[begin..at].split_once(':') {
            Some((user, password)) => (user, Some(decoded(password)?.into())),
            None => (&text[begin..at], None),
        };
        let user = Some(decoded(user)?).filter(|user| !user.is_empty());
        let target = Target::parse(&format!("{}{}", &text[..begin], &text[at + 1..]))?;
        Ok(Self { target, user, password })
    }
}

fn decoded(text: &str) -> Result<String, TargetError> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| TargetError::Malformed)?.into_owned())
}

impl Target {
    /// Reads `ws://HOST[:PORT][/PATH]` or the same with `wss`.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(TargetError::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            "http" | "https" => return Err(TargetError::Http),
            _ => return Err(TargetError::Scheme),
        };
        if rest.contains('#') {
            return Err(TargetError::Fragment);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(TargetError::Login);
        }
        let (host, port) = split(authority, if secure { 443 } else { 80 })?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        let target = Self { secure, host, port, path: format!("{slash}{path}") };
        // The last word has the parser of the library that will send it.
        format!("http://{}{}", target.authority(), target.path)
            .parse::<Uri>()
            .map_err(|_| TargetError::Malformed)?;
        Ok(target)
    }

    /// Path and query of a document: its name, percent-encoded, stands where the address has
    /// `{identifier}`, or at the end of the path.
    pub(crate) fn of_document(&self, name: &str) -> String {
        if self.path.contains(IDENTIFIER) {
            return self.path.replace(IDENTIFIER, name);
        }
        let (path, query) = match self.path.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (&*self.path, String::new()),
        };
        format!("{}/{name}{query}", path.trim_end_matches('/'))
    }

    /// Host and port as the `Host` header has them.
    pub fn authority(&self) -> String {
        let host = bracketed(&self.host);
        let own = if self.secure { 443 } else { 80 };
        if self.port == own { host } else { format!("{host}:{}", self.port) }
    }

    /// Whether connecting there would reach the listener at `host` and these `addresses`.
    pub fn is_own(&self, host: &str, addresses: &[SocketAddr]) -> bool {
        let same_name = self.host.eq_ignore_ascii_case(host);
        addresses.iter().filter(|own| own.port() == self.port).any(|own| {
            let loopback = own.ip().is_loopback() || own.ip().is_unspecified();
            same_name || (loopback && self.is_loopback()) || self.address() == Some(own.ip())
        })
    }

    /// Whether the host names this machine without asking anyone.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.address().is_some_and(|ip| ip.is_loopback())
    }

    fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// The host as a URL has it.
pub fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

fn split(authority: &str, port: u16) -> Result<(String, u16), TargetError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(TargetError::Malformed)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| TargetError::Malformed)?;
            (host, if rest.is_empty() { port } else { port_of(rest.strip_prefix(':'))? })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, port_of(Some(port))?),
            None => (authority, port),
        },
    };
    if host.is_empty() {
        return Err(TargetError::Host);
    }
    Ok((host.to_ascii_lowercase(), port))
}

fn port_of(text: Option<&str>) -> Result<u16, TargetError> {
    text.filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .filter(|port| *port != 0)
        .ok_or(TargetError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_in_one_form() {
        for (text, shown) in [
            ("ws://localhost:8000", "ws://localhost:8000/"),
            ("  WSS://ELVA.example.org ", "wss://elva.example.org/"),
            ("wss://elva.example.org:443/a/b?c=d", "wss://elva.example.org/a/b?c=d"),
            ("ws://[::1]:80?x", "ws://[::1]/?x"),
            ("wss://[::1]:8443/", "wss://[::1]:8443/"),
            ("ws://127.0.0.1:443", "ws://127.0.0.1:443/"),
        ] {
            assert_eq!(Target::parse(text).map(|t| t.to_string()), Ok(shown.into()), "{text}");
        }
    }

    #[test]
    fn documents_have_addresses_below_that_of_the_server() {
        for (server, path) in [
            ("ws://host", "/a%20b"),
            ("ws://host/yjs/", "/yjs/a%20b"),
            ("ws://host/yjs?x=1", "/yjs/a%20b?x=1"),
            ("ws://host/d/{identifier}/ws/{identifier}?t=1", "/d/a%20b/ws/a%20b?t=1"),
        ] {
            assert_eq!(Target::parse(server).unwrap().of_document("a%20b"), path);
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        for (text, error) in [
            ("", TargetError::Scheme),
            ("localhost:8000", TargetError::Scheme),
            ("ftp://host/", TargetError::Scheme),
            ("https://host/", TargetError::Http),
            ("ws://jane:hunter2@host/", TargetError::Login),
            ("ws://jane@host/", TargetError::Login),
            ("ws:///path", TargetError::Host),
            ("ws://:8000/", TargetError::Host),
            ("ws://host:/", TargetError::Port),
            ("ws://host:0/", TargetError::Port),
            ("ws://host:65536/", TargetError::Port),
            ("ws://host:+80/", TargetError::Port),
            ("ws://host:eighty/", TargetError::Port),
            ("ws://[::1]80/", TargetError::Port),
            ("ws://[::1/", TargetError::Malformed),
            ("ws://[nine]/", TargetError::Malformed),
            ("ws://ho st/", TargetError::Malformed),
            ("ws://host/a b", TargetError::Malformed),
            ("ws://host/#part", TargetError::Fragment),
        ] {
            assert_eq!(Target::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_login_is_taken_out_of_an_address() {
        use secrecy::ExposeSecret as _;
        for (text, target, user, password) in [
            ("ws://host/a@b", "ws://host/a@b", None, None),
            ("ws://jane@host/", "ws://host/", Some("jane"), None),
            ("wss://jane:hunter2@host?x=@", "wss://host/?x=@", Some("jane"), Some("hunter2")),
            (
                "ws://j%40ne:p%C3%A4ss:w@rd@[::1]:8000",
                "ws://[::1]:8000/",
                Some("j@ne"),
                Some("p\u{e4}ss:w@rd"),
            ),
            ("ws://:hunter2@host/", "ws://host/", None, Some("hunter2")),
            ("ws://@host/", "ws://host/", None, None),
        ] {
            let address = Address::parse(text).unwrap();
            let shown = format!("{} {address:?}", address.target);
            assert!(!shown.contains("hunter2"), "{shown}");
            assert_eq!(address.target.to_string(), target, "{text}");
            assert_eq!(address.user.as_deref(), user, "{text}");
            assert_eq!(address.password.as_ref().map(|p| p.expose_secret()), password, "{text}");
        }
        for text in
            ["ws://jane:%FF@host/", "ws://jane:hunter2@", "jane:hunter2@host", "http://a:b@c/"]
        {
            let error = Address::parse(text).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn its_own_address_is_recognised_under_all_its_names() {
        let addresses = ["127.0.0.1:8000".parse().unwrap(), "[::1]:8000".parse().unwrap()];
        for own in
            ["localhost:8000", "LOCALHOST:8000", "127.0.0.1:8000", "127.9.9.9:8000", "[::1]:8000"]
        {
            let target = Target::parse(&format!("ws://{own}/")).unwrap();
            assert!(target.is_own("localhost", &addresses), "{own}");
        }
        for other in ["localhost:8001", "localhost", "10.0.0.1:8000", "elva.example.org:8000"] {
            let target = Target::parse(&format!("ws://{other}/")).unwrap();
            assert!(!target.is_own("localhost", &addresses), "{other}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_its_own_too() {
        let target = |text| Target::parse(text).unwrap();
        let all = ["0.0.0.0:8000".parse().unwrap()];
        assert!(target("ws://localhost:8000").is_own("0.0.0.0", &all));
        let lan = ["10.0.0.7:8000".parse().unwrap()];
        assert!(target("ws://10.0.0.7:8000").is_own("10.0.0.7", &lan));
        assert!(target("ws://host.example:8000").is_own("host.example", &lan));
        assert!(!target("ws://localhost:8000").is_own("10.0.0.7", &lan));
    }
}
