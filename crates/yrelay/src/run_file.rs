//! `yrelay.run`: how commands find the relay that has a data directory, and show it that they may
//! come in. Only the user who started the relay can read it.

use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

const NAME: &str = "yrelay.run";

/// A secret of one run of a relay.
#[derive(Clone, Serialize, Deserialize)]
pub struct Token(String);

/// What the file says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Where the relay can be reached from this machine: `ws://127.0.0.1:8000`.
    pub url: String,
    /// What opens its pages below `/-/store/`.
    pub token: Token,
    /// Its process.
    pub pid: u32,
}

/// The file as it was written; removed when this is dropped.
#[derive(Debug)]
pub struct Written(PathBuf);

impl Token {
    /// A new one.
    pub fn new() -> io::Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(BASE64_URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Whether a text is this token. How long that takes tells nothing but the length.
    pub fn is(&self, text: &[u8]) -> bool {
        let own = self.0.as_bytes();
        own.len() == text.len() && own.iter().zip(text).fold(0, |d, (a, b)| d | (a ^ b)) == 0
    }

    /// As the `Authorization` header has it.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Run {
    /// This process, reached at the first of these addresses.
    pub fn here(addresses: &[SocketAddr], token: Token) -> Option<Self> {
        let mut address = *addresses.first()?;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Some(Self { url: format!("ws://{address}"), token, pid: std::process::id() })
    }

    /// Writes the file, in place of one that a killed relay has left. The caller has the lock.
    pub fn write(&self, directory: &Path) -> io::Result<Written> {
        let path = directory.join(NAME);
        let new = directory.join(format!("{NAME}.new"));
        let _ = fs::remove_file(&new);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&new)?.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(&new, &path)?;
        Ok(Written(path))
    }

    /// What the file says, if there is one.
    pub fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(directory.join(NAME)).ok()?).ok()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes what a killed relay has left. The caller has the lock.
pub fn remove_stale(directory: &Path) {
    let _ = fs::remove_file(directory.join(NAME));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_alone() {
        let token = Token::new().unwrap();
        let text = token.bearer().strip_prefix("Bearer ").unwrap().to_owned();
        assert!(token.is(text.as_bytes()) && text.len() == 43);
        let mut other = text.clone().into_bytes();
        other[42] ^= 1;
        for wrong in [&other[..], b"", &text.as_bytes()[1..], &[text.as_bytes(), b"x"].concat()] {
            assert!(!token.is(wrong));
        }
        assert!(!token.is(Token::new().unwrap().0.as_bytes()));
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn the_address_can_be_reached_from_here() {
        for (listening, url) in [
            ("127.0.0.1:8000", "ws://127.0.0.1:8000"),
            ("0.0.0.0:8765", "ws://127.0.0.1:8765"),
            ("[::]:8765", "ws://[::1]:8765"),
            ("192.168.1.5:80", "ws://192.168.1.5:80"),
        ] {
            let address = listening.parse().unwrap();
            assert_eq!(Run::here(&[address], Token::new().unwrap()).unwrap().url, url);
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_user_s_and_goes_with_the_relay() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        // What is left may be anybody's to read.
        fs::write(&path, "{}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let run = Run::here(&["127.0.0.1:1".parse().unwrap()], Token::new().unwrap()).unwrap();
        let written = run.write(directory.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Run::read(directory.path()).unwrap();
        assert!(read.token.is(run.token.0.as_bytes()) && read.pid == std::process::id());
        drop(written);
        assert!(Run::read(directory.path()).is_none() && !path.exists());
    }
}
