//! All settings of one relay, checked.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use wildmatch::WildMatch;
use yrelay_core::id::DocumentId;

use crate::accounts::AccountsFile;
use crate::keeping::Policies;
use crate::limits;
use crate::login::Login;
use crate::naming::Naming;
use crate::origin::Rules;
use crate::status::Role;
use crate::target::Target;

impl Config {
    /// The servers above, that for all others last.
    pub fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        self.routes.iter().filter_map(|route| route.upstream.as_ref()).chain(&self.upstream)
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
    /// Where some of them go instead: the first that matches decides.
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

/// Where some documents go.
#[derive(Debug, Clone)]
pub struct Route {
    /// Which.
    pub patterns: Patterns,
    /// To this server; without one they stay on this machine.
    pub upstream: Option<Upstream>,
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Speaks {
    /// As ELVA 0.33's, or another yrelay: all documents over one connection.
    #[default]
    Elva,
    /// Plain Yjs: a connection for each document.
    Yjs,
    /// As Hocuspocus: all documents over one connection.
    Hocuspocus,
}

/// The server above.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its address.
    pub target: Target,
    /// What it speaks.
    pub speaks: Speaks,
    /// What documents are called there.
    pub naming: Naming,
    /// What is added to the query of its address, percent-encoded.
    pub params: String,
    /// Who we are there, should it ask.
    pub login: Option<Login>,
    /// Authorities to be trusted beside those that the machine trusts.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Upstream {
    /// One that asks for no login and has no certificate of its own kind.
    pub fn open(target: Target) -> Self {
        Self {
            target,
            speaks: Speaks::default(),
            naming: Naming::default(),
            params: String::new(),
            login: None,
            authorities: Vec::new(),
        }
    }
}

/// Patterns of identifiers: `*` stands for any text, `?` for any one character.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<WildMatch>);

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

    #[test]
    fn patterns_are_met_by_whole_identifiers() {
        let patterns = Patterns::new(["secret/*", "diary-?"]);
        let matches = |id| patterns.matches(&DocumentId::new(id).unwrap());
        assert!(matches("secret/plans/ü") && matches("diary-7"));
        assert!(!matches("my secret/plans") && !matches("diary-12") && !matches("secret"));
    }
}
