//! All sources of settings, the strongest first: options, our variables, ELVA's variables, files
//! that were named, our files, ELVA's files, defaults.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use secrecy::ExposeSecret as _;
use yrelay::status::Role;
use yrelay::target::Address;

use super::file::File;
use super::search::Places;
use super::value::{Fault, Layer, Origin, Value, switch};
use super::{ALL, Form, MESSAGES, PASSWORD, PASSWORD_FILE, SERVER, Setting, USER, elva, named};

/// Which files to read beside those that are found.
const CONFIG_VARIABLE: &str = "YRELAY_CONFIG";
const ELVA_CONFIG_VARIABLE: &str = "ELVA_CONFIG_PATH";
/// More alike than this, a name is a slip of the pen.
const ALIKE: f64 = 0.6;

/// The environment, as far as it is text. It may hold passwords: it cannot be printed.
#[derive(Default)]
pub(crate) struct Variables(pub(crate) BTreeMap<String, String>);

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
    values: Layer,
    pub(crate) places: Places,
    /// The files that were read.
    pub(crate) files: Vec<String>,
    /// What should be said of them: a line each.
    pub(crate) warnings: Vec<String>,
}

impl Variables {
    pub(crate) fn of_the_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(env::vars_os().filter_map(text).collect())
    }

    /// An empty variable is none.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let text = self.0.get(name).filter(|text| !text.is_empty())?;
        // A cluster sets variables for its services: YRELAY_PORT=tcp://10.0.0.1:80.
        (!text.starts_with("tcp://")).then(|| text.clone())
    }

    fn paths(&self, name: &str) -> Vec<PathBuf> {
        self.get(name).map_or_else(Vec::new, |text| env::split_paths(&text).collect())
    }

    fn layer(&self, name: impl Fn(&Setting) -> Option<String>, places: &Places) -> Layer {
        let mut layer = Layer::new();
        for setting in ALL {
            let Some(name) = name(setting) else { continue };
            let Some(text) = self.get(&name) else { continue };
            let mut value = Value::split(setting, &text, Origin::Variable(name));
            if setting.form.is_path() {
                value.texts.iter_mut().for_each(|text| *text = places.absolute(text, None));
            }
            layer.insert(setting.name, value);
        }
        layer
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
        let ours =
            if given.config.is_empty() { variables.paths(CONFIG_VARIABLE) } else { given.config };
        // As in ELVA, files named on the command line are named instead.
        let elvas =
            if ours.is_empty() { variables.paths(ELVA_CONFIG_VARIABLE) } else { Vec::new() };
        let found = places.find(&ours, &elvas)?;
        let mut warnings = unknown_variables(variables);
        warnings.extend(found.all().flat_map(unknown_keys));
        let elvas_name = |setting: &Setting| Some(setting.elva_variable.to_owned());
        let mut layers = vec![
            given.options,
            variables.layer(Setting::variable, &places),
            variables.layer(elvas_name, &places),
        ];
        for file in &found.ours {
            layers.extend(elva::layers(std::slice::from_ref(file), role, &places)?);
        }
        layers.extend(elva::layers(&found.elvas, role, &places)?);
        let values = merge(layers, role)?;
        if values.get(SERVER.name).is_some_and(|server| !server.text().is_empty()) {
            warnings.extend(elva::not_done(found.all()));
        }
        let files = found.all().map(|file| file.shown.clone()).collect();
        Ok(Self { role, values, places, files, warnings })
    }

    /// A setting, its default where nobody says anything.
    pub(crate) fn get(&self, setting: &Setting) -> Option<Value> {
        let default = || Some(Value::new(setting.default(self.role)?, Origin::Default));
        self.values.get(setting.name).cloned().or_else(default)
    }

    /// A setting that has a default; nothing is one, too.
    pub(crate) fn of(&self, setting: &Setting) -> Value {
        self.get(setting).unwrap_or(Value { texts: Vec::new(), origin: Origin::Default })
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

/// For each setting the strongest source; what it replaces is not looked for in weaker ones.
fn merge(layers: Vec<Layer>, role: Role) -> Result<Layer, Fault> {
    let mut merged = Layer::new();
    for mut layer in layers {
        split_login(&mut layer);
        pass_by_editors(&mut layer);
        layer.retain(|name, _| named(name).is_some_and(|setting| setting.serves(role)));
        for (name, value) in &layer {
            let rival = |other: &Layer| rival(name, value, other);
            if let Some(other) = rival(&layer) {
                return Err(value.origin.fault(format!("{name} and {other} exclude each other")));
            }
            if merged.contains_key(name) || rival(&merged).is_some() {
                continue;
            }
            merged.insert(name, value.clone());
        }
    }
    Ok(merged)
}

/// The other way of saying the same, if it is said there.
fn rival(name: &str, value: &Value, there: &Layer) -> Option<&'static str> {
    let claims = |name: &str, value: &Value| {
        named(name).is_some_and(|setting| setting.form != Form::Switch)
            || switch(value.text()) != Ok(false)
    };
    let is_rival =
        |one: &str, other: &str| named(one).is_some_and(|setting| setting.instead_of == other);
    let found = there.iter().find(|(other, theirs)| {
        (is_rival(name, other) || is_rival(other, name)) && claims(other, theirs)
    });
    found.map(|(other, _)| *other).filter(|_| claims(name, value))
}

/// Takes a login out of an address: it is a user and a password from the same source.
fn split_login(layer: &mut Layer) {
    let Some(server) = layer.get_mut(SERVER.name) else { return };
    let Ok(address) = Address::parse(server.text().trim()) else { return };
    if address.user.is_none() && address.password.is_none() {
        return;
    }
    let origin = server.origin.clone();
    server.texts = vec![address.target.to_string()];
    if let Some(user) = address.user {
        layer.entry(USER.name).or_insert(Value::new(user, origin.clone()));
    }
    if let Some(password) = address.password
        && !layer.contains_key(PASSWORD_FILE.name)
    {
        let text = password.expose_secret();
        layer.entry(PASSWORD.name).or_insert(Value::new(text, origin));
    }
}

/// What ELVA's editors speak does not concern its service, which always speaks ELVA's messages.
fn pass_by_editors(layer: &mut Layer) {
    let is_editors =
        |value: &Value| value.origin.is_elvas() && value.text().eq_ignore_ascii_case("yjs");
    if layer.get(MESSAGES.name).is_some_and(is_editors) {
        layer.remove(MESSAGES.name);
    }
}

/// Keys that mean nothing. In ELVA's files only slips of the pen are worth a word.
fn unknown_keys(file: &File) -> Vec<String> {
    let mut seen = Vec::new();
    let mut words = Vec::new();
    for (key, leaf) in &file.leaves {
        let (name, is_table) =
            key.split_once('.').map_or((&**key, false), |(name, _)| (name, true));
        if seen.contains(&name) || elva::knows(name) || named(name).is_some() {
            continue;
        }
        seen.push(name);
        let near = nearest(name, ALL.iter().map(|setting| setting.name)).filter(|_| !is_table);
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if file.is_elvas => continue,
            None => "`yrelay config` lists those that there are".to_owned(),
        };
        words.push(format!("{}: unknown key `{name}`: {hint}", leaf.key_place));
    }
    words
}

fn unknown_variables(variables: &Variables) -> Vec<String> {
    let known: Vec<_> = ALL.iter().filter_map(|setting| setting.variable()).collect();
    let mut words = Vec::new();
    for name in variables.0.keys().filter_map(|name| name.strip_prefix("YRELAY_")) {
        let is_known = known.iter().any(|known| known.strip_prefix("YRELAY_") == Some(name));
        // What a cluster sets for a service of our name.
        let is_clusters = name.starts_with("SERVICE_") || name.starts_with("PORT_");
        if is_known || is_clusters || format!("YRELAY_{name}") == CONFIG_VARIABLE {
            continue;
        }
        let near = nearest(name, known.iter().filter_map(|known| known.strip_prefix("YRELAY_")));
        let hint = near.map_or("`yrelay help service` lists what there is".to_owned(), |near| {
            format!("did you mean YRELAY_{near}?")
        });
        words.push(format!("unknown variable YRELAY_{name}: {hint}"));
    }
    words
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = |known| (strsim::normalized_damerau_levenshtein(name, known), known);
    let nearest = known.map(near).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (nearest.0 >= ALIKE).then_some(nearest.1)
}
