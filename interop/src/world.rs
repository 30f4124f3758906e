//! Where a program starts: directories with settings files, and variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A home with directories below, variables, and a place to stand in.
pub struct World {
    home: TempDir,
    working: PathBuf,
    variables: BTreeMap<String, String>,
}

impl World {
    /// A world in which one stands at home.
    #[expect(clippy::new_without_default, reason = "no two are the same")]
    pub fn new() -> World {
        let home = TempDir::new().expect("temporary directories can be made");
        let working = whole(home.path());
        World { home, working, variables: BTreeMap::new() }
    }

    /// A place in it; `~` is the home.
    pub fn path(&self, place: &str) -> PathBuf {
        let home = whole(self.home.path());
        if place == "~" { home } else { home.join(below_home(place)) }
    }

    /// Stands somewhere else.
    #[must_use]
    pub fn standing(mut self, place: &str) -> World {
        self.working = self.path(place);
        fs::create_dir_all(&self.working).expect("temporary directories are writable");
        self
    }

    /// Where one stands.
    pub fn working(&self) -> &Path {
        &self.working
    }

    /// Writes a file.
    pub fn write(&self, place: &str, text: &str) {
        let path = self.path(place);
        let directory = path.parent().expect("a file is in a directory");
        let written = fs::create_dir_all(directory).and_then(|()| fs::write(&path, text));
        written.expect("temporary directories are writable");
    }

    /// Sets a variable; `~` in it is the home.
    pub fn set(&mut self, name: &str, text: &str) {
        let home = self.path("~").display().to_string();
        self.variables.insert(name.to_owned(), text.replace('~', &home));
    }

    /// Lets a command start here: of this machine's variables it sees none that say where settings
    /// are, or what they are.
    pub(crate) fn enter(&self, command: &mut Command) {
        stay_at(command, &self.working);
        command.envs(self.all_variables());
    }

    /// The same for a program that goes from world to world.
    pub(crate) fn told(&self) -> Value {
        json!({"working": self.working, "variables": self.all_variables()})
    }

    fn all_variables(&self) -> BTreeMap<String, String> {
        let home = self.path("~").display().to_string();
        let homes = ["HOME", "USERPROFILE"].map(|name| (name.to_owned(), home.clone()));
        homes.into_iter().chain(self.variables.clone()).collect()
    }
}

/// Lets a command start in a directory that is its home as well. Settings of whoever runs the tests
/// are none of its business.
pub(crate) fn stay_at(command: &mut Command, home: &Path) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| OWN.iter().any(|own| name.starts_with(own))) {
            command.env_remove(name);
        }
    }
    command.current_dir(home).env("HOME", home).env("USERPROFILE", home);
}

/// Variables of these programs, and of the standard for directories.
const OWN: [&str; 3] = ["ELVA_", "YRELAY_", "XDG_"];

fn below_home(place: &str) -> &str {
    place.strip_prefix("~/").expect("there is nothing beside the home")
}

/// A temporary directory may be a link, as on macOS.
fn whole(path: &Path) -> PathBuf {
    path.canonicalize().expect("the directory is there")
}
