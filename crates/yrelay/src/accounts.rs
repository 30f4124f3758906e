//! Who may log in here: a file as Apache's `htpasswd -B` writes it, a user and a hash of the
//! password on each line. bcrypt is taken, and nothing weaker. The one place that names bcrypt.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use bcrypt::HashParts;

use crate::limits;

/// A file of users, as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountsFile {
    /// Where it is.
    pub path: PathBuf,
    /// Who is in it.
    pub accounts: Accounts,
}

/// Users and the hashes of their passwords.
#[derive(Clone)]
pub struct Accounts {
    hashes: BTreeMap<String, String>,
    /// Says whose hash stands in for that of a user whom nobody knows.
    decoys: RandomState,
}

/// What is wrong with a file of users, where, and how to mend it: one line. Never repeats a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountsError {
    /// It cannot be read.
    #[error("cannot read the users in {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// Nobody could log in.
    #[error("there are no users in {path}; add one with: htpasswd -B {} USER", word(path))]
    Empty {
        /// The file.
        path: String,
    },
    /// One line of it.
    #[error("{path}:{line}: {fault}")]
    Line {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong there, and what to do.
        fault: String,
    },
}

impl AccountsFile {
    /// Reads a file. May block for as long as a network's file system does.
    pub fn read(path: &Path) -> Result<Self, AccountsError> {
        let shown = path.display().to_string();
        let text = text(path).map_err(|reason| AccountsError::File { path: shown, reason })?;
        let accounts = Accounts::parse(&text, path)?;
        Ok(Self { path: path.to_owned(), accounts })
    }
}

impl Accounts {
    /// How many users there are.
    pub fn count(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is such a user with such a password. Takes a while, on purpose, and no less
    /// for users that there are not.
    pub fn know(&self, user: &str, password: &str) -> bool {
        let hash = self.hashes.get(user);
        let Some(reckoned) = hash.or_else(|| self.decoy(user)) else { return false };
        let is_right = bcrypt::verify(password, reckoned).unwrap_or(false);
        is_right && hash.is_some()
    }

    /// The same one each time for the same name: as it is with users that there are.
    fn decoy(&self, user: &str) -> Option<&String> {
        let count = self.hashes.len().max(1) as u64;
        self.hashes.values().nth((self.decoys.hash_one(user) % count) as usize)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, AccountsError> {
        let path = path.display().to_string();
        let mut hashes = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |fault| AccountsError::Line { path: path.clone(), line: index + 1, fault };
            let (user, hash) = account(line, &path).map_err(fault)?;
            if hashes.insert(user.to_owned(), hash.to_owned()).is_some() {
                return Err(fault(format!("there is another line for {user:?}: keep one")));
            }
        }
        if hashes.is_empty() {
            return Err(AccountsError::Empty { path });
        }
        Ok(Self { hashes, decoys: RandomState::new() })
    }
}

/// Without the hashes.
impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} users", self.count())
    }
}

/// The decoys may differ.
impl PartialEq for Accounts {
    fn eq(&self, other: &Self) -> bool {
        self.hashes == other.hashes
    }
}

impl Eq for Accounts {}

fn text(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let path = word(&path.display().to_string());
            format!("there is no such file; make it with: htpasswd -B -c {path} USER")
        }
        _ => error.to_string(),
    })?;
    let mut text = String::new();
    let read = file.take(limits::ACCOUNTS_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    match text.len() as u64 > limits::ACCOUNTS_BYTES_MAX {
        true => Err(format!("longer than {} bytes", limits::ACCOUNTS_BYTES_MAX)),
        false => Ok(text),
    }
}

/// The user and the hash in a line, or what is wrong with it.
fn account<'a>(line: &'a str, path: &str) -> Result<(&'a str, &'a str), String> {
    let (user, hash) = line
        .split_once(':')
        .filter(|(user, _)| !user.is_empty())
        .ok_or("a line is USER:HASH, as htpasswd -B writes it, or begins with #")?;
    if user.contains(char::is_control) {
        return Err("the user's name holds control characters".into());
    }
    let mend = format!("set it anew with: htpasswd -B {} {}", word(path), word(user));
    if let Some(kind) = weaker(hash) {
        return Err(format!(
            "the password of {user:?} is kept as {kind}, which is not taken; {mend}"
        ));
    }
    let is_whole = |c: char| c.is_ascii_alphanumeric() || "./$".contains(c);
    let parts = hash.parse::<HashParts>().ok().filter(|_| hash.chars().all(is_whole));
    let cost = parts.ok_or_else(|| format!("the hash of {user:?} is damaged; {mend}"))?.get_cost();
    let allowed = limits::BCRYPT_COST_ALLOWED;
    if !allowed.contains(&cost) {
        let (least, most) = (allowed.start(), allowed.end());
        return Err(format!(
            "the hash of {user:?} has cost {cost}, which is none from {least} to {most}; {mend}"
        ));
    }
    Ok((user, hash))
}

/// What a hash is that is not taken.
fn weaker(hash: &str) -> Option<&'static str> {
    let kinds = [
        ("$2y$", None),
        ("$2b$", None),
        ("$2", Some("an early bcrypt")),
        ("$apr1$", Some("MD5")),
        ("$1$", Some("MD5")),
        ("{SHA}", Some("SHA-1")),
        ("{SSHA}", Some("SHA-1")),
        ("$5$", Some("SHA-256")),
        ("$6$", Some("SHA-512")),
        ("$argon2", Some("Argon2")),
    ];
    let found = kinds.into_iter().find(|(begin, _)| hash.starts_with(begin));
    found.map_or(Some("plain text or crypt"), |(_, kind)| kind)
}

/// A word of a command for a shell.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./@+~:\\".contains(c);
    match text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// `hunter2` and `dr\u{fc}:ben`, as libxcrypt hashes them.
    const JANE: &str = "jane:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm";
    const BEN: &str = "b\u{fc}n:$2b$04$ABCDEFGHIJKLMNOPQRSTUuqWswp5487HgXarGFDaM36Pnx2bEO8ge";

    fn parse(text: &str) -> Result<Accounts, AccountsError> {
        Accounts::parse(text, Path::new("users"))
    }

    #[test]
    fn users_are_known_by_their_passwords() {
        let accounts = parse(&format!("# ours\r\n\n  {JANE}\r\n{BEN}\n")).unwrap();
        assert_eq!(accounts.count(), 2);
        assert!(accounts.know("jane", "hunter2") && accounts.know("b\u{fc}n", "dr\u{fc}:ben"));
        for (user, password) in [
            ("jane", "hunter"),
            ("jane", ""),
            ("jane", "dr\u{fc}:ben"),
            ("b\u{fc}n", "hunter2"),
            ("Jane", "hunter2"),
            ("jane ", "hunter2"),
            ("", "hunter2"),
            ("eve", "hunter2"),
        ] {
            assert!(!accounts.know(user, password), "{user} {password}");
        }
    }

    #[test]
    fn nobody_whom_nobody_knows_comes_in_with_a_password_of_somebody_else() {
        let accounts = parse(JANE).unwrap();
        assert_eq!(accounts.decoy("eve"), accounts.hashes.get("jane"));
        assert!(!accounts.know("eve", "hunter2"));
    }

    #[test]
    fn decoys_are_spread_and_stay() {
        let accounts = parse(&format!("{JANE}\n{BEN}\n")).unwrap();
        let decoys: Vec<_> = (0..64).map(|n| accounts.decoy(&n.to_string())).collect();
        assert!(accounts.hashes.values().all(|hash| decoys.contains(&Some(hash))));
        assert_eq!(accounts.decoy("0"), decoys[0]);
    }

    #[test]
    fn what_cannot_be_taken_is_named_with_its_place_and_the_command_that_mends_it() {
        let hash = JANE.strip_prefix("jane:").unwrap();
        let costly = hash.replace("$04$", "$16$");
        let mut faults = Vec::new();
        for text in [
            "",
            "# nobody\n",
            "jane\n",
            ":x\n",
            "\n# one\njane:$apr1$abcdefgh$znAnv9M.XU2pRYfmSs46h/\n",
            "jane:$1$abcdefgh$znAnv9M.XU2pRYfmSs46h/\n",
            "jane:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n",
            "jane:$5$abc$xyz\n",
            "jane:$6$abc$xyz\n",
            "jane:$2a$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n",
            "jane:$argon2id$v=19$m=65536\n",
            "it's me:hunter2\n",
            "jane:\n",
            &format!("{JANE}\njane:{hash}\n"),
            &format!("jane:{}\n", &hash[..59]),
            &format!("jane:{}!\n", &hash[..59]),
            &format!("jane:{costly}\n"),
            "ja\u{1b}ne:x\n",
        ] {
            faults.push(parse(text).unwrap_err().to_string());
        }
        let faults = faults.join("\n");
        assert!(!faults.contains("znAnv9M") && !faults.contains("hunter2"), "{faults}");
        insta::assert_snapshot!(faults);
    }

    #[test]
    fn files_are_read_up_to_a_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let fault = || AccountsFile::read(&path).unwrap_err().to_string();
        assert!(fault().starts_with("cannot read the users in "), "{}", fault());
        for content in [vec![0xff], vec![b'#'; (1 << 20) + 1]] {
            fs::write(&path, content).unwrap();
            assert!(fault().starts_with("cannot read the users in "), "{}", fault());
        }
        fs::write(&path, format!("{JANE}\n")).unwrap();
        let file = AccountsFile::read(&path).unwrap();
        assert_eq!(file, AccountsFile::read(&path).unwrap());
        assert!(!format!("{file:?}").contains("$2y$"));
    }
}
