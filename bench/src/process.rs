//! A process that is measured: started where servers run, and gone with the value.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::{clock, machine};

/// How long a server may take until it listens, interpreters on a busy machine included.
const START_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_micros(200);
const SAID: Duration = Duration::from_millis(10);
/// Lines of its output that say why it ended.
const LINES_MAX: usize = 12;

/// A running process, with its children.
pub struct Process {
    /// Where it listens.
    pub port: u16,
    /// From being started until it listened.
    pub start_ns: u64,
    name: String,
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts a program and waits until it listens on its port, and has said `says` if there is
    /// that. Its output goes to a file in `place`.
    pub fn start(
        name: &str,
        mut command: Command,
        port: u16,
        says: Option<&str>,
        place: &Path,
        pins: bool,
    ) -> Result<Self> {
        let output = place.join(format!("{name}-{port}.log"));
        let log = File::options().create(true).append(true).open(&output)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        machine::as_server(pins)?;
        let begin = clock::now_ns();
        let child = command.spawn();
        machine::as_client(pins)?;
        let child = child.with_context(|| format!("cannot start {name}: {command:?}"))?;
        let mut process = Self { port, start_ns: 0, name: name.to_owned(), child, output };
        process.wait(begin, says)?;
        Ok(process)
    }

    fn wait(&mut self, begin: u64, says: Option<&str>) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let listens = clock::wait_for(START_MAX, LOOK, || {
            let has_ended = !matches!(self.child.try_wait(), Ok(None));
            let listens = TcpStream::connect(address).is_ok();
            (listens || has_ended).then_some(listens)
        });
        self.start_ns = clock::now_ns() - begin;
        let has_said = says.is_none_or(|says| {
            let has_said = clock::wait_for(START_MAX, SAID, || {
                let said = fs::read_to_string(&self.output).unwrap_or_default().contains(says);
                (said || !self.is_alive()).then_some(said)
            });
            has_said == Some(true)
        });
        if !has_said {
            bail!("{} does not say {says:?}:\n{}", self.name, self.output());
        }
        if listens != Some(true) {
            bail!("{} does not listen:\n{}", self.name, self.output());
        }
        Ok(())
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// It has not ended by itself.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }

    /// The last lines that it wrote.
    pub fn output(&self) -> String {
        let output = fs::read(&self.output).unwrap_or_default();
        let output = String::from_utf8_lossy(&output);
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(LINES_MAX)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on, below the range that outgoing connections take theirs from: a
/// server that is away for a moment keeps it.
pub fn free_port() -> io::Result<u16> {
    const FIRST: u32 = 11_000;
    const COUNT: u32 = 9_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(127);
    for _ in 0..COUNT {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = (FIRST + offset) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}
