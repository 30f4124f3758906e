//! Where settings files are looked for, and how their places are told.

use std::path::{Path, PathBuf};

use super::value::Fault;
use crate::settings::file::File;

/// Our own settings file.
const OURS: &str = "yrelay.toml";
/// The one of ELVA.
const ELVAS: &str = "elva.toml";

/// The directories around the program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// Where one stands.
    pub(crate) working: PathBuf,
    pub(crate) home: Option<PathBuf>,
    /// The platform's directories for settings: the one for us, and the one where ELVA looks.
    pub(crate) settings: Vec<PathBuf>,
    /// The platform's directory for state.
    pub(crate) state: Option<PathBuf>,
}

/// The files of one search, the one that counts most first.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Each for itself: those that were named, ours that is nearest, ours of the user.
    pub(crate) ours: Vec<File>,
    /// ELVA's, which ELVA merges.
    pub(crate) elvas: Vec<File>,
}

impl Places {
    /// From the environment.
    pub(crate) fn new(working: PathBuf, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        // The XDG standard ignores relative paths.
        let xdg = |name| set(name).filter(|path| path.is_absolute());
        let home = set(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
        let at_home = |below: &str| home.as_ref().map(|home| home.join(below));
        let (settings, state) = if cfg!(windows) {
            (vec![set("APPDATA"), set("LOCALAPPDATA").map(|p| p.join("elva"))], set("LOCALAPPDATA"))
        } else if cfg!(target_os = "macos") {
            let support = at_home("Library/Application Support");
            (vec![support.clone()], support)
        } else {
            let settings = xdg("XDG_CONFIG_HOME").or_else(|| at_home(".config"));
            (vec![settings], xdg("XDG_STATE_HOME").or_else(|| at_home(".local/state")))
        };
        let settings = settings.into_iter().flatten().collect();
        Self { working, settings, state: state.map(|path| path.join("yrelay")), home }
    }

    /// A path as people write it: short where it is near or at home.
    pub(crate) fn shown(&self, path: &Path) -> String {
        if let Ok(below) = path.strip_prefix(&self.working)
            && !below.as_os_str().is_empty()
        {
            return below.display().to_string();
        }
        self.below_home(path)
    }

    /// A path that is to be told from anywhere.
    pub(crate) fn below_home(&self, path: &Path) -> String {
        match self.home.as_ref().and_then(|home| path.strip_prefix(home).ok()) {
            Some(below) if !below.as_os_str().is_empty() => format!("~/{}", below.display()),
            _ => path.display().to_string(),
        }
    }

    /// A path from a file or a variable: `~/` is home, all else is relative to `base` or else to
    /// where one stands.
    pub(crate) fn absolute(&self, text: &str, base: Option<&Path>) -> String {
        let path = match (text.strip_prefix("~/"), &self.home) {
            (Some(below), Some(home)) => home.join(below),
            _ => base.unwrap_or(Path::new("")).join(text),
        };
        path.display().to_string()
    }

    /// Reads what is there: files that were `named` for us, files that were named for ELVA, and
    /// those that are found.
    pub(crate) fn find(&self, named: &[PathBuf], elvas: &[PathBuf]) -> Result<Found, Fault> {
        let mut found = Found::default();
        for path in named {
            let is_elvas = path.file_name().is_some_and(|name| name == ELVAS);
            let file = File::read(&self.working.join(path), is_elvas, self)?;
            let missing = || Fault(format!("--config: there is no file {}", path.display()));
            found.ours.push(file.ok_or_else(missing)?);
        }
        let upward = |name| self.working.ancestors().map(move |place| place.join(name));
        found.ours.extend(self.first(upward(OURS), false)?);
        let users = self.settings.iter().map(|place| place.join("yrelay").join(OURS));
        found.ours.extend(self.first(users, false)?);
        for path in elvas {
            found.elvas.extend(File::read(&self.working.join(path), true, self)?);
        }
        let mut is_above = false;
        for path in upward(ELVAS) {
            if let Some(file) = self.there(&path, true)? {
                found.elvas.push(File { is_above, ..file });
                is_above = true;
            }
        }
        let users = self.settings.iter().map(|place| place.join("elva").join(ELVAS));
        found.elvas.extend(self.first(users, true)?);
        found.forget_doubles();
        Ok(found)
    }

    fn first(
        &self,
        mut paths: impl Iterator<Item = PathBuf>,
        is_elvas: bool,
    ) -> Result<Option<File>, Fault> {
        paths.find_map(|path| self.there(&path, is_elvas).transpose()).transpose()
    }

    /// Reads what is a file; nobody asked for it, so directories of that name do not matter.
    fn there(&self, path: &Path, is_elvas: bool) -> Result<Option<File>, Fault> {
        if path.is_file() { File::read(path, is_elvas, self) } else { Ok(None) }
    }
}

impl Found {
    /// All files, the one that counts most first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &File> {
        self.ours.iter().chain(&self.elvas)
    }

    /// Standing in the user's directory one finds its file twice, and may have named it besides.
    fn forget_doubles(&mut self) {
        let mut seen = Vec::new();
        for list in [&mut self.ours, &mut self.elvas] {
            list.retain(|file| {
                let path = file.path.canonicalize().unwrap_or_else(|_| file.path.clone());
                let new = !seen.contains(&path);
                seen.push(path);
                new
            });
        }
    }
}
