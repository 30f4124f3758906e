//! One attempt to reach the server. The login is sent once the server has asked for it, and from
//! then on straight away; to a server that does not ask it is never shown.

use hyper::header::HeaderValue;
use tokio::task::spawn_blocking;
use yrelay_core::upstream::Failure;

use crate::connector::{ConnectError, Connector, Opened};
use crate::login::{Login, LoginError};
use crate::secret::Need;
use crate::{clock, limits};

/// What is known of a server and its login.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) connector: Connector,
    pub(crate) login: Option<Login>,
    /// The server has asked for it.
    login_wanted: bool,
    /// What there was to send at the last attempt.
    tried: Option<HeaderValue>,
}

/// Why it stays closed.
pub(crate) struct Closed {
    pub(crate) failure: Failure,
    pub(crate) reason: String,
}

impl Door {
    pub(crate) fn new(connector: Connector, login: Option<Login>) -> Self {
        Self { connector, login, login_wanted: false, tried: None }
    }

    /// Two requests at most: the second one if the first shows that the login is wanted.
    pub(crate) async fn open(&mut self) -> Result<Opened, Closed> {
        let login = match &self.login {
            Some(login) => Some(authorization(login.clone(), Need::Good).await),
            None => None,
        };
        let header = login.as_ref().and_then(|login| login.as_ref().ok());
        self.tried = header.cloned();
        let mut sent = header.filter(|_| self.login_wanted);
        let mut opened = self.connector.connect(sent).await;
        if let Err(ConnectError::Refused(refused)) = &opened
            && refused.basic
            && sent.is_none()
            && header.is_some()
        {
            self.login_wanted = true;
            sent = header;
            opened = self.connector.connect(sent).await;
        }
        let lacking = login.as_ref().and_then(|login| login.as_ref().err());
        opened.map_err(|error| self.closed(&error, sent.is_some(), lacking))
    }

    fn closed(&self, error: &ConnectError, sent: bool, lacking: Option<&LoginError>) -> Closed {
        let ConnectError::Refused(refused) = error else {
            return Closed { failure: Failure::Unreachable, reason: error.to_string() };
        };
        let failure = match (refused.status, refused.retry_after_ms) {
            (401 | 403, _) => Failure::Unauthorized,
            (429 | 503, Some(retry_after_ms)) => Failure::Busy { retry_after_ms },
            _ => Failure::Unreachable,
        };
        let reason = match (&self.login, lacking) {
            (Some(login), _) if sent && refused.status == 401 => {
                format!(
                    "refused with HTTP status 401: it does not accept the password of {}",
                    login.user().unwrap_or_default()
                )
            }
            (Some(_), Some(lacking)) if refused.basic => {
                format!("refused with HTTP status 401: it wants a login, and {lacking}")
            }
            _ => error.to_string(),
        };
        Closed { failure, reason }
    }

    /// Whether there is something to send now that was not tried.
    pub(crate) async fn has_news(&self) -> bool {
        let Some(login) = self.login.as_ref().filter(|login| login.may_change()) else {
            return false;
        };
        let header = authorization(login.clone(), Need::News).await.ok();
        header.is_some() && header != self.tried
    }
}

/// A file may be on a network's file system, and that may hang; a command may, too.
async fn authorization(login: Login, need: Need) -> Result<HeaderValue, LoginError> {
    if !login.may_change() {
        return login.authorization();
    }
    let reading = spawn_blocking(move || login.authorization_for(need));
    let read = clock::timeout(limits::LOGIN_MS, reading).await;
    read.and_then(Result::ok).unwrap_or(Err(LoginError::NoAnswer))
}
