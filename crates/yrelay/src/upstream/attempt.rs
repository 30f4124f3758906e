//! One attempt to reach the server. The login by HTTP Basic is sent once the server has asked for
//! it, and from then on straight away; to a server that does not ask it is never shown. A token
//! goes where the kind of server wants it: into the address, or behind the connection into each
//! document's first message.

use std::rc::Rc;

use hyper::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::spawn_blocking;
use yrelay_core::id::DocumentId;
use yrelay_core::upstream::Failure;

use crate::config::{Messages, Upstream};
use crate::connector::{Call, ConnectError, Connector, Opened};
use crate::login::{Login, LoginError};
use crate::secret::SecretError;
use crate::{clock, limits};

/// What is known of a server and its login.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) connector: Connector,
    upstream: Rc<Upstream>,
    /// The server has asked for the login by HTTP Basic.
    login_wanted: bool,
    /// It has refused what it was shown: that is to be got anew.
    stale: bool,
    /// What there was to send at the last attempt.
    tried: Tried,
}

/// What was sent to be let in.
#[derive(Debug, Clone, Default, PartialEq)]
struct Tried {
    header: Option<HeaderValue>,
    /// The token.
    token: Option<String>,
}

/// A token that may be shown.
pub(crate) type Token = Option<SecretString>;

/// Why it stays closed.
pub(crate) struct Closed {
    pub(crate) failure: Failure,
    pub(crate) reason: String,
}

impl Closed {
    fn without(reason: &impl ToString) -> Self {
        Self { failure: Failure::Unauthorized, reason: reason.to_string() }
    }
}

impl Door {
    pub(crate) fn new(connector: Connector, upstream: Rc<Upstream>) -> Self {
        Self { connector, upstream, login_wanted: false, stale: false, tried: Tried::default() }
    }

    /// What another attempt has found out.
    pub(crate) fn learn(&mut self, other: &Self) {
        self.login_wanted |= other.login_wanted;
        self.stale = other.stale;
        self.tried.clone_from(&other.tried);
    }

    /// It has withdrawn what it had let in: the next attempt has something fresh, where there is.
    pub(crate) fn was_refused(&mut self) {
        self.stale = true;
    }

    /// A connection for all documents, and the token for each of them.
    pub(crate) async fn open(&mut self) -> Result<(Opened, Token), Closed> {
        let token = self.token().await?;
        let shown = token.as_ref().map(|token| token.expose_secret());
        let path = self.upstream.path(shown);
        Ok((self.call(&path).await?, token))
    }

    /// A connection for this document.
    pub(crate) async fn open_document(&mut self, id: &DocumentId) -> Result<Opened, Closed> {
        let token = self.token().await?;
        let shown = token.as_ref().map(|token| token.expose_secret());
        let Some(path) = self.upstream.path_of(id, shown) else {
            let reason = "it can have no name there".to_owned();
            return Err(Closed { failure: Failure::Refused, reason });
        };
        self.call(&path).await
    }

    /// The token, where there is one.
    async fn token(&mut self) -> Result<Token, Closed> {
        let Some(login) = self.upstream.login.clone().filter(|login| login.token().is_some())
        else {
            return Ok(None);
        };
        let token =
            token(login, self.age_ms_max()).await.map_err(|error| Closed::without(&error))?;
        self.tried.token = token.as_ref().map(|token| token.expose_secret().to_owned());
        Ok(token)
    }

    /// How old what it is shown may be.
    fn age_ms_max(&self) -> u64 {
        if self.stale { 0 } else { u64::MAX }
    }

    /// Two requests at most: the second one if the first shows that the login is wanted.
    async fn call(&mut self, path: &str) -> Result<Opened, Closed> {
        let offers_own = self.upstream.speaks == Messages::Elva;
        let call = |authorization| Call { path, offers_own, authorization };
        let login = match self.upstream.login.clone().filter(|login| login.user().is_some()) {
            Some(login) => Some(authorization(login, self.age_ms_max()).await),
            None => None,
        };
        self.stale = false;
        let header = login.as_ref().and_then(|login| login.as_ref().ok());
        self.tried.header = header.cloned();
        let mut sent = header.filter(|_| self.login_wanted);
        let mut opened = self.connector.call(&call(sent)).await;
        if let Err(ConnectError::Refused(refused)) = &opened
            && refused.basic
            && sent.is_none()
            && header.is_some()
        {
            self.login_wanted = true;
            sent = header;
            opened = self.connector.call(&call(sent)).await;
        }
        let lacking = login.as_ref().and_then(|login| login.as_ref().err());
        opened.map_err(|error| self.closed(&error, sent.is_some(), lacking))
    }

    fn closed(&mut self, error: &ConnectError, sent: bool, lacking: Option<&LoginError>) -> Closed {
        let ConnectError::Refused(refused) = error else {
            return Closed { failure: Failure::Unreachable, reason: error.to_string() };
        };
        let one_document = self.upstream.speaks == Messages::Yjs;
        let failure = match (refused.status, refused.retry_after_ms) {
            // ELVA 0.37's says so of identifiers that it does not allow.
            (400 | 403 | 404 | 410, _) if one_document => Failure::Refused,
            (401 | 403, _) => Failure::Unauthorized,
            (429 | 503, Some(retry_after_ms)) => Failure::Busy { retry_after_ms },
            _ => Failure::Unreachable,
        };
        self.stale |= failure == Failure::Unauthorized;
        let user = self.upstream.login.as_ref().and_then(Login::user);
        let reason = match (user, lacking) {
            (Some(user), _) if sent && refused.status == 401 => {
                format!("refused with HTTP status 401: it does not accept the password of {user}")
            }
            (Some(_), Some(lacking)) if refused.basic => {
                format!("refused with HTTP status 401: it wants a login, and {lacking}")
            }
            (None, _) if self.tried.token.is_some() && refused.status == 401 => {
                "refused with HTTP status 401: it does not accept the token".to_owned()
            }
            _ => self.advise(error),
        };
        Closed { failure, reason }
    }

    /// Why it is closed, and whether it would open to other messages.
    fn advise(&self, error: &ConnectError) -> String {
        error.to_string()
    }

    /// Whether there is something to send now that was not tried.
    pub(crate) async fn has_news(&self) -> bool {
        let Some(login) = &self.upstream.login else { return false };
        let may_change = |it: &Login| it.token().is_some_and(|token| token.may_change());
        if may_change(login)
            && let Ok(token) = token(login.clone(), limits::COMMAND_AGAIN_MS).await
            && token.map(|token| token.expose_secret().to_owned()) != self.tried.token
        {
            return true;
        }
        if !login.may_change() {
            return false;
        }
        let header = authorization(login.clone(), limits::COMMAND_AGAIN_MS).await.ok();
        header.is_some() && header != self.tried.header
    }
}

/// A file may be on a network's file system, and that may hang; a command may, too.
async fn authorization(login: Login, age_ms_max: u64) -> Result<HeaderValue, LoginError> {
    if !login.may_change() {
        return login.authorization();
    }
    let reading = spawn_blocking(move || login.authorization_within(age_ms_max));
    let read = clock::timeout(limits::LOGIN_MS, reading).await;
    read.and_then(Result::ok).unwrap_or(Err(LoginError::NoAnswer))
}

/// See [`authorization`].
async fn token(login: Login, age_ms_max: u64) -> Result<Token, LoginError> {
    let get = move || -> Result<Token, SecretError> {
        let token = login.token().map(|token| token.get(age_ms_max)).transpose()?;
        Ok(token.map(|token| token.text))
    };
    let read = clock::timeout(limits::LOGIN_MS, spawn_blocking(get)).await;
    match read.and_then(Result::ok) {
        Some(token) => Ok(token?),
        None => Err(LoginError::NoAnswer),
    }
}
