//! Who we are at a server: what is given, or else what is found.

use std::path::Path;

use yrelay::login::Login;
use yrelay::netrc::{Netrc, is_open_to_others};
use yrelay::secret::{HAS_KEYRING, Kind, Need, Secret, Source};
use yrelay::target::Target;

use super::file::Found;
use super::upstream::{Remarks, Server};
use super::value::{Fault, Origin, Value, duration_ms, switch};
use super::{
    KEYRING, PASSWORD, PASSWORD_COMMAND, PASSWORD_FILE, Setting, TOKEN, TOKEN_COMMAND, TOKEN_FILE,
    TOKEN_LIFETIME, USER,
};

/// The variable that names the directory of systemd's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where a secret comes from, and who says so.
type Given = (Source, Origin);

impl Server<'_> {
    /// What is wrong with a login is said at the start and not when the server asks for it. But no
    /// command is run for that: the network may not be there yet, and local work is not to wait.
    pub(super) fn login(
        &self,
        target: &Target,
        is_private: bool,
        remarks: &mut Remarks,
    ) -> Result<Option<Login>, Fault> {
        let token = self.token(remarks)?;
        let user = self.get(&USER).filter(|user| !user.text().is_empty());
        let given = match self.password(user.as_ref(), target)? {
            Some(given) => Some(given),
            None => self.credential(Kind::Password, user.is_some(), remarks),
        };
        let login = match (user, given) {
            (Some(user), Some((source, origin))) => {
                let login = Login::new(user.text().to_owned(), Some(source));
                let login = login.map_err(|error| user.origin.fault(error))?;
                if !login.password().is_some_and(Secret::is_costly) {
                    login.authorization().map_err(|error| origin.fault(error))?;
                }
                Some(login)
            }
            (None, Some((_, origin))) => {
                let way = self.written(&USER, "NAME");
                return Err(origin.fault(format!("a password needs a user: add {way}")));
            }
            (Some(user), None) => {
                let found = self.netrc(&target.host, Some(user.text()), is_private, remarks);
                let login = Login::new(user.text().to_owned(), found.map(|(_, source)| source));
                Some(login.map_err(|error| user.origin.fault(error))?)
            }
            (None, None) => self
                .netrc(&target.host, None, is_private, remarks)
                // Such a name can stand there, but not be sent.
                .and_then(|(user, source)| Login::new(user, Some(source)).ok()),
        };
        Ok(match login {
            Some(login) => Some(login.with_token(token)),
            None => token.map(Login::of_token),
        })
    }

    fn password(&self, user: Option<&Value>, target: &Target) -> Result<Option<Given>, Fault> {
        if let Some(given) = self.given(&PASSWORD, &PASSWORD_FILE, &PASSWORD_COMMAND)? {
            return Ok(Some(given));
        }
        let Some(keyring) = self.get(&KEYRING) else { return Ok(None) };
        if !keyring.parse_with(switch)? {
            return Ok(None);
        }
        if !HAS_KEYRING {
            let reason = "this yrelay is built without the feature `keyring`: use password_file \
                          or password_command";
            return Err(keyring.origin.fault(reason));
        }
        let account = format!("{}@{}", user.map_or("", Value::text), target.host);
        Ok(Some((Source::Keyring(account), keyring.origin)))
    }

    fn token(&self, remarks: &mut Remarks) -> Result<Option<Secret>, Fault> {
        let given = match self.given(&TOKEN, &TOKEN_FILE, &TOKEN_COMMAND)? {
            Some(given) => Some(given),
            None => self.credential(Kind::Token, true, remarks),
        };
        let lifetime_ms = self.get(&TOKEN_LIFETIME).map(|value| value.parse_with(lifetime));
        let lifetime_ms = lifetime_ms.transpose()?;
        let Some((source, origin)) = given else { return Ok(None) };
        let token = Secret::new(Kind::Token, source).lasting(lifetime_ms);
        if !token.is_costly() {
            token.get(Need::Good).map_err(|error| origin.fault(error))?;
        }
        Ok(Some(token))
    }

    /// One of the ways to give a secret; they exclude each other.
    fn given(
        &self,
        text: &Setting,
        file: &Setting,
        command: &Setting,
    ) -> Result<Option<Given>, Fault> {
        if let Some(path) = self.get(file) {
            return Ok(Some((Source::File(path.text().into()), path.origin)));
        }
        if let Some(command) = self.get(command).filter(|command| !command.text().is_empty()) {
            if matches!(command.origin, Origin::Key { found: Found::Upward, .. }) {
                let reason = "no program is run for a file that was merely found: name the file \
                              with --config, or say it in your own yrelay.toml";
                return Err(command.origin.fault(reason));
            }
            return Ok(Some((Source::Command(command.text().to_owned()), command.origin)));
        }
        Ok(self.get(text).map(|text| (Source::Text(text.text().into()), text.origin)))
    }

    /// What systemd has for us, weaker than all that is given: for the server that has no route.
    fn credential(&self, kind: Kind, is_usable: bool, remarks: &mut Remarks) -> Option<Given> {
        let directory = self.settings.places.credentials.as_ref().filter(|_| !self.is_route)?;
        let path = directory.join(format!("yrelay.{kind}"));
        if !path.is_file() {
            return None;
        }
        let shown = self.settings.places.shown(&path);
        if !is_usable {
            remarks.warnings.push(format!(
                "{shown} is passed by: a {kind} needs a user: add {}",
                self.written(&USER, "NAME")
            ));
            return None;
        }
        remarks.notes.push(format!("The {kind}: {shown}"));
        Some((Source::File(path), Origin::Variable(CREDENTIALS.to_owned())))
    }

    /// What `~/.netrc` has for a host, weaker than all else: it may be meant for other programs, so
    /// that nothing is a fault. Nobody in between is shown it.
    fn netrc(
        &self,
        host: &str,
        user: Option<&str>,
        is_private: bool,
        remarks: &mut Remarks,
    ) -> Option<(String, Source)> {
        let path: &Path = self.settings.places.netrc.as_ref().filter(|path| path.exists())?;
        let shown = self.settings.places.shown(path);
        let netrc = match Netrc::read(path) {
            Ok(netrc) => netrc,
            Err(error) => {
                remarks.warnings.push(format!("{shown} is passed by: {error}"));
                return None;
            }
        };
        let user = user.map(str::to_owned).or_else(|| netrc.user(host))?;
        netrc.password(host, &user)?;
        if !is_private {
            remarks.warnings.push(format!(
                "{shown}: the password of {user} does not go to {host} unencrypted: write wss:// \
                 for ws://"
            ));
            return None;
        }
        if is_open_to_others(path) {
            remarks.warnings.push(format!("{shown}: others can read it: chmod 600 {shown}"));
        }
        remarks.notes.push(format!("The password of {user} at {host}: {shown}"));
        let (path, host) = (path.to_owned(), host.to_owned());
        Some((user.clone(), Source::Netrc { path, host, user }))
    }
}

/// A time, or none at all.
fn lifetime(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { duration_ms(text) }
}
