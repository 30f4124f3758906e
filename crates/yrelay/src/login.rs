//! The login at a server: a user and a password, sent as HTTP Basic (RFC 7617) in UTF-8; or a
//! token, which is sent as each kind of server wants it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::HeaderValue;
use secrecy::ExposeSecret as _;

use crate::secret::{Kind, Need, Secret, SecretError, Source};

/// Who we are at a server: a user, a token or both.
#[derive(Debug, Clone)]
pub struct Login {
    user: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
}

/// Why there is no login that could be sent. Never repeats a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// A token, and nobody who could log in by HTTP Basic.
    #[error("there is no user: add --user NAME")]
    NoUser,
    /// A user, and no password.
    #[error("there is no password for {0}: give --password-file FILE")]
    NoPassword(String),
    /// Basic puts a colon between the two.
    #[error("a user's name is not empty and holds neither colons nor control characters")]
    User,
    /// The password or the token.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Where it is kept hangs.
    #[error("where the password is kept gives no answer")]
    NoAnswer,
}

impl Login {
    /// A user with a password, which is got when it is needed.
    pub fn new(user: String, password: Option<Source>) -> Result<Self, LoginError> {
        if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control()) {
            return Err(LoginError::User);
        }
        let password = password.map(|source| Secret::new(Kind::Password, source));
        Ok(Self { user: Some(user), password, token: None })
    }

    /// A token and nobody's name.
    pub fn of_token(token: Secret) -> Self {
        Self { user: None, password: None, token: Some(token) }
    }

    /// The same with a token beside it.
    pub fn with_token(self, token: Option<Secret>) -> Self {
        Self { token, ..self }
    }

    /// The user's name.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// What goes with the user.
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// What stands for itself.
    pub fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    /// Whether it has something to send that is nobody else's business.
    pub fn has_secret(&self) -> bool {
        self.password.is_some() || self.token.is_some()
    }

    /// Whether the password may be another one later.
    pub fn may_change(&self) -> bool {
        self.password.as_ref().is_some_and(Secret::may_change)
    }

    /// The value of the header `Authorization` for HTTP Basic. May block: see [`Secret::get`].
    pub fn authorization(&self) -> Result<HeaderValue, LoginError> {
        self.authorization_for(Need::Good)
    }

    /// The same for another purpose than to log in.
    pub fn authorization_for(&self, need: Need) -> Result<HeaderValue, LoginError> {
        let user = self.user.as_ref().ok_or(LoginError::NoUser)?;
        let missing = || LoginError::NoPassword(user.clone());
        let password = self.password.as_ref().ok_or_else(missing)?.get(need)?;
        let pair = format!("{user}:{}", password.text.expose_secret());
        // Base64 holds nothing that a header may not hold.
        let value = HeaderValue::try_from(format!("Basic {}", BASE64.encode(pair)));
        let mut value = value.map_err(|_| LoginError::User)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(login: &Login) -> String {
        let value = login.authorization().unwrap();
        assert!(value.is_sensitive());
        let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        String::from_utf8(BASE64.decode(encoded).unwrap()).unwrap()
    }

    fn jane(password: &str) -> Login {
        Login::new("jane".into(), Some(Source::Text(password.into()))).unwrap()
    }

    fn token(text: &str) -> Secret {
        Secret::new(Kind::Token, Source::Text(text.into()))
    }

    #[test]
    fn logins_are_sent_as_basic_in_utf_8() {
        // The example of RFC 7617, section 2.1.
        let test = Login::new("test".into(), Some(Source::Text("123\u{a3}".into()))).unwrap();
        assert_eq!(test.authorization().unwrap(), "Basic dGVzdDoxMjPCow==");
        assert_eq!(sent(&jane(" a:b ")), "jane: a:b ");
        let both = jane("hunter2").with_token(Some(token("t")));
        assert_eq!(sent(&both), "jane:hunter2");
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        for user in ["", "ja:ne", "ja\nne"] {
            assert_eq!(Login::new(user.into(), None).unwrap_err(), LoginError::User, "{user:?}");
        }
        let error = |login: &Login| login.authorization().unwrap_err();
        let nobodys = Login::new("jane".into(), None).unwrap();
        assert_eq!(error(&nobodys), LoginError::NoPassword("jane".into()));
        assert!(!nobodys.has_secret() && nobodys.clone().with_token(Some(token("t"))).has_secret());
        assert_eq!(error(&Login::of_token(token("t"))), LoginError::NoUser);
        assert_eq!(error(&jane("")), SecretError::Empty(Kind::Password).into());
        assert_eq!(error(&jane("a\nb")), SecretError::Control(Kind::Password).into());
    }

    #[test]
    fn secrets_are_not_shown() {
        let login = jane("hunter2").with_token(Some(token("hunter3")));
        let shown = format!("{login:?} {:?}", login.authorization());
        assert!(!shown.contains("hunter") && !shown.contains(&BASE64.encode("jane:hunter2")));
    }
}
