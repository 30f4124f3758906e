//! y-sweet's program, which no registry has built: its package on npm fetches it from elsewhere.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use crate::install;

const PACKAGE: &str = "y-sweet@0.9.1";
const NAME: &str = "y-sweet";

static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Finds y-sweet: the program that `YRELAY_YSWEET` names, or one that was built here. With
/// `CI=true` or `YRELAY_LONG=1` it is built, in some minutes; otherwise says so and is false.
#[must_use]
pub fn y_sweet_ready() -> bool {
    PROGRAM.get_or_init(find).is_some()
}

/// y-sweet's only program; its arguments are to follow.
pub(crate) fn y_sweet() -> Command {
    let program = PROGRAM.get().and_then(Option::as_ref);
    Command::new(program.expect("a test returns unless y_sweet_ready()"))
}

fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os("YRELAY_YSWEET") {
        return Some(named.into());
    }
    // The benchmarks have one, too.
    let places = [install::target().join("bench-peers").join(NAME), install::place(NAME)];
    let built = places.into_iter().find(|place| {
        fs::read_to_string(place.join("stamp")).is_ok_and(|package| package == PACKAGE)
    });
    let may_build = install::says("CI", "true") || install::says("YRELAY_LONG", "1");
    let directory = built.or_else(|| may_build.then(|| install::once(NAME, PACKAGE, build)));
    if directory.is_none() {
        eprintln!("skipped: y-sweet is not built here; YRELAY_LONG=1 builds it");
    }
    let program = PathBuf::from("bin").join(NAME).with_extension(env::consts::EXE_EXTENSION);
    directory.map(|directory| directory.join(program))
}

/// Without optimisation, which would take a quarter of an hour.
fn build(directory: &Path) {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["install", "--locked", "--quiet", PACKAGE, "--root"]).arg(directory);
    cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_PROFILE_RELEASE_LTO", "off");
    install::run(cargo.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256"));
}
