//! Clients and servers from npm and PyPI, installed once below `target/interop/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, thread};

use crate::Kind;

const NODE_PACKAGES: [&str; 17] = [
    "yjs@13.6.33",
    "y-protocols@1.0.7",
    "lib0@0.2.120",
    "ws@8.23.0",
    "y-websocket-1@npm:y-websocket@1.5.4",
    "y-websocket-2@npm:y-websocket@2.1.0",
    "y-websocket-3@npm:y-websocket@3.0.0",
    "@y/websocket@4.0.0-3",
    "@y/y@14.0.0-22",
    "@y/protocols@1.0.6-3",
    "y-websocket-server@npm:@y/websocket-server@0.1.1",
    "hocuspocus-server-2@npm:@hocuspocus/server@2.15.3",
    "hocuspocus-server-3@npm:@hocuspocus/server@3.4.4",
    // Wants Node 22, and runs with 20.
    "hocuspocus-server-4@npm:@hocuspocus/server@4.7.0",
    "hocuspocus-provider-2@npm:@hocuspocus/provider@2.15.3",
    "hocuspocus-provider-3@npm:@hocuspocus/provider@3.4.4",
    "hocuspocus-provider-4@npm:@hocuspocus/provider@4.8.0",
];
const PYCRDT: [&str; 3] = ["pycrdt==0.14.13", "pycrdt-websocket==0.16.5", "websockets==15.0.1"];
/// The server of ELVA 0.33 needs the asyncio interface of websockets 14 …
const ELVA33: [&str; 4] =
    ["elva==0.33", "pycrdt==0.12.50", "pycrdt-websocket==0.15.5", "websockets==15.0.1"];
/// … and its service the one before.
const ELVA33_SERVICE: [&str; 4] =
    ["elva==0.33", "pycrdt==0.12.50", "pycrdt-websocket==0.15.5", "websockets==13.1"];
const ELVA37: [&str; 3] = ["elva==0.37", "pycrdt==0.14.13", "websockets==17.4"];

/// The C library that it builds lets a program's wall clock jump.
const CLOCK: [&str; 1] = ["libfaketime==3.0.1"];

/// Oldest Python that ELVA 0.33's sources parse with.
const PYTHON_MIN: &str = "(3, 12)";

/// What is installed: a directory with `node_modules`, and virtual environments.
struct Tools {
    node: PathBuf,
    pycrdt: PathBuf,
    elva33: PathBuf,
    elva33_service: PathBuf,
    elva37: PathBuf,
}

static TOOLS: OnceLock<Option<Tools>> = OnceLock::new();
static CLOCK_LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Installs all clients and servers, unless they are. If this machine lacks Node or Python: says
/// so and is false; with `CI=true`, panics.
#[must_use]
pub fn ready() -> bool {
    TOOLS.get_or_init(install).is_some()
}

/// Installs what lets a relay's wall clock jump, unless it is. If this machine cannot have it:
/// says so and is false; with `CI=true`, panics.
#[must_use]
pub fn clocks_ready() -> bool {
    CLOCK_LIBRARY.get_or_init(install_clock).is_some()
}

/// The command that runs a driver of `clients/`.
pub(crate) fn client_command(kind: Kind, url: &str, token: Option<&str>) -> Command {
    match kind {
        Kind::YWebsocket1 => y_websocket("y-websocket-1", "yjs", url),
        Kind::YWebsocket2 => y_websocket("y-websocket-2", "yjs", url),
        Kind::YWebsocket3 => y_websocket("y-websocket-3", "yjs", url),
        Kind::YWebsocket4 => y_websocket("@y/websocket", "@y/y", url),
        Kind::Pycrdt => python(&tools().pycrdt, "clients/pycrdt_client.py", &[url]),
        Kind::Elva33 => python(&tools().elva33, "clients/elva33_client.py", &[url, "yjs"]),
        Kind::Elva33Framed => python(&tools().elva33, "clients/elva33_client.py", &[url, "elva"]),
        Kind::Elva37 => python(&tools().elva37, "clients/elva37_client.py", &[url]),
        Kind::Hocuspocus2 => hocuspocus("hocuspocus-provider-2", url, token),
        Kind::Hocuspocus3 => hocuspocus("hocuspocus-provider-3", url, token),
        Kind::Hocuspocus4 => hocuspocus("hocuspocus-provider-4", url, token),
        Kind::Raw => python(&tools().pycrdt, "clients/raw_client.py", &[url]),
    }
}

/// y-websocket's server; it is told the rest by variables.
pub(crate) fn y_websocket_server() -> Command {
    node(include_str!("../servers/y_websocket.mjs"))
}

/// Hocuspocus; the package is named, and further arguments are to follow.
pub(crate) fn hocuspocus_server(package: &str) -> Command {
    let mut command = node(include_str!("../servers/hocuspocus.mjs"));
    command.arg(package);
    command
}

/// The server that rebuilds documents from text; its arguments are to follow.
pub(crate) fn rebuilding_server() -> Command {
    node(include_str!("../servers/rebuilding.mjs"))
}

/// The tap; its arguments are to follow.
pub(crate) fn tap() -> Command {
    node(include_str!("../servers/tap.mjs"))
}

/// pycrdt-websocket; its arguments are to follow.
pub(crate) fn pycrdt_server() -> Command {
    python(&tools().pycrdt, "servers/pycrdt_websocket.py", &[])
}

/// The `elva` command of 0.33, able to serve.
pub(crate) fn elva33() -> Command {
    Command::new(executable(&tools().elva33, "elva"))
}

/// The `elva` command of 0.33, able to run its local service.
pub(crate) fn elva33_service() -> Command {
    Command::new(executable(&tools().elva33_service, "elva"))
}

/// The `elva` command of 0.37.
pub(crate) fn elva37() -> Command {
    Command::new(executable(&tools().elva37, "elva"))
}

/// The server that asks for a login; its arguments are to follow.
pub(crate) fn gate() -> Command {
    python(&tools().pycrdt, "servers/gate.py", &[])
}

/// Python with ELVA 0.33.
pub(crate) fn elva33_python(script: &str, arguments: &[&str]) -> Command {
    let mut command = python(&tools().elva33, script, arguments);
    // It prints with rich, which breaks lines to fit.
    command.env("COLUMNS", "1000000");
    command
}

/// Python with ELVA 0.37.
pub(crate) fn elva37_python(script: &str) -> Command {
    python(&tools().elva37, script, &[])
}

/// What a program with a clock of its own is to be started with.
pub(crate) fn clock_library() -> &'static Path {
    let library = CLOCK_LIBRARY.get().and_then(Option::as_ref);
    library.expect("a test returns unless clocks_ready()")
}

/// The directory of one purpose below what cargo builds into.
pub(crate) fn place(name: &str) -> PathBuf {
    target().join("interop").join(name)
}

/// The directory that cargo builds into: the nearest one above this test with cargo's tag.
pub(crate) fn target() -> PathBuf {
    let test = env::current_exe().expect("a test knows its path");
    let tagged = test.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    tagged.expect("cargo tags its target directory").to_owned()
}

fn tools() -> &'static Tools {
    let tools = TOOLS.get().and_then(Option::as_ref);
    tools.expect("a test returns unless ready()")
}

fn install() -> Option<Tools> {
    let found = find_node().and_then(|node| Ok((node, find_python()?)));
    let (node, python) = match found {
        Ok(found) => found,
        Err(missing) => {
            skip(&missing);
            return None;
        }
    };
    let venv = |name, packages| venv(&python, name, packages);
    thread::scope(|scope| {
        let node = scope.spawn(|| node_modules(&node));
        let pycrdt = scope.spawn(|| venv("pycrdt", &PYCRDT));
        let elva33 = scope.spawn(|| venv("elva33", &ELVA33));
        let elva33_service = scope.spawn(|| venv("elva33-service", &ELVA33_SERVICE));
        let elva37 = scope.spawn(|| venv("elva37", &ELVA37));
        Some(Tools {
            node: node.join().expect("npm installs"),
            pycrdt: pycrdt.join().expect("pip installs"),
            elva33: elva33.join().expect("pip installs"),
            elva33_service: elva33_service.join().expect("pip installs"),
            elva37: elva37.join().expect("pip installs"),
        })
    })
}

fn install_clock() -> Option<PathBuf> {
    let python = match find_compiler().and_then(|()| find_python()) {
        Ok(python) => python,
        Err(missing) => {
            skip(&missing);
            return None;
        }
    };
    let versions = venv(&python, "clock", &CLOCK).join("lib");
    let versions = fs::read_dir(versions).expect("an environment has libraries").flatten();
    let inside = "site-packages/libfaketime/vendor/libfaketime/src/libfaketime.so.1";
    let library = versions.map(|version| version.path().join(inside)).find(|path| path.is_file());
    Some(library.expect("the package builds the library"))
}

/// Whether a variable says just this.
pub(crate) fn says(variable: &str, expected: &str) -> bool {
    env::var_os(variable).is_some_and(|value| value == expected)
}

/// Says that a test is left out; with `CI=true`, panics.
pub(crate) fn skip(missing: &str) {
    assert!(!says("CI", "true"), "{missing}");
    eprintln!("skipped: {missing}");
}

fn find_compiler() -> Result<(), String> {
    let runs = Command::new("cc").arg("--version").output().is_ok_and(|it| it.status.success());
    if cfg!(target_os = "linux") && runs {
        Ok(())
    } else {
        Err("Linux with a C compiler is needed for clocks that jump".to_owned())
    }
}

/// npm, which comes with Node; checked by running it.
fn find_node() -> Result<PathBuf, String> {
    let npm = PathBuf::from(if cfg!(windows) { "npm.cmd" } else { "npm" });
    let runs = |program: &Path| {
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    if runs(&npm) && runs(Path::new("node")) {
        Ok(npm)
    } else {
        Err("Node with npm is needed for real Yjs clients".to_owned())
    }
}

/// The first Python that is new enough and can make virtual environments; checked by running it,
/// since a name on the path may be a shim of a version manager with nothing behind it.
pub(crate) fn find_python() -> Result<PathBuf, String> {
    let check = format!("import sys, venv, ensurepip; sys.exit(sys.version_info < {PYTHON_MIN})");
    first_python(&["python3.14", "python3.13", "python3.12", "python3", "python"], &check)
        .ok_or_else(|| "Python 3.12 or newer with venv is needed for ELVA and pycrdt".to_owned())
}

/// The first Python that passes a check.
pub(crate) fn first_python(named: &[&str], check: &str) -> Option<PathBuf> {
    let versions = env::home_dir().map(|home| home.join(".pyenv/versions"));
    let mut managed: Vec<PathBuf> = versions
        .and_then(|versions| fs::read_dir(versions).ok())
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin/python")).collect())
        .unwrap_or_default();
    managed.sort_unstable();
    managed.reverse();
    named.iter().map(PathBuf::from).chain(managed).find(|python| {
        let output = Command::new(python).args(["-c", check]).output();
        output.is_ok_and(|output| output.status.success())
    })
}

fn node_modules(npm: &Path) -> PathBuf {
    once("node", &NODE_PACKAGES.join("\n"), |directory| {
        let manifest = directory.join("package.json");
        fs::write(manifest, "{\"private\": true}\n").expect("target is writable");
        let mut command = Command::new(npm);
        command.args(["install", "--no-audit", "--no-fund", "--no-package-lock"]);
        run(command.args(NODE_PACKAGES).current_dir(directory));
    })
}

pub(crate) fn venv(python: &Path, name: &str, packages: &[&str]) -> PathBuf {
    let stamp = format!("{}\n{}", python.display(), packages.join("\n"));
    once(name, &stamp, |directory| {
        run(Command::new(python).args(["-m", "venv"]).arg(directory));
        let mut pip = Command::new(executable(directory, "python"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        run(pip.args(packages));
    })
}

/// Fills a directory with `fill` unless its stamp says that this was done. Other test binaries
/// wait meanwhile.
pub(crate) fn once(name: &str, stamp: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let directory = place(name);
    fs::create_dir_all(&directory).expect("target is writable");
    let lock = File::create(directory.with_extension("lock")).expect("target is writable");
    lock.lock().expect("files can be locked");
    let stamp_path = directory.join("stamp");
    if fs::read_to_string(&stamp_path).is_ok_and(|found| found == stamp) {
        return directory;
    }
    fs::remove_dir_all(&directory).expect("target is writable");
    fs::create_dir(&directory).expect("target is writable");
    fill(&directory);
    fs::write(stamp_path, stamp).expect("target is writable");
    directory
}

/// Runs a command to its end and returns what it printed; shows all its output if it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("programs write UTF-8")
}

fn y_websocket(provider: &str, yjs: &str, url: &str) -> Command {
    let driver = include_str!("../clients/driver.mjs");
    let mut command = node(&[driver, include_str!("../clients/y_websocket.mjs")].concat());
    command.args([provider, yjs, url]);
    command
}

fn hocuspocus(provider: &str, url: &str, token: Option<&str>) -> Command {
    let driver = include_str!("../clients/driver.mjs");
    let mut command = node(&[driver, include_str!("../clients/hocuspocus.mjs")].concat());
    command.args([provider, url]).args(token);
    command
}

/// Node resolves packages from where it is started if the script is an argument.
fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.args(["--input-type=module", "-e", script, "--"]).current_dir(&tools().node);
    command
}

fn python(venv: &Path, script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(executable(venv, "python"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
    command.args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
    impatient(&mut command);
    command
}

/// Python's websockets waits up to 5 s before it dials again, and ever longer then.
pub(crate) fn impatient(command: &mut Command) {
    command.env("WEBSOCKETS_BACKOFF_INITIAL_DELAY", "0.2");
    command.env("WEBSOCKETS_BACKOFF_MIN_DELAY", "0.2");
    command.env("WEBSOCKETS_BACKOFF_MAX_DELAY", "0.5");
}

pub(crate) fn executable(venv: &Path, name: &str) -> PathBuf {
    venv.join(if cfg!(windows) { "Scripts" } else { "bin" }).join(name)
}
