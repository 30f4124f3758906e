//! Where the log goes, how much of it, and in which form.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields, Full, Writer};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::printable::printable;

/// What is asked of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// Where it goes; standard error where nothing is named.
    pub file: Option<PathBuf>,
    pub level: Level,
    pub format: Format,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// In which form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// A line for people; for the journal, where standard error leads there.
    #[default]
    Text,
    /// A line with one JSON object.
    Json,
}

/// A word that is none of those to choose from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is none of {choices}")]
pub(crate) struct NoChoice {
    given: String,
    choices: &'static str,
}

impl FromStr for Level {
    type Err = NoChoice;

    fn from_str(given: &str) -> Result<Self, NoChoice> {
        Ok(match given {
            "error" => Self::Error,
            "warn" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => {
                let choices = "error, warn, info, debug, trace";
                return Err(NoChoice { given: given.into(), choices });
            }
        })
    }
}

impl FromStr for Format {
    type Err = NoChoice;

    fn from_str(given: &str) -> Result<Self, NoChoice> {
        match given {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(NoChoice { given: given.into(), choices: "text, json" }),
        }
    }
}

impl Level {
    /// Of the libraries less than of us, but for the ends of the scale.
    fn filter(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "warn,yrelay=info",
            Self::Debug => "info,yrelay=debug",
            Self::Trace => "trace",
        }
    }
}

/// Starts logging. `filter` is RUST_LOG, which decides on the levels where it is set.
pub(crate) fn start(log: &Log, filter: Option<&str>) -> anyhow::Result<()> {
    let levels = levels(filter.unwrap_or(log.level.filter()))
        .context("RUST_LOG is not understood; write it like yrelay=debug")?;
    let on_stderr = log.file.is_none();
    // A line that cannot be written is lost: complaining of it on a standard error that nobody reads
    // any more would be a panic in whatever logs.
    let builder = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_max_level(LevelFilter::TRACE) // the levels decide
        .with_writer(writer(log.file.as_deref())?);
    match log.format {
        Format::Json => builder.json().flatten_event(true).finish().with(levels).init(),
        Format::Text if on_stderr && leads_to_journal() => {
            builder.event_format(ForJournal::new()).finish().with(levels).init();
        }
        Format::Text => {
            builder.with_ansi(on_stderr && is_coloured()).finish().with(levels).init();
        }
    }
    Ok(())
}

/// A filter in the words of RUST_LOG: levels, and targets with levels of their own. Those of spans
/// would find nothing, as there are none here; what reads them brings regular expressions along, a
/// third of a megabyte.
fn levels(filter: &str) -> anyhow::Result<Targets> {
    let mut levels = Targets::new();
    let mut words = filter.split(',').filter(|word| !word.is_empty()).peekable();
    if words.peek().is_none() {
        return Ok(levels.with_default(LevelFilter::ERROR));
    }
    for word in words {
        let (name, level) = word.trim().split_once('=').unwrap_or((word.trim(), ""));
        let is_name = name.starts_with(|c: char| c.is_alphanumeric() || "-:_".contains(c));
        anyhow::ensure!(is_name && !name.contains('['), "invalid filter directive");
        levels = match (name.parse::<LevelFilter>(), level) {
            (Ok(level), "") if !word.contains('=') => levels.with_default(level),
            (_, "") => levels.with_target(name, LevelFilter::TRACE),
            (_, level) => levels.with_target(name, level.parse::<LevelFilter>()?),
        };
    }
    Ok(levels)
}

/// Whether somebody sees colours, and wants to (no-color.org).
fn is_coloured() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|text| !text.is_empty());
    io::stderr().is_terminal() && !unwanted
}

fn writer(file: Option<&Path>) -> anyhow::Result<BoxMakeWriter> {
    let Some(path) = file else { return Ok(BoxMakeWriter::new(io::stderr)) };
    let file = OpenOptions::new().create(true).append(true).open(path).with_context(|| {
        format!("cannot write the log to {}; choose another --log FILE", path.display())
    })?;
    Ok(BoxMakeWriter::new(file))
}

/// A line on standard error before there is a log, or beside it.
pub(crate) fn say(word: &str, text: &str) {
    let priority = match word {
        _ if !leads_to_journal() => "",
        "error" => "<3>",
        _ => "<4>",
    };
    let _ = writeln!(io::stderr(), "{priority}{word}: {}", printable(text));
}

/// Whether systemd reads our standard error for its journal. The variable alone does not say so:
/// children inherit it though their output may go elsewhere (sd-daemon(3), systemd.exec(5)).
#[cfg(unix)]
fn leads_to_journal() -> bool {
    use std::fs::File;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;

    let Ok(journal) = std::env::var("JOURNAL_STREAM") else { return false };
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    stderr
        .and_then(|stderr| File::from(stderr).metadata())
        .is_ok_and(|stderr| journal == format!("{}:{}", stderr.dev(), stderr.ino()))
}

#[cfg(not(unix))]
fn leads_to_journal() -> bool {
    false
}

/// The text without what the journal notes itself, behind the priority that it reads at the
/// beginning of a line. A second line would have none: there is one for each record.
struct ForJournal(format::Format<Full, ()>);

impl ForJournal {
    fn new() -> Self {
        Self(format::Format::default().without_time().with_level(false))
    }
}

impl<S, N> FormatEvent<S, N> for ForJournal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.0.format_event(context, Writer::new(&mut text), event)?;
        let priority = match *event.metadata().level() {
            tracing::Level::ERROR => 3,
            tracing::Level::WARN => 4,
            tracing::Level::INFO => 6,
            tracing::Level::DEBUG | tracing::Level::TRACE => 7,
        };
        // The journal ends a line at a NUL, too.
        writeln!(writer, "<{priority}>{}", text.trim_end().replace(['\n', '\0'], " "))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    /// What the journal is told while `work` logs.
    fn told(work: impl FnOnce()) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(File::create(&path).unwrap())
            .event_format(ForJournal::new())
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn each_level_has_its_priority() {
        let told = told(|| {
            tracing::error!("a");
            tracing::warn!(document = "notes", "b");
            tracing::info!("c");
            tracing::debug!("d");
            tracing::trace!("e");
        });
        let name = module_path!();
        let expected =
            ["<3>{}: a", "<4>{}: b document=\"notes\"", "<6>{}: c", "<7>{}: d", "<7>{}: e"];
        let expected = expected.map(|line| line.replace("{}", name) + "\n");
        assert_eq!(told, expected.concat());
    }

    #[test]
    fn a_record_for_the_journal_is_one_line() {
        let told = told(|| tracing::warn!(reason = %"one\n<0>two\0<0>three\r\n", "a\nb\n"));
        assert_eq!(told.lines().count(), 1, "{told:?}");
        assert!(told.ends_with("a b  reason=one <0>two <0>three\n"), "{told:?}");
    }

    #[test]
    fn our_own_records_are_told_in_more_detail_than_those_of_libraries() {
        let filters = ["error", "warn", "info", "debug", "trace"]
            .map(|level| level.parse::<Level>().unwrap().filter());
        let expected = ["error", "warn", "warn,yrelay=info", "info,yrelay=debug", "trace"];
        assert_eq!(filters, expected);
    }

    #[test]
    fn a_filter_names_levels_and_targets() {
        let logged = |filter: &str, target: &str| {
            let levels = levels(filter).unwrap();
            let all = ["error", "warn", "info", "debug", "trace"];
            let logged = |level: &&&str| levels.would_enable(target, &level.parse().unwrap());
            all.iter().take_while(logged).last().copied()
        };
        assert_eq!(logged("warn,yrelay=info", "yrelay::store"), Some("info"));
        assert_eq!(logged("warn,yrelay=info", "rustls"), Some("warn"));
        assert_eq!(logged("yrelay=info,yrelay::store=trace", "yrelay::store"), Some("trace"));
        assert_eq!(logged("yrelay::store", "yrelay::store"), Some("trace"));
        assert_eq!(logged("yrelay=", "yrelay"), Some("trace"));
        assert_eq!(logged("yrelay", "rustls"), None);
        assert_eq!(logged(" off , yrelay=WARN", "yrelay"), Some("warn"));
        assert_eq!(logged("3", "yrelay"), Some("info"));
        for nothing in ["", ","] {
            assert_eq!(logged(nothing, "yrelay"), Some("error"));
        }
        for faulty in
            ["yrelay=loud", "yrelay=info=debug", " ", "=info", "[span]=info", "a[{b}]=info"]
        {
            assert!(levels(faulty).is_err(), "{faulty}");
        }
    }

    #[test]
    fn words_that_say_nothing_are_answered_with_the_choices() {
        assert_eq!("debug".parse(), Ok(Level::Debug));
        assert_eq!("json".parse(), Ok(Format::Json));
        let error = "loud".parse::<Level>().unwrap_err().to_string();
        assert_eq!(error, "\"loud\" is none of error, warn, info, debug, trace");
        let error = "xml".parse::<Format>().unwrap_err().to_string();
        assert_eq!(error, "\"xml\" is none of text, json");
    }
}
