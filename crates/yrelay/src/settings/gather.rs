//! All sources of settings, the strongest first: options, our variables, ELVA's variables, files
//! that were named, our files, ELVA's files, variables of other servers, defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use yrelay::status::Role;

use super::merge::merge;
use super::route::{self, Said};
use super::search::Places;
use super::value::{Fault, Layer, Origin, Value};
use super::{ALL, PORT, SERVER, Setting, elva, named, unknown};
use crate::printable::printable;

/// Which files to read beside those that are found.
pub(crate) const CONFIG_VARIABLE: &str = "YRELAY_CONFIG";
const ELVA_CONFIG_VARIABLE: &str = "ELVA_CONFIG_PATH";
/// The environment. It may hold passwords: it cannot be printed.
#[derive(Default)]
pub(crate) struct Variables {
    pub(crate) texts: BTreeMap<String, String>,
    /// The names of those that are no text.
    no_texts: BTreeSet<String>,
}

/// What the command line says.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) options: Layer,
    /// The files named with `--config`.
    pub(crate) config: Vec<PathBuf>,
}

/// The settings of one command, each with its origin.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) role: Role,
    pub(super) values: Layer,
    /// What the strongest file that has any says of documents that go elsewhere.
    pub(crate) routes: Vec<Said>,
    pub(crate) places: Places,
    /// The files that were read.
    pub(crate) files: Vec<String>,
    /// What should be said of them: a line each.
    pub(crate) warnings: Vec<String>,
    /// Logins that were found without being asked for: a line each.
    pub(crate) notes: Vec<String>,
}

impl Variables {
    pub(crate) fn new(all: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mut variables = Self::default();
        for (name, value) in all {
            let name = name.to_string_lossy().into_owned();
            match value.into_string() {
                Ok(text) => _ = variables.texts.insert(name, text),
                Err(_) => _ = variables.no_texts.insert(name),
            }
        }
        variables
    }

    /// An empty variable is none.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.texts.get(name).filter(|text| !text.is_empty()).cloned()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.texts.keys().chain(&self.no_texts)
    }

    /// Separated as in PATH.
    fn paths(&self, name: &str, places: &Places) -> Result<Vec<PathBuf>, Fault> {
        let text = self.get(name).unwrap_or_default();
        let paths: Vec<_> = env::split_paths(&text).collect();
        let paths = paths.iter().filter_map(|path| path.to_str()).filter(|path| !path.is_empty());
        let whole = |path| places.absolute(path, None).map(PathBuf::from);
        let found: Result<_, _> = paths.map(whole).collect();
        found.map_err(|reason| Origin::Variable(name.to_owned()).fault(reason))
    }

    fn layer(
        &self,
        name: impl Fn(&Setting) -> Option<String>,
        places: &Places,
    ) -> Result<Layer, Fault> {
        let mut layer = Layer::new();
        for setting in ALL {
            let Some(name) = name(setting) else { continue };
            let origin = Origin::Variable(name.clone());
            if self.no_texts.contains(&name) {
                return Err(origin.fault("it is not valid UTF-8"));
            }
            let Some(text) = self.get(&name) else { continue };
            // What a cluster sets for a service of that name: YRELAY_PORT=tcp://10.0.0.1:80.
            if setting.name == PORT.name && text.starts_with("tcp://") {
                continue;
            }
            let mut value = Value::split(setting, &text, origin);
            if setting.form.is_path() {
                for text in &mut value.texts {
                    let whole = places.absolute(text, None);
                    *text = whole.map_err(|reason| value.origin.fault(reason))?;
                }
            }
            layer.insert(setting.name, value);
        }
        Ok(layer)
    }
}

impl Settings {
    /// Reads all sources.
    pub(crate) fn gather(
        role: Role,
        given: Given,
        variables: &Variables,
        working: PathBuf,
    ) -> Result<Self, Fault> {
        refuse_foreign(role, &given.options)?;
        let places = Places::new(working, |name| variables.get(name));
        // As in ELVA, what is named on the command line is named instead.
        let is_named = !given.config.is_empty();
        let variable = |name| match is_named {
            true => Ok(Vec::new()),
            false => variables.paths(name, &places),
        };
        let elvas = variable(ELVA_CONFIG_VARIABLE)?;
        let (ours, by) = match variable(CONFIG_VARIABLE)? {
            paths if paths.is_empty() => (given.config, "--config"),
            paths => (paths, CONFIG_VARIABLE),
        };
        let found = places.find(&ours, by, &elvas)?;
        let mut warnings = found.ignored.clone();
        warnings.extend(unknown::variables(variables));
        warnings.extend(found.all().flat_map(unknown::keys));
        let elvas_name = |setting: &Setting| Some(setting.elva_variable.to_owned());
        let mut layers = vec![
            given.options,
            variables.layer(Setting::variable, &places)?,
            variables.layer(elvas_name, &places)?,
        ];
        for file in &found.ours {
            layers.extend(elva::layers(std::slice::from_ref(file), role, &places)?);
        }
        layers.extend(elva::layers(&found.elvas, role, &places)?);
        if role == Role::Serve {
            let foreign_name = |setting: &Setting| Some(setting.foreign_variable.to_owned());
            layers.push(variables.layer(foreign_name, &places)?);
        }
        let values = merge(layers, role)?;
        let routes = match found.ours.iter().find(|file| !file.is_elvas && !file.routes.is_empty())
        {
            Some(file) if role == Role::Service => route::said(file, &places)?,
            _ => Vec::new(),
        };
        if values.get(SERVER.name).is_some_and(|server| !server.text().is_empty()) {
            warnings.extend(elva::not_done(found.all()));
        }
        let warnings = warnings.iter().map(|words| printable(words)).collect();
        let files = found.all().map(|file| file.shown.clone()).collect();
        Ok(Self { role, values, routes, places, files, warnings, notes: Vec::new() })
    }

    /// A setting, its default where nobody says anything.
    pub(crate) fn get(&self, setting: &Setting) -> Option<Value> {
        self.get_in(&self.values, setting)
    }

    /// A setting of these, its default where they say nothing.
    pub(super) fn get_in(&self, values: &Layer, setting: &Setting) -> Option<Value> {
        let default = || Some(Value::new(setting.default(self.role)?, Origin::Default));
        let given = values.get(setting.name).cloned();
        // An empty path is none, whatever weaker sources say.
        given.filter(|value| !setting.form.is_path() || !value.text().is_empty()).or_else(default)
    }

    /// Where an empty path was given, which elsewhere means none.
    pub(crate) fn emptied(&self, setting: &Setting) -> Option<&Origin> {
        let value = self.values.get(setting.name)?;
        value.text().is_empty().then_some(&value.origin)
    }

    /// A setting that has a default; nothing is one, too.
    pub(crate) fn of(&self, setting: &Setting) -> Value {
        self.get(setting).unwrap_or(Value { texts: Vec::new(), origin: Origin::Default })
    }

    /// Something that should be said, once.
    pub(super) fn warn(&mut self, words: &str) {
        let words = printable(words);
        if !self.warnings.contains(&words) {
            self.warnings.push(words);
        }
    }

    /// Forgets what was said of a setting.
    pub(crate) fn forget(&mut self, setting: &Setting) {
        self.values.remove(setting.name);
    }
}

/// In files and variables settings may wait for another command; on the command line that is a
/// mistake.
fn refuse_foreign(role: Role, options: &Layer) -> Result<(), Fault> {
    let foreign = |name: &&&str| named(name).is_some_and(|setting| !setting.serves(role));
    let Some(name) = options.keys().find(foreign) else { return Ok(()) };
    let no_upstream = "belongs to `yrelay service`; `yrelay serve` has no server above it";
    Err(options[name].origin.fault(no_upstream))
}
