//! Programs that find nothing of what the tests are started with.

use std::env;
use std::path::Path;
use std::process::Command;

/// Takes settings out of the environment, and files of settings out of reach.
pub(crate) fn alone(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("YRELAY_") || name.starts_with("ELVA_") || name.starts_with("XDG_") {
            command.env_remove(&*name);
        }
    }
    for name in ["COLUMNS", "JOURNAL_STREAM", "PORT", "RUST_LOG", "YPERSISTENCE"] {
        command.env_remove(name);
    }
    let root = Path::new(env!("CARGO_BIN_EXE_yrelay")).ancestors().last().unwrap();
    command.current_dir(root).env("HOME", root.join("no home")).env("USERPROFILE", "no home");
}
