//! A value and where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::Setting;
use super::file::Found;

/// Where a value stands: what an error must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// `--server`, or `PORT`.
    Option(String),
    /// `YRELAY_SERVER`.
    Variable(String),
    /// `elva.toml:3:8`, and the key there.
    Key { place: String, key: String, is_elvas: bool, found: Found },
}

/// What one source says of a setting; a list has any number of texts, all else has one. Secrets
/// go through here: it cannot be printed as a whole.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) texts: Vec<String>,
    pub(crate) origin: Origin,
}

/// What one source says, by the names of the settings.
pub(crate) type Layer = BTreeMap<&'static str, Value>;

/// What is wrong with a setting, where it stands, and the way out: one line. Never repeats a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fault(pub(crate) String);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Option(name) | Self::Variable(name) => f.write_str(name),
            Self::Key { place, .. } => f.write_str(place),
        }
    }
}

impl Origin {
    /// Whether it was written for ELVA.
    pub(crate) fn is_elvas(&self) -> bool {
        match self {
            Self::Variable(name) => name.starts_with("ELVA_"),
            Self::Key { is_elvas, .. } => *is_elvas,
            _ => false,
        }
    }

    /// Whether both stand in one file.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key { place: one, .. }, Self::Key { place: other, .. }) => {
                let file = |place: &'_ str| place.rsplitn(3, ':').nth(2).map(str::to_owned);
                file(one) == file(other)
            }
            _ => false,
        }
    }

    /// A fault of the value that stands here.
    pub(crate) fn fault(&self, reason: impl fmt::Display) -> Fault {
        match self {
            Self::Key { place, key, .. } => Fault(format!("{place}: {key}: {reason}")),
            _ => Fault(format!("{self}: {reason}")),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "value from {}", self.origin)
    }
}

impl Value {
    pub(crate) fn new(text: impl Into<String>, origin: Origin) -> Self {
        Self { texts: vec![text.into()], origin }
    }

    /// The text of what is no list.
    pub(crate) fn text(&self) -> &str {
        self.texts.first().map_or("", String::as_str)
    }

    /// A list as variables have it: commas in between.
    pub(crate) fn split(setting: &Setting, text: &str, origin: Origin) -> Self {
        if !setting.form.is_list() {
            return Self::new(text, origin);
        }
        let parts = text.split(',').map(|part| part.trim().to_owned());
        Self { texts: parts.filter(|part| !part.is_empty()).collect(), origin }
    }

    /// The value as what it should be, read by a function.
    pub(crate) fn parse_with<T>(
        &self,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Fault> {
        read(self.text().trim()).map_err(|reason| self.origin.fault(reason))
    }

    /// All of a list.
    pub(crate) fn parse_all<T: FromStr<Err: fmt::Display>>(&self) -> Result<Vec<T>, Fault> {
        let parse = |text: &String| {
            text.parse().map_err(|error| self.origin.fault(format!("{text:?}: {error}")))
        };
        self.texts.iter().map(parse).collect()
    }
}

/// Yes or no, as people write it.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// A port; 0 is any.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    let no_port = |_| format!("{text:?} is no port: write a number from 0 to 65535");
    text.parse().map_err(no_port)
}

/// A size in bytes, with its unit.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let bytes = text.parse::<bytesize::ByteSize>().ok().filter(|_| has_unit(text));
    bytes.map(|size| size.0).ok_or_else(|| format!("{text:?} is no size: write it like 16MiB"))
}

/// A time in milliseconds, with its unit.
pub(crate) fn duration_ms(text: &str) -> Result<u64, String> {
    let duration = humantime::parse_duration(text).ok().filter(|_| has_unit(text));
    let ms = duration.and_then(|duration| u64::try_from(duration.as_millis()).ok());
    ms.ok_or_else(|| format!("{text:?} is no time: write it like 90s or 5min"))
}

fn has_unit(text: &str) -> bool {
    text.ends_with(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in
            [("16 MiB", 16 << 20), ("1GiB", 1 << 30), ("64 kB", 64_000), ("512 B", 512)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "16", "MiB", "16 apples", "-1 MiB", "1e99 GB"] {
            assert!(size(text).unwrap_err().ends_with("write it like 16MiB"), "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, ms) in
            [("90 s", 90_000), ("1 min", 60_000), ("1h 30m", 5_400_000), ("250ms", 250)]
        {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "90", "min", "0", "-1 s", "1 fortnight", "999999999999999999 years"] {
            assert!(duration_ms(text).unwrap_err().ends_with("like 90s or 5min"), "{text}");
        }
    }

    #[test]
    fn switches_are_written_in_many_ways() {
        for text in ["true", "Yes", "ON", "1"] {
            assert_eq!(switch(text), Ok(true), "{text}");
        }
        for text in ["false", "no", "Off", "0"] {
            assert_eq!(switch(text), Ok(false), "{text}");
        }
        assert!(switch("maybe").is_err());
    }

    #[test]
    fn values_do_not_show_themselves() {
        let value = Value::new("hunter2", Origin::Option("--password".into()));
        assert_eq!(format!("{value:?}"), "value from --password");
    }
}
