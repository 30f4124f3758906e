//! Secrets from each of their sources, and how long they are kept.

use std::fs;

use tempfile::TempDir;

use super::*;

/// What a source gives now.
fn got(secret: &Secret, need: Need) -> Result<String, SecretError> {
    secret.get(need).map(|fresh| fresh.text.expose_secret().to_owned())
}

fn password(source: Source) -> Secret {
    Secret::new(Kind::Password, source)
}

fn fresh(got_at: u64, expires_at: Option<u64>) -> Fresh {
    Fresh { text: "x".into(), got_at_unix_ms: got_at, expires_at_unix_ms: expires_at }
}

#[test]
fn a_file_is_read_anew_each_time_without_its_last_newline() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("password");
    let secret = password(Source::File(path.clone()));
    let error = got(&secret, Need::Good).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the password from ") && error.contains("password: "));
    for (content, text) in
        [("one", "one"), ("two\n", "two"), ("dr\u{fc}\r\n", "dr\u{fc}"), (" four \n", " four ")]
    {
        fs::write(&path, content).unwrap();
        assert_eq!(got(&secret, Need::Good).as_deref(), Ok(text));
    }
    for (content, error) in [
        (&b"\n"[..], SecretError::Empty(Kind::Password)),
        (b"one\n\n", SecretError::Control(Kind::Password)),
        (b"one\ntwo\n", SecretError::Control(Kind::Password)),
    ] {
        fs::write(&path, content).unwrap();
        assert_eq!(got(&secret, Need::Good).unwrap_err(), error);
    }
    for content in [vec![0xff], vec![b'x'; 5_000]] {
        fs::write(&path, content).unwrap();
        assert!(matches!(got(&secret, Need::Good), Err(SecretError::Unreadable { .. })));
    }
}

#[tokio::test]
async fn what_would_block_is_fetched_elsewhere() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("password");
    fs::write(&path, "one\n").unwrap();
    for source in [Source::File(path), Source::Text("one".into())] {
        let fresh = password(source).fetch(Need::Good).await.unwrap();
        assert_eq!(fresh.text.expose_secret(), "one");
    }
    let none = password(Source::File(directory.path().join("none")));
    assert_eq!(none.fetch(Need::Good).await.unwrap_err(), none.get(Need::Good).unwrap_err());
}

#[test]
fn an_entry_of_netrc_is_read_anew_each_time() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("netrc");
    let (host, user) = ("far".to_owned(), "jane".to_owned());
    let secret = password(Source::Netrc { path: path.clone(), host, user });
    for text in ["one", "two"] {
        fs::write(&path, format!("machine far login jane password {text}")).unwrap();
        assert_eq!(got(&secret, Need::Good).as_deref(), Ok(text));
    }
    fs::write(&path, "machine near login jane password one").unwrap();
    let error = got(&secret, Need::Good).unwrap_err().to_string();
    let expected = format!(
        "cannot read the password from the entry of jane at far in {}: it is gone",
        path.display()
    );
    assert_eq!(error, expected);
}

#[test]
fn only_what_is_good_for_some_time_is_renewed_and_in_time() {
    for (got_at, expires_at, renew_at) in [
        (1_000_000, None, None),
        // An hour: 6 minutes before.
        (1_000_000, Some(4_600_000), Some(4_240_000)),
        // A minute: a tenth is 6 s.
        (1_000_000, Some(1_060_000), Some(1_054_000)),
        (1_000_000, Some(1_030_000), Some(1_025_000)),
        // Too short for that, or over: not in a loop.
        (1_000_000, Some(1_008_000), Some(1_005_000)),
        (1_000_000, Some(1_000_000), Some(1_005_000)),
        (1_000_000, Some(7), Some(1_005_000)),
        (1_000_000, Some(u64::MAX), Some(u64::MAX - (u64::MAX - 1_000_000) / 10)),
    ] {
        let at = fresh(got_at, expires_at).renew_at_unix_ms();
        assert_eq!(at, renew_at, "{got_at} {expires_at:?}");
    }
}

#[test]
fn what_was_got_is_kept_for_whom_it_will_do() {
    let kept = |got, need, now_ms, now_unix_ms| {
        let state = Getting { begun_at: None, last: Some((500, got)) };
        state.kept_for(need, now_ms, now_unix_ms).is_some()
    };
    let hour = || Ok(fresh(1_000_000, Some(4_600_000)));
    assert!(kept(hour(), Need::Good, 500, 1_000_000) && kept(hour(), Need::Good, 501, 4_239_999));
    assert!(!kept(hour(), Need::Good, 501, 4_240_000), "it is to be renewed");
    assert!(kept(hour(), Need::Good, 501, 999_000), "the clock was set back");
    assert!(kept(Ok(fresh(1, None)), Need::Good, u64::MAX, u64::MAX));
    assert!(!kept(hour(), Need::Another, 500, 1_000_000));
    let failed = || Err(SecretError::Empty(Kind::Token));
    assert!(!kept(failed(), Need::Good, 500, 1_000_000) && !kept(failed(), Need::Another, 500, 1));
    let soon = 500 + limits::COMMAND_AGAIN_MS;
    for got in [hour, failed] {
        assert!(kept(got(), Need::News, soon - 1, 9_000_000), "it is looked for again and again");
        assert!(!kept(got(), Need::News, soon, 1_000_000));
    }
    assert!(Getting::default().kept_for(Need::News, 0, 0).is_none());
}

#[test]
fn a_text_says_nothing_of_its_end_for_there_is_no_other() {
    let jwt = "e30.eyJleHAiOjEwfQ.x";
    let secret = password(Source::Text(jwt.into())).lasting(Some(60_000));
    assert_eq!(secret.get(Need::Another).unwrap().expires_at_unix_ms, None);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("token");
    let secret = Secret::new(Kind::Token, Source::File(path.clone())).lasting(Some(60_000));
    fs::write(&path, jwt).unwrap();
    assert_eq!(secret.get(Need::Another).unwrap().expires_at_unix_ms, Some(10_000));
    fs::write(&path, "hunter2").unwrap();
    let fresh = secret.get(Need::Another).unwrap();
    assert_eq!(fresh.expires_at_unix_ms, Some(fresh.got_at_unix_ms + 60_000));
}

#[cfg(not(feature = "keyring"))]
#[test]
fn without_the_feature_the_key_ring_says_so() {
    const { assert!(!HAS_KEYRING) };
    let error =
        got(&password(Source::Keyring("jane@far".into())), Need::Good).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot read the password from the key ring's entry jane@far of yrelay: \
         this yrelay is built without it"
    );
}

/// What only a shell shows.
#[cfg(unix)]
mod commands {
    use std::process::Command;
    use std::thread;

    use super::*;

    /// A command that counts how often it is run.
    struct Counted {
        directory: TempDir,
    }

    impl Counted {
        fn new() -> Self {
            Self { directory: TempDir::new().unwrap() }
        }

        fn secret(&self, before: &str) -> Secret {
            let path = self.directory.path().join("runs").display().to_string();
            let command = format!("echo >> {path}; {before}; wc -l < {path} | tr -d ' '");
            Secret::new(Kind::Token, Source::Command(command))
        }

        fn runs(&self) -> usize {
            let text = fs::read_to_string(self.directory.path().join("runs"));
            text.unwrap_or_default().len()
        }
    }

    #[test]
    fn a_command_is_not_run_again_for_what_is_still_good() {
        let counted = Counted::new();
        let secret = counted.secret("true");
        for (need, run) in [
            (Need::Good, "1"),
            (Need::Good, "1"),
            (Need::News, "1"),
            (Need::Another, "2"),
            (Need::Good, "2"),
            (Need::Another, "3"),
        ] {
            assert_eq!(got(&secret.clone(), need).as_deref(), Ok(run));
        }
        assert!(secret.is_costly() && secret.may_change());
        let hour = counted.secret("true").lasting(Some(3_600_000));
        assert_eq!(got(&hour, Need::Good), got(&hour, Need::Good));
        let once = counted.secret("true").lasting(Some(0));
        assert_ne!(got(&once, Need::Good), got(&once, Need::Good));
        assert_eq!(got(&once, Need::News), got(&once, Need::News));
        assert_eq!(once.get(Need::Another).unwrap().expires_at_unix_ms, None);
    }

    #[test]
    fn a_command_that_failed_is_run_again() {
        let counted = Counted::new();
        let secret = counted.secret("echo no key >&2; exit 7");
        let error = got(&secret, Need::Good).unwrap_err().to_string();
        assert_eq!(error, "cannot read the token from its command: exit status: 7: no key");
        assert!(got(&secret, Need::Good).is_err());
        assert_eq!(counted.runs(), 2);
        // But not by those who look for news every other second.
        assert!(got(&secret, Need::News).is_err());
        assert_eq!(counted.runs(), 2);
    }

    #[test]
    fn many_who_ask_at_once_are_served_by_one_run() {
        let counted = Counted::new();
        let directory = counted.directory.path().display().to_string();
        let secret = counted.secret(&format!("cat {directory}/pipe"));
        assert!(
            Command::new("mkfifo").arg(format!("{directory}/pipe")).status().unwrap().success()
        );
        let askers: Vec<_> = (0..8)
            .map(|_| {
                let secret = secret.clone();
                thread::spawn(move || got(&secret, Need::Another))
            })
            .collect();
        // All wait but one, which runs the command.
        let waits = || Arc::strong_count(&secret.desk) == 9 && counted.runs() == 1;
        while !waits() {
            thread::yield_now();
        }
        thread::park_timeout(Duration::from_millis(200));
        fs::write(format!("{directory}/pipe"), "hunter2\n").unwrap();
        for asker in askers {
            assert_eq!(asker.join().unwrap().as_deref(), Ok("hunter2"));
        }
        assert_eq!(counted.runs(), 1);
    }

    #[test]
    fn a_file_that_hangs_is_read_by_one_and_others_do_not_wait_for_long() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let secret = password(Source::File(path.clone()));
        let other = secret.clone();
        let reader = thread::spawn(move || got(&other, Need::Good));
        while secret.desk.lock().begun_at.is_none() {
            thread::yield_now();
        }
        let error = got(&secret, Need::Good).unwrap_err().to_string();
        assert!(error.ends_with("pipe: no answer"), "{error}");
        let begun = clock::now_ms();
        assert!(got(&secret, Need::Good).is_err());
        assert!(clock::now_ms() - begun < limits::SECRET_FILE_MS, "it has hung for a while");
        fs::write(&path, "secret\n").unwrap();
        assert_eq!(reader.join().unwrap().as_deref(), Ok("secret"));
    }
}
