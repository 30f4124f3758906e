//! Settings as people meet them: help, `config`, the banner, `status`, completions.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use tempfile::TempDir;

use crate::common::*;
use crate::program::{Running, fails, output, program};

fn stdout(command: Command) -> String {
    let output = output(command);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_says_what_there_is() {
    for (name, arguments) in [
        ("help", &["--help"][..]),
        ("help_service", &["help", "service"]),
        ("help_service_short", &["service", "-h"]),
        ("help_serve", &["serve", "--help"]),
        ("help_config", &["help", "config"]),
        ("help_status", &["help", "status"]),
        ("help_completions", &["help", "completions"]),
    ] {
        insta::assert_snapshot!(name, stdout(program(arguments)));
    }
}

/// Somebody's machine: `program` runs in a directory of theirs.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { root: TempDir::new().unwrap() };
        fs::create_dir(machine.path().join("project")).unwrap();
        machine
    }

    fn path(&self) -> std::path::PathBuf {
        self.root.path().canonicalize().unwrap()
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.current_dir(self.path().join("project")).env("HOME", self.path());
        command
    }

    fn without_root(&self, text: &str) -> String {
        text.replace(&*self.path().to_string_lossy(), "/home/jane")
    }
}

#[cfg(target_os = "linux")]
#[test]
fn config_shows_each_value_and_where_it_comes_from() {
    let machine = Machine::new();
    machine
        .file("project/yrelay.toml", "sevrer = 'x'\n\nidle = '10min'\nopaque = ['a \"b\"', 'c']\n");
    machine.file(
        ".config/elva/elva.toml",
        "user = 'jane'\npassword = 'hunter2'\n[app.service]\nserver = 'wss://elva.example.org/'\n",
    );
    let mut command = machine.program(&["-v", "config", "service", "127.0.0.1", "-l", "a\\b\n"]);
    command.env("YRELAY_MEMORY", "2GiB");
    let output = output(command);
    let shown = machine.without_root(&String::from_utf8(output.stdout).unwrap());
    assert!(!shown.contains("hunter2"));
    insta::assert_snapshot!("config", narrow(&shown));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "warning: yrelay.toml:1:1: unknown key `sevrer`: did you mean `server`?\n");
}

/// Columns are as wide as the longest path, which is another each time.
#[cfg(target_os = "linux")]
fn narrow(text: &str) -> String {
    let line = |line: &str| match line.split_once("  #") {
        Some((value, origin)) => format!("{}  #{origin}\n", value.trim_end()),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn what_config_prints_is_a_settings_file() {
    let machine = Machine::new();
    machine.file("project/elva.toml", "server = 'wss://far/'\nuser = 'jane'\nlog = 'a\\b'\n");
    let first = stdout(machine.program(&["config"]));
    machine.file("project/yrelay.toml", &first);
    let second = stdout(machine.program(&["config"]));
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split("  #").next().unwrap().trim_end().to_owned()).collect()
    };
    assert_eq!(values(&first), values(&second));
    assert!(second.contains("user = \"jane\"") && second.contains("# yrelay.toml:"), "{second}");
}

#[test]
fn a_start_error_names_the_place_of_the_setting() {
    let machine = Machine::new();
    machine.file("project/elva.toml", "# ours\n\nport = 'eighty'\n");
    fails(machine.program(&["service"]), &["error: elva.toml:3:8: port: \"eighty\" is no port"]);
    fails(machine.program(&["config"]), &["error: elva.toml:3:8: port: "]);
    let status = output(machine.program(&["status"]));
    assert_eq!(status.status.code(), Some(2));
}

#[test]
fn positions_win_over_files_and_files_over_defaults() {
    let machine = Machine::new();
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let settings = format!("host = '127.0.0.1'\nport = {port}\nephemeral = true\n");
    machine.file("project/yrelay.toml", &settings);
    let running = Running::run(machine.program(&["service"]).stderr(Stdio::null()));
    assert_eq!(running.url, format!("ws://127.0.0.1:{port}"));
    let other = Running::run(machine.program(&["service", "localhost", "0"]).stderr(Stdio::null()));
    assert!(other.url.starts_with("ws://localhost:") && other.port() != port);
    // And that is where its status is looked for.
    assert!(stdout(machine.program(&["status"])).starts_with("yrelay "));
}

#[test]
fn the_exit_code_of_status_tells_how_it_stands() {
    let code = |url: &str| output(program(&["status", "--url", url])).status.code();
    let local = Running::start(&["service", "127.0.0.1", "0", "--ephemeral"]);
    let page = local.url.replacen("ws", "http", 1);
    assert_eq!((code(&page), code(&local.url)), (Some(0), Some(0)));
    let json = stdout(program(&["status", "--json", "--url", &page]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["role"], "service");
    drop(local);
    let failed = output(program(&["status", "--url", &page]));
    assert_eq!(failed.status.code(), Some(1));
    let words = String::from_utf8(failed.stderr).unwrap();
    assert!(words.starts_with(&format!("error: no relay answers at {page}: ")), "{words}");
    assert_eq!(code("http://"), Some(2));

    let nobody = "ws://127.0.0.1:9";
    let offline = Running::start(&["service", "127.0.0.1", "0", "--ephemeral", "-s", nobody]);
    assert_eq!(code(&offline.url), Some(3));

    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let server = format!("ws://{}", listener.local_addr().unwrap());
    let refusing = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n").unwrap();
    });
    let refused = Running::start(&["service", "127.0.0.1", "0", "--ephemeral", "-s", &server]);
    refusing.join().unwrap();
    eventually_code(&refused.url, 4);
}

/// The answer has left the server, but may not have arrived.
fn eventually_code(url: &str, expected: i32) {
    let until = clock() + PATIENCE;
    loop {
        let code = output(program(&["status", "--url", url])).status.code();
        if code == Some(expected) {
            return;
        }
        assert!(clock() < until, "{code:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "tests live in real time")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

#[test]
fn completions_know_commands_and_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stdout(program(&["completions", shell]));
        for word in ["service", "data-dir", "completions"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[cfg(unix)]
#[test]
fn bash_completes() {
    let script = stdout(program(&["completions", "bash"]));
    let ask = "COMP_WORDS=(yrelay service --eph); COMP_CWORD=2; _yrelay yrelay --eph service; \
               echo ${COMPREPLY[@]}";
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("{script}\n{ask}")]);
    bash.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_eq!(stdout(bash).trim(), "--ephemeral");
}

/// What a program shows at a terminal, up to a line that begins so.
#[cfg(unix)]
fn at_a_terminal(mut command: Command, last: &str) -> String {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::io::{BufRead as _, BufReader};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let there = fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut child = command.stdout(there).stderr(Stdio::null()).spawn().unwrap();
    // Or its end would be open here as well.
    drop(command);
    let mut shown = String::new();
    for line in BufReader::new(fs::File::from(terminal)).lines() {
        let line = line.unwrap_or_else(|error| panic!("{error} after {shown}"));
        shown += line.trim_end();
        shown += "\n";
        if line.trim_start().starts_with(last) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    shown
}

#[cfg(target_os = "linux")]
#[test]
fn at_a_terminal_a_banner_follows_the_first_line() {
    let machine = Machine::new();
    machine.file("project/elva.toml", "server = 'ws://127.0.0.1:9'\nuser = 'jane'\n");
    let shown = |machine: &Machine, arguments: &[&str]| {
        let shown = at_a_terminal(machine.program(arguments), "status");
        let port = shown.lines().next().unwrap().rsplit(':').next().unwrap().to_owned();
        machine.without_root(&shown.replace(&port, "PORT"))
    };
    let mut all = shown(&machine, &["service", "localhost", "0"]);
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    machine.file("project/yrelay.toml", &format!("port = {port}\nserver = ''\n"));
    store_two_documents(&machine.path().join(".local/state/yrelay"));
    all += &shown(&machine, &["service"]);
    all += &shown(&machine, &["service", "--ephemeral", "-s", "ws://127.0.0.1:9"]);
    all += &shown(&machine, &["serve", "127.0.0.1", "0"]);
    insta::assert_snapshot!("banner", all);
}

fn store_two_documents(directory: &Path) {
    let running =
        Running::start(&["service", "127.0.0.1", "0", "--data-dir", &directory.to_string_lossy()]);
    for name in ["/one", "/two"] {
        let mut client = running.client_of(name);
        // An update of one character: [sync, update, length, ...], masked with zeros.
        let update = [0, 2, 14, 1, 1, 1, 0, 4, 1, 4, b't', b'e', b'x', b't', 1, b'a', 0];
        let mut frame = vec![0x82, 0x80 | update.len() as u8, 0, 0, 0, 0];
        frame.extend(update);
        client.write_all(&frame).unwrap();
        // It comes back once it is saved.
        wait_for(&mut client, &update[3..]);
    }
    running.signal("TERM");
}

/// Reads until these bytes have come.
fn wait_for(client: &mut std::net::TcpStream, bytes: &[u8]) {
    use std::io::Read as _;
    let mut come = Vec::new();
    while !come.windows(bytes.len()).any(|window| window == bytes) {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        come.push(byte[0]);
    }
}
