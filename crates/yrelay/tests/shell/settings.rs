//! Settings as people meet them: help, `config`, the banner, `status`, completions.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use base64::Engine as _;
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
        ("help_documents", &["help", "documents"]),
        ("help_import", &["help", "import"]),
        ("help_export", &["help", "export"]),
        ("help_delete", &["help", "delete"]),
        ("help_backup", &["help", "backup"]),
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

    #[cfg(target_os = "linux")]
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
fn config_of_a_server_has_no_server_above() {
    let mut command = program(&["config", "serve", "--data-dir", "/x", "--memory", "64MiB"]);
    command.env("RUST_LOG", "yrelay=debug");
    insta::assert_snapshot!("config_serve", stdout(command));
}

#[test]
fn what_config_prints_is_a_settings_file() {
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split("  #").next().unwrap().trim_end().to_owned()).collect()
    };
    for arguments in [
        &[][..],
        &["-s", "wss://jane:hunter2@far", "-l", "a\\b", "--tls-ca", "ca.pem"],
        &["--ephemeral", "--opaque", "a\u{7f}b\u{9b}\n", "--opaque", "c\"d"],
        &["localhost", "08001"],
    ] {
        let machine = Machine::new();
        machine.file("project/ca.pem", &certificate());
        let first = stdout(machine.program(&[&["config", "service"], arguments].concat()));
        machine.file("project/yrelay.toml", &first);
        let second = stdout(machine.program(&["config"]));
        assert_eq!(values(&first), values(&second));
        assert!(second.contains("# yrelay.toml:"), "{second}");
        assert!(second.chars().all(|c| c == '\n' || !c.is_control()), "{second:?}");
    }
}

fn certificate() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["far".to_owned()]).unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}

#[test]
fn names_in_files_do_nothing_to_a_terminal() {
    let machine = Machine::new();
    machine.file("project/yrelay.toml", "\"a\\u001b]0;x\\u0007\\nb\" = 1\n");
    let shown = output(machine.program(&["config"]));
    let stderr = String::from_utf8(shown.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
    assert!(!stderr.contains(['\u{1b}', '\u{7}']), "{stderr:?}");
    fails(machine.program(&["service", "-c", "x\u{1b}[31m\ny"]), &["x\\u{1b}[31m\\ny"]);
}

#[test]
fn warnings_are_in_the_log_and_beside_it() {
    let machine = Machine::new();
    machine.file("project/yrelay.toml", "sevrer = 'x'\nephemeral = true\n");
    let log_of = |arguments: &[&str]| {
        let mut running = Running::run(&mut machine.program(arguments));
        running.signal("TERM");
        running.log()
    };
    let warning = "yrelay.toml:1:1: unknown key `sevrer`: did you mean `server`?";
    let log = log_of(&["service", "localhost", "0"]);
    assert_eq!(log.matches(warning).count(), 1, "{log}");
    assert!(log.contains(" WARN "), "{log}");
    let beside = log_of(&["service", "localhost", "0", "-l", "log"]);
    assert_eq!(beside, format!("warning: {warning}\n"));
    let log = fs::read_to_string(machine.path().join("project/log")).unwrap();
    assert!(log.contains(warning), "{log}");
    // What is wrong may be what the warning is about.
    let failed = output(machine.program(&["service", "-u", "jane"]));
    let stderr = String::from_utf8(failed.stderr).unwrap();
    assert!(stderr.contains(warning) && stderr.contains("\nerror: --user: belongs to"), "{stderr}");
}

/// A disk that takes nothing.
#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    for arguments in [&["config"][..], &["completions", "bash"]] {
        let mut command = program(arguments);
        command.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let mut child = command.spawn().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{arguments:?}");
    }
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
    let mut other = machine.program(&["service", "localhost", "0"]);
    let other = Running::run(other.stderr(Stdio::null()));
    assert!(other.url.starts_with("ws://localhost:") && other.port() != port);
    // And that is where its status is looked for.
    assert!(stdout(machine.program(&["status"])).starts_with("yrelay "));
    machine.file("project/other.toml", "port = 9\n");
    assert_eq!(output(machine.program(&["status", "-c", "other.toml"])).status.code(), Some(1));
    // Who is asked by name needs no settings.
    machine.file("project/yrelay.toml", "port = 'eighty'\n");
    assert_eq!(output(machine.program(&["status"])).status.code(), Some(2));
    stdout(machine.program(&["status", "--url", &running.url]));
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
#[cfg(target_os = "linux")]
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
    machine.file(
        "project/other.toml",
        "host = '127.0.0.1'\n\
         [[route]]\nmatch = ['diary/*', 'private']\nlocal = true\n\
         [[route]]\nmatch = 'team/*'\nserver = 'ws://jane@127.0.0.1:9/team'\n",
    );
    all += &shown(&machine, &["service", "-c", "other.toml"]);
    all += &shown(&machine, &["serve", "127.0.0.1", "0"]);
    all += &shown(&machine, &["serve", "127.0.0.1", "0", "--broadcast-only"]);
    fs::remove_file(machine.path().join("project/yrelay.toml")).unwrap();
    let mut y_websockets = machine.program(&["serve"]);
    y_websockets.env("PORT", port.to_string()).env("YPERSISTENCE", "./dbs");
    let told = at_a_terminal(y_websockets, "status").replace(&port.to_string(), "<port>");
    all += &machine.without_root(&told);
    insta::assert_snapshot!("banner", all);
}

#[cfg(target_os = "linux")]
fn store_two_documents(directory: &std::path::Path) {
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
#[cfg(target_os = "linux")]
fn wait_for(client: &mut std::net::TcpStream, bytes: &[u8]) {
    use std::io::Read as _;
    let mut come = Vec::new();
    while !come.windows(bytes.len()).any(|window| window == bytes) {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        come.push(byte[0]);
    }
}
