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

use super::{advice, ticket};
use crate::config::{Messages, Upstream};
use crate::connector::{Call, ConnectError, Connector, Opened};
use crate::login::{Login, LoginError};
use crate::secret::{Need, Secret};
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
        if let Some(endpoint) = self.upstream.token_url.clone() {
            let upstream = self.upstream.clone();
            let ticket = ticket::ask(&upstream, &endpoint, id, token.as_ref()).await;
            let ticket = ticket.inspect_err(|closed| {
                self.stale |= closed.failure == Failure::Unauthorized;
            })?;
            return self.call_there(ticket.connector.as_ref(), &ticket.path).await;
        }
        let shown = token.as_ref().map(|token| token.expose_secret());
        let Some(path) = self.upstream.path_of(id, shown) else {
            let reason = "it can have no name there".to_owned();
            return Err(Closed { failure: Failure::Refused, reason });
        };
        self.call(&path).await
    }

    /// The token, where there is one.
    pub(super) async fn token(&mut self) -> Result<Token, Closed> {
        let login = self.upstream.login.as_ref();
        let Some(token) = login.and_then(Login::token) else { return Ok(None) };
        let fresh = token.fetch(self.need()).await.map_err(|error| Closed::without(&error))?;
        self.tried.token = Some(fresh.text.expose_secret().to_owned());
        Ok(Some(fresh.text))
    }

    /// Whether a token is got from a program.
    pub(super) fn has_costly_token(&self) -> bool {
        let login = self.upstream.login.as_ref();
        login.and_then(Login::token).is_some_and(Secret::is_costly)
    }

    /// How good must be what it is shown.
    fn need(&self) -> Need {
        if self.stale { Need::Another } else { Need::Good }
    }

    /// Two requests at most: the second one if the first shows that the login is wanted.
    async fn call(&mut self, path: &str) -> Result<Opened, Closed> {
        self.call_there(None, path).await
    }

    /// The same, at another server perhaps.
    async fn call_there(
        &mut self,
        elsewhere: Option<&Connector>,
        path: &str,
    ) -> Result<Opened, Closed> {
        let connector = elsewhere.unwrap_or(&self.connector).clone();
        let offers_own = self.upstream.speaks == Messages::Elva;
        let mut login = if self.login_wanted { self.header().await } else { None };
        let sent = login.as_ref().and_then(|login| login.as_ref().ok());
        let call = Call { path, offers_own, authorization: sent };
        let mut opened = connector.call(&call).await;
        if let Err(ConnectError::Refused(refused)) = &opened
            && refused.basic
            && login.is_none()
        {
            self.login_wanted = true;
            login = self.header().await;
            if let Some(Ok(header)) = &login {
                let call = Call { path, offers_own, authorization: Some(header) };
                opened = connector.call(&call).await;
            }
        }
        self.stale = false;
        let lacking = login.as_ref().and_then(|login| login.as_ref().err());
        let sent = login.as_ref().is_some_and(Result::is_ok);
        opened.map_err(|error| self.closed(&error, sent, lacking))
    }

    /// What is sent by HTTP Basic, if there is somebody to log in as.
    async fn header(&mut self) -> Option<Result<HeaderValue, LoginError>> {
        let login = self.upstream.login.clone().filter(|login| login.user().is_some())?;
        let header = authorization(login, self.need()).await;
        self.tried.header = header.as_ref().ok().cloned();
        Some(header)
    }

    fn closed(&mut self, error: &ConnectError, sent: bool, lacking: Option<&LoginError>) -> Closed {
        let ConnectError::Refused(refused) = error else {
            return Closed { failure: Failure::Unreachable, reason: self.advise(error) };
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

    /// Why it is closed, and to which messages it may open.
    fn advise(&self, error: &ConnectError) -> String {
        format!("{error}{}", advice::on_refusal(self.upstream.speaks, error))
    }

    /// Whether there is something to send now that was not tried.
    pub(crate) async fn has_news(&self) -> bool {
        let Some(login) = &self.upstream.login else { return false };
        if let Some(token) = login.token().filter(|token| token.may_change())
            && let Ok(fresh) = token.fetch(Need::News).await
            && self.tried.token.as_deref() != Some(fresh.text.expose_secret())
        {
            return true;
        }
        if !login.may_change() || !self.login_wanted {
            return false;
        }
        let header = authorization(login.clone(), Need::News).await.ok();
        header.is_some() && header != self.tried.header
    }
}

/// A file may be on a network's file system, and that may hang; a command may, too.
async fn authorization(login: Login, need: Need) -> Result<HeaderValue, LoginError> {
    if !login.may_change() {
        return login.authorization_for(need);
    }
    let reading = spawn_blocking(move || login.authorization_for(need));
    let read = clock::timeout(limits::LOGIN_MS, reading).await;
    read.and_then(Result::ok).unwrap_or(Err(LoginError::NoAnswer))
}
