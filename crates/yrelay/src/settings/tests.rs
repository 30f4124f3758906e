//! Each setting by each of its sources; files of both generations of ELVA; what goes wrong.

mod elva;
mod faults;
mod places;
mod reference;
mod routes;
mod sources;
mod upstream;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::gather::{Settings, Variables};
use super::value::Fault;
use super::{Setting, named};
use crate::cli::{self, Task};

/// Where the platform has settings.
const SETTINGS: &str =
    if cfg!(target_os = "macos") { "~/Library/Application Support" } else { "~/.config" };

/// A machine: a directory to stand in, a home, variables, a command line.
struct World {
    root: TempDir,
    variables: Variables,
    line: Vec<String>,
}

impl World {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let mut world = Self { root, variables: Variables::default(), line: Vec::new() };
        for place in ["home/jane/project/deep", "else"] {
            fs::create_dir_all(world.path(place)).unwrap();
        }
        let home = world.path("home/jane").display().to_string();
        for name in ["HOME", "USERPROFILE"] {
            world.set(name, &home);
        }
        for (name, below) in [("APPDATA", ".config"), ("LOCALAPPDATA", ".local/state")] {
            world.set(name, &format!("{home}/{below}"));
        }
        world.say("yrelay service")
    }

    fn path(&self, below: &str) -> PathBuf {
        // A temporary directory may be a link, as on macOS.
        self.root.path().canonicalize().unwrap().join(below)
    }

    /// Where one stands.
    fn working(&self) -> PathBuf {
        self.path("home/jane/project/deep")
    }

    fn set(&mut self, name: &str, text: &str) {
        self.variables.texts.insert(name.to_owned(), text.to_owned());
    }

    /// Writes a file; `~` is the home, and `~/.config` the directory for settings.
    fn file(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path(&path.replace("~/.config", SETTINGS).replace('~', "home/jane"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn say(mut self, line: &str) -> Self {
        self.line = line.split(' ').map(str::to_owned).collect();
        self
    }

    fn gather(&self) -> Result<Settings, Fault> {
        let line = self.line.iter().map(OsString::from);
        let matches = cli::command().try_get_matches_from(line).unwrap();
        let (Task::Run(role, given) | Task::Config(role, given)) = cli::task(&matches) else {
            panic!("another command");
        };
        Settings::gather(role, given, &self.variables, self.working())
    }

    fn settings(&self) -> Settings {
        self.gather().unwrap()
    }

    /// What is wrong, with the directory of the test left out.
    fn fault(&self) -> String {
        let fault = match self.gather() {
            Ok(mut settings) => match settings.config().map(|_| settings.log().map(|_| ())) {
                Ok(Ok(())) => panic!("nothing is wrong"),
                Ok(Err(fault)) | Err(fault) => fault,
            },
            Err(fault) => fault,
        };
        self.without_root(&fault.to_string())
    }

    fn without_root(&self, text: &str) -> String {
        let text = text.replace(&*self.path("").to_string_lossy(), "/");
        text.replace('\\', "/").replace(SETTINGS, "~/.config")
    }
}

/// A setting as `text (origin)`.
fn told(settings: &Settings, name: &str) -> String {
    let value = settings.of(named(name).unwrap());
    let told = format!("{} ({})", value.texts.join(","), value.origin);
    told.replace('\\', "/").replace(SETTINGS, "~/.config")
}
