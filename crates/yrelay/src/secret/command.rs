//! A program that prints a secret.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::{clock, limits};

/// How often it is looked whether the program has ended.
const LOOK_MS: u64 = 10;
/// What it has printed arrives in this time after its end. A program that it has left behind may
/// keep the pipe open for ever.
const LATE_MS: u64 = 200;
/// So much is read of what it prints.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;
/// So much of its last word is told.
const WORD_CHARS_MAX: usize = 200;

/// The first line of what a command prints, run by the shell. In an error stands how it ended and
/// the last line of what it complained about, and nothing of what it printed.
pub(super) fn first_line(command: &str, ms: u64) -> Result<String, String> {
    let mut shell = shell(command);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = shell.spawn().map_err(|error| format!("it cannot be run: {error}"))?;
    let printed = child.stdout.take().map(Ear::new);
    let complained = child.stderr.take().map(Ear::new);
    let deadline = clock::now_ms() + ms;
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if clock::now_ms() < deadline => {
                thread::park_timeout(Duration::from_millis(LOOK_MS));
            }
            None => {
                end(&mut child);
                return Err(format!("it does not end within {} s", ms.div_ceil(1_000)));
            }
        }
    };
    let printed = printed.map(Ear::heard).unwrap_or_default();
    let line = printed.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !status.success() {
        let complained = complained.map(Ear::heard).unwrap_or_default();
        let word = last_word(&complained, &String::from_utf8_lossy(line));
        return Err(format!("{status}{word}"));
    }
    if line.len() as u64 > limits::SECRET_BYTES_MAX {
        return Err(format!("longer than {} bytes", limits::SECRET_BYTES_MAX));
    }
    String::from_utf8(line.to_vec()).map_err(|_| "it is not valid UTF-8".to_owned())
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut shell = Command::new("sh");
    // A group of its own ends as a whole.
    shell.args(["-c", command]).process_group(0);
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    use std::os::windows::process::CommandExt as _;
    let mut shell = Command::new("cmd");
    shell.arg("/C").raw_arg(command);
    shell
}

fn end(child: &mut Child) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The last line of what it complained about, unless the secret stands in it (`sh -x` does that).
fn last_word(complained: &[u8], secret: &str) -> String {
    let text = String::from_utf8_lossy(complained);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    if line.is_empty() || (!secret.is_empty() && line.contains(secret)) {
        return String::new();
    }
    let word: String = line.chars().filter(|c| !c.is_control()).take(WORD_CHARS_MAX).collect();
    format!(": {word}")
}

/// Hears what comes through a pipe, while something else is waited for.
struct Ear {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Ear {
    fn new(pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let heard = bytes.clone();
        let (alive, ended) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let _alive = alive;
            let mut pipe = pipe.take(OUTPUT_BYTES_MAX);
            let mut part = [0; 1_024];
            while let Ok(count @ 1..) = pipe.read(&mut part) {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.extend_from_slice(&part[..count]);
            }
        });
        Self { bytes, ended }
    }

    fn heard(self) -> Vec<u8> {
        let _ = self.ended.recv_timeout(Duration::from_millis(LATE_MS));
        std::mem::take(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn printed(command: &str) -> Result<String, String> {
        first_line(command, 10_000)
    }

    #[test]
    fn the_first_line_is_the_secret() {
        for (command, line) in [
            ("echo hunter2", "hunter2"),
            ("printf 'hunter2\\r\\nuser: jane\\n'", "hunter2"),
            ("printf ' dr\u{fc}'; echo careful >&2", " dr\u{fc}"),
            ("true", ""),
            ("cat", ""),
        ] {
            assert_eq!(printed(command).as_deref(), Ok(line), "{command}");
        }
    }

    #[test]
    fn how_it_failed_is_told_and_never_what_it_printed() {
        for (command, reason) in [
            ("echo hunter2; exit 3", "exit status: 3"),
            (
                "echo hunter2; echo one >&2; printf 'no \\033key\\n\\n' >&2; false",
                "exit status: 1: no key",
            ),
            ("set -x; echo hunter2; exit 1", "exit status: 1: + exit 1"),
            ("echo hunter2; echo with hunter2 >&2; exit 1", "exit status: 1"),
            ("kill -9 $$", "signal: 9 (SIGKILL)"),
            ("printf '\\377'", "it is not valid UTF-8"),
            ("head -c 5000 /dev/zero", "longer than 4096 bytes"),
        ] {
            assert_eq!(printed(command).unwrap_err(), reason, "{command}");
        }
        let long = printed("head -c 9999 /dev/zero | tr '\\0' x >&2; false").unwrap_err();
        assert_eq!(long.len(), "exit status: 1: ".len() + WORD_CHARS_MAX);
    }

    #[test]
    fn what_does_not_end_is_ended_with_all_that_it_has_started() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let command = format!("sleep 60 & echo $! > {}; wait", path.display());
        assert_eq!(first_line(&command, 500).unwrap_err(), "it does not end within 1 s");
        let pid = std::fs::read_to_string(path).unwrap();
        // Its parent is gone: whoever takes it over may need a moment to notice.
        let deadline = clock::now_ms() + 10_000;
        let is_alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        while cfg!(target_os = "linux") && is_alive() {
            assert!(clock::now_ms() < deadline, "{pid}");
            thread::yield_now();
        }
    }

    #[test]
    fn what_prints_without_end_takes_no_memory() {
        let begun = clock::now_ms();
        assert_eq!(printed("exec yes").unwrap_err(), "signal: 13 (SIGPIPE)");
        assert!(clock::now_ms() - begun < 9_000);
    }

    #[test]
    fn a_program_that_is_left_behind_keeps_nobody_waiting() {
        let begun = clock::now_ms();
        assert_eq!(printed("sleep 30 & echo hunter2").as_deref(), Ok("hunter2"));
        assert!(clock::now_ms() - begun < 9_000);
    }
}
