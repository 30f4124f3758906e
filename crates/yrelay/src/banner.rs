//! What a person at a terminal reads beneath the first line.

use std::fmt::Write as _;

use yrelay::config::{Config, Storage, Upstream};
use yrelay::login::Login;
use yrelay::status::Role;

use crate::printable::printable;
use crate::settings::gather::Settings;
use crate::settings::value::Origin;
use crate::settings::{DATA_DIR, PORT, SERVER, Setting};

/// Where clients connect, where documents are kept and how many, which server is above, where to
/// look. `url` is where it listens.
pub(crate) fn banner(settings: &Settings, config: &Config, url: &str, documents: usize) -> String {
    let mut text = String::new();
    let mut line = |name: &str, words: String| {
        let _ = writeln!(text, "  {name:9} {}", printable(&words));
    };
    line("clients", format!("{url}/<identifier>{}", from_foreign(settings, &PORT)));
    line("store", store(settings, &config.storage, documents));
    if config.role == Role::Service {
        line("upstream", upstream(settings, config));
        for (number, route) in config.routes.iter().enumerate() {
            let name = if number == 0 { "routes" } else { "" };
            let there = route.upstream.as_ref().map_or_else(|| "stay here".to_owned(), there);
            line(name, format!("{} {there}", settings.routes[number].shown_patterns()));
        }
    }
    let page = url.replacen("ws", "http", 1);
    let is_found = config.port != 0 && settings.own_url_is_found();
    let option = if is_found { String::new() } else { format!(" --url {page}") };
    line("status", format!("{page}/-/status   or: yrelay status{option}"));
    text
}

fn store(settings: &Settings, storage: &Storage, documents: usize) -> String {
    let count = match documents {
        1 => "1 document".to_owned(),
        _ => format!("{documents} documents"),
    };
    match storage {
        Storage::Directory(path) => {
            let place = settings.places.below_home(path);
            format!("{place} ({count}){}", from_foreign(settings, &DATA_DIR))
        }
        Storage::Ephemeral if settings.is_broadcast_only() == Ok(true) => {
            "none: what clients say is passed on and forgotten".to_owned()
        }
        Storage::Ephemeral => "none: documents live as long as this process".to_owned(),
    }
}

/// Says which variable of another program decides: it may be meant for that one only.
fn from_foreign(settings: &Settings, setting: &Setting) -> String {
    match settings.of(setting).origin {
        Origin::Variable(name) if name == setting.foreign_variable => format!(" (from {name})"),
        _ => String::new(),
    }
}

fn upstream(settings: &Settings, config: &Config) -> String {
    let Some(upstream) = &config.upstream else {
        return match config.upstreams().next() {
            Some(_) => "none: only what has a route leaves this machine".to_owned(),
            None => "none: nothing leaves this machine".to_owned(),
        };
    };
    let origin = match settings.of(&SERVER).origin {
        Origin::Option(_) => String::new(),
        origin => format!(" (from {origin})"),
    };
    format!("{}{origin}", there(upstream))
}

fn there(upstream: &Upstream) -> String {
    let user = upstream.login.as_ref().and_then(Login::user);
    let user = user.map_or_else(String::new, |user| format!(" as {user}"));
    format!("{}{user}", upstream.target)
}
