//! Where a secret comes from: a password or a token, and until when it is good.

mod command;
mod expiry;
mod keyring;

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::spawn_blocking;

use crate::netrc::Netrc;
use crate::{clock, limits};

pub use keyring::IS_BUILT_IN as HAS_KEYRING;

/// A secret that is got when it is needed. Its clones share what was got.
#[derive(Debug, Clone)]
pub struct Secret {
    kind: Kind,
    source: Source,
    lifetime_ms: Option<u64>,
    desk: Arc<Desk>,
}

/// What it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes with a user.
    Password,
    /// Stands for itself.
    Token,
}

/// Where it comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// This one.
    Text(SecretString),
    /// What stands in this file, without its last newline.
    File(PathBuf),
    /// The first line that this command prints.
    Command(String),
    /// What `~/.netrc` has for a user of a host.
    Netrc {
        /// The file.
        path: PathBuf,
        /// The server.
        host: String,
        /// Who we are there.
        user: String,
    },
    /// What the desktop's key ring has under this name, `user@host`.
    Keyring(String),
}

/// What it is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// To log in: what is still good.
    Good,
    /// To see whether there is another one, time and again. No program is run for that again and
    /// again.
    News,
    /// It was refused: what there is now.
    Another,
}

/// A secret as it was got.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// The secret.
    pub text: SecretString,
    /// When it was got, in milliseconds since 1970.
    pub got_at_unix_ms: u64,
    /// When it ends, as far as that is known and there may be another one then.
    pub expires_at_unix_ms: Option<u64>,
}

/// Why there is none. Never repeats a secret, nor what a command has printed for one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing but a newline at most.
    #[error("the {0} is empty")]
    Empty(Kind),
    /// Such as a second line.
    #[error("the {0} holds control characters, or more than one line")]
    Control(Kind),
    /// Where it is kept does not give it.
    #[error("cannot read the {kind} from {place}: {reason}")]
    Unreadable {
        /// What it is for.
        kind: Kind,
        /// The file, or what else it is.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Where one gets it and the others wait: a file system or a program that hangs is to hang one
/// thread only.
#[derive(Debug, Default)]
struct Desk {
    state: Mutex<Getting>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Getting {
    /// When the one who gets it has begun.
    begun_at: Option<u64>,
    /// What came of the last time, and when.
    last: Option<(u64, Result<Fresh, SecretError>)>,
}

impl Secret {
    /// One from this source.
    pub fn new(kind: Kind, source: Source) -> Self {
        Self { kind, source, lifetime_ms: None, desk: Arc::default() }
    }

    /// The same, good for so long where it does not say itself until when it is. At 0 it is good
    /// for one use.
    pub fn lasting(self, lifetime_ms: Option<u64>) -> Self {
        Self { lifetime_ms, ..self }
    }

    /// Whether there may be another one later.
    pub fn may_change(&self) -> bool {
        !matches!(self.source, Source::Text(_))
    }

    /// Whether getting it runs a program or asks a person: nothing to be done at a start.
    pub fn is_costly(&self) -> bool {
        matches!(self.source, Source::Command(_) | Source::Keyring(_))
    }

    /// Gets it. Files are read anew each time: somebody may have mended them. What a command or
    /// the key ring gave is good until shortly before it expires.
    ///
    /// This may block, for as long as a command may take or a network's file system does. Others
    /// who ask meanwhile get the same.
    pub fn get(&self, need: Need) -> Result<Fresh, SecretError> {
        if let Source::Text(text) = &self.source {
            return self.checked(text.clone());
        }
        let asked_at = clock::now_ms();
        let mut state = self.desk.lock();
        while let Some(begun_at) = state.begun_at {
            let left = (begun_at + self.patience_ms()).saturating_sub(clock::now_ms());
            if left == 0 {
                return Err(self.unreadable("no answer"));
            }
            let waited = self.desk.ended.wait_timeout(state, Duration::from_millis(left));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if let Some((_, got)) = state.last.as_ref().filter(|(at, _)| *at >= asked_at) {
                return got.clone();
            }
        }
        let kept = state.kept_for(need, clock::now_ms(), clock::unix_ms());
        if let Some(kept) = kept.filter(|_| self.is_costly()) {
            // One for one use is known to those who look for news, and used up.
            if self.lifetime_ms != Some(0) || need == Need::News {
                return kept.clone();
            }
        }
        state.begun_at = Some(asked_at);
        drop(state);
        let got = self.read();
        let mut state = self.desk.lock();
        *state = Getting { begun_at: None, last: Some((clock::now_ms(), got.clone())) };
        self.desk.ended.notify_all();
        got
    }

    /// The same where nothing may block. Waits no longer than an attempt to connect may.
    pub async fn fetch(&self, need: Need) -> Result<Fresh, SecretError> {
        if !self.may_change() {
            return self.get(need);
        }
        let secret = self.clone();
        let getting = spawn_blocking(move || secret.get(need));
        let got = clock::timeout(limits::LOGIN_MS, getting).await;
        got.and_then(Result::ok).unwrap_or_else(|| Err(self.unreadable("no answer")))
    }

    /// Whoever finds somebody else at it waits for so long.
    fn patience_ms(&self) -> u64 {
        if self.is_costly() { limits::COMMAND_MS } else { limits::SECRET_FILE_MS }
    }

    fn read(&self) -> Result<Fresh, SecretError> {
        let read = match &self.source {
            Source::Text(text) => Ok(text.expose_secret().to_owned()),
            Source::File(path) => file(path),
            Source::Command(command) => command::first_line(command, limits::COMMAND_MS),
            Source::Netrc { path, host, user } => Netrc::read(path)
                .map_err(|error| error.to_string())
                .and_then(|netrc| netrc.password(host, user).ok_or("it is gone".into())),
            Source::Keyring(account) => keyring::read(account),
        };
        self.checked(read.map_err(|reason| self.unreadable(&reason))?.into())
    }

    fn checked(&self, text: SecretString) -> Result<Fresh, SecretError> {
        if text.expose_secret().is_empty() {
            return Err(SecretError::Empty(self.kind));
        }
        if text.expose_secret().contains(char::is_control) {
            return Err(SecretError::Control(self.kind));
        }
        let got_at_unix_ms = clock::unix_ms();
        let lasting = |ms| got_at_unix_ms.saturating_add(ms);
        let expires_at_unix_ms = expiry::of_jwt(text.expose_secret())
            .or_else(|| self.lifetime_ms.filter(|ms| *ms > 0).map(lasting))
            .filter(|_| self.may_change());
        Ok(Fresh { text, got_at_unix_ms, expires_at_unix_ms })
    }

    fn unreadable(&self, reason: &str) -> SecretError {
        let place = match &self.source {
            Source::Text(_) => "its setting".to_owned(),
            Source::File(path) => path.display().to_string(),
            Source::Command(_) => "its command".to_owned(),
            Source::Netrc { path, host, user } => {
                format!("the entry of {user} at {host} in {}", path.display())
            }
            Source::Keyring(account) => format!("the key ring's entry {account} of yrelay"),
        };
        SecretError::Unreadable { kind: self.kind, place, reason: reason.to_owned() }
    }
}

impl Getting {
    /// What came of the last time, where that will do.
    fn kept_for(
        &self,
        need: Need,
        now_ms: u64,
        now_unix_ms: u64,
    ) -> Option<&Result<Fresh, SecretError>> {
        let (at, got) = self.last.as_ref()?;
        let will_do = match need {
            Need::Good => got.as_ref().is_ok_and(|fresh| fresh.is_good_at(now_unix_ms)),
            Need::News => now_ms.saturating_sub(*at) < limits::COMMAND_AGAIN_MS,
            Need::Another => false,
        };
        will_do.then_some(got)
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Getting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fresh {
    /// When to get the next one, in milliseconds since 1970: a tenth of its time before it ends.
    /// What has ended, or does so at once, is not got anew in a loop.
    pub fn renew_at_unix_ms(&self) -> Option<u64> {
        let ends_at = self.expires_at_unix_ms?;
        let tenth = ends_at.saturating_sub(self.got_at_unix_ms) / 10;
        let in_time = ends_at.saturating_sub(tenth.max(limits::EXPIRY_MARGIN_MS));
        Some(in_time.max(self.got_at_unix_ms.saturating_add(limits::EXPIRY_MARGIN_MS)))
    }

    fn is_good_at(&self, now_unix_ms: u64) -> bool {
        self.renew_at_unix_ms().is_none_or(|at| now_unix_ms < at)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => "password",
            Self::Token => "token",
        })
    }
}

fn file(path: &Path) -> Result<String, String> {
    let mut text = text(path, limits::SECRET_BYTES_MAX)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// The text of a file that is no longer than that.
pub(crate) fn text(path: &Path, bytes_max: u64) -> Result<String, String> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        fs::File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| error.to_string())?;
    if text.len() as u64 > bytes_max {
        return Err(format!("longer than {bytes_max} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
