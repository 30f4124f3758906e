//! What the program logs, where, and in which form.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Running, close_code, prepared, program};

/// A client comes, then the program is stopped: what it has written to standard error.
fn log(mut command: Command) -> String {
    let mut running = Running::run(&mut command);
    let mut client = running.client();
    running.signal("TERM");
    assert_eq!(close_code(&mut client), 1001);
    client.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).unwrap();
    running.log()
}

fn service(arguments: &[&str]) -> Command {
    program(&[&["service", "localhost", "0", "--ephemeral"], arguments].concat())
}

/// The same as a unit of systemd, with a pipe for the journal. `$journal` is what is said of it.
#[cfg(target_os = "linux")]
fn unit(journal: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("bash");
    let script = format!(
        "this=$(stat -Lc %d:%i /proc/self/fd/2); JOURNAL_STREAM={journal} exec \"$0\" \"$@\""
    );
    command.args(["-c", &script, env!("CARGO_BIN_EXE_yrelay")]);
    command.args(["service", "localhost", "0", "--ephemeral"]).args(arguments);
    prepared(command)
}

/// A login that is given where everybody can see it, which is worth a warning.
#[cfg(target_os = "linux")]
const WARNED: &[&str] = &["-s", "ws://127.0.0.1:9", "-u", "jane", "-p", "hunter2"];

/// The one line that has these words.
fn line<'a>(log: &'a str, words: &str) -> &'a str {
    let mut found = log.lines().filter(|line| line.contains(words));
    let line = found.next().unwrap_or_else(|| panic!("{words:?} is missing: {log}"));
    assert_eq!(found.next(), None);
    line
}

/// Every line is a record; this is the one with that message.
fn record(log: &str, message: &str) -> Value {
    let mut records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.find(|record| record["message"] == message).unwrap()
}

fn is_json(log: &str) {
    let joined = record(log, "joined");
    assert_eq!((&joined["level"], &joined["document"]), (&"INFO".into(), &"notes".into()));
    assert_eq!(joined["target"], "yrelay::connection");
    assert!(joined["timestamp"].is_string());
    assert_eq!(record(log, "stopping")["level"], "INFO");
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn text_is_a_line_for_each_record_with_its_time_and_level() {
    let log = log(service(&[]));
    let joined = line(&log, " joined ");
    assert!(joined.contains("Z  INFO yrelay::connection: joined document=notes "), "{joined}");
    assert!(joined.starts_with("20"), "{joined}");
    assert!(!log.contains('\x1b'), "colours are for terminals");
}

#[test]
fn json_is_an_object_for_each_record() {
    is_json(&log(service(&["--log-format", "json"])));
}

#[test]
fn a_file_takes_all_of_it_behind_what_it_held() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let file = path.to_str().unwrap();
    std::fs::write(&path, "{\"message\":\"before\"}\n").unwrap();
    assert_eq!(log(service(&["-l", file, "--log-format", "json"])), "");
    record(&read(&path), "before");
    is_json(&read(&path));
}

#[test]
fn what_the_environment_says_of_the_levels_counts() {
    let mut command = service(&["-vv"]);
    command.env("RUST_LOG", "off,yrelay::connection=info");
    let log = log(command);
    assert_eq!(log.lines().count(), 2, "{log}");
    line(&log, " joined ");
    line(&log, " left ");
}

#[test]
fn details_are_logged_where_they_are_asked_for() {
    for (arguments, asked) in [(&[][..], false), (&["-v"], true), (&["-vv"], true)] {
        let mut running = Running::run(&mut service(arguments));
        let mut stranger = TcpStream::connect(("127.0.0.1", running.port())).unwrap();
        stranger.write_all(b"nonsense\r\n\r\n").unwrap();
        stranger.read_to_end(&mut Vec::new()).unwrap();
        running.signal("TERM");
        let log = running.log();
        assert_eq!(log.contains("DEBUG yrelay::http: request failed "), asked, "{log}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn lines_for_the_journal_begin_with_their_priority() {
    let log = log(unit("$this", WARNED));
    let joined = line(&log, " joined ");
    assert!(joined.starts_with("<6>yrelay::connection: joined document=notes "), "{joined}");
    let warning = line(&log, "--password-file");
    assert!(warning.starts_with("<4>yrelay: everybody on this machine "), "{warning}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_does_not_go_to_the_journal_has_no_priorities() {
    for other in ["${this}0", "1:$this", "", ":", "8:1"] {
        let log = log(unit(other, &[]));
        assert!(line(&log, " joined ").contains(" INFO "), "{other:?}: {log}");
        assert!(!log.contains('<'), "{other:?}: {log}");
    }
    is_json(&log(unit("$this", &["--log-format", "json"])));
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    assert_eq!(log(unit("$this", &["-l", path.to_str().unwrap()])), "");
    assert!(line(&read(&path), " joined ").contains(" INFO "));
}

#[test]
fn the_level_says_how_much() {
    let warned = ["-s", "ws://127.0.0.1:9", "-u", "jane", "-p", "hunter2"];
    let levels = |level: &[&str]| -> Vec<String> {
        let log = log(service(&[&warned, level].concat()));
        let mut levels: Vec<_> = ["ERROR", "WARN", "INFO"].map(str::to_owned).into();
        levels.retain(|level| log.contains(&format!(" {level} ")));
        levels
    };
    assert_eq!(levels(&["--log-level", "error"]), [""; 0]);
    assert_eq!(levels(&["--log-level", "warn"]), ["WARN"]);
    assert_eq!(levels(&[]), ["WARN", "INFO"]);
}
