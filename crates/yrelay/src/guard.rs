//! The guard at a door that asks for logins (HTTP Basic, RFC 7617): who has shown what, whether
//! it is right, and for how long that need not be reckoned anew.
//!
//! To reckon a hash takes a processor for a while, so one is reckoned at a time, on another
//! thread. All documents of one user that come at once cost one reckoning, and so does a program
//! that tries a wrong password again and again.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::{self, HeaderMap};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::accounts::{AccountsError, AccountsFile};
use crate::{clock, limits};

/// Why somebody may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// No login was shown, or none that can be read.
    #[error("a login is needed here: a user and a password (HTTP Basic)")]
    Missing,
    /// No such user, or another password: it is not said which.
    #[error("this user and password are not known here")]
    Wrong,
    /// So many log in at once that this one has waited too long.
    #[error("too many log in just now: try again")]
    Busy,
}

/// Asks for logins and judges them.
pub struct Guard {
    file: RefCell<Arc<AccountsFile>>,
    /// What is wrong with it now.
    fault: RefCell<Option<AccountsError>>,
    verdicts: RefCell<Verdicts>,
    /// Held by who reckons.
    turn: Arc<Semaphore>,
    told: Told,
}

/// A user and a password, as shown. Cannot be printed.
struct Shown {
    user: String,
    password: String,
}

/// What was found out lately, by keyed hashes of what was shown: no password stays in memory.
#[derive(Default)]
struct Verdicts {
    keys: [RandomState; 2],
    known: HashMap<[u64; 2], Verdict>,
}

#[derive(Clone, Copy)]
struct Verdict {
    is_right: bool,
    until: u64,
}

/// Keeps wrong logins from filling the log.
#[derive(Default)]
struct Told {
    since: Cell<u64>,
    lines: Cell<u32>,
    left_out: Cell<u32>,
}

impl Guard {
    /// A guard that lets in whom the file knows.
    pub fn new(file: AccountsFile) -> Self {
        Self {
            file: RefCell::new(Arc::new(file)),
            fault: RefCell::default(),
            verdicts: RefCell::default(),
            turn: Arc::new(Semaphore::new(1)),
            told: Told::default(),
        }
    }

    /// Judges a request by its headers.
    pub async fn admit(&self, headers: &HeaderMap, address: SocketAddr) -> Result<(), Denial> {
        self.let_in(Shown::read(headers).ok_or(Denial::Missing)?, address).await
    }

    /// Judges the token of a program: user and password, as HTTP Basic has them before its base64.
    pub async fn admit_token(&self, token: &str, address: SocketAddr) -> Result<(), Denial> {
        let short = Some(token).filter(|token| token.len() as u64 <= limits::SECRET_BYTES_MAX);
        self.let_in(short.and_then(Shown::parse).ok_or(Denial::Missing)?, address).await
    }

    async fn let_in(&self, shown: Shown, address: SocketAddr) -> Result<(), Denial> {
        let user = shown.user.clone();
        if self.judge(shown).await? {
            return Ok(());
        }
        self.told.wrong(&user, address);
        Err(Denial::Wrong)
    }

    async fn judge(&self, shown: Shown) -> Result<bool, Denial> {
        let key = self.verdicts.borrow().key(&shown);
        if let Some(is_right) = self.verdicts.borrow().get(key) {
            return Ok(is_right);
        }
        let turn = self.turn.clone().acquire_owned();
        let turn = clock::timeout(limits::LOGIN_WAIT_MS, turn).await;
        let turn = turn.and_then(Result::ok).ok_or(Denial::Busy)?;
        // Whoever was before may have shown the same.
        if let Some(is_right) = self.verdicts.borrow().get(key) {
            return Ok(is_right);
        }
        let file = self.file.borrow().clone();
        let lent = file.clone();
        // The turn goes along: the reckoning goes on even where the client is gone.
        let reckoned =
            spawn_blocking(move || (lent.accounts.know(&shown.user, &shown.password), turn));
        let (is_right, _turn) = reckoned.await.map_err(|_| Denial::Busy)?;
        // Meanwhile the file may have become another.
        if Arc::ptr_eq(&file, &self.file.borrow()) {
            self.verdicts.borrow_mut().put(key, is_right);
        }
        Ok(is_right)
    }

    /// Reads the file again and again, for as long as the relay runs.
    pub async fn watch(self: Rc<Self>) {
        loop {
            clock::sleep(limits::WATCH_MS).await;
            self.told.tell_rest();
            self.look().await;
        }
    }

    /// Takes what the file holds now. What is wrong with it is said once.
    async fn look(&self) {
        let path = self.file.borrow().path.clone();
        let Ok(read) = spawn_blocking(move || AccountsFile::read(&path)).await else { return };
        let fault = read.map(|file| self.replace(file)).err();
        if let Some(error) = fault.as_ref().filter(|_| fault != *self.fault.borrow()) {
            tracing::error!(%error, "the users of before stay");
        }
        *self.fault.borrow_mut() = fault;
    }

    fn replace(&self, file: AccountsFile) {
        if **self.file.borrow() == file {
            return;
        }
        let (path, users) = (file.path.display(), file.accounts.count());
        tracing::info!(%path, users, "read the changed users");
        *self.file.borrow_mut() = Arc::new(file);
        self.verdicts.borrow_mut().known.clear();
    }
}

impl Shown {
    fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        Self::parse(&String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (user, password) = text.split_once(':')?;
        Some(Self { user: user.to_owned(), password: password.to_owned() })
    }
}

impl Verdicts {
    fn key(&self, shown: &Shown) -> [u64; 2] {
        self.keys.each_ref().map(|key| key.hash_one((&shown.user, &shown.password)))
    }

    fn get(&self, key: [u64; 2]) -> Option<bool> {
        let verdict = self.known.get(&key)?;
        (clock::now_ms() < verdict.until).then_some(verdict.is_right)
    }

    fn put(&mut self, key: [u64; 2], is_right: bool) {
        let now = clock::now_ms();
        // Wrong ones can be made up without end: they go first.
        for keep in [|_: &Verdict| true, |verdict: &Verdict| verdict.is_right, |_: &Verdict| false]
        {
            if self.known.len() >= limits::VERDICTS_MAX {
                self.known.retain(|_, verdict| now < verdict.until && keep(verdict));
            }
        }
        let until = now + limits::VERDICT_MS;
        self.known.insert(key, Verdict { is_right, until });
    }
}

impl Told {
    fn wrong(&self, user: &str, address: SocketAddr) {
        let now = clock::now_ms();
        if self.since.get() + limits::WRONG_LOGINS_MS <= now {
            self.tell_rest();
            self.since.set(now);
            self.lines.set(0);
        }
        if self.lines.get() >= limits::WRONG_LOGINS_TOLD_MAX {
            self.left_out.set(self.left_out.get().saturating_add(1));
            return;
        }
        self.lines.set(self.lines.get() + 1);
        // Anybody may have written it: with escapes, and not without end.
        let user: String = user.chars().take(limits::WRONG_USER_CHARS_MAX).collect();
        tracing::warn!(ip = %address.ip(), ?user, "wrong login");
    }

    /// Once the time is over, says how many were passed over in it.
    fn tell_rest(&self) {
        let is_over = self.since.get() + limits::WRONG_LOGINS_MS <= clock::now_ms();
        let count = self.left_out.get();
        if is_over && count > 0 {
            self.left_out.set(0);
            tracing::warn!(count, "further wrong logins");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// `hunter2`
    const JANE: &str = "jane:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n";
    /// `x`
    const JANE_SINCE: &str = "jane:$2b$05$ABCDEFGHIJKLMNOPQRSTUuMRDyxoHMDO1Q61ufog3VzDm34LRpMWO\n";

    fn file(path: &Path, text: &str) -> AccountsFile {
        std::fs::write(path, text).unwrap();
        AccountsFile::read(path).unwrap()
    }

    fn guard() -> Rc<Guard> {
        let directory = tempfile::tempdir().unwrap();
        Rc::new(Guard::new(file(&directory.path().join("users"), JANE)))
    }

    fn basic(login: &str) -> HeaderMap {
        with(&format!("Basic {}", BASE64.encode(login)))
    }

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    impl Guard {
        async fn says(&self, login: &str) -> Result<(), Denial> {
            self.admit(&basic(login), ([192, 0, 2, 1], 9).into()).await
        }

        fn known(&self) -> usize {
            self.verdicts.borrow().known.len()
        }
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    #[test]
    fn logins_are_read_as_the_standard_writes_them() {
        let read = |headers: &HeaderMap| {
            Shown::read(headers).map(|shown| format!("{} {}", shown.user, shown.password))
        };
        assert_eq!(read(&basic("jane:a:b")).unwrap(), "jane a:b");
        // The example of RFC 7617, section 2.1.
        assert_eq!(read(&with("basic  dGVzdDoxMjPCow==")).unwrap(), "test 123\u{a3}");
        assert_eq!(read(&basic(":")).unwrap(), " ");
        for value in ["", "Basic", "Basic ", "Basic dGVzdA==", "Bearer dGVzdDoxMjPCow==", "Basic ?"]
        {
            assert_eq!(read(&with(value)), None, "{value}");
        }
        assert_eq!(read(&with(&format!("Basic {}", BASE64.encode(b"jane:\xfc")))), None);
        let mut two = basic("jane:hunter2");
        two.append(header::AUTHORIZATION, two[header::AUTHORIZATION].clone());
        assert_eq!(read(&two), None);
        assert_eq!(read(&HeaderMap::new()), None);
    }

    #[test]
    fn a_token_is_a_login_without_its_wrapping() {
        run(async {
            let guard = guard();
            let long = format!("jane:{}", "x".repeat(limits::SECRET_BYTES_MAX as usize));
            for (token, verdict) in [
                ("jane:hunter2", Ok(())),
                ("jane:wrong", Err(Denial::Wrong)),
                ("eve:hunter2", Err(Denial::Wrong)),
                ("", Err(Denial::Missing)),
                ("hunter2", Err(Denial::Missing)),
                (&long, Err(Denial::Missing)),
            ] {
                let said = guard.admit_token(token, ([192, 0, 2, 1], 9).into()).await;
                assert_eq!(said, verdict, "{token}");
            }
            // One verdict for both ways.
            let _turn = guard.turn.clone().acquire_owned().await.unwrap();
            assert_eq!(guard.says("jane:hunter2").await, Ok(()));
        });
    }

    #[test]
    fn what_was_found_out_is_remembered_for_a_while() {
        run(async {
            let guard = guard();
            tokio::time::pause();
            assert_eq!(guard.says("jane:hunter2").await, Ok(()));
            assert_eq!(guard.says("jane:wrong").await, Err(Denial::Wrong));
            assert_eq!(guard.says("eve:hunter2").await, Err(Denial::Wrong));
            assert_eq!(guard.known(), 3);
            // Nobody can reckon now: what is known is answered all the same.
            let turn = guard.turn.clone().acquire_owned().await.unwrap();
            assert_eq!(guard.says("jane:hunter2").await, Ok(()));
            assert_eq!(guard.says("jane:wrong").await, Err(Denial::Wrong));
            assert_eq!(guard.says("jane:other").await, Err(Denial::Busy));
            clock::sleep(limits::VERDICT_MS).await;
            assert_eq!(guard.says("jane:hunter2").await, Err(Denial::Busy));
            drop(turn);
            assert_eq!(guard.says("jane:hunter2").await, Ok(()));
        });
    }

    #[test]
    fn all_who_show_the_same_at_once_cost_one_reckoning() {
        run(async {
            let guard = guard();
            let turn = guard.turn.clone().acquire_owned().await.unwrap();
            let waiting: Vec<_> = (0..100)
                .map(|_| {
                    let guard = guard.clone();
                    tokio::task::spawn_local(async move { guard.says("jane:hunter2").await })
                })
                .collect();
            tokio::task::yield_now().await;
            // What the first of them would find out.
            let shown = Shown { user: "jane".into(), password: "hunter2".into() };
            let key = guard.verdicts.borrow().key(&shown);
            guard.verdicts.borrow_mut().put(key, false);
            drop(turn);
            for task in waiting {
                assert_eq!(task.await.unwrap(), Err(Denial::Wrong));
            }
        });
    }

    #[test]
    fn who_goes_away_does_not_let_two_reckon_at_once() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            // That takes a while.
            let costly = JANE.replace("$04$", "$11$");
            let guard = Rc::new(Guard::new(file(&directory.path().join("users"), &costly)));
            let other = guard.clone();
            let task = tokio::task::spawn_local(async move { other.says("jane:hunter2").await });
            while guard.turn.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
            task.abort();
            assert!(task.await.is_err());
            assert_eq!(guard.turn.available_permits(), 0);
        });
    }

    #[test]
    fn a_bad_edit_keeps_the_users_of_before() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("users");
            let guard = Guard::new(file(&path, JANE));
            for text in ["", "jane:hunter2\n"] {
                std::fs::write(&path, text).unwrap();
                guard.look().await;
                assert_eq!(guard.says("jane:hunter2").await, Ok(()));
                assert!(guard.fault.borrow().is_some());
            }
            std::fs::write(&path, JANE_SINCE).unwrap();
            guard.look().await;
            assert_eq!(guard.says("jane:hunter2").await, Err(Denial::Wrong));
            assert!(guard.fault.borrow().is_none());
        });
    }

    #[test]
    fn other_users_are_let_in_from_now_on_and_those_of_before_are_not() {
        run(async {
            let guard = guard();
            let directory = tempfile::tempdir().unwrap();
            assert_eq!(guard.says("jane:hunter2").await, Ok(()));
            assert_eq!(guard.says("jane:x").await, Err(Denial::Wrong));
            guard.replace(file(&directory.path().join("users"), JANE_SINCE));
            assert_eq!(guard.says("jane:hunter2").await, Err(Denial::Wrong));
            assert_eq!(guard.says("jane:x").await, Ok(()));
        });
    }

    #[test]
    fn what_was_reckoned_with_the_users_of_before_is_not_remembered() {
        run(async {
            let guard = guard();
            let other = guard.clone();
            let reckoning =
                tokio::task::spawn_local(async move { other.says("jane:hunter2").await });
            while guard.turn.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            let directory = tempfile::tempdir().unwrap();
            guard.replace(file(&directory.path().join("users"), JANE_SINCE));
            assert_eq!(reckoning.await.unwrap(), Ok(()));
            assert_eq!(guard.known(), 0);
        });
    }

    #[test]
    fn wrong_logins_do_not_push_out_right_ones() {
        let mut verdicts = Verdicts::default();
        verdicts.put([0, 0], true);
        for n in 1..=2 * limits::VERDICTS_MAX as u64 {
            verdicts.put([n, n], false);
            assert!(verdicts.known.len() <= limits::VERDICTS_MAX);
        }
        assert_eq!(verdicts.get([0, 0]), Some(true));
        for n in 1..=2 * limits::VERDICTS_MAX as u64 {
            verdicts.put([n, n], true);
            assert!(verdicts.known.len() <= limits::VERDICTS_MAX);
        }
    }
}
