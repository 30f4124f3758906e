//! Names that mean nothing: most are slips of the pen.

use super::file::File;
use super::gather::{CONFIG_VARIABLE, Variables};
use super::search::OURS;
use super::{ALL, elva, named, route};

/// More alike than this, a name is a slip of the pen, ...
const ALIKE: f64 = 0.6;
/// ... in a file that others write into as well.
const VERY_ALIKE: f64 = 0.8;
/// So many are told of one file.
const TOLD_MAX: usize = 10;

/// Keys of a file that nobody reads. In files that are ELVA's, too, only slips of the pen are worth
/// a word.
pub(crate) fn keys(file: &File) -> Vec<String> {
    let is_ours = file.path.file_name().is_some_and(|name| name == OURS);
    let mut seen = Vec::new();
    let mut words = Vec::new();
    for key in file.keys() {
        let Some((name, is_table)) = unread(key, is_ours) else { continue };
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let near = nearest(name, ALL.iter().map(|setting| setting.name));
        let bound = if file.is_elvas { VERY_ALIKE } else { ALIKE };
        let hint = match near.filter(|(alike, _)| !is_table && *alike > bound) {
            Some((_, near)) => format!("did you mean `{near}`?"),
            None if file.is_elvas => continue,
            None => "`yrelay config` lists what there is".to_owned(),
        };
        let kind = if is_table { "table" } else { "key" };
        words.push(format!("{}: unknown {kind} `{name}`: {hint}", file.key_place(key)));
    }
    words.extend(routes(file));
    let more = words.len().saturating_sub(TOLD_MAX);
    words.truncate(TOLD_MAX);
    if more > 0 {
        words.push(format!("{}: and {more} more unknown keys", file.shown));
    }
    words
}

/// Keys of its routes that nobody reads.
fn routes(file: &File) -> Vec<String> {
    if file.is_elvas {
        let passed_by =
            |route| format!("{}: [[route]] is read in yrelay.toml only", file.origin_of(route));
        return file.routes.first().map(passed_by).into_iter().collect();
    }
    let known = || route::ALL.iter().map(|setting| route::key(setting));
    let unread = file.route_keys().filter(|(key, _)| !known().any(|known| known == *key));
    let word = |(key, place): (&str, String)| {
        let hint = match (named(key), nearest(key, known())) {
            (Some(setting), _) if route::key(setting) != key => {
                format!("here it is `{}`", route::key(setting))
            }
            // All that follows a route belongs to it.
            (Some(_), _) => "write it above all routes".to_owned(),
            (None, Some((alike, near))) if alike > ALIKE => format!("did you mean `{near}`?"),
            _ => "docs/settings.md lists what there is".to_owned(),
        };
        format!("{place}: unknown key `{key}` in a route: {hint}")
    };
    unread.map(word).collect()
}

/// The part of a key that nobody reads, and whether it is a table.
fn unread(key: &str, is_ours: bool) -> Option<(&str, bool)> {
    for table in ["app.default.", "app.service.", "app.server."] {
        if let Some(name) = key.strip_prefix(table) {
            let is_read = named(name).is_some() || (elva::knows(name) && !is_ours);
            return (!is_read).then_some((name, name.contains('.')));
        }
    }
    let (name, is_table) = key.split_once('.').map_or((key, false), |(name, _)| (name, true));
    let is_read = match is_table {
        true => elva::reads(name),
        false => named(name).is_some(),
    };
    let is_elvas = elva::knows(name) && !is_ours;
    (!is_read && !is_elvas).then_some((name, is_table))
}

/// Variables of ours that nobody reads.
pub(crate) fn variables(variables: &Variables) -> Vec<String> {
    let known: Vec<_> = ALL.iter().filter_map(|setting| setting.variable()).collect();
    let mut words = Vec::new();
    for name in variables.names().filter(|name| name.starts_with("YRELAY_")) {
        // What a cluster sets for a service of our name.
        let is_clusters =
            ["YRELAY_SERVICE_", "YRELAY_PORT_"].iter().any(|begin| name.starts_with(begin));
        if name == CONFIG_VARIABLE || is_clusters || known.iter().any(|known| known == name) {
            continue;
        }
        let near =
            nearest(&name["YRELAY_".len()..], known.iter().map(|known| &known["YRELAY_".len()..]));
        let hint = match near.filter(|(alike, _)| *alike > ALIKE) {
            Some((_, near)) => format!("did you mean YRELAY_{near}?"),
            None => "`yrelay help service` lists what there is".to_owned(),
        };
        words.push(format!("unknown variable {name}: {hint}"));
    }
    words
}

/// The name that is most alike, and how much it is: at most 1.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<(f64, &'a str)> {
    let near = |known| (strsim::normalized_damerau_levenshtein(name, known), known);
    known.map(near).max_by(|(a, _), (b, _)| a.total_cmp(b))
}
