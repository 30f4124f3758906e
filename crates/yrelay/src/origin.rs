//! Which requests may come in, by their `Origin` and `Host` headers: the guard against web pages
//! that reach for this machine, directly or through a name that points here.
//!
//! Both headers are parsed and compared whole. What does not parse does not pass.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hyper::header::{self, HeaderMap, HeaderName};

/// The origin of a web page: scheme, host, port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

/// A host as URLs write it. Names are in small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// `example.org`
    Name(String),
    /// `127.0.0.1` or `[::1]`
    Address(IpAddr),
}

/// Why a text is no origin or no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not `scheme://host[:port]` and nothing else.
    #[error(
        "an origin is written scheme://host or scheme://host:port, such as https://editor.example.org"
    )]
    Origin,
    /// Not a name or an address alone.
    #[error("a host is a name or an address without port, such as editor.example.org")]
    Host,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// None, or more than one.
    #[error("the request needs one Host header")]
    NoHost,
    /// A name that is not this machine's.
    #[error("this host name is not allowed here; start yrelay with --allow-host NAME to allow it")]
    Host,
    /// A page that is not local.
    #[error(
        "pages of this origin are not allowed here; start yrelay with --allow-origin ORIGIN to allow them"
    )]
    Origin,
}

/// What is let in.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Origins let in beside those of loopback.
    pub allow_origins: Vec<Origin>,
    /// Hosts let in beside those of loopback.
    pub allow_hosts: Vec<Host>,
}

impl Rules {
    /// Judges a request. The host counts on listeners on loopback only: a public one has names
    /// that yrelay does not know.
    pub fn check(&self, headers: &HeaderMap, on_loopback: bool) -> Result<(), Refusal> {
        let host = single(headers, &header::HOST).map_err(|()| Refusal::NoHost)?;
        let host = host.ok_or(Refusal::NoHost)?;
        if on_loopback && !self.allows_host(host) {
            return Err(Refusal::Host);
        }
        match single(headers, &header::ORIGIN) {
            Ok(None) => Ok(()),
            Ok(Some(origin)) if self.allows_origin(origin) => Ok(()),
            _ => Err(Refusal::Origin),
        }
    }

    /// Whether a page of this origin may connect.
    pub fn allows_origin(&self, origin: &str) -> bool {
        origin.parse().is_ok_and(|origin: Origin| {
            origin.is_loopback() || self.allow_origins.contains(&origin)
        })
    }

    /// Whether a `Host` header names this machine; the port does not matter.
    pub fn allows_host(&self, host: &str) -> bool {
        split_port(host).is_some_and(|(host, _)| {
            Host::parse(host)
                .is_some_and(|host| host.is_loopback() || self.allow_hosts.contains(&host))
        })
    }
}

impl Origin {
    /// A page that this machine serves to itself.
    fn is_loopback(&self) -> bool {
        matches!(self.scheme.as_str(), "http" | "https") && self.host.is_loopback()
    }
}

impl FromStr for Origin {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (scheme, authority) = text.split_once("://").ok_or(ParseError::Origin)?;
        let scheme = Some(scheme.to_ascii_lowercase())
            .filter(|scheme| is_scheme(scheme))
            .ok_or(ParseError::Origin)?;
        let (host, port) = split_port(authority).ok_or(ParseError::Origin)?;
        let host = Host::parse(host).ok_or(ParseError::Origin)?;
        let port = port.or(match scheme.as_str() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        });
        Ok(Self { scheme, host, port })
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let named = !text.is_empty() && text.bytes().all(is_name);
        named.then(|| Self::Name(text.to_ascii_lowercase()))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(address) => address.is_loopback(),
        }
    }
}

impl FromStr for Host {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        // People write an IPv6 address with brackets or without.
        let address = text.parse::<Ipv6Addr>().map(|address| Self::Address(address.into()));
        address.ok().or_else(|| Self::parse(text)).ok_or(ParseError::Host)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Host and port; the port is checked, the host is not.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let bracket = text.rfind(']').map_or(0, |at| at + 1);
    match text[bracket..].split_once(':') {
        None => Some((text, None)),
        Some((between, port)) => {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            let port = digits.then(|| port.parse().ok()).flatten()?;
            Some((&text[..bracket + between.len()], Some(port)))
        }
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(());
    }
    value.to_str().map(Some).map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            allow_origins: vec![
                "https://Editor.example.org".parse().unwrap(),
                "http://dev.example.org:3000".parse().unwrap(),
                "app://obsidian.md".parse().unwrap(),
            ],
            allow_hosts: vec!["Relay.internal".parse().unwrap(), "::2".parse().unwrap()],
        }
    }

    const ORIGINS_LET_IN: &[&str] = &[
        "http://localhost",
        "http://localhost:3000",
        "https://localhost:8443",
        "HTTP://LOCALHOST:3000",
        "http://127.0.0.1",
        "http://127.0.0.1:5173",
        "http://127.1.2.3:80",
        "http://[::1]",
        "http://[::1]:3000",
        "http://[0:0:0:0:0:0:0:1]:3000",
        "https://editor.example.org",
        "https://EDITOR.example.org:443",
        "HTTPS://editor.example.ORG",
        "http://dev.example.org:3000",
        "app://obsidian.md",
    ];

    const ORIGINS_REFUSED: &[&str] = &[
        "",
        "null",
        "NULL",
        "localhost",
        "//localhost",
        "://localhost",
        "http://",
        "http:localhost",
        "http://localhost.evil.example",
        "http://localhost.",
        "http://evil.example",
        "http://evil.example/localhost",
        "http://evil.example#localhost",
        "http://evil.example?localhost",
        "http://evil.example\\@localhost",
        "http://localhost@evil.example",
        "http://evil.example@localhost",
        "http://user:pw@localhost:3000",
        "http://localhost/",
        "http://localhost:3000/path",
        "http://localhost:3000 ",
        " http://localhost",
        "http://localhost:",
        "http://localhost:99999",
        "http://localhost:80a",
        "http://localhost:80:80",
        "http://local host",
        "http://sub.localhost",
        "http://notlocalhost",
        "http://0.0.0.0:3000",
        "http://[::]:3000",
        "http://[::1",
        "http://::1",
        "http://[::1]x:3000",
        "http://[::ffff:127.0.0.1]",
        "http://127.0.0.1.evil.example",
        "http://127.1",
        "http://2130706433",
        "http://0x7f.0.0.1",
        "http://127.0.0.01",
        "http://128.0.0.1",
        "file://",
        "file://localhost",
        "chrome-extension://localhost",
        "tauri://localhost",
        "1http://localhost",
        "https://editor.example.org.evil.example",
        "https://editor.example.orgevil.example",
        "https://evil-editor.example.org",
        "https://evil.editor.example.org",
        "https://editor.example.org:8443",
        "http://editor.example.org",
        "https://editor.example.org.",
        "https://user@editor.example.org",
        "https://xn--editor-example.org",
        "https://editor。example.org",
        "https://ėditor.example.org",
        "http://dev.example.org",
        "http://dev.example.org:3001",
        "app://obsidian.md:80",
        "app://obsidian.md.evil",
        "http://localhost, http://evil.example",
        "http://localhost\0.evil.example",
    ];

    #[test]
    fn origins() {
        let rules = rules();
        for origin in ORIGINS_LET_IN {
            assert!(rules.allows_origin(origin), "{origin}");
        }
        for origin in ORIGINS_REFUSED {
            assert!(!rules.allows_origin(origin), "{origin}");
        }
    }

    const HOSTS_LET_IN: &[&str] = &[
        "localhost",
        "localhost:8000",
        "LocalHost:1",
        "127.0.0.1",
        "127.0.0.1:8000",
        "127.255.0.9:65535",
        "[::1]",
        "[::1]:8000",
        "[0::1]:8000",
        "relay.internal",
        "RELAY.internal:8000",
        "[::2]:8000",
    ];

    const HOSTS_REFUSED: &[&str] = &[
        "",
        ":8000",
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "evil.localhost",
        "localhost.",
        "localhost:",
        "localhost:x",
        "localhost:80:80",
        "localhost:70000",
        "user@localhost",
        "localhost@evil.example",
        "localhost/",
        "localhost#",
        " localhost",
        "localhost,evil.example",
        "127.0.0.1.evil.example",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "0.0.0.0:8000",
        "10.0.0.1",
        "::1",
        "[::]",
        "[::1",
        "::1]",
        "[::1].evil.example",
        "[::1]evil:80",
        "[localhost]",
        "[127.0.0.1]",
        "relay.internal.",
        "relay.internal.evil.example",
    ];

    #[test]
    fn hosts() {
        let rules = rules();
        for host in HOSTS_LET_IN {
            assert!(rules.allows_host(host), "{host}");
        }
        for host in HOSTS_REFUSED {
            assert!(!rules.allows_host(host), "{host}");
        }
    }

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_program_without_origin_may_come_in() {
        assert_eq!(rules().check(&headers(&[("host", "localhost:8000")]), true), Ok(()));
    }

    #[test]
    fn every_header_counts_and_counts_once() {
        let rules = rules();
        for (list, on_loopback, verdict) in [
            (&[][..], true, Err(Refusal::NoHost)),
            (&[][..], false, Err(Refusal::NoHost)),
            (&[("host", "localhost"), ("host", "localhost")][..], true, Err(Refusal::NoHost)),
            (&[("host", "evil.example")][..], true, Err(Refusal::Host)),
            (&[("host", "evil.example")][..], false, Ok(())),
            (
                &[("host", "localhost"), ("origin", "http://evil.example")][..],
                true,
                Err(Refusal::Origin),
            ),
            (
                &[("host", "my.server"), ("origin", "https://my.server")][..],
                false,
                Err(Refusal::Origin),
            ),
            (
                &[
                    ("host", "localhost"),
                    ("origin", "http://localhost"),
                    ("origin", "http://evil.example"),
                ][..],
                true,
                Err(Refusal::Origin),
            ),
            (&[("host", "localhost"), ("origin", "null")][..], true, Err(Refusal::Origin)),
            (&[("host", "localhost"), ("origin", "http://[::1]:9")][..], true, Ok(())),
        ] {
            assert_eq!(rules.check(&headers(list), on_loopback), verdict, "{list:?}");
        }
    }

    #[test]
    fn what_people_allow_is_an_origin_or_a_host_and_nothing_more() {
        for text in ["*", "https://*", "example.org", "https://example.org/", "null", ""] {
            assert_eq!(text.parse::<Origin>(), Err(ParseError::Origin), "{text}");
        }
        for text in ["*", "*.example.org", "example.org:80", "http://example.org", ""] {
            assert_eq!(text.parse::<Host>(), Err(ParseError::Host), "{text}");
        }
        assert_eq!("[::1]".parse::<Host>(), "::1".parse::<Host>());
    }
}
