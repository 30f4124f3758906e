//! What `yrelay config` prints: a settings file, each line with its origin.

use std::fmt::Write as _;

use yrelay::status::Role;

use super::gather::Settings;
use super::value::{Value, port, switch};
use super::{ALL, BROADCAST_ONLY, DATA_DIR, EPHEMERAL, Form, PORT, Setting, route};
use crate::printable::printable;

/// Secrets never show.
const REDACTED: &str = "[redacted]";

impl Settings {
    /// All settings as TOML. Fit to be saved as `yrelay.toml`.
    pub(crate) fn show(&self, rust_log: Option<&str>) -> String {
        let mut text = String::new();
        let command = if self.role == Role::Service { "service" } else { "serve" };
        let _ = writeln!(text, "# The settings of `yrelay {command}`, and where they come from.");
        for file in &self.files {
            let _ = writeln!(text, "# Read: {}", printable(file));
        }
        for note in &self.notes {
            let _ = writeln!(text, "# {}", printable(note));
        }
        let mut lines: Vec<_> = ALL
            .iter()
            .filter(|setting| setting.serves(self.role))
            .map(|setting| self.line(setting))
            .collect();
        for route in &self.routes {
            lines.push(("[[route]]".to_owned(), route.origin.to_string()));
            for setting in route::ALL {
                if let Some(value) = route.values.get(setting.name) {
                    lines.push(self.said(route::key(setting), setting, value));
                }
            }
        }
        let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
        if let Some(filter) = rust_log {
            let _ = writeln!(text, "# Instead of log_level, RUST_LOG: {}", printable(filter));
        }
        for (line, origin) in lines {
            text.push_str(if line.starts_with('[') { "\n" } else { "" });
            let _ = writeln!(text, "{line:width$}  # {}", printable(&origin));
        }
        text
    }

    fn line(&self, setting: &Setting) -> (String, String) {
        let name = setting.name;
        let Some(value) = self.get(setting) else {
            let is_kept = [&EPHEMERAL, &BROADCAST_ONLY]
                .iter()
                .all(|setting| switch(self.of(setting).text()) != Ok(true));
            let found = self.places.state.as_ref();
            return match found.filter(|_| setting.name == DATA_DIR.name && is_kept) {
                Some(path) => {
                    (format!("{name} = {}", quoted(&path.display().to_string())), "default".into())
                }
                None => (format!("# {name} ="), setting.default_words.to_owned()),
            };
        };
        self.said(name, setting, &value)
    }

    fn said(&self, key: &str, setting: &Setting, value: &Value) -> (String, String) {
        // In a file a path is relative to the file.
        let whole = |text: &str| self.places.working.join(text).display().to_string();
        let shown = |text: &str| match setting.form.is_path() {
            true => quoted(&whole(text)),
            false => quoted(text),
        };
        let line = match setting.form {
            Form::Secret => format!("# {key} = {}", quoted(REDACTED)),
            Form::Switch => format!("{key} = {}", switch(value.text()) == Ok(true)),
            Form::List | Form::Paths => {
                let texts: Vec<_> = value.texts.iter().map(|text| shown(text)).collect();
                format!("{key} = [{}]", texts.join(", "))
            }
            Form::Argument if setting.name == PORT.name => {
                format!("{key} = {}", value.parse_with(port).unwrap_or_default())
            }
            _ => format!("{key} = {}", shown(value.text())),
        };
        (line, value.origin.to_string())
    }
}

/// What JSON makes of a text, TOML reads as the same, but for control characters that JSON leaves
/// as they are.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for c in serde_json::Value::from(text).to_string().chars() {
        if c.is_control() {
            let _ = write!(quoted, "\\u{:04x}", u32::from(c));
        } else {
            quoted.push(c);
        }
    }
    quoted
}
