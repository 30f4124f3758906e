//! `elva.toml`, as ELVA's two generations read it. What they have for other programs is passed by.
//!
//! ELVA 0.33 has flat keys, and tables for each of its programs (`[app.service]`). It merges its
//! files key by key, but takes `app` as a whole from the first file that has one, and puts that
//! above all files. ELVA 0.37 has a table for each of its commands (`[connect]`, `[basic]`).

use std::net::{IpAddr, Ipv6Addr};

use yrelay::status::Role;

use super::file::File;
use super::search::Places;
use super::value::{Fault, Layer, Value};
use super::{ALL, LOG_LEVEL, SERVER, Setting};

/// Where a server of ELVA 0.37 is, if its host is an address and nothing else is said.
const PORT: u16 = 41_536;
/// To these ELVA 0.37 goes without TLS.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Keys and tables that ELVA has, be they read here or not.
const NAMES: [&str; 15] = [
    "app",
    "basic",
    "chat",
    "config",
    "connect",
    "editor",
    "identifier",
    "level",
    "log",
    "name",
    "render",
    "room",
    "server",
    "tls",
    "user",
];
/// The key that says which server ELVA's editors go to. It may be this relay.
pub(crate) const CONNECT: &str = "connect.host";

/// Whether ELVA has a key or table of this name.
pub(crate) fn knows(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether something is read of a table of this name.
pub(crate) fn reads(table: &str) -> bool {
    ["app", "basic", "connect", "log", "server", "tls"].contains(&table)
}

/// What files say that ELVA would merge, the strongest first.
pub(crate) fn layers(files: &[File], role: Role, places: &Places) -> Result<Vec<Layer>, Fault> {
    let app = match role {
        Role::Service => "app.service.",
        Role::Serve => "app.server.",
    };
    let mut flats = files.iter().filter(|file| !file.is_above);
    let mut layers = Vec::new();
    if let Some(file) = flats.clone().find(|file| file.has_apps) {
        layers.push(flat(file, app, places)?);
        layers.push(flat(file, "app.default.", places)?);
    }
    for file in &mut flats {
        layers.push(flat(file, "", places)?);
    }
    layers.push(tables(files, places)?);
    Ok(layers)
}

/// The settings whose keys begin so.
fn flat(file: &File, prefix: &str, places: &Places) -> Result<Layer, Fault> {
    let mut layer = Layer::new();
    for setting in ALL {
        let key = format!("{prefix}{}", setting.name);
        if file.leaves.contains_key(&key) {
            layer.insert(setting.name, file.value(setting, &key, places)?);
        }
    }
    let key = format!("{prefix}level");
    if let Some(level) = file.text(&key).and_then(level_of_python) {
        layer.entry(LOG_LEVEL.name).or_insert(Value::new(level, file.origin(&key)));
    }
    Ok(layer)
}

/// The tables of ELVA 0.37, deeply merged.
fn tables(files: &[File], places: &Places) -> Result<Layer, Fault> {
    let having = |key: &str| files.iter().find(|file| file.leaves.contains_key(key));
    let mut layer = Layer::new();
    for setting in ALL.iter().filter(|setting| !setting.elva_key.is_empty()) {
        let Some(file) = having(setting.elva_key) else { continue };
        let mut value = file.value(setting, setting.elva_key, places)?;
        if setting.name == LOG_LEVEL.name {
            let Some(text) = level_of_37(value.text()) else { continue };
            value.texts = vec![text.to_owned()];
        }
        layer.insert(setting.name, value);
    }
    let value = |key: &str, setting: &Setting| {
        having(key).map(|file| file.value(setting, key, places)).transpose()
    };
    if let Some(mut server) = value(CONNECT, &SERVER)? {
        let port = value("connect.port", &SERVER)?;
        let port = port.map(|port| port.parse_with(super::value::port)).transpose()?;
        let tls = value("tls.on", &SERVER)?;
        let tls = tls.map(|on| on.parse_with(super::value::switch)).transpose()?;
        server.texts = vec![url(server.text(), port, tls)];
        layer.insert(SERVER.name, server);
    }
    Ok(layer)
}

/// Where ELVA 0.37 would connect to; nowhere without a host.
fn url(host: &str, port: Option<u16>, tls: Option<bool>) -> String {
    if host.is_empty() {
        return String::new();
    }
    let is_local = LOCAL.contains(&host);
    let scheme = if tls.unwrap_or(!is_local) { "wss" } else { "ws" };
    let is_address = is_local || host.parse::<IpAddr>().is_ok();
    let port = port.or(is_address.then_some(PORT)).map_or(String::new(), |port| format!(":{port}"));
    // ELVA 0.37 forgets the brackets, so that who is to reach such an address writes them there.
    let is_bare = host.parse::<Ipv6Addr>().is_ok();
    let host = if is_bare { format!("[{host}]") } else { host.to_owned() };
    format!("{scheme}://{host}{port}/")
}

/// A level of Python's logging, as a name or a number.
fn level_of_python(text: &str) -> Option<&'static str> {
    match text {
        "CRITICAL" | "50" | "ERROR" | "40" => Some("error"),
        "WARNING" | "30" => Some("warn"),
        "INFO" | "20" => Some("info"),
        "DEBUG" | "10" => Some("debug"),
        _ => None,
    }
}

/// The same, or how often `-v` was written.
fn level_of_37(text: &str) -> Option<&'static str> {
    match text.parse::<i64>() {
        Ok(..=0) => None,
        Ok(1) => Some("info"),
        Ok(2..) => Some("debug"),
        Err(_) => level_of_python(text),
    }
}

/// What ELVA 0.37 would do with its settings for a server, and this relay does not.
pub(crate) fn not_done<'a>(files: impl Iterator<Item = &'a File>) -> Vec<String> {
    let mut words = Vec::new();
    for file in files {
        for key in file.keys() {
            let word = match (key, file.text(key)) {
                ("basic.command", _) => "it is not run: use password_command",
                ("basic.secret", Some("REDACTED")) => "this is what ELVA shows in place of it",
                ("tls.certificate", _) => "no certificate is shown to the server",
                ("tls.mode", Some("NONE" | "OPTIONAL")) | ("tls.hostname", Some("false")) => {
                    "the server's certificate is verified all the same"
                }
                _ => continue,
            };
            words.push(format!("{}: {key}: {word}", file.key_place(key)));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elva_37_goes_where_it_would_go() {
        for (host, port, tls, expected) in [
            ("elva.example.org", None, None, "wss://elva.example.org/"),
            ("elva.example.org", Some(8443), None, "wss://elva.example.org:8443/"),
            ("elva.example.org", None, Some(false), "ws://elva.example.org/"),
            ("localhost", None, None, "ws://localhost:41536/"),
            ("localhost", Some(8000), Some(true), "wss://localhost:8000/"),
            ("10.0.0.7", None, None, "wss://10.0.0.7:41536/"),
            ("::1", None, None, "ws://[::1]:41536/"),
            ("[::1]", None, None, "wss://[::1]/"),
            ("[2001:db8::7]", Some(8000), Some(false), "ws://[2001:db8::7]:8000/"),
            ("elva.example.org:8443", None, None, "wss://elva.example.org:8443/"),
            ("", Some(8000), None, ""),
        ] {
            assert_eq!(url(host, port, tls), expected);
        }
    }
}
