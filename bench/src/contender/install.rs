//! Peers from npm, PyPI and crates.io, installed once below cargo's target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The directory that cargo builds into.
pub fn target() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let tagged = this.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    tagged.map(Path::to_owned).context("this program is not in cargo's target directory")
}

/// A directory with these packages from npm.
pub(super) fn npm(name: &str, packages: &[&str]) -> Result<PathBuf> {
    once(name, packages, |directory| {
        fs::write(directory.join("package.json"), "{\"private\": true}\n")?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-package-lock"]);
        run(npm.args(packages).current_dir(directory))
    })
}

/// A virtual environment with these packages from PyPI.
pub(super) fn pip(name: &str, packages: &[&str]) -> Result<PathBuf> {
    once(name, packages, |directory| {
        run(Command::new(python()?).args(["-m", "venv"]).arg(directory))?;
        let mut pip = Command::new(directory.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        run(pip.args(packages))
    })
}

/// A directory with this program from crates.io, built here.
pub(super) fn cargo(name: &str, package: &str) -> Result<PathBuf> {
    once(name, &[package], |directory| {
        let mut cargo = Command::new("cargo");
        run(cargo.args(["install", "--locked", package, "--root"]).arg(directory))
    })
}

/// The first Python that ELVA's sources parse with, checked by running it: a name may be a shim
/// with nothing behind it.
fn python() -> Result<PathBuf> {
    const CHECK: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))";
    let versions = std::env::home_dir().map(|home| home.join(".pyenv/versions"));
    let managed = versions.and_then(|versions| fs::read_dir(versions).ok()).into_iter().flatten();
    let mut managed: Vec<PathBuf> =
        managed.flatten().map(|version| version.path().join("bin/python")).collect();
    managed.sort_unstable();
    managed.reverse();
    let named = ["python3.14", "python3.13", "python3.12", "python3"].map(PathBuf::from);
    let found = named.into_iter().chain(managed).find(|python| {
        let checked = Command::new(python).args(["-c", CHECK]).output();
        checked.is_ok_and(|checked| checked.status.success())
    });
    found.context("Python 3.12 or newer with venv is needed")
}

/// Fills a directory, unless it was filled with the same already.
fn once(name: &str, packages: &[&str], fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let directory = target()?.join("bench-peers").join(name);
    let (stamp, packages) = (directory.join("stamp"), packages.join("\n"));
    if fs::read_to_string(&stamp).is_ok_and(|found| found == packages) {
        return Ok(directory);
    }
    eprintln!("installing {name} into {}", directory.display());
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    fill(&directory).with_context(|| format!("{name} cannot be installed"))?;
    fs::write(stamp, packages)?;
    Ok(directory)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    Ok(())
}
