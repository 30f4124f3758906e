//! The program under test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, str};

use serde_json::Value;

use crate::clock::Clock;
use crate::process::Process;
use crate::world::World;
use crate::{install, port};

/// The relay promises to stop within this.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Its data directory, below where it stands.
const DATA: &str = "data";

/// `yrelay service`, or `yrelay serve`, with a data directory of its own.
pub struct Relay {
    world: World,
    port: u16,
    arguments: Vec<String>,
    clock: Option<Clock>,
    process: Process,
}

impl Relay {
    /// Starts a relay with further arguments and waits until it listens.
    pub fn start(arguments: &[&str]) -> Relay {
        Relay::build("service", arguments, None)
    }

    /// The far end: `yrelay serve`.
    pub fn serve(arguments: &[&str]) -> Relay {
        Relay::build("serve", arguments, None)
    }

    /// Starts a relay with a wall clock of its own; a test asks for `clocks_ready()` first.
    pub fn on_laptop(arguments: &[&str]) -> Relay {
        Relay::build("service", arguments, Some(Clock::new()))
    }

    /// Starts a relay with nothing but these arguments, and waits until it listens: on this port,
    /// as the settings of its world say.
    pub fn start_in(world: World, port: u16, arguments: &[&str]) -> Relay {
        let arguments = ["service"].iter().chain(arguments).map(ToString::to_string).collect();
        Relay::launched(world, port, arguments, None)
    }

    fn build(command: &str, arguments: &[&str], clock: Option<Clock>) -> Relay {
        let world = World::new();
        let port = port::free();
        let own = [command, "127.0.0.1", &port.to_string(), "--data-dir", DATA].map(str::to_owned);
        let further = arguments.iter().map(ToString::to_string);
        Relay::launched(world, port, own.into_iter().chain(further).collect(), clock)
    }

    fn launched(world: World, port: u16, arguments: Vec<String>, clock: Option<Clock>) -> Relay {
        let process = launch(&world, port, &arguments, clock.as_ref());
        Relay { world, port, arguments, clock, process }
    }

    /// Starts a relay below the server at `server_url`.
    pub fn below(server_url: &str) -> Relay {
        Relay::start(&["--server", server_url])
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it stores documents, unless it was started in a world.
    pub fn data(&self) -> PathBuf {
        self.world.working().join(DATA)
    }

    /// Kills it, as a power cut would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Asks it to stop; `None` if it does not within five seconds.
    pub fn stop(&self) -> Option<ExitStatus> {
        self.process.terminate(STOP_MAX)
    }

    /// Starts it again on the same port and data, after `kill` or `stop`.
    pub fn restart(&mut self) {
        self.process = launch(&self.world, self.port, &self.arguments, self.clock.as_ref());
    }

    /// Stops the process where it is, until `thaw`: its machine sleeps.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Lets the process go on.
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Lets the wall clock of a relay on a laptop jump ahead.
    pub fn jump_clock(&self, ahead: Duration) {
        self.clock.as_ref().expect("only a laptop's clock jumps").jump(ahead);
    }

    /// Its wall clock: milliseconds since 1970.
    #[expect(clippy::disallowed_methods, reason = "the harness lives in real time")]
    pub fn unix_ms(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let now = u64::try_from(now.as_millis()).expect("it is before the year 500 million");
        now + self.clock.as_ref().map_or(0, Clock::ahead_ms)
    }

    /// The last lines that it wrote.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// What it says about itself.
    pub fn status(&self) -> Value {
        let body = self.page("/-/status");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body}"))
    }

    /// The body of one of its pages.
    pub fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the relay listens");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
            self.port
        );
        stream.write_all(request.as_bytes()).expect("the relay reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the relay answers in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("the relay speaks HTTP");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        body.to_owned()
    }

    /// Whether and how it is connected to the server above.
    pub fn upstream_state(&self) -> String {
        self.status()["upstream"]["state"].as_str().expect("a state has a name").to_owned()
    }

    /// What it says about a document; null if it does not know it.
    pub fn document(&self, identifier: &str) -> Value {
        let status = self.status();
        let documents = status["documents"].as_array().expect("status lists documents");
        let found = documents.iter().find(|document| document["identifier"] == identifier);
        found.cloned().unwrap_or_default()
    }
}

/// What a command prints that works on the documents of a data directory.
pub fn yrelay(data: &Path, arguments: &[&str]) -> String {
    let world = World::new();
    let mut command = Command::new(binary());
    world.enter(command.args(arguments).arg("--data-dir").arg(data));
    install::run(&mut command)
}

/// What `yrelay config` prints in this world.
pub fn settings(world: &World) -> String {
    let mut command = Command::new(binary());
    world.enter(command.arg("config"));
    install::run(&mut command)
}

fn launch(world: &World, port: u16, arguments: &[String], clock: Option<&Clock>) -> Process {
    let mut command = Command::new(binary());
    world.enter(command.args(arguments));
    if let Some(clock) = clock {
        clock.show(&mut command);
    }
    let process = Process::spawn("yrelay", &mut command, Box::new(Some));
    let listens = ["127.0.0.1", "localhost"].map(|host| format!("listening on ws://{host}:{port}"));
    process.ready(|line| listens.iter().any(|listens| line.starts_with(listens)));
    process
}

/// Builds the program once per test binary; cargo tells where it is.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", "yrelay", "--bin", "yrelay"]);
        cargo.arg("--message-format=json-render-diagnostics");
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let messages = str::from_utf8(&output.stdout).expect("cargo writes UTF-8");
        let executable = messages.lines().find_map(|line| {
            let message = serde_json::from_str::<Value>(line).ok()?;
            message["executable"].as_str().map(PathBuf::from)
        });
        executable.expect("cargo names what it built")
    })
}
