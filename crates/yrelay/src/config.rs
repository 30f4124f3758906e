//! All settings of one relay, checked.

mod params;
mod token_url;
mod upstream;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use wildmatch::WildMatch;
use yrelay_core::id::DocumentId;

use crate::accounts::AccountsFile;
use crate::keeping::Policies;
use crate::limits;
use crate::origin::Rules;
use crate::status::Role;

pub use params::Params;
pub use token_url::{TokenUrl, TokenUrlError};
pub use upstream::{Messages, Names, OnReset, Upstream};

/// All settings of one relay.
#[derive(Debug, Clone)]
pub struct Config {
    /// With an upstream or without.
    pub role: Role,
    /// Where to listen: a name or an address.
    pub host: String,
    /// Where to listen; 0 takes a free one.
    pub port: u16,
    /// The server above, for all documents that no route is for.
    pub upstream: Option<Upstream>,
    /// Documents that go elsewhere.
    pub routes: Vec<Route>,
    /// Where documents are kept.
    pub storage: Storage,
    /// Which web pages and host names are let in.
    pub rules: Rules,
    /// Who may log in; without it nobody is asked to.
    pub accounts: Option<AccountsFile>,
    /// Which documents are end-to-end encrypted.
    pub opaque: Patterns,
    /// What becomes of what clients ask for.
    pub policies: Policies,
    /// How much it takes and keeps.
    pub bounds: Bounds,
}

/// The bounds that are the operator's to set, within what [`limits`] allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// A longer message of a client is refused; see [`limits::MESSAGE_BYTES_MAX`].
    pub message_bytes_max: usize,
    /// Above so many bytes of replicas, documents that nobody has open leave memory at once.
    pub memory_bytes: usize,
    /// Below that they leave after this time.
    pub idle_ms: u64,
    /// Documents that the upstream holds are forgotten here when nobody has opened them for so
    /// long; never, if nothing.
    pub retain_ms: Option<u64>,
    /// What other machines may.
    pub strangers: Strangers,
}

/// How much of us other machines may take. Programs of this one are as many and as fast as they
/// like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strangers {
    /// More connections from one address are turned away.
    pub connections_per_address: usize,
    /// See [`limits::PEER_BYTES_PER_S`].
    pub bytes: Rate,
    /// See [`limits::LINK_JOINS_PER_S`].
    pub joins: Rate,
    /// This machine is none, but in tests.
    pub spare_loopback: bool,
}

/// So much a second, and so much at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// On and on.
    pub per_second: u64,
    /// At once.
    pub burst: u64,
}

impl Strangers {
    /// Whether this is the address of one.
    pub fn include(&self, address: IpAddr) -> bool {
        !(self.spare_loopback && address.to_canonical().is_loopback())
    }
}

impl Default for Strangers {
    fn default() -> Self {
        Self {
            connections_per_address: limits::CONNECTIONS_PER_ADDRESS,
            bytes: Rate { per_second: limits::PEER_BYTES_PER_S, burst: limits::PEER_BYTES_BURST },
            joins: Rate { per_second: limits::LINK_JOINS_PER_S, burst: limits::LINK_JOINS_BURST },
            spare_loopback: true,
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            memory_bytes: limits::MEMORY_BYTES,
            idle_ms: limits::IDLE_MS,
            retain_ms: None,
            strangers: Strangers::default(),
        }
    }
}

/// Where some documents go: the first route that matches decides.
#[derive(Debug, Clone)]
pub struct Route {
    /// Their identifiers.
    pub patterns: Patterns,
    /// Their server; none, if they stay here.
    pub upstream: Option<Upstream>,
}

impl Config {
    /// The route of a document, by its number; none, if it goes to [`Config::upstream`].
    pub fn route_of(&self, id: &DocumentId) -> Option<usize> {
        self.routes.iter().position(|route| route.patterns.matches(id))
    }

    /// The server of a document.
    pub fn upstream_of(&self, id: &DocumentId) -> Option<&Upstream> {
        match self.route_of(id) {
            Some(route) => self.routes[route].upstream.as_ref(),
            None => self.upstream.as_ref(),
        }
    }

    /// All servers there are.
    pub fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        self.upstream.iter().chain(self.routes.iter().filter_map(|route| route.upstream.as_ref()))
    }

    /// Where changes go, in a word that differs where they go elsewhere.
    pub(crate) fn ways(&self) -> Option<String> {
        let shown = |upstream: &Option<Upstream>| {
            upstream.as_ref().map(|upstream| upstream.target.to_string())
        };
        if self.routes.is_empty() {
            return shown(&self.upstream);
        }
        let routes = self.routes.iter().map(|route| {
            format!("{}={};", route.patterns, shown(&route.upstream).unwrap_or_default())
        });
        Some(routes.chain(shown(&self.upstream)).collect())
    }
}

/// Patterns of identifiers: `*` stands for any text, `?` for any one character.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<WildMatch>);

/// A text as one value of a query.
pub(crate) fn value_encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, params::VALUE).to_string()
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut patterns = self.0.iter().map(ToString::to_string);
        f.write_str(&patterns.next().unwrap_or_default())?;
        patterns.try_for_each(|pattern| write!(f, ", {pattern}"))
    }
}

impl Patterns {
    /// Patterns as given.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        Self(patterns.into_iter().map(WildMatch::new).collect())
    }

    /// Whether one of them is met by the whole identifier.
    pub fn matches(&self, id: &DocumentId) -> bool {
        self.0.iter().any(|pattern| pattern.matches(id.as_str()))
    }
}

/// Where documents are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In this directory.
    Directory(PathBuf),
    /// Nowhere: they are gone with the process.
    Ephemeral,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    #[test]
    fn patterns_are_met_by_whole_identifiers() {
        let patterns = Patterns::new(["secret/*", "diary-?"]);
        let matches = |id| patterns.matches(&DocumentId::new(id).unwrap());
        assert!(matches("secret/plans/ü") && matches("diary-7"));
        assert!(!matches("my secret/plans") && !matches("diary-12") && !matches("secret"));
    }

    #[test]
    fn the_first_route_that_matches_decides() {
        let upstream = |text| Upstream::open(Target::parse(text).unwrap());
        let route = |patterns: &[&str], upstream| Route {
            patterns: Patterns::new(patterns.iter().copied()),
            upstream,
        };
        let config = Config {
            role: Role::Service,
            host: "localhost".into(),
            port: 0,
            upstream: Some(upstream("ws://default/")),
            routes: vec![
                route(&["work/*", "team-?"], Some(upstream("ws://work/"))),
                route(&["work/own", "diary*"], None),
                route(&["diary-public"], Some(upstream("ws://never/"))),
            ],
            storage: Storage::Ephemeral,
            rules: Rules::default(),
            accounts: None,
            opaque: Patterns::default(),
            policies: Policies::ALL,
            bounds: Bounds::default(),
        };
        for (id, number, host) in [
            ("work/plans", Some(0), Some("work")),
            ("work/own", Some(0), Some("work")),
            ("team-7", Some(0), Some("work")),
            ("diary", Some(1), None),
            ("diary-public", Some(1), None),
            ("notes", None, Some("default")),
        ] {
            let id = DocumentId::new(id).unwrap();
            assert_eq!(config.route_of(&id), number, "{id}");
            let found = config.upstream_of(&id).map(|upstream| &*upstream.target.host);
            assert_eq!(found, host, "{id}");
        }
        assert_eq!(config.upstreams().count(), 3);
    }
}
