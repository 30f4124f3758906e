//! A server above, from what is said of it: each value checked, each fault with its place.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use yrelay::config::{Messages, Params, TokenUrl, Upstream};
use yrelay::listen;
use yrelay::login::Login;
use yrelay::status::Role;
use yrelay::target::{Address, Target};

use super::configure::word;
use super::gather::Settings;
use super::route::{self, PREFIX, STRIP, Said};
use super::value::{Fault, Layer, Origin, Value, switch};
use super::{
    HOST, INSECURE_LOGIN, KEYRING, MESSAGES, NAMES, ON_RESET, PASSWORD, PASSWORD_COMMAND,
    PASSWORD_FILE, SERVER, Setting, TLS_CA, TOKEN, TOKEN_COMMAND, TOKEN_FILE, TOKEN_URL,
    UPSTREAM_PARAMS, USER,
};
use crate::settings::file::Found;

/// All that is said of one server: by all sources together, or by a route.
pub(super) struct Server<'a> {
    pub(super) settings: &'a Settings,
    pub(super) values: &'a Layer,
    pub(super) is_route: bool,
}

/// What people should be told of a server.
#[derive(Default)]
pub(super) struct Remarks {
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Settings {
    /// The server for all documents that no route takes.
    pub(super) fn upstream(&mut self) -> Result<Option<Upstream>, Fault> {
        if self.role != Role::Service {
            return Ok(None);
        }
        let server = Server::of_all(self);
        server.messages()?;
        if self.of(&SERVER).text().trim().is_empty() {
            return self.no_login_for_nobody().map(|()| None);
        }
        let mut remarks = Remarks::default();
        let upstream = server.upstream(&mut remarks)?;
        self.say(remarks);
        Ok(Some(upstream))
    }

    /// Whom to trust beside those that the machine trusts.
    pub(crate) fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, Fault> {
        Server::of_all(self).authorities()
    }

    /// What a server has brought to light.
    pub(super) fn say(&mut self, remarks: Remarks) {
        remarks.warnings.iter().for_each(|words| self.warn(words));
        for note in remarks.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// A route that leads back here passes every message to itself.
    pub(super) fn is_not_own(&self, target: &Target, origin: &Origin) -> Result<(), Fault> {
        let host = self.of(&HOST);
        let own = listen::addresses(host.text(), self.port()?).unwrap_or_default();
        match target.is_own(host.text(), &own) {
            true => Err(origin.fault("it is the address of this relay itself")),
            false => Ok(()),
        }
    }

    fn no_login_for_nobody(&self) -> Result<(), Fault> {
        let logins = [
            &USER,
            &PASSWORD,
            &PASSWORD_FILE,
            &PASSWORD_COMMAND,
            &KEYRING,
            &TOKEN,
            &TOKEN_FILE,
            &TOKEN_COMMAND,
            &TOKEN_URL,
        ];
        for setting in logins {
            if let Some(value) = self.get(setting)
                && matches!(value.origin, Origin::Option(_))
            {
                return Err(value.origin.fault("belongs to a server: add --server URL"));
            }
        }
        Ok(())
    }
}

impl<'a> Server<'a> {
    pub(super) fn of_all(settings: &'a Settings) -> Self {
        Self { settings, values: &settings.values, is_route: false }
    }

    pub(super) fn of_route(settings: &'a Settings, said: &'a Said) -> Self {
        Self { settings, values: &said.values, is_route: true }
    }

    pub(super) fn get(&self, setting: &Setting) -> Option<Value> {
        let is_said = self.values.contains_key(setting.name);
        match self.is_route && !is_said && route::is_inherited(setting) {
            true => self.settings.get(setting),
            false => self.settings.get_in(self.values, setting),
        }
    }

    fn of(&self, setting: &Setting) -> Value {
        self.get(setting).unwrap_or(Value { texts: Vec::new(), origin: Origin::Default })
    }

    /// How a setting is written where this server is spoken of: `--user NAME`, `user = NAME`.
    pub(super) fn written(&self, setting: &Setting, value: &str) -> String {
        match self.is_route {
            true => format!("{} = {value}", route::key(setting)),
            false => format!("{} {value}", setting.option()),
        }
    }

    fn messages(&self) -> Result<Messages, Fault> {
        self.of(&MESSAGES).parse_with(word)
    }

    /// The server, if one is named.
    pub(super) fn upstream(&self, remarks: &mut Remarks) -> Result<Upstream, Fault> {
        let speaks = self.messages()?;
        let server = self.of(&SERVER);
        let target = server.parse_with(|text| {
            // A login was taken out of it, unless the rest is no address.
            Address::parse(text).map(|address| address.target).map_err(|error| {
                format!("no WebSocket address: {error}; write it like wss://elva.example.org/")
            })
        })?;
        let is_insecure = self.is_insecure_login()?;
        let is_private = target.secure || target.is_loopback() || is_insecure;
        let login = self.login(&target, is_private, remarks)?;
        let secret = login.as_ref().and_then(secret_of);
        if let Some(secret) = secret.filter(|_| !is_private) {
            return Err(server.origin.fault(format!(
                "the {secret} would go to {} unencrypted: write wss:// for ws://, or {} if nobody \
                 can listen in between",
                target.host,
                self.allowing(),
            )));
        }
        let has_token = login.as_ref().is_some_and(|login| login.token().is_some());
        let token_url = self.token_url(has_token && !is_insecure)?;
        let params = self.params(has_token || token_url.is_some())?;
        let is_sent = speaks == Messages::Hocuspocus || token_url.is_some() || params.want_token();
        if has_token && !is_sent {
            remarks.warnings.push(format!(
                "the token for {} goes nowhere: say where, such as {}",
                target.host,
                self.written(&UPSTREAM_PARAMS, "token={token}")
            ));
        }
        let names = self.get(&NAMES).map(|names| names.parse_with(word)).transpose()?;
        Ok(Upstream {
            target,
            speaks,
            login,
            token_url,
            params,
            authorities: self.authorities()?,
            names: names.unwrap_or(speaks.names()),
            prefix: self.of(&PREFIX).text().to_owned(),
            strip: self.of(&STRIP).text().to_owned(),
            on_reset: self.of(&ON_RESET).parse_with(word)?,
        })
    }

    fn allowing(&self) -> &'static str {
        if self.is_route { "say insecure_login = true" } else { "add --insecure-login" }
    }

    /// A file that was merely found does not decide it for secrets from elsewhere.
    fn is_insecure_login(&self) -> Result<bool, Fault> {
        let value = self.of(&INSECURE_LOGIN);
        let secrets =
            [&PASSWORD, &PASSWORD_FILE, &PASSWORD_COMMAND, &TOKEN, &TOKEN_FILE, &TOKEN_COMMAND];
        let decides = match &value.origin {
            Origin::Key { found: Found::Upward, .. } => {
                let origins = secrets.map(|setting| self.of(setting).origin);
                origins.iter().any(|origin| origin.is_same_file(&value.origin))
            }
            _ => true,
        };
        Ok(value.parse_with(switch)? && decides)
    }

    fn token_url(&self, guarded: bool) -> Result<Option<TokenUrl>, Fault> {
        let Some(value) = self.get(&TOKEN_URL).filter(|url| !url.text().trim().is_empty()) else {
            return Ok(None);
        };
        let url = value.parse_with(|text| {
            TokenUrl::parse(text).map_err(|error| {
                format!("no address: {error}; write it like https://app.example.org/auth")
            })
        })?;
        if guarded && !url.is_private() {
            return Err(value.origin.fault(format!(
                "the token would go there unencrypted: write https:// for http://, or {} if \
                 nobody can listen in between",
                self.allowing()
            )));
        }
        Ok(Some(url))
    }

    fn params(&self, has_token: bool) -> Result<Params, Fault> {
        let value = self.of(&UPSTREAM_PARAMS);
        let params = Params::parse(value.texts.iter().map(String::as_str));
        let params = params.map_err(|error| value.origin.fault(error))?;
        if params.want_token() && !has_token {
            let way = self.written(&TOKEN_FILE, "FILE");
            return Err(value.origin.fault(format!("{{token}} needs a token: add {way}")));
        }
        Ok(params)
    }

    fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, Fault> {
        let paths = self.of(&TLS_CA);
        let mut authorities = Vec::new();
        for path in &paths.texts {
            let found = certificates(Path::new(path)).map_err(|reason| {
                paths
                    .origin
                    .fault(format!("cannot use {path}: {reason}; it takes certificates in PEM"))
            })?;
            authorities.extend(found);
        }
        Ok(authorities)
    }
}

fn secret_of(login: &Login) -> Option<&'static str> {
    match login.has_secret() {
        false => None,
        true if login.password().is_some() => Some("password"),
        true => Some("token"),
    }
}

/// The certificates in a file; of a directory, those in all its files.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for path in files(path).map_err(|error| error.to_string())? {
        let certificates =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        found.extend(certificates.map_err(|error| error.to_string())?);
    }
    if found.is_empty() {
        return Err("there is no certificate in it".into());
    }
    for certificate in &found {
        let usable = RootCertStore::empty().add(certificate.clone());
        usable.map_err(|error| error.to_string())?;
    }
    Ok(found)
}

fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = path.read_dir()?.map(|entry| entry.map(|entry| entry.path()));
    entries.filter(|path| path.as_ref().map_or(true, |path| path.is_file())).collect()
}
