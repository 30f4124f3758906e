//! What `yrelay config` prints: a settings file, each line with its origin.

use std::fmt::Write as _;

use yrelay::status::Role;

use super::gather::Settings;
use super::value::switch;
use super::{ALL, DATA_DIR, Form, PORT, Setting};

/// Secrets never show.
const REDACTED: &str = "[redacted]";

impl Settings {
    /// All settings as TOML. Fit to be saved as `yrelay.toml`.
    pub(crate) fn show(&self) -> String {
        let mut text = String::new();
        let command = if self.role == Role::Service { "service" } else { "serve" };
        let _ = writeln!(text, "# The settings of `yrelay {command}`, and where they come from.");
        for file in &self.files {
            let _ = writeln!(text, "# Read: {file}");
        }
        let lines: Vec<_> = ALL
            .iter()
            .filter(|setting| setting.serves(self.role))
            .map(|setting| self.line(setting))
            .collect();
        let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
        for (line, origin) in lines {
            let _ = writeln!(text, "{line:width$}  # {origin}");
        }
        text
    }

    fn line(&self, setting: &Setting) -> (String, String) {
        let name = setting.name;
        let Some(value) = self.get(setting) else {
            let found = self.places.state.as_ref().filter(|_| setting.name == DATA_DIR.name);
            return match found {
                Some(path) => {
                    (format!("{name} = {}", quoted(&path.display().to_string())), "default".into())
                }
                None => (format!("# {name} ="), setting.default_words.to_owned()),
            };
        };
        // In a file a path is relative to the file.
        let whole = |text: &str| self.places.working.join(text).display().to_string();
        let shown = |text: &str| match setting.form.is_path() {
            true => quoted(&whole(text)),
            false => quoted(text),
        };
        let line = match setting.form {
            Form::Secret => format!("# {name} = {}", quoted(REDACTED)),
            Form::Switch => format!("{name} = {}", switch(value.text()) == Ok(true)),
            Form::List | Form::Paths => {
                let texts: Vec<_> = value.texts.iter().map(|text| shown(text)).collect();
                format!("{name} = [{}]", texts.join(", "))
            }
            Form::Argument if name == PORT.name => format!("{name} = {}", value.text()),
            _ => format!("{name} = {}", shown(value.text())),
        };
        (line, value.origin.to_string())
    }
}

/// What JSON makes of a text, TOML reads as the same.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
