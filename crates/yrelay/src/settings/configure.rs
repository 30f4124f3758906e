//! From settings to what the relay takes: each value checked, each fault with its place.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use yrelay::accounts::AccountsFile;
use yrelay::config::{Bounds, Config, Patterns, Storage, Strangers};
use yrelay::keeping::{Policies, Policy};
use yrelay::limits;
use yrelay::listen;
use yrelay::origin::Rules;
use yrelay::status::Role;
use yrelay::target::{Target, bracketed};

use super::file::Found;
use super::gather::Settings;
use super::value::{Fault, Origin, Value, duration_ms, port, size, switch};
use super::{
    ALLOW_HOST, ALLOW_ORIGIN, AUTH_FILE, BROADCAST_ONLY, CONNECTIONS_PER_ADDRESS, DATA_DIR,
    EPHEMERAL, HOST, IDLE, LOG, LOG_FORMAT, LOG_LEVEL, MEMORY, MESSAGE_MAX, OPAQUE, PERMANENT,
    PERSISTENT, PORT, RETAIN, SERVER, VISIBLE, elva,
};
use crate::log::Log;

impl Settings {
    /// What the relay takes.
    pub(crate) fn config(&mut self) -> Result<Config, Fault> {
        self.forget_own_address()?;
        let opaque = self.of(&OPAQUE).texts;
        Ok(Config {
            role: self.role,
            host: self.of(&HOST).text().to_owned(),
            port: self.port()?,
            upstream: self.upstream()?,
            routes: self.routes()?,
            storage: self.storage()?,
            rules: Rules {
                allow_origins: self.of(&ALLOW_ORIGIN).parse_all()?,
                allow_hosts: self.of(&ALLOW_HOST).parse_all()?,
            },
            accounts: self.accounts()?,
            opaque: Patterns::new(opaque.iter().map(String::as_str)),
            policies: self.policies()?,
            bounds: self.bounds()?,
        })
    }

    /// Where the log goes and how much of it.
    pub(crate) fn log(&self) -> Result<Log, Fault> {
        Ok(Log {
            file: self.get(&LOG).map(|path| path.text().into()),
            level: self.of(&LOG_LEVEL).parse_with(word)?,
            format: self.of(&LOG_FORMAT).parse_with(word)?,
        })
    }

    pub(crate) fn port(&self) -> Result<u16, Fault> {
        self.of(&PORT).parse_with(port)
    }

    /// Where another process finds a relay with these settings.
    pub(crate) fn own_url(&self) -> Result<String, Fault> {
        let port = self.port()?;
        if port == 0 {
            let origin = self.of(&PORT).origin;
            return Err(origin.fault("0 is any free port: name the relay with --url URL"));
        }
        let host = self.of(&HOST);
        let host = match host.text() {
            "0.0.0.0" | "::" => "localhost",
            host => host,
        };
        Ok(format!("http://{}:{port}", bracketed(host)))
    }

    /// Whether another process finds the same relay by itself.
    pub(crate) fn own_url_is_found(&self) -> bool {
        let is_found = |setting| match self.of(setting).origin {
            Origin::Default => true,
            Origin::Key { found, .. } => found != Found::Named,
            Origin::Option(_) | Origin::Variable(_) => false,
        };
        self.role == Role::Service && is_found(&HOST) && is_found(&PORT)
    }

    fn bounds(&self) -> Result<Bounds, Fault> {
        Ok(Bounds {
            message_bytes_max: self
                .of(&MESSAGE_MAX)
                .parse_with(|text| size_within(text, &limits::MESSAGE_BYTES_MAX_ALLOWED))?,
            memory_bytes: self
                .of(&MEMORY)
                .parse_with(|text| size_within(text, &limits::MEMORY_BYTES_ALLOWED))?,
            idle_ms: self.of(&IDLE).parse_with(idle)?,
            retain_ms: self.of(&RETAIN).parse_with(retain)?,
            strangers: Strangers {
                connections_per_address: self
                    .of(&CONNECTIONS_PER_ADDRESS)
                    .parse_with(connections)?,
                ..Strangers::default()
            },
        })
    }

    /// Where documents are kept, and the names of those that are not.
    pub(crate) fn documents(&self) -> Result<(PathBuf, Patterns), Fault> {
        let opaque = self.of(&OPAQUE).texts;
        match self.storage()? {
            Storage::Directory(path) => {
                Ok((path, Patterns::new(opaque.iter().map(String::as_str))))
            }
            Storage::Ephemeral => {
                let origin = self.of(&EPHEMERAL).origin;
                Err(origin.fault("nothing is kept: name a place with --data-dir DIR"))
            }
        }
    }

    fn accounts(&self) -> Result<Option<AccountsFile>, Fault> {
        // A slip such as --auth-file "$USERS" must not open the door to all.
        if let Some(origin) = self.emptied(&AUTH_FILE) {
            return Err(origin.fault("the path is empty; leave it out to let everybody in"));
        }
        let Some(path) = self.get(&AUTH_FILE) else { return Ok(None) };
        let file = AccountsFile::read(Path::new(path.text()));
        file.map(Some).map_err(|error| path.origin.fault(error))
    }

    fn policies(&self) -> Result<Policies, Fault> {
        if self.role == Role::Service {
            return Ok(Policies::ALL);
        }
        let policy = |value: Value| value.parse_with(word);
        let asked = Policies {
            visible: policy(self.of(&VISIBLE))?,
            persistent: policy(self.of(&PERSISTENT))?,
            permanent: self.get(&PERMANENT).map(policy).transpose()?,
        };
        Ok(match self.is_broadcast_only()? {
            true => Policies { persistent: Policy::Never, permanent: None, ..asked },
            false => asked,
        })
    }

    /// Whether documents are passed on unread, all of them.
    pub(crate) fn is_broadcast_only(&self) -> Result<bool, Fault> {
        self.of(&BROADCAST_ONLY).parse_with(switch)
    }

    fn storage(&self) -> Result<Storage, Fault> {
        if self.is_broadcast_only()? || self.of(&EPHEMERAL).parse_with(switch)? {
            return Ok(Storage::Ephemeral);
        }
        let found = || self.places.state.clone();
        let directory = self.get(&DATA_DIR).map(|value| value.text().into()).or_else(found);
        let no_home = "no home directory to keep documents in; name a place with --data-dir DIR";
        directory.map(Storage::Directory).ok_or_else(|| Fault(no_home.to_owned()))
    }

    /// The editors of ELVA 0.37 find this relay by the same key: that is no server above.
    fn forget_own_address(&mut self) -> Result<(), Fault> {
        let Some(server) = self.get(&SERVER) else { return Ok(()) };
        let Origin::Key { place, key, .. } = &server.origin else { return Ok(()) };
        let Ok(target) = Target::parse(server.text()) else { return Ok(()) };
        if key != elva::CONNECT {
            return Ok(());
        }
        let host = self.of(&HOST);
        let own = listen::addresses(host.text(), self.port()?).unwrap_or_default();
        if target.is_own(host.text(), &own) {
            tracing::debug!(%place, "ELVA's editors come here");
            self.forget(&SERVER);
        }
        Ok(())
    }
}

/// One of a few words.
pub(super) fn word<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.to_lowercase().parse().map_err(|error: T::Err| error.to_string())
}

/// A size within bounds.
fn size_within(text: &str, allowed: &RangeInclusive<usize>) -> Result<usize, String> {
    let bytes = usize::try_from(size(text)?).unwrap_or(usize::MAX);
    within(text, bytes, allowed, |bytes| ByteSize(bytes as u64).to_string())
}

fn retain(text: &str) -> Result<Option<u64>, String> {
    if matches!(text.to_lowercase().as_str(), "forever" | "for ever" | "") {
        return Ok(None);
    }
    let shown = |ms| humantime::format_duration(Duration::from_millis(ms)).to_string();
    let ms = duration_ms(text).map_err(|error| error + ", or forever")?;
    within(text, ms, &limits::RETAIN_MS_ALLOWED, shown).map(Some)
}

fn idle(text: &str) -> Result<u64, String> {
    let shown = |ms| humantime::format_duration(Duration::from_millis(ms)).to_string();
    within(text, duration_ms(text)?, &limits::IDLE_MS_ALLOWED, shown)
}

fn connections(text: &str) -> Result<usize, String> {
    let number = text.parse().map_err(|_| format!("{text:?} is no number of connections"))?;
    within(text, number, &limits::CONNECTIONS_PER_ADDRESS_ALLOWED, |number| number.to_string())
}

fn within<T: PartialOrd + Copy>(
    text: &str,
    value: T,
    allowed: &RangeInclusive<T>,
    shown: impl Fn(T) -> String,
) -> Result<T, String> {
    if allowed.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (shown(*allowed.start()), shown(*allowed.end()));
    Err(match value < *allowed.start() {
        true => format!("{text} is too little: at least {least}"),
        false => format!("{text} is too much: at most {most}"),
    })
}
