//! All settings of one relay, checked.

use std::path::PathBuf;

use wildmatch::WildMatch;
use yrelay_core::id::DocumentId;

use crate::origin::Rules;
use crate::status::Role;
use crate::target::{Target, TargetError};

/// All settings of one relay.
#[derive(Debug, Clone)]
pub struct Config {
    /// With an upstream or without.
    pub role: Role,
    /// Where to listen: a name or an address.
    pub host: String,
    /// Where to listen; 0 takes a free one.
    pub port: u16,
    /// The server above.
    pub upstream: Option<Target>,
    /// Where documents are kept.
    pub storage: Storage,
    /// Which web pages and host names are let in.
    pub rules: Rules,
    /// Which documents are end-to-end encrypted.
    pub opaque: Patterns,
}

/// Patterns of identifiers: `*` stands for any text, `?` for any one character.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<WildMatch>);

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

/// The variables that name the server, the first that is set counts. ELVA's name comes last.
pub const SERVER_VARIABLES: [&str; 2] = ["YRELAY_SERVER", "ELVA_SERVER"];

/// What is wrong with a setting, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The address of the upstream.
    #[error("{given_by} is no WebSocket address: {error}; write it like wss://elva.example.org/")]
    Server {
        /// The option or variable.
        given_by: &'static str,
        /// What is wrong.
        error: TargetError,
    },
    /// A wire that comes later.
    #[error("--messages {0} is not available yet; leave it out or write --messages elva")]
    Messages(&'static str),
    /// A server has no upstream.
    #[error("{0} belongs to `yrelay service`; `yrelay serve` has no server above it")]
    ServeHasNoUpstream(&'static str),
    /// No directory to keep documents in.
    #[error("no home directory to keep documents in; name a place with --data-dir DIR")]
    NoHome,
}

/// The upstream, from the option or else the environment. An empty text is none.
pub fn upstream(
    option: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Target>, ConfigError> {
    let option = option.map(|text| ("--server", text.to_owned()));
    let mut given = option
        .into_iter()
        .chain(SERVER_VARIABLES.into_iter().filter_map(|name| Some((name, variable(name)?))));
    let Some((given_by, text)) = given.find(|(_, text)| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let target = Target::parse(&text).map_err(|error| ConfigError::Server { given_by, error })?;
    Ok(Some(target))
}

/// Where documents are kept where nothing else is said: the platform's directory for state.
pub fn data_directory(variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf, ConfigError> {
    let set = |name| variable(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let base = if cfg!(windows) {
        set("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        set("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        // The XDG standard ignores relative paths.
        set("XDG_STATE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| set("HOME").map(|home| home.join(".local/state")))
    };
    base.map(|base| base.join("yrelay")).ok_or(ConfigError::NoHome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables<'a>(list: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| Some(list.iter().find(|(key, _)| *key == name)?.1.to_owned())
    }

    #[test]
    fn the_option_beats_our_variable_beats_elvas() {
        let both = &[("ELVA_SERVER", "ws://elva"), ("YRELAY_SERVER", "ws://ours")][..];
        for (option, list, expected) in [
            (Some("ws://option"), both, Some("ws://option/")),
            (None, both, Some("ws://ours/")),
            (None, &both[..1], Some("ws://elva/")),
            (Some(" "), &[("YRELAY_SERVER", ""), ("ELVA_SERVER", "ws://elva")], Some("ws://elva/")),
            (None, &[], None),
        ] {
            let target = upstream(option, variables(list)).unwrap();
            assert_eq!(target.map(|t| t.to_string()).as_deref(), expected);
        }
    }

    #[test]
    fn patterns_are_met_by_whole_identifiers() {
        let patterns = Patterns::new(["secret/*", "diary-?"]);
        let matches = |id| patterns.matches(&DocumentId::new(id).unwrap());
        assert!(matches("secret/plans/ü") && matches("diary-7"));
        assert!(!matches("my secret/plans") && !matches("diary-12") && !matches("secret"));
    }

    #[test]
    fn a_wrong_address_says_where_it_stands_and_keeps_the_login_to_itself() {
        let secret = &[("ELVA_SERVER", "ws://jane:hunter2@host")][..];
        let error = upstream(None, variables(secret)).unwrap_err();
        let error = format!("{error} {error:?}");
        assert!(error.starts_with("ELVA_SERVER is no WebSocket address: it holds a login"));
        assert!(!error.contains("hunter2") && !error.contains("jane"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn documents_are_kept_in_the_state_directory() {
        for (list, expected) in [
            (&[("HOME", "/home/jane")][..], Ok("/home/jane/.local/state/yrelay")),
            (&[("HOME", "/home/jane"), ("XDG_STATE_HOME", "/s")], Ok("/s/yrelay")),
            (&[("HOME", "/h"), ("XDG_STATE_HOME", "relative")], Ok("/h/.local/state/yrelay")),
            (&[("HOME", "")], Err(ConfigError::NoHome)),
        ] {
            assert_eq!(data_directory(variables(list)), expected.map(PathBuf::from));
        }
    }
}
