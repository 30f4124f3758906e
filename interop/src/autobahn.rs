//! The Autobahn testsuite: 301 cases of how to speak WebSocket, for servers and for clients. The
//! other 216 of its 517 are about compression.

mod report;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, fs};

use serde_json::json;

use crate::process::Process;
use crate::{install, port, wait};

pub use report::Report;

/// Runs the same cases, translated to Python 3.
const KOSOKU: [&str; 1] = ["kosoku==0.1.0"];
/// Needs Python 2.7, which no system ships any more.
const ORIGINAL: &str = "autobahntestsuite==25.10.1";

/// About compression, which yrelay never agrees to.
const COMPRESSION: [&str; 2] = ["12.*", "13.*"];

/// All cases take a minute, on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(600);

static KOSOKU_VENV: OnceLock<Option<PathBuf>> = OnceLock::new();
static ORIGINAL_PYTHON: OnceLock<Option<(PathBuf, PathBuf)>> = OnceLock::new();

/// What runs the cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runner {
    /// Quick, and installed as quickly.
    Kosoku,
    /// `wstest`, the original, which takes four times as long.
    Original,
}

/// A server that puts its client to the test, case by case.
pub struct FuzzingServer {
    port: u16,
    reports: PathBuf,
    runner: Runner,
    process: Process,
}

impl Runner {
    /// Those that are to run and can: the original where `YRELAY_LONG=1` asks for it.
    pub fn all() -> Vec<Runner> {
        let long = env::var_os("YRELAY_LONG").is_some_and(|long| long == "1");
        let asked = if long { &[Runner::Kosoku, Runner::Original][..] } else { &[Runner::Kosoku] };
        asked.iter().copied().filter(|runner| runner.ready()).collect()
    }

    /// Installs it, unless it is.
    fn ready(self) -> bool {
        match self {
            Runner::Kosoku => KOSOKU_VENV.get_or_init(install_kosoku).is_some(),
            Runner::Original => ORIGINAL_PYTHON.get_or_init(install_original).is_some(),
        }
    }

    /// Puts a server to the test. Cases are named as in `5.1`, or with a star as in `9.*`.
    pub fn attack(self, name: &str, url: &str, cases: &[&str], except: &[&str]) -> Report {
        let reports = reports(name, self);
        let except = [&COMPRESSION, except].concat();
        let mut command = match self {
            Runner::Kosoku => {
                let mut command = kosoku("fuzzingclient", url, &reports);
                choose(&mut command, cases, &except);
                command
            }
            Runner::Original => {
                let servers = json!([{ "agent": "yrelay", "url": url }]);
                let spec = json!({
                    "outdir": reports, "servers": servers, "cases": cases, "exclude-cases": except,
                    "exclude-agent-cases": {},
                });
                original("fuzzingclient", &spec, &reports)
            }
        };
        let process = Process::spawn("autobahn", &mut command, Box::new(Some));
        assert!(process.exit_status(PATIENCE).is_some(), "the cases come to no end");
        Report::read(&reports)
    }

    /// Starts a server that puts its client to the test.
    pub fn serve(self, name: &str) -> FuzzingServer {
        let (port, reports) = (port::free(), reports(name, self));
        let mut command = match self {
            Runner::Kosoku => {
                let mut command = kosoku("fuzzingserver", &format!("127.0.0.1:{port}"), &reports);
                choose(&mut command, &["*"], &COMPRESSION);
                command
            }
            Runner::Original => {
                let spec = json!({
                    "outdir": reports, "url": format!("ws://127.0.0.1:{port}"), "cases": ["*"],
                    "exclude-cases": COMPRESSION, "exclude-agent-cases": {},
                });
                original("fuzzingserver", &spec, &reports)
            }
        };
        let process = Process::spawn("autobahn", &mut command, Box::new(Some));
        match self {
            Runner::Kosoku => process.ready(|line| line.contains("listening on")),
            // It says nothing, and takes no offence.
            Runner::Original => wait::eventually("Autobahn listens", || {
                TcpStream::connect(("127.0.0.1", port)).is_ok()
            }),
        }
        FuzzingServer { port, reports, runner: self, process }
    }
}

impl FuzzingServer {
    /// Below it, `/getCaseCount`, `/runCase?case=1&agent=NAME` and `/updateReports?agent=NAME`.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// What has come out, once the client has asked for that.
    pub fn report(self) -> Report {
        if self.runner == Runner::Kosoku {
            assert!(self.process.exit_status(wait::PATIENCE).is_some(), "it waits for more");
        }
        Report::read(&self.reports)
    }
}

fn kosoku(mode: &str, address: &str, reports: &Path) -> Command {
    let venv = KOSOKU_VENV.get().and_then(Option::as_ref).expect("runners are ready");
    let mut command = Command::new(install::executable(venv, "kosoku"));
    command.args(["--mode", mode, address, "--outdir"]).arg(reports);
    command
}

fn choose(command: &mut Command, cases: &[&str], except: &[&str]) {
    for case in cases {
        command.args(["--include", case]);
    }
    for case in except {
        command.args(["--exclude", case]);
    }
}

fn original(mode: &str, spec: &serde_json::Value, reports: &Path) -> Command {
    let (python, packages) =
        ORIGINAL_PYTHON.get().and_then(Option::as_ref).expect("runners are ready");
    let path = reports.join("spec.json");
    fs::write(&path, spec.to_string()).expect("target is writable");
    let mut command = Command::new(python);
    // Python's variable for directories does not see to namespaces, which the suite is built from.
    let start = "import site, sys; site.addsitedir(sys.argv.pop(1)); \
                 from autobahntestsuite.wstest import run; run()";
    command.args(["-c", start]).arg(packages);
    command.args(["--mode", mode, "--webport", "0", "--spec"]).arg(path);
    command
}

/// An empty directory, whose pages people may read afterwards.
fn reports(name: &str, runner: Runner) -> PathBuf {
    let directory = install::place("autobahn").join(format!("{name}-{runner:?}").to_lowercase());
    drop(fs::remove_dir_all(&directory));
    fs::create_dir_all(&directory).expect("target is writable");
    directory
}

fn install_kosoku() -> Option<PathBuf> {
    let python = install::find_python().inspect_err(|missing| install::skip(missing)).ok()?;
    Some(install::venv(&python, "kosoku", &KOSOKU))
}

/// Never a failure where it is missing, as no package of a living system brings it.
fn install_original() -> Option<(PathBuf, PathBuf)> {
    let check = "import sys, pip; sys.exit(sys.version_info[:2] != (2, 7))";
    let Some(python) = install::first_python(&["python2.7", "python2", "python"], check) else {
        eprintln!("skipped: Python 2.7 with pip is needed for the original of Autobahn");
        return None;
    };
    let stamp = format!("{}\n{ORIGINAL}", python.display());
    let packages = install::once("wstest", &stamp, |directory| {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        install::run(pip.arg(directory).arg(ORIGINAL));
    });
    Some((python, packages))
}
