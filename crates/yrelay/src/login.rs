//! The login at a server: a user and a password, sent as HTTP Basic (RFC 7617) in UTF-8.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use crate::limits;

/// Who we are at a server.
#[derive(Debug, Clone)]
pub struct Login {
    user: String,
    password: Option<Password>,
    /// Held while the file is read: a file system that hangs is to hang one thread only.
    reading: Arc<Mutex<()>>,
}

/// A password, or where it is.
#[derive(Debug, Clone)]
pub enum Password {
    /// This one.
    Text(SecretString),
    /// What stands in this file, without its last newline.
    File(PathBuf),
}

/// Why there is no login that could be sent. Never repeats a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// A password, and nobody to go with it.
    #[error("a password needs a user: add --user NAME")]
    NoUser,
    /// A user, and no password.
    #[error("there is no password for {0}: give --password-file FILE")]
    NoPassword(String),
    /// Basic puts a colon between the two.
    #[error("a user's name is not empty and holds neither colons nor control characters")]
    User,
    /// Nothing but a newline at most.
    #[error("the password is empty")]
    Empty,
    /// Such as a second line.
    #[error("the password holds control characters, or more than one line")]
    Control,
    /// The file with it is on a file system that hangs.
    #[error("the file of the password cannot be read: no answer")]
    NoAnswer,
    /// The file with it.
    #[error("cannot read the password from {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Login {
    /// A login whose password, if it is in a file, is read when it is needed.
    pub fn new(user: String, password: Option<Password>) -> Result<Self, LoginError> {
        if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control()) {
            return Err(LoginError::User);
        }
        Ok(Self { user, password, reading: Arc::default() })
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether it has a password to send.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Whether the password may be another one later.
    pub fn may_change(&self) -> bool {
        matches!(self.password, Some(Password::File(_)))
    }

    /// The value of the header `Authorization`. Reads the password's file anew each time: somebody
    /// may have mended it. That may block for as long as a network's file system does.
    pub fn authorization(&self) -> Result<HeaderValue, LoginError> {
        let password = match &self.password {
            None => return Err(LoginError::NoPassword(self.user.clone())),
            Some(Password::Text(text)) => text.clone(),
            Some(Password::File(path)) => {
                let Ok(_alone) = self.reading.try_lock() else { return Err(LoginError::NoAnswer) };
                read(path)?
            }
        };
        let password = password.expose_secret();
        if password.is_empty() {
            return Err(LoginError::Empty);
        }
        if password.contains(char::is_control) {
            return Err(LoginError::Control);
        }
        let value = format!("Basic {}", BASE64.encode(format!("{}:{password}", self.user)));
        // Base64 holds nothing that a header may not hold.
        let mut value = HeaderValue::try_from(value).map_err(|_| LoginError::Control)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn read(path: &Path) -> Result<SecretString, LoginError> {
    let fails = |reason: String| LoginError::File { path: path.display().to_string(), reason };
    let file = File::open(path).map_err(|error| fails(error.to_string()))?;
    let mut text = String::new();
    let read = file.take(limits::PASSWORD_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| fails(error.to_string()))?;
    if text.len() as u64 > limits::PASSWORD_BYTES_MAX {
        return Err(fails(format!("longer than {} bytes", limits::PASSWORD_BYTES_MAX)));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sent(login: &Login) -> String {
        let value = login.authorization().unwrap();
        assert!(value.is_sensitive());
        let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        String::from_utf8(BASE64.decode(encoded).unwrap()).unwrap()
    }

    fn jane(password: &str) -> Login {
        Login::new("jane".into(), Some(Password::Text(password.into()))).unwrap()
    }

    #[test]
    fn logins_are_sent_as_basic_in_utf_8() {
        // The example of RFC 7617, section 2.1.
        let test = Login::new("test".into(), Some(Password::Text("123\u{a3}".into()))).unwrap();
        assert_eq!(test.authorization().unwrap(), "Basic dGVzdDoxMjPCow==");
        assert_eq!(sent(&jane(" a:b ")), "jane: a:b ");
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        for user in ["", "ja:ne", "ja\nne"] {
            assert_eq!(Login::new(user.into(), None).unwrap_err(), LoginError::User, "{user:?}");
        }
        let error = |login: &Login| login.authorization().unwrap_err();
        let nobodys = Login::new("jane".into(), None).unwrap();
        assert_eq!(error(&nobodys), LoginError::NoPassword("jane".into()));
        assert_eq!(error(&jane("")), LoginError::Empty);
        assert_eq!(error(&jane("a\nb")), LoginError::Control);
    }

    #[test]
    fn the_file_of_a_password_is_read_anew_each_time_without_its_last_newline() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        let login = Login::new("jane".into(), Some(Password::File(path.clone()))).unwrap();
        assert!(matches!(login.authorization(), Err(LoginError::File { .. })));
        for (content, password) in
            [("one", "one"), ("two\n", "two"), ("dr\u{fc}\r\n", "dr\u{fc}"), (" four \n", " four ")]
        {
            fs::write(&path, content).unwrap();
            assert_eq!(sent(&login), format!("jane:{password}"));
        }
        for (content, error) in [
            (&b"\n"[..], LoginError::Empty),
            (b"one\n\n", LoginError::Control),
            (b"one\ntwo\n", LoginError::Control),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(login.authorization().unwrap_err(), error);
        }
        for content in [vec![0xff], vec![b'x'; 5_000]] {
            fs::write(&path, content).unwrap();
            assert!(matches!(login.authorization(), Err(LoginError::File { .. })));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_hangs_is_read_by_one_at_a_time() {
        use std::process::Command;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let login = Login::new("jane".into(), Some(Password::File(path.clone()))).unwrap();
        let other = login.clone();
        let reader = std::thread::spawn(move || sent(&other));
        while login.reading.try_lock().is_ok() {
            std::thread::yield_now();
        }
        assert_eq!(login.authorization().unwrap_err(), LoginError::NoAnswer);
        fs::write(&path, "secret\n").unwrap();
        assert_eq!(reader.join().unwrap(), "jane:secret");
    }

    #[test]
    fn passwords_are_not_shown() {
        let login = jane("hunter2");
        let shown = format!("{login:?} {:?}", login.authorization());
        assert!(!shown.contains("hunter2") && !shown.contains(&BASE64.encode("jane:hunter2")));
    }
}
