//! `~/.netrc`: the logins of many servers, as other programs know them, too.

use std::path::Path;

use crate::{limits, secret};

/// The entries of one file. It holds passwords: it cannot be printed.
pub struct Netrc(Vec<Entry>);

#[derive(Default)]
struct Entry {
    host: String,
    user: Option<String>,
    password: Option<String>,
}

/// Why a file is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NetrcError(String);

impl Netrc {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, NetrcError> {
        let text = secret::text(path, limits::NETRC_BYTES_MAX).map_err(NetrcError)?;
        Ok(Self::parse(&text))
    }

    /// Takes what it understands. The entry `default` is for no server in particular: a password
    /// for whoever asks is passed by.
    fn parse(text: &str) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let mut words = Words(text);
        while let Some(word) = words.next() {
            match &*word {
                "machine" => {
                    let host = words.next().unwrap_or_default();
                    entries.push(Entry { host, ..Entry::default() });
                }
                // No host has an empty name.
                "default" => entries.push(Entry::default()),
                "login" | "password" | "account" => {
                    let value = words.next();
                    match entries.last_mut() {
                        Some(entry) if word == "login" => entry.user = value,
                        Some(entry) if word == "password" => entry.password = value,
                        _ => {}
                    }
                }
                "macdef" => words.skip_macro(),
                _ if word.starts_with('#') => words.skip_line(),
                _ => {}
            }
        }
        Self(entries)
    }

    /// The first user that has a password at a host.
    pub fn user(&self, host: &str) -> Option<String> {
        let mut entries = self.of(host).filter(|entry| entry.password.is_some());
        entries.find_map(|entry| entry.user.clone())
    }

    /// The password of a user at a host.
    pub fn password(&self, host: &str, user: &str) -> Option<String> {
        let mut entries = self.of(host).filter(|entry| entry.user.as_deref() == Some(user));
        entries.find_map(|entry| entry.password.clone())
    }

    fn of(&self, host: &str) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(move |entry| entry.host.eq_ignore_ascii_case(host))
    }
}

/// Whether others than its owner can read a file.
#[cfg(unix)]
pub fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

/// Whether others than its owner can read a file, which only Windows knows.
#[cfg(not(unix))]
pub fn is_open_to_others(_: &Path) -> bool {
    false
}

/// Words with blanks in between, or in quotes with `\` before what is meant as it is.
struct Words<'a>(&'a str);

impl Words<'_> {
    fn skip_line(&mut self) {
        self.0 = self.0.split_once('\n').map_or("", |(_, rest)| rest);
    }

    /// Up to the next empty line.
    fn skip_macro(&mut self) {
        loop {
            self.skip_line();
            let line = self.0.split('\n').next().unwrap_or_default();
            if line.trim_end_matches('\r').is_empty() {
                return;
            }
        }
    }
}

impl Iterator for Words<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.0 = self.0.trim_start();
        let quoted = self.0.starts_with('"');
        if quoted {
            self.0 = &self.0[1..];
        }
        let mut word = String::new();
        let mut chars = self.0.char_indices();
        let mut is_word = quoted;
        let rest = loop {
            let Some((at, c)) = chars.next() else { break "" };
            match c {
                '"' if quoted => break &self.0[at + 1..],
                '\\' if quoted => word.extend(chars.next().map(|(_, c)| unescaped(c))),
                c if !quoted && c.is_whitespace() => break &self.0[at..],
                c => word.push(c),
            }
            is_word = true;
        };
        self.0 = rest;
        is_word.then_some(word)
    }
}

fn unescaped(c: char) -> char {
    match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::fs;

    use super::*;

    const FILE: &str = "\
# mine\nmachine elva.example.org login jane password hunter2 # old\n\
machine  Other.Example.org\n\tlogin \"ja ne\"\r\n\taccount x\n\tpassword \"a\\\"b\\\\c\"\n\
macdef init\nmachine elva.example.org login macro\npassword wrong\n\n\
machine elva.example.org login joe password #4 port 7\n\
machine lonely.example.org login jane\n\
machine nameless.example.org password x\n\
machine empty.example.org login jane password \"\"\n\
default login anonymous password me@example.org\n";

    #[test]
    fn the_entries_of_a_host_are_found() {
        let netrc = Netrc::parse(FILE);
        for (host, user, password) in [
            ("elva.example.org", "jane", Some("hunter2")),
            ("ELVA.example.org", "joe", Some("#4")),
            ("elva.example.org", "macro", None),
            ("elva.example.org", "ann", None),
            ("other.example.org", "ja ne", Some("a\"b\\c")),
            ("lonely.example.org", "jane", None),
            ("nameless.example.org", "jane", None),
            ("empty.example.org", "jane", Some("")),
            ("far.example.org", "anonymous", None),
        ] {
            assert_eq!(netrc.password(host, user).as_deref(), password, "{host} {user}");
        }
        for (host, user) in [
            ("elva.example.org", Some("jane")),
            ("other.example.org", Some("ja ne")),
            ("lonely.example.org", None),
            ("nameless.example.org", None),
            ("far.example.org", None),
            ("", Some("anonymous")),
        ] {
            assert_eq!(netrc.user(host).as_deref(), user, "{host}");
        }
    }

    #[test]
    fn broken_files_end_somewhere() {
        for text in [
            "",
            "machine",
            "machine x login",
            "login x",
            "\"",
            "\"\\",
            "macdef",
            "macdef x\ny",
            "#",
        ] {
            let netrc = Netrc::parse(text);
            assert_eq!(netrc.user("x"), None, "{text}");
        }
        let unclosed = Netrc::parse("machine x login jane password \"a b");
        assert_eq!(unclosed.password("x", "jane").as_deref(), Some("a b"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_noticed() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("netrc");
        fs::write(&path, FILE).unwrap();
        for (mode, open) in [(0o600, false), (0o640, true), (0o604, true), (0o400, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_open_to_others(&path), open, "{mode:o}");
        }
        assert!(!is_open_to_others(&directory.path().join("none")));
    }
}
