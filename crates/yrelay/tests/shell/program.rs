//! The program as people start it: its first line, its errors, its end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::alone::alone;
use crate::common::*;
#[cfg(unix)]
use crate::signals::signals;

/// The promise for a start error, and enough for a start.
const START: Duration = Duration::from_secs(5);

pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yrelay"));
    command.args(arguments);
    prepared(command)
}

/// With nothing of what the tests themselves are started with.
pub(crate) fn prepared(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    alone(&mut command);
    command
}

/// Waits for the end of a program, no longer than it may take.
pub(crate) fn output(mut command: Command) -> Output {
    let mut child = command.spawn().unwrap();
    let pid = child.id();
    let (sender, over) = std::sync::mpsc::channel();
    let guard = std::thread::spawn(move || {
        let late = over.recv_timeout(START).is_err();
        if late {
            signal("KILL", pid);
        }
        late
    });
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    let status = child.wait().unwrap();
    let _ = sender.send(());
    assert!(!guard.join().unwrap(), "it does not end");
    Output { status, stdout, stderr }
}

fn signal(name: &str, pid: u32) {
    Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
}

/// A start error is one line on standard error and nothing else.
pub(crate) fn fails(command: Command, words: &[&str]) {
    let output = output(command);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.ends_with('\n'), "{stderr}");
    for words in words {
        assert!(stderr.contains(words), "{words:?} is missing: {stderr}");
    }
}

#[test]
fn a_port_in_use_is_named_with_its_holder() {
    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let words = [&*format!("cannot listen on localhost:{port}: address in use"), "another port"];
    fails(program(&["service", "localhost", &port, "--ephemeral"]), &words);
    fails(program(&["serve", "localhost", &port, "--ephemeral"]), &words);
    if cfg!(target_os = "linux") {
        let holder = format!("(pid {})", std::process::id());
        fails(program(&["service", "localhost", &port, "--ephemeral"]), &[&holder]);
    }
}

#[test]
fn a_wrong_server_is_named_with_an_example() {
    for (server, words) in [
        ("elva.example.org", "it must begin with ws:// or wss://"),
        ("https://elva.example.org", "write ws:// for http:// and wss:// for https://"),
        ("ws://", "the host is missing"),
        ("ws://host:99999", "the port must be a number from 1 to 65535"),
        ("ws://ho st/", "characters that no address may hold"),
        ("ws://jane:hunter2@", "the host is missing"),
    ] {
        let words = ["--server: no WebSocket address: ", words, "wss://elva.example.org/"];
        fails(program(&["service", "localhost", "0", "--ephemeral", "-s", server]), &words);
    }
    let mut command = program(&["service", "localhost", "0", "--ephemeral"]);
    command.env("ELVA_SERVER", "ws://jane:hunter2@host:no/");
    let error = output(command).stderr;
    assert!(error.starts_with(b"error: ELVA_SERVER: no WebSocket address"));
    assert!(!String::from_utf8(error).unwrap().contains("hunter2"));
}

#[test]
fn its_own_address_is_no_upstream() {
    for host in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"] {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let server = format!("ws://{host}:{port}/");
        let port = port.to_string();
        let words = [&*format!("the server {server} is this relay itself")];
        fails(program(&["service", "localhost", &port, "--ephemeral", "-s", &server]), &words);
    }
}

#[test]
fn other_start_errors_say_what_to_do() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let file = file.to_str().unwrap();
    let below_file = format!("{file}/below");
    for (arguments, words) in [
        (
            &["service", "-m", "morse", "--ephemeral"][..],
            "--messages: \"morse\" is none of elva, yjs",
        ),
        (&["service", "localhost", "0", "--data-dir", file], "with --data-dir"),
        (&["service", "--ephemeral", "-l", &below_file], "choose another --log FILE"),
        (&["service", "no-such-host.invalid", "0", "--ephemeral"], "no such host"),
        (&["service", "192.0.2.1", "0", "--ephemeral"], "not an address of this machine"),
        (&["-s", "ws://host", "serve", "--ephemeral"], "--server: belongs to `yrelay service`"),
    ] {
        fails(program(arguments), &[words]);
    }
    let mut command = program(&["service", "localhost", "0", "--ephemeral"]);
    command.env("RUST_LOG", "yrelay=loud");
    fails(command, &["RUST_LOG is not understood"]);
}

#[test]
fn a_login_that_cannot_be_used_is_named_and_not_shown() {
    let directory = TempDir::new().unwrap();
    let empty = directory.path().join("empty");
    std::fs::write(&empty, b"\n").unwrap();
    let empty = empty.to_str().unwrap();
    let secure = "wss://elva.example.org";
    for (arguments, words) in [
        (&["-s", "ws://elva.example.org", "-u", "jane", "-p", "hunter2"][..], "--insecure-login"),
        (&["-s", "ws://jane:hunter2@elva.example.org"], "would go to elva.example.org unencrypted"),
        (&["-s", secure, "-p", "hunter2"], "add --user NAME"),
        (&["-s", secure, "-u", "ja:ne", "-p", "hunter2"], "neither colons nor control"),
        (&["-s", secure, "-u", "jane", "--password-file", empty], "the password is empty"),
        (&["-s", secure, "-u", "jane", "--password-file", "/no/file"], "password from /no/file"),
        (&["-u", "jane", "-p", "hunter2"], "add --server URL"),
        (&["-s", secure, "--tls-ca", empty], "there is no certificate in it"),
    ] {
        let all = [&["service", "localhost", "0", "--ephemeral"], arguments].concat();
        fails(program(&all), &[words]);
        assert!(!String::from_utf8(output(program(&all)).stderr).unwrap().contains("hunter2"));
    }
}

#[test]
fn a_wrong_command_line_is_clap_s_matter() {
    for arguments in [&["service", "--port", "8000"][..], &["nonsense"], &[]] {
        assert_eq!(output(program(arguments)).status.code(), Some(2), "{arguments:?}");
    }
    let help = output(program(&["--help"]));
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8(help.stdout).unwrap().contains("\nExamples:\n"));
    let version = output(program(&["--version"]));
    assert_eq!(version.stdout, format!("yrelay {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}

/// A program that has said that it listens.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) url: String,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::run(program(arguments).stderr(Stdio::null()))
    }

    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line.strip_prefix("listening on ").unwrap().trim_end().to_owned();
        Self { child, stdout, url }
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    fn code(&mut self) -> Option<i32> {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "one line is all that standard output gets");
        self.child.wait().unwrap().code()
    }

    /// What it has written to standard error, once it has ended well.
    pub(crate) fn log(&mut self) -> String {
        assert_eq!(self.code(), Some(0));
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }

    pub(crate) fn client(&self) -> TcpStream {
        self.client_of("/notes")
    }

    /// A client of a document, its handshake done.
    pub(crate) fn client_of(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = request("GET", path, &[UPGRADE, &["Host: localhost"]].concat());
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(status(&head(&mut stream)), 101);
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_first_line_says_where_it_listens() {
    for (host, shown) in [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")]
    {
        if TcpListener::bind((host, 0)).is_err() {
            continue;
        }
        let running = Running::start(&["serve", host, "0", "--ephemeral"]);
        assert_eq!(running.url, format!("ws://{shown}:{}", running.port()));
        TcpStream::connect((host, running.port())).unwrap();
    }
}

/// Reads short frames up to a close frame.
#[cfg(unix)]
pub(crate) fn close_code(client: &mut TcpStream) -> u16 {
    loop {
        let mut head = [0; 2];
        client.read_exact(&mut head).unwrap();
        let mut payload = vec![0; head[1].into()];
        client.read_exact(&mut payload).unwrap();
        if head[0] == 0x88 {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

#[cfg(unix)]
#[test]
fn signals_end_it_well() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path().join("not yet there");
    for name in signals() {
        let arguments = ["service", "localhost", "0", "--data-dir", directory.to_str().unwrap()];
        let mut running = Running::start(&arguments);
        let mut client = running.client();
        running.signal(name);
        assert_eq!(close_code(&mut client), 1001);
        client.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).unwrap();
        assert_eq!(running.code(), Some(0), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_it_at_once() {
    let mut running = Running::start(&["service", "localhost", "0", "--ephemeral"]);
    let mut client = running.client();
    running.signal("TERM");
    // The close frame is there: from now on it waits for our answer.
    assert_eq!(close_code(&mut client), 1001);
    running.signal("TERM");
    assert_eq!(running.code(), Some(130));
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_started_to_outlive_its_terminal_does() {
    let mut nohup = Command::new("bash");
    nohup.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_yrelay")]);
    nohup.args(["service", "localhost", "0", "--ephemeral"]);
    let mut running = Running::run(&mut prepared(nohup));
    let mut client = running.client();
    running.signal("HUP");
    // Were it on its way out already, this would end it at once.
    running.signal("TERM");
    assert_eq!(close_code(&mut client), 1001);
    client.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).unwrap();
    assert_eq!(running.code(), Some(0));
}

#[cfg(unix)]
#[test]
fn it_goes_on_where_nobody_hears_it() {
    let mut command =
        program(&["service", "localhost", "0", "--ephemeral", "--log-level", "debug"]);
    let mut running = Running::run(command.stdin(Stdio::piped()));
    drop((running.child.stdin.take(), running.child.stderr.take()));
    for path in ["/a", "/b"] {
        let mut client = running.client_of(path);
        client.write_all(&[0x82, 0x84, 0, 0, 0, 0, 0, 2, 5, 1]).unwrap();
        assert_eq!(close_code(&mut client), 1007, "which is logged");
    }
    running.signal("TERM");
    assert_eq!(running.code(), Some(0));
}
