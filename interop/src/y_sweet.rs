//! y-sweet's program, which no registry has built: its package on npm fetches it from elsewhere.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

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
    let program = |directory: PathBuf| {
        directory.join("bin").join(NAME).with_extension(env::consts::EXE_EXTENSION)
    };
    // The benchmarks have one, too.
    let places = [install::target().join("bench-peers").join(NAME), install::place(NAME)];
    let built = places.map(program).into_iter().find(|program| program.is_file());
    if let Some(named) = env::var_os("YRELAY_YSWEET") {
        Some(named.into())
    } else if built.is_some() {
        built
    } else if install::says("CI", "true") || install::says("YRELAY_LONG", "1") {
        Some(program(install::once(NAME, PACKAGE, build)))
    } else {
        eprintln!("skipped: y-sweet is not built here; YRELAY_LONG=1 builds it");
        None
    }
}

/// Without optimisation, which would take a quarter of an hour.
fn build(directory: &Path) {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["install", "--locked", "--quiet", PACKAGE, "--root"]).arg(directory);
    cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_PROFILE_RELEASE_LTO", "off");
    install::run(cargo.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256"));
}
