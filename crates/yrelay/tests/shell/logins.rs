//! Logins at a server: who comes in, what is said to the others, what the log has of it.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tempfile::TempDir;
use yrelay::accounts::AccountsFile;
use yrelay::origin::Rules;

use crate::common::*;
use crate::program::{Running, fails, program};

const HOST: &str = "Host: localhost";
const CLOSE: &str = "Connection: close";
/// `hunter2`
const JANE: &str = "jane:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n";
/// `dr\u{fc}:ben`
const BEN: &str = "b\u{fc}n:$2b$04$ABCDEFGHIJKLMNOPQRSTUuqWswp5487HgXarGFDaM36Pnx2bEO8ge\n";

/// A file of users.
struct Users(TempDir);

impl Users {
    fn new(text: &str) -> Self {
        let users = Self(TempDir::new().unwrap());
        users.write(text);
        users
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("users")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    fn server(&self) -> Server {
        let file = AccountsFile::read(&self.path()).unwrap();
        Server::guarded(Rules::default(), Some(file))
    }
}

fn login(text: &str) -> String {
    format!("Authorization: Basic {}", BASE64.encode(text))
}

#[test]
fn without_a_login_only_health_is_told() {
    let server = Users::new(JANE).server();
    let jane = login("jane:hunter2");
    for (method, path, with_login) in [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/-/status", 200),
        ("GET", "/-/metrics", 200),
        ("GET", "/-/nothing", 404),
        ("GET", "/-/healthy/x", 404),
        ("POST", "/", 405),
        ("GET", "/notes", 426),
    ] {
        let answer = server.ask(&request(method, path, &[HOST, CLOSE]));
        assert_eq!(status(&answer), 401, "{method} {path}");
        let challenge = "www-authenticate: Basic realm=\"yrelay\", charset=\"UTF-8\"\r\n";
        assert!(answer.contains(challenge), "{answer}");
        let answer = server.ask(&request(method, path, &[HOST, CLOSE, &jane]));
        assert_eq!(status(&answer), with_login, "{method} {path}");
    }
    for headers in [&[HOST, CLOSE][..], &[HOST, CLOSE, &login("jane:wrong")]] {
        let answer = server.ask(&request("GET", "/-/healthy?x", headers));
        assert_eq!((status(&answer), body(&answer)), (200, "ok\n"));
    }
}

#[test]
fn documents_are_opened_with_a_login_only() {
    let server = Users::new(&format!("{JANE}{BEN}")).server();
    let upgrade = |lines: &[&str]| request("GET", "/notes", &[UPGRADE, &[HOST], lines].concat());
    for (lines, words) in [
        (&[][..], "a login is needed here: a user and a password (HTTP Basic)\n"),
        (&[&*login("jane:wrong")], "this user and password are not known here\n"),
        (&[&login("eve:hunter2")], "this user and password are not known here\n"),
        (&[&login("jane:dr\u{fc}:ben")], "this user and password are not known here\n"),
        (&["Authorization: Bearer hunter2"], "a login is needed here: a user and a password"),
    ] {
        let answer = server.ask(&upgrade(lines));
        assert_eq!(status(&answer), 401, "{lines:?}");
        assert!(body(&answer).starts_with(words), "{answer}");
    }
    let mut streams = Vec::new();
    for user in ["jane:hunter2", "b\u{fc}n:dr\u{fc}:ben", "jane:hunter2"] {
        let mut stream = TcpStream::connect(server.addresses[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(upgrade(&[&login(user)]).as_bytes()).unwrap();
        assert_eq!(status(&head(&mut stream)), 101, "{user}");
        // And nothing was attached before.
        assert_eq!(server.event(), Event::Attached("notes".into()));
        streams.push(stream);
    }
}

#[test]
fn only_pages_at_the_root_may_show_their_login_later() {
    let server = Users::new(JANE).server();
    let page = "Origin: http://localhost";
    let upgrade = |path: &str, lines: &[&str]| {
        let request = request("GET", path, &[UPGRADE, &[HOST], lines].concat());
        let mut stream = TcpStream::connect(server.addresses[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        status(&head(&mut stream))
    };
    assert_eq!(upgrade("/", &[page]), 101);
    // What ELVA 0.33, yrelay and y-websocket do with a login begins with this.
    assert_eq!(upgrade("/", &[]), 401);
    assert_eq!(upgrade("/", &[page, "Sec-WebSocket-Protocol: yrelay.1"]), 401);
    assert_eq!(upgrade("/", &[page, &login("jane:wrong")]), 401);
    assert_eq!(upgrade("/notes", &[page]), 401);
    assert_eq!(upgrade("/", &["Origin: http://evil.example"]), 403);
    let answer = server.ask(&request("GET", "/", &[HOST, page, CLOSE]));
    assert_eq!(status(&answer), 401);
}

#[test]
fn pages_that_show_no_token_make_place_for_those_that_come() {
    let users = Users::new(JANE);
    let accounts = AccountsFile::read(&users.path()).unwrap();
    let server = Server::of_size(8, Rules::default(), Some(accounts));
    let knock = || {
        let mut stream = TcpStream::connect(server.addresses[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let lines = [UPGRADE, &[HOST, "Origin: http://localhost"]].concat();
        stream.write_all(request("GET", "/", &lines).as_bytes()).unwrap();
        assert_eq!(status(&head(&mut stream)), 101);
        stream
    };
    // More than there is place for; of that they have half.
    let mut pages: Vec<TcpStream> = (0..20).map(|_| knock()).collect();
    let rest = pages.split_off(16);
    for page in &mut pages {
        assert_eq!(page.read(&mut [0]).unwrap(), 0, "it is ended");
    }
    for page in rest {
        page.set_nonblocking(true).unwrap();
        let outcome = page.peek(&mut [0]);
        assert!(outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    }
}

#[test]
fn strange_pages_are_refused_before_they_can_try_passwords() {
    let server = Users::new(JANE).server();
    for line in ["Host: evil.example", "Origin: http://evil.example"] {
        let host = if line.starts_with("Host") { "X-Other: 1" } else { HOST };
        for login in ["X-None: 1", &*login("jane:wrong"), &*login("jane:hunter2")] {
            let answer = server.ask(&request("GET", "/", &[host, line, CLOSE, login]));
            assert_eq!(status(&answer), 403, "{line} {login}");
        }
    }
}

#[test]
fn the_file_is_read_again_when_it_changes() {
    let users = Users::new(JANE);
    let server = users.server();
    let code = |user: &str| {
        status(&server.ask(&request("GET", "/-/status", &[HOST, CLOSE, &login(user)])))
    };
    assert_eq!((code("jane:hunter2"), code("b\u{fc}n:dr\u{fc}:ben")), (200, 401));
    users.write(BEN);
    until("they are read", || code("b\u{fc}n:dr\u{fc}:ben") == 200);
    assert_eq!(code("jane:hunter2"), 401);
    fs::remove_file(users.path()).unwrap();
    users.write(&format!("{JANE}{BEN}"));
    until("they are read", || code("jane:hunter2") == 200);
    assert_eq!(code("b\u{fc}n:dr\u{fc}:ben"), 200);
}

#[test]
fn a_file_that_cannot_be_taken_is_a_start_error() {
    let users = Users::new("# ours\njane:$apr1$abcdefgh$znAnv9M.XU2pRYfmSs46h/\n");
    let path = users.path().display().to_string();
    let serve = ["serve", "localhost", "0", "--ephemeral", "--auth-file", &path];
    let mend = format!("htpasswd -B {path} jane");
    fails(program(&serve), &["--auth-file: ", &format!("{path}:2: "), "\"jane\"", "MD5", &mend]);
    fails(program(&[&["config"], &serve[..]].concat()), &[&mend]);
    users.write("# nobody\n");
    fails(program(&serve), &["there are no users in ", &format!("htpasswd -B {path} USER")]);
    fails(program(&["serve", "--auth-file", "/no/file"]), &["cannot read the users in /no/file"]);
}

#[cfg(unix)]
#[test]
fn wrong_logins_are_logged_without_their_passwords_and_not_without_end() {
    let users = Users::new(JANE);
    let path = users.path().display().to_string();
    let serve = |host| {
        let mut running =
            Running::run(&mut program(&["serve", host, "0", "--ephemeral", "--auth-file", &path]));
        let ask = |user: &str| {
            let mut stream = TcpStream::connect(("127.0.0.1", running.port())).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let request = request("GET", "/", &[HOST, CLOSE, &login(user)]);
            stream.write_all(request.as_bytes()).unwrap();
            status(&head(&mut stream))
        };
        for _ in 0..30 {
            assert_eq!(ask("eve\u{1b}[31m:s3cret"), 401);
        }
        assert_eq!(ask("jane:hunter2"), 200);
        running.signal("TERM");
        running.log()
    };
    let log = serve("127.0.0.1");
    assert_eq!(log.matches("wrong login").count(), 10, "{log}");
    assert!(log.contains("ip=127.0.0.1") && log.contains("user=\"eve\\u{1b}[31m\""), "{log}");
    assert!(!log.contains("s3cret") && !log.contains("hunter2"), "{log}");
    assert!(!log.contains("in the clear"), "{log}");
    assert!(serve("0.0.0.0").contains("logins come to ws://0.0.0.0:"));
}

/// Asks until it is so.
fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..200 {
        if condition() {
            return;
        }
        std::thread::park_timeout(PATIENCE / 200);
    }
    panic!("not within {PATIENCE:?}: {what}");
}
