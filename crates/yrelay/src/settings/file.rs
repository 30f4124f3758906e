//! A settings file: TOML as a flat list of values that know their places.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::Setting;
use super::search::Places;
use super::value::{Fault, Origin, Value};

/// More is no settings file. The bound is for `-c /dev/zero`.
const BYTES_MAX: u64 = 1 << 20;

/// One settings file, read.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// As people are told of it.
    pub(crate) shown: String,
    /// Written for ELVA: keys of others are nobody's mistake, and paths are relative to where one
    /// stands.
    pub(crate) is_elvas: bool,
    /// ELVA's, but further up than the nearest: ELVA 0.33 passes it by.
    pub(crate) is_above: bool,
    /// It has tables for ELVA's programs, be they empty.
    pub(crate) has_apps: bool,
    /// By their path in the file: `server`, `app.service.server`.
    pub(crate) leaves: BTreeMap<String, Leaf>,
}

/// A value that is no table.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// Line and column of the value.
    place: String,
    /// Line and column of the key.
    pub(crate) key_place: String,
    /// Byte of the key in the file.
    pub(crate) at: usize,
    content: Content,
}

enum Content {
    Text(String),
    List(Vec<String>),
    /// Tables in a list, and the like.
    Other,
}

impl std::fmt::Debug for Content {
    /// It may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("content")
    }
}

impl File {
    /// Reads a file, if it is there.
    pub(crate) fn read(
        path: &Path,
        is_elvas: bool,
        places: &Places,
    ) -> Result<Option<Self>, Fault> {
        let shown = places.shown(path);
        match content(path) {
            Ok(text) => Self::parse(path, shown, is_elvas, &text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault(format!("cannot read {shown}: {error}"))),
        }
    }

    pub(crate) fn parse(
        path: &Path,
        shown: String,
        is_elvas: bool,
        text: &str,
    ) -> Result<Self, Fault> {
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            // No more than the message: the line itself may hold a password.
            Fault(format!("{}: {}", place(&shown, text, at), error.message()))
        })?;
        let mut leaves = BTreeMap::new();
        let locate = |at| place(&shown, text, at);
        flatten("", table.get_ref(), &locate, &mut leaves);
        let has_apps = table.get_ref().contains_key("app");
        Ok(Self { path: path.to_owned(), shown, is_elvas, is_above: false, has_apps, leaves })
    }

    /// What a leaf says of a setting.
    pub(crate) fn value(
        &self,
        setting: &Setting,
        key: &str,
        places: &Places,
    ) -> Result<Value, Fault> {
        let leaf = &self.leaves[key];
        let origin = leaf.origin(key, self.is_elvas);
        let mut texts = match &leaf.content {
            Content::Text(text) => vec![text.clone()],
            Content::List(texts) if setting.form.is_list() => texts.clone(),
            Content::List(_) => return Err(origin.fault("takes one value, not a list of them")),
            Content::Other => return Err(origin.fault("takes a value in quotes")),
        };
        if setting.form.is_path() {
            let base = if self.is_elvas { None } else { self.path.parent() };
            for text in &mut texts {
                *text = places.absolute(text, base);
            }
        }
        Ok(Value { texts, origin })
    }
}

impl File {
    /// All leaves in their order in the file.
    pub(crate) fn in_order(&self) -> Vec<(&str, &Leaf)> {
        let mut leaves: Vec<_> = self.leaves.iter().map(|(key, leaf)| (&**key, leaf)).collect();
        leaves.sort_by_key(|(_, leaf)| leaf.at);
        leaves
    }
}

impl Leaf {
    pub(crate) fn origin(&self, key: &str, is_elvas: bool) -> Origin {
        Origin::Key { place: self.place.clone(), key: key.to_owned(), is_elvas }
    }

    /// Its text, if it has one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
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

/// `elva.toml:3:8`, counted in characters from 1.
fn place(shown: &str, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("{shown}:{line}:{column}")
}

fn flatten(
    prefix: &str,
    table: &DeTable<'_>,
    locate: &impl Fn(usize) -> String,
    leaves: &mut BTreeMap<String, Leaf>,
) {
    for (key, value) in table {
        let path = format!("{prefix}{}", key.get_ref());
        if let DeValue::Table(table) = value.get_ref() {
            flatten(&format!("{path}."), table, locate, leaves);
            continue;
        }
        let content = match value.get_ref() {
            DeValue::Array(list) => {
                let texts = list.iter().map(|item| scalar(item.get_ref()));
                texts.collect::<Option<_>>().map_or(Content::Other, Content::List)
            }
            scalar_value => scalar(scalar_value).map_or(Content::Other, Content::Text),
        };
        let place = locate(value.span().start);
        let at = key.span().start;
        leaves.insert(path, Leaf { place, key_place: locate(at), at, content });
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
