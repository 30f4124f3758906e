//! All settings of one relay, checked.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use wildmatch::WildMatch;
use yrelay_core::id::DocumentId;

use crate::limits;
use crate::login::{Login, LoginError, Password};
use crate::origin::Rules;
use crate::status::Role;
use crate::target::{Address, Target, TargetError};

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
    pub upstream: Option<Upstream>,
    /// Where documents are kept.
    pub storage: Storage,
    /// Which web pages and host names are let in.
    pub rules: Rules,
    /// Which documents are end-to-end encrypted.
    pub opaque: Patterns,
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
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            memory_bytes: limits::MEMORY_BYTES,
            idle_ms: limits::IDLE_MS,
        }
    }
}

/// The server above.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its address.
    pub target: Target,
    /// Who we are there, should it ask.
    pub login: Option<Login>,
    /// Authorities to be trusted beside those that the machine trusts.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Upstream {
    /// One that asks for no login and has no certificate of its own kind.
    pub fn open(target: Target) -> Self {
        Self { target, login: None, authorities: Vec::new() }
    }
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
    /// What is to be sent to a server that asks who we are.
    #[error("{0}")]
    Login(#[from] LoginError),
    /// Everybody in between could read the password.
    #[error(
        "the password would go to {0} unencrypted: write wss:// for ws://, or add \
         --insecure-login if nobody can listen in between"
    )]
    InsecureLogin(String),
    /// A login, and nowhere to go with it.
    #[error("--user and --password belong to a server: add --server URL")]
    LoginWithoutServer,
    /// A file of certificates.
    #[error("cannot use --tls-ca {path}: {reason}; it takes certificates in PEM")]
    Authority {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
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

/// What the options say of the upstream.
#[derive(Debug, Default)]
pub struct UpstreamOptions {
    /// Its address, perhaps with a login in it.
    pub server: Option<SecretString>,
    /// The user there.
    pub user: Option<String>,
    /// That user's password.
    pub password: Option<Password>,
    /// The password may go over the network unencrypted.
    pub insecure_login: bool,
    /// Files of certificates.
    pub tls_ca: Vec<PathBuf>,
}

/// The upstream, from the options or else the environment. An empty address is none.
pub fn upstream(
    options: UpstreamOptions,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Upstream>, ConfigError> {
    let UpstreamOptions { server, user, password, insecure_login, tls_ca } = options;
    let option = server.map(|text| ("--server", text.expose_secret().to_owned()));
    let mut given = option
        .into_iter()
        .chain(SERVER_VARIABLES.into_iter().filter_map(|name| Some((name, variable(name)?))));
    let Some((given_by, text)) = given.find(|(_, text)| !text.trim().is_empty()) else {
        let login = user.is_some() || password.is_some();
        return if login { Err(ConfigError::LoginWithoutServer) } else { Ok(None) };
    };
    let address =
        Address::parse(text.trim()).map_err(|error| ConfigError::Server { given_by, error })?;
    let target = address.target;
    let password = password.or(address.password.map(Password::Text));
    let login = login(user.or(address.user), password)?;
    let private = target.secure || target.is_loopback() || insecure_login;
    if !private && login.as_ref().is_some_and(Login::has_password) {
        return Err(ConfigError::InsecureLogin(target.host));
    }
    let mut authorities = Vec::new();
    for path in tls_ca {
        authorities.extend(certificates(&path)?);
    }
    Ok(Some(Upstream { target, login, authorities }))
}

/// What is wrong with a login is said at the start and not when the server asks for it.
fn login(user: Option<String>, password: Option<Password>) -> Result<Option<Login>, LoginError> {
    let Some(user) = user else {
        return if password.is_some() { Err(LoginError::NoUser) } else { Ok(None) };
    };
    let login = Login::new(user, password)?;
    if login.has_password() {
        login.authorization()?;
    }
    Ok(Some(login))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let fails =
        |reason: String| ConfigError::Authority { path: path.display().to_string(), reason };
    let found =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| fails(error.to_string()))?;
    if found.is_empty() {
        return Err(fails("there is no certificate in it".into()));
    }
    for certificate in &found {
        let usable = RootCertStore::empty().add(certificate.clone());
        usable.map_err(|error| fails(error.to_string()))?;
    }
    Ok(found)
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

    fn server(text: &str) -> UpstreamOptions {
        UpstreamOptions { server: Some(text.into()), ..UpstreamOptions::default() }
    }

    #[test]
    fn the_option_beats_our_variable_beats_elvas() {
        let both = &[("ELVA_SERVER", "ws://elva"), ("YRELAY_SERVER", "ws://ours")][..];
        for (option, list, expected) in [
            (server("ws://option"), both, Some("ws://option/")),
            (UpstreamOptions::default(), both, Some("ws://ours/")),
            (UpstreamOptions::default(), &both[..1], Some("ws://elva/")),
            (
                server(" "),
                &[("YRELAY_SERVER", ""), ("ELVA_SERVER", "ws://elva")],
                Some("ws://elva/"),
            ),
            (UpstreamOptions::default(), &[], None),
        ] {
            let upstream = upstream(option, variables(list)).unwrap();
            assert_eq!(upstream.map(|up| up.target.to_string()).as_deref(), expected);
        }
    }

    #[test]
    fn a_login_comes_from_the_options_or_the_address() {
        let text = |text: &str| Some(Password::Text(text.into()));
        let header = |options| {
            let upstream = upstream(options, variables(&[])).unwrap().unwrap();
            Some(upstream.login?.authorization().unwrap().to_str().unwrap().to_owned())
        };
        let expected = |login: &str| {
            let login = Login::new(login.into(), text("secret")).unwrap();
            Some(login.authorization().unwrap().to_str().unwrap().to_owned())
        };
        assert_eq!(header(server("wss://host/")), None);
        assert_eq!(header(server("wss://jane:secret@host/")), expected("jane"));
        let given =
            UpstreamOptions { user: Some("joe".into()), ..server("wss://jane:secret@host/") };
        assert_eq!(header(given), expected("joe"));
        let given =
            UpstreamOptions { password: text("secret"), ..server("wss://jane:other@host/") };
        assert_eq!(header(given), expected("jane"));
    }

    #[test]
    fn a_login_that_cannot_be_used_is_refused_at_once() {
        let text = |text: &str| Some(Password::Text(text.into()));
        let error = |options| upstream(options, variables(&[])).unwrap_err();
        let user = || Some("jane".to_owned());
        let lonely = UpstreamOptions { password: text("x"), ..server("wss://host") };
        assert_eq!(error(lonely), ConfigError::Login(LoginError::NoUser));
        let path = PathBuf::from("/nowhere/password");
        let missing = Some(Password::File(path));
        let missing = UpstreamOptions { user: user(), password: missing, ..server("wss://host") };
        assert!(error(missing).to_string().starts_with("cannot read the password from /nowhere/"));
        let nowhere = UpstreamOptions { user: user(), ..UpstreamOptions::default() };
        assert_eq!(error(nowhere), ConfigError::LoginWithoutServer);
    }

    #[test]
    fn a_password_goes_over_the_network_encrypted_or_not_at_all() {
        let given = |server_url: &str, insecure_login| {
            let password = Some(Password::Text("hunter2".into()));
            let user = Some("jane".to_owned());
            let options = UpstreamOptions { user, password, insecure_login, ..server(server_url) };
            upstream(options, variables(&[])).map(|_| ())
        };
        let refused = Err(ConfigError::InsecureLogin("elva.example.org".into()));
        assert_eq!(given("ws://elva.example.org/", false), refused);
        assert_eq!(given("ws://elva.example.org/", true), Ok(()));
        for private in ["wss://elva.example.org/", "ws://localhost:8765/", "ws://[::1]/"] {
            assert_eq!(given(private, false), Ok(()), "{private}");
        }
        // A user alone gives nothing away, and many have one in their settings.
        let user = UpstreamOptions { user: Some("jane".into()), ..server("ws://elva.example.org") };
        assert!(upstream(user, variables(&[])).is_ok());
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let given = || UpstreamOptions { tls_ca: vec![path.clone()], ..server("wss://host") };
        let error = || upstream(given(), variables(&[])).unwrap_err().to_string();
        let begins = format!("cannot use --tls-ca {}: ", path.display());
        assert!(error().starts_with(&begins));
        for content in
            ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            std::fs::write(&path, content).unwrap();
            assert!(error().starts_with(&begins), "{}", error());
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
        let secret = &[("ELVA_SERVER", "ws://jane:hunter2@host:no")][..];
        let error = upstream(UpstreamOptions::default(), variables(secret)).unwrap_err();
        let error = format!("{error} {error:?}");
        assert!(error.starts_with("ELVA_SERVER is no WebSocket address: the port must be"));
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
