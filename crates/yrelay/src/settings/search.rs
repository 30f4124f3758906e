//! Where settings files are looked for, and how their places are told.

use std::path::{Path, PathBuf};

use super::file::{File, Found};
use super::value::Fault;

/// Our own settings file.
pub(crate) const OURS: &str = "yrelay.toml";
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
    /// Where logins of many servers are.
    pub(crate) netrc: Option<PathBuf>,
    /// Where systemd has put our credentials.
    pub(crate) credentials: Option<PathBuf>,
}

/// The files of one search, the one that counts most first.
#[derive(Default)]
pub(crate) struct Files {
    /// Each for itself: those that were named, ours that is nearest, ours of the user.
    pub(crate) ours: Vec<File>,
    /// ELVA's, which ELVA merges.
    pub(crate) elvas: Vec<File>,
    /// Those that were passed by: a line each.
    pub(crate) ignored: Vec<String>,
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
        let netrc = if cfg!(windows) { "_netrc" } else { ".netrc" };
        let netrc = set("NETRC").or_else(|| at_home(netrc));
        let credentials = set("CREDENTIALS_DIRECTORY");
        let state = state.map(|path| path.join("yrelay"));
        Self { working, settings, state, netrc, credentials, home }
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
    pub(crate) fn absolute(&self, text: &str, base: Option<&Path>) -> Result<String, String> {
        let path = match (text.strip_prefix("~/"), &self.home) {
            (Some(below), Some(home)) => home.join(below),
            _ => base.unwrap_or(Path::new("")).join(text),
        };
        let path = path.into_os_string().into_string();
        path.map_err(|path| format!("{} is not valid UTF-8", Path::new(&path).display()))
    }

    /// Reads what is there: files that were `named` for us (`by` what), files that were named for
    /// ELVA, and those that are found.
    pub(crate) fn find(
        &self,
        named: &[PathBuf],
        by: &str,
        elvas: &[PathBuf],
    ) -> Result<Files, Fault> {
        let mut files = Files::default();
        for path in named {
            let is_elvas = path.file_name().is_some_and(|name| name == ELVAS);
            let file = File::read(&self.working.join(path), Found::Named, is_elvas, self)?;
            let missing = || Fault(format!("{by}: there is no file {}", path.display()));
            files.ours.push(file.ok_or_else(missing)?);
        }
        let ours = self.upward(OURS, false, &mut files.ignored)?;
        files.ours.extend(ours.into_iter().next());
        files.ours.extend(self.at_home(&["yrelay", OURS], false)?);
        for path in elvas {
            files.elvas.extend(File::read(&self.working.join(path), Found::Named, true, self)?);
        }
        let mut upward = self.upward(ELVAS, true, &mut files.ignored)?;
        upward.iter_mut().skip(1).for_each(|file| file.is_above = true);
        files.elvas.extend(upward);
        files.elvas.extend(self.at_home(&["elva", ELVAS], true)?);
        files.forget_doubles();
        Ok(files)
    }

    /// The files of this name from where one stands to the root.
    fn upward(
        &self,
        name: &str,
        is_elvas: bool,
        ignored: &mut Vec<String>,
    ) -> Result<Vec<File>, Fault> {
        let mut files = Vec::new();
        for path in self.working.ancestors().map(|place| place.join(name)) {
            // Nobody asked for it, so directories of that name do not matter.
            if !path.is_file() {
                continue;
            }
            if is_others(&path) {
                let shown = self.shown(&path);
                ignored.push(format!(
                    "{shown} is ignored: it belongs to another user; name it with --config if you \
                     trust it"
                ));
                continue;
            }
            files.extend(File::read(&path, Found::Upward, is_elvas, self)?);
        }
        Ok(files)
    }

    fn at_home(&self, below: &[&str], is_elvas: bool) -> Result<Option<File>, Fault> {
        let paths = self.settings.iter().map(|place| place.join(below.iter().collect::<PathBuf>()));
        match paths.into_iter().find(|path| path.is_file()) {
            Some(path) => File::read(&path, Found::AtHome, is_elvas, self),
            None => Ok(None),
        }
    }
}

/// Whether a file belongs to somebody else. What strangers leave on the way up, as in /tmp, must
/// not say where our documents and passwords go.
#[cfg(unix)]
fn is_others(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let trusted = [0, rustix::process::geteuid().as_raw()];
    path.metadata().is_ok_and(|file| !trusted.contains(&file.uid()))
}

#[cfg(not(unix))]
fn is_others(_: &Path) -> bool {
    false
}

impl Files {
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
