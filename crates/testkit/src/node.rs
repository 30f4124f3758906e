//! Packages of Node for tests against real Yjs.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory below `target/` whose `node_modules` holds these packages, each as
/// `name@version`. Installs them once with npm, whichever test asks first. Without Node, or when
/// npm fails, says so and gives nothing, so that a test can skip; where `CI=true` it panics.
pub fn node_modules(name: &str, packages: &[&str]) -> Option<PathBuf> {
    match install(name, packages) {
        Ok(directory) => Some(directory),
        Err(reason) => {
            assert!(env::var("CI").as_deref() != Ok("true"), "no Node packages: {reason}");
            eprintln!("SKIPPED: no Node packages for {name}: {reason}");
            None
        }
    }
}

fn install(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    run(Command::new("node").arg("--version"))?;
    let directory = target().join("interop").join(name);
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let lock = File::create(directory.join("lock")).map_err(|error| error.to_string())?;
    // Released when the file is dropped: other test binaries wait here.
    lock.lock().map_err(|error| error.to_string())?;
    let done = directory.join("installed");
    let wanted = packages.join("\n");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(directory);
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let mut install = Command::new(npm);
    install.args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"]);
    run(install.arg(&directory).args(packages).current_dir(&directory))?;
    fs::write(&done, wanted).map_err(|error| error.to_string())?;
    Ok(directory)
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// The build directory of the workspace.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from)
}
