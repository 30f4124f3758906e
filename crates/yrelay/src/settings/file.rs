//! A settings file: TOML as a flat list of values that know their places, and its routes as such
//! lists each.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Setting;
use super::search::Places;
use super::value::{Fault, Origin, Value};

/// More is no settings file. The bound is for `-c /dev/zero`.
const BYTES_MAX: u64 = 1 << 20;

/// The tables for documents that go elsewhere.
const ROUTE: &str = "route";

/// How a file came to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// By its name.
    Named,
    /// On the way up from where one stands. Who wrote it may be anybody.
    Upward,
    /// In the user's directory for settings.
    AtHome,
}

/// One settings file, read. It may hold passwords: it cannot be printed.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// As people are told of it.
    pub(crate) shown: String,
    pub(crate) found: Found,
    /// Written for ELVA: keys of others are nobody's mistake, and paths are relative to where one
    /// stands.
    pub(crate) is_elvas: bool,
    /// ELVA's, but further up than the nearest: ELVA 0.33 passes it by.
    pub(crate) is_above: bool,
    /// It has tables for ELVA's programs, be they empty.
    pub(crate) has_apps: bool,
    /// By their path in the file: `server`, `app.service.server`.
    pub(crate) leaves: Leaves,
    /// Its tables `[[route]]`, in their order.
    pub(crate) routes: Vec<Section>,
    text: String,
    /// Where its lines begin.
    lines: Vec<usize>,
}

/// Values by their path.
pub(crate) type Leaves = BTreeMap<String, Leaf>;

/// One of several tables of the same name, with the byte of the file where it begins.
pub(crate) struct Section {
    at: usize,
    pub(crate) leaves: Leaves,
}

/// A value that is no table, with the bytes of the file where key and value begin.
pub(crate) struct Leaf {
    key_at: usize,
    value_at: usize,
    content: Content,
}

enum Content {
    Text(String),
    List(Vec<String>),
    /// Tables in a list, and the like.
    Other,
}

impl File {
    /// Reads a file, if it is there.
    pub(crate) fn read(
        path: &Path,
        found: Found,
        is_elvas: bool,
        places: &Places,
    ) -> Result<Option<Self>, Fault> {
        let shown = places.shown(path);
        let text = match content(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Fault(format!("cannot read {shown}: {error}"))),
        };
        let lines = [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let path = path.to_owned();
        let mut file = Self {
            path,
            shown,
            found,
            is_elvas,
            is_above: false,
            has_apps: false,
            leaves: Leaves::new(),
            routes: Vec::new(),
            text,
            lines,
        };
        file.parse()?;
        Ok(Some(file))
    }

    fn parse(&mut self) -> Result<(), Fault> {
        let table = DeTable::parse(&self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            // No more than the message: the line itself may hold a password.
            Fault(format!("{}: {}", self.place(at), error.message()))
        })?;
        self.has_apps = table.get_ref().contains_key("app");
        let mut leaves = Leaves::new();
        flatten("", table.get_ref(), &mut leaves);
        let routes = table.get_ref().get(ROUTE).and_then(|value| sections(value.get_ref()));
        if routes.is_some() {
            leaves.remove(ROUTE);
        }
        (self.leaves, self.routes) = (leaves, routes.unwrap_or_default());
        let is_route = |key: &&str| key.starts_with("route.") || *key == ROUTE;
        match self.keys().into_iter().find(is_route).filter(|_| !self.is_elvas) {
            Some(key) => {
                let reason = "write [[route]], and what belongs to the route below it";
                Err(self.origin(key).fault(reason))
            }
            None => Ok(()),
        }
    }

    /// What a leaf says of a setting.
    pub(crate) fn value(
        &self,
        setting: &Setting,
        key: &str,
        places: &Places,
    ) -> Result<Value, Fault> {
        self.value_in(&self.leaves, setting, key, places)
    }

    /// The same, of the leaves of a route.
    pub(crate) fn value_in(
        &self,
        leaves: &Leaves,
        setting: &Setting,
        key: &str,
        places: &Places,
    ) -> Result<Value, Fault> {
        let origin = self.origin_at(leaves[key].value_at, key);
        let mut texts = match &leaves[key].content {
            Content::Text(text) => vec![text.clone()],
            Content::List(texts) if setting.form.is_list() => texts.clone(),
            Content::List(_) => return Err(origin.fault("takes one value, not a list of them")),
            Content::Other => return Err(origin.fault("takes a value in quotes")),
        };
        if setting.form.is_path() {
            let base = if self.is_elvas { None } else { self.path.parent() };
            for text in texts.iter_mut().filter(|text| !text.is_empty()) {
                *text = places.absolute(text, base).map_err(|reason| origin.fault(reason))?;
            }
        }
        Ok(Value { texts, origin })
    }

    /// The text of a leaf, if it has one.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match &self.leaves.get(key)?.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Where the value of a key stands.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        self.origin_at(self.leaves[key].value_at, key)
    }

    /// Where a route begins.
    pub(crate) fn origin_of(&self, route: &Section) -> Origin {
        self.origin_at(route.at, ROUTE)
    }

    fn origin_at(&self, at: usize, key: &str) -> Origin {
        let (place, key) = (self.place(at), key.to_owned());
        Origin::Key { place, key, is_elvas: self.is_elvas, found: self.found }
    }

    /// Where a key stands.
    pub(crate) fn key_place(&self, key: &str) -> String {
        self.place(self.leaves[key].key_at)
    }

    /// All keys in their order in the file, those of routes aside.
    pub(crate) fn keys(&self) -> Vec<&str> {
        in_order(&self.leaves)
    }

    /// The keys of all routes in their order in the file, with their places.
    pub(crate) fn route_keys(&self) -> impl Iterator<Item = (&str, String)> {
        self.routes.iter().flat_map(|route| {
            in_order(&route.leaves)
                .into_iter()
                .map(|key| (key, self.place(route.leaves[key].key_at)))
        })
    }

    /// `elva.toml:3:8`, counted in characters from 1.
    fn place(&self, at: usize) -> String {
        let line = self.lines.partition_point(|begin| *begin <= at);
        let before = self.lines.get(line - 1).and_then(|begin| self.text.get(*begin..at));
        let column = before.map_or(1, |before| before.chars().count() + 1);
        format!("{}:{line}:{column}", self.shown)
    }
}

fn content(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok(text)
}

fn in_order(leaves: &Leaves) -> Vec<&str> {
    let mut keys: Vec<_> = leaves.iter().map(|(key, leaf)| (leaf.key_at, &**key)).collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, key)| key).collect()
}

/// The tables of a list of tables.
fn sections(list: &DeValue<'_>) -> Option<Vec<Section>> {
    let section = |item: &Spanned<DeValue<'_>>| {
        let DeValue::Table(table) = item.get_ref() else { return None };
        let mut leaves = Leaves::new();
        flatten("", table, &mut leaves);
        Some(Section { at: item.span().start, leaves })
    };
    let DeValue::Array(list) = list else { return None };
    list.iter().map(section).collect()
}

fn flatten(prefix: &str, table: &DeTable<'_>, leaves: &mut Leaves) {
    for (key, value) in table {
        // A dot within a key is none between keys.
        let name = match key.get_ref().contains('.') {
            true => format!("\"{}\"", key.get_ref()),
            false => key.get_ref().to_string(),
        };
        let path = format!("{prefix}{name}");
        let content = match value.get_ref() {
            DeValue::Table(table) => {
                flatten(&format!("{path}."), table, leaves);
                continue;
            }
            DeValue::Array(list) => {
                let texts = list.iter().map(|item| scalar(item.get_ref()));
                texts.collect::<Option<_>>().map_or(Content::Other, Content::List)
            }
            other => scalar(other).map_or(Content::Other, Content::Text),
        };
        let (key_at, value_at) = (key.span().start, value.span().start);
        leaves.insert(path, Leaf { key_at, value_at, content });
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
