//! A child process in a group of its own.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::wait::{self, PATIENCE};

/// Lines of output that are kept for the report of a failed test.
const LINES_MAX: usize = 200;

/// A child, killed with its group when dropped.
pub(crate) struct Process {
    name: String,
    child: Mutex<Child>,
    output: Arc<Mutex<VecDeque<String>>>,
}

/// What becomes of a line on stdout: kept for the report, or consumed. Who consumes one that others
/// may wait for reports it.
pub(crate) type OnLine = Box<dyn FnMut(String) -> Option<String> + Send>;

impl Process {
    /// Starts `command`. Every line of its stdout passes through `on_line`; what that returns,
    /// and all of stderr, is shown if the test fails.
    pub(crate) fn spawn(name: &str, command: &mut Command, on_line: OnLine) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        own_group(command);
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let output = Arc::default();
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        follow(stdout, &output, on_line);
        follow(stderr, &output, Box::new(Some));
        Process { name: name.to_owned(), child: Mutex::new(child), output }
    }

    /// Writes to the child's stdin.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let mut child = self.child();
        let stdin = child.stdin.as_mut().expect("stdin is piped");
        let written = stdin.write_all(bytes).and_then(|()| stdin.flush());
        written.unwrap_or_else(|error| panic!("{} has gone: {error}", self.name));
    }

    /// Kills the child and all that it started, and waits for its end.
    pub(crate) fn kill(&self) {
        if !self.ended() {
            let mut child = self.child();
            kill_group(&mut child);
            drop(child.wait());
        }
    }

    /// Stops the child where it is, until `thaw`.
    pub(crate) fn freeze(&self) {
        stop(&self.child());
    }

    /// Lets the child go on.
    pub(crate) fn thaw(&self) {
        go_on(&self.child());
    }

    /// The last lines of its output.
    pub(crate) fn output(&self) -> String {
        lock(&self.output).iter().fold(String::new(), |all, line| all + line + "\n")
    }

    /// Asks the child to end, and waits for that.
    pub(crate) fn terminate(&self, patience: Duration) -> Option<ExitStatus> {
        terminate(&self.child());
        self.exit_status(patience)
    }

    /// Does what Ctrl-C does, and waits for the child to end.
    pub(crate) fn interrupt(&self, patience: Duration) -> Option<ExitStatus> {
        interrupt(&self.child());
        self.exit_status(patience)
    }

    /// Waits for the child to end by itself.
    pub(crate) fn exit_status(&self, patience: Duration) -> Option<ExitStatus> {
        wait::find(patience, || self.child().try_wait().ok().flatten())
    }

    /// Waits for a line of output that says that the child is ready, or fails the test.
    pub(crate) fn ready(&self, condition: impl Fn(&str) -> bool) {
        let ready = wait::find(PATIENCE, || {
            let ended = self.ended();
            let said = lock(&self.output).iter().any(|line| condition(line));
            (said || ended).then_some(said)
        });
        assert!(ready == Some(true), "{} does not get ready", self.name);
    }

    fn ended(&self) -> bool {
        !matches!(self.child().try_wait(), Ok(None))
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        lock(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("---- {}\n{}", self.name, self.output());
        }
    }
}

/// Reads lines until the end of the stream, on a thread that ends with it.
fn follow(
    stream: impl Read + Send + 'static,
    output: &Arc<Mutex<VecDeque<String>>>,
    mut on_line: OnLine,
) {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            if let Some(line) = on_line(String::from_utf8_lossy(&line).into_owned()) {
                let mut output = lock(&output);
                output.push_back(line);
                if output.len() > LINES_MAX {
                    output.pop_front();
                }
                drop(output);
                wait::report();
            }
        }
        wait::report();
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
fn own_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(unix)]
fn kill_group(child: &mut Child) {
    let _ = rustix::process::kill_process_group(group(child), rustix::process::Signal::KILL);
}

#[cfg(unix)]
fn terminate(child: &Child) {
    let _ = rustix::process::kill_process(group(child), rustix::process::Signal::TERM);
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    let _ = rustix::process::kill_process(group(child), rustix::process::Signal::INT);
}

#[cfg(unix)]
fn stop(child: &Child) {
    let _ = rustix::process::kill_process_group(group(child), rustix::process::Signal::STOP);
}

#[cfg(unix)]
fn go_on(child: &Child) {
    let _ = rustix::process::kill_process_group(group(child), rustix::process::Signal::CONT);
}

#[cfg(unix)]
fn group(child: &Child) -> rustix::process::Pid {
    let id = i32::try_from(child.id()).expect("process ids are positive i32");
    rustix::process::Pid::from_raw(id).expect("a child's id is not 0")
}

#[cfg(not(unix))]
fn own_group(_command: &mut Command) {}

#[cfg(not(unix))]
fn kill_group(child: &mut Child) {
    drop(child.kill());
}

#[cfg(not(unix))]
fn terminate(_child: &Child) {}

#[cfg(not(unix))]
fn interrupt(_child: &Child) {}

#[cfg(not(unix))]
fn stop(_child: &Child) {}

#[cfg(not(unix))]
fn go_on(_child: &Child) {}
