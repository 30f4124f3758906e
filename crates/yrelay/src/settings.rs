//! THE table of settings. Options, variables, keys in files, defaults, help, `yrelay config` and
//! docs/settings.md all come from it: to add a setting, add an entry, and use it in `configure`.

pub(crate) mod configure;
pub(crate) mod elva;
pub(crate) mod file;
pub(crate) mod gather;
pub(crate) mod merge;
pub(crate) mod search;
pub(crate) mod show;
pub(crate) mod unknown;
pub(crate) mod value;

use yrelay::status::Role;

/// One setting, under all its names.
pub(crate) struct Setting {
    /// The key in files. The option is this with dashes, the variable `YRELAY_` and capitals.
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) form: Form,
    /// What stands for its value in help.
    pub(crate) placeholder: &'static str,
    /// Empty where there is none, or where it is found out.
    pub(crate) default: &'static str,
    /// For `yrelay serve`, where that is another.
    pub(crate) default_serve: &'static str,
    /// Shown in place of a default that is found out.
    pub(crate) default_words: &'static str,
    /// A setting that this one replaces: they are two ways of saying the same.
    pub(crate) instead_of: &'static str,
    /// The variable that ELVA 0.33 has for it.
    pub(crate) elva_variable: &'static str,
    /// Where ELVA 0.37 has it in its file.
    pub(crate) elva_key: &'static str,
    pub(crate) group: Group,
    pub(crate) help: &'static str,
    /// Further help, where it needs more than a line.
    pub(crate) more: &'static str,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By its position on the command line.
    Argument,
    /// Any text.
    Text,
    /// Never shown, and never taken from a variable, which other programs see.
    Secret,
    /// The path of a file or directory.
    Path,
    /// Several of them.
    Paths,
    /// Several texts.
    List,
    /// Yes or no.
    Switch,
}

/// What a setting is about: a heading of the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Listen,
    Upstream,
    Documents,
    Limits,
    Log,
}

impl Form {
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Self::Paths | Self::List)
    }

    pub(crate) fn is_path(self) -> bool {
        matches!(self, Self::Path | Self::Paths)
    }
}

impl Group {
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Listen => "Where to listen",
            Self::Upstream => "The server above",
            Self::Documents => "Documents, and who may open them",
            Self::Limits => "Limits",
            Self::Log => "Log",
        }
    }
}

impl Setting {
    /// `--data-dir`, or `PORT`.
    pub(crate) fn option(&self) -> String {
        match self.form {
            Form::Argument => self.placeholder.to_owned(),
            _ => format!("--{}", self.long()),
        }
    }

    /// `data-dir`.
    pub(crate) fn long(&self) -> String {
        self.name.replace('_', "-")
    }

    /// `YRELAY_DATA_DIR`.
    pub(crate) fn variable(&self) -> Option<String> {
        (self.form != Form::Secret).then(|| format!("YRELAY_{}", self.name.to_uppercase()))
    }

    /// Its default in this role, if that is a fixed one.
    pub(crate) fn default(&self, role: Role) -> Option<&'static str> {
        let of_role = if role == Role::Serve { self.default_serve } else { "" };
        [of_role, self.default].into_iter().find(|text| !text.is_empty())
    }

    /// Whether a command of this role has it.
    pub(crate) fn serves(&self, role: Role) -> bool {
        role == Role::Service || self.group != Group::Upstream
    }
}

/// The setting of this name.
pub(crate) fn named(name: &str) -> Option<&'static Setting> {
    ALL.iter().copied().find(|setting| setting.name == name)
}

const NOTHING: Setting = Setting {
    name: "",
    short: None,
    form: Form::Text,
    placeholder: "",
    default: "",
    default_serve: "",
    default_words: "",
    instead_of: "",
    elva_variable: "",
    elva_key: "",
    group: Group::Listen,
    help: "",
    more: "",
};

macro_rules! settings {
    ($($name:ident { $($fields:tt)* })*) => {
        $(pub(crate) static $name: Setting = Setting { $($fields)* ..NOTHING };)*
        /// All there are, in the order of the help.
        pub(crate) static ALL: &[&Setting] = &[$(&$name),*];
    };
}

settings! {
    HOST {
        name: "host",
        form: Form::Argument,
        placeholder: "HOST",
        default: "localhost",
        help: "Name or address to listen on",
        more: "localhost is both 127.0.0.1 and ::1; 0.0.0.0 is all of this machine's addresses.",
    }
    PORT {
        name: "port",
        form: Form::Argument,
        placeholder: "PORT",
        default: "8000",
        default_serve: "8765",
        help: "Port to listen on; 0 takes a free one",
    }
    SERVER {
        name: "server",
        short: Some('s'),
        placeholder: "URL",
        default_words: "none: everything stays on this machine",
        elva_variable: "ELVA_SERVER",
        group: Group::Upstream,
        help: "The server to sync with, ws:// or wss://; without it all stays on this machine",
        more: "An empty URL is none, whatever files and variables say.",
    }
    MESSAGES {
        name: "messages",
        short: Some('m'),
        placeholder: "KIND",
        default: "elva",
        elva_variable: "ELVA_MESSAGES",
        group: Group::Upstream,
        help: "What the server speaks: elva, all documents over one connection",
        more: "yjs, one connection per document, and hocuspocus are not available yet.",
    }
    USER {
        name: "user",
        short: Some('u'),
        placeholder: "NAME",
        default_words: "none",
        elva_variable: "ELVA_USER",
        elva_key: "basic.user",
        group: Group::Upstream,
        help: "Log in to the server as this user, once it asks for a login (HTTP Basic)",
    }
    PASSWORD {
        name: "password",
        short: Some('p'),
        form: Form::Secret,
        placeholder: "PASSWORD",
        default_words: "none",
        elva_key: "basic.secret",
        group: Group::Upstream,
        help: "The user's password",
        more: "Everybody on this machine can see it on the command line: prefer --password-file.",
    }
    PASSWORD_FILE {
        name: "password_file",
        form: Form::Path,
        placeholder: "FILE",
        default_words: "none",
        instead_of: "password",
        group: Group::Upstream,
        help: "The file with the user's password; its last newline does not count",
        more: "It is read at every attempt, so it must be a plain file. Where the server refuses \
               the password, mending the file is enough.",
    }
    INSECURE_LOGIN {
        name: "insecure_login",
        form: Form::Switch,
        default: "false",
        group: Group::Upstream,
        help: "Send the password over ws:// to another machine: all in between can read it",
    }
    TLS_CA {
        name: "tls_ca",
        form: Form::Paths,
        placeholder: "FILE",
        default_words: "those that this machine trusts",
        elva_key: "tls.authority",
        group: Group::Upstream,
        help: "Trust the certificates in this file, too (PEM), as authorities for wss://",
    }
    RETAIN {
        name: "retain",
        placeholder: "TIME",
        default: "forever",
        group: Group::Upstream,
        help: "Forget documents that the server has when nobody has opened them for so long",
        more: "Such as 90d. A document is forgotten only while the server is connected, and once it \
               has shown again that it holds all of it; opening it fetches it from there. Without a \
               server above nothing is forgotten.",
    }
    DATA_DIR {
        name: "data_dir",
        form: Form::Path,
        placeholder: "DIR",
        default_words: "yrelay in the directory for state",
        group: Group::Documents,
        help: "Keep documents in this directory",
        more: "The default is `yrelay` in the platform's directory for state: $XDG_STATE_HOME or \
               ~/.local/state, ~/Library/Application Support on macOS, %LOCALAPPDATA% on Windows.",
    }
    EPHEMERAL {
        name: "ephemeral",
        form: Form::Switch,
        default: "false",
        instead_of: "data_dir",
        group: Group::Documents,
        help: "Keep nothing: documents live as long as the process",
    }
    ALLOW_ORIGIN {
        name: "allow_origin",
        form: Form::List,
        placeholder: "ORIGIN",
        default_words: "pages from localhost",
        group: Group::Documents,
        help: "Let web pages of this origin in, such as https://editor.example.org",
        more: "Pages from localhost are let in always, programs that are no browsers too.",
    }
    ALLOW_HOST {
        name: "allow_host",
        form: Form::List,
        placeholder: "HOST",
        default_words: "localhost",
        group: Group::Documents,
        help: "Answer to this host name beside localhost, where listening on loopback",
    }
    OPAQUE {
        name: "opaque",
        form: Form::List,
        placeholder: "PATTERN",
        default_words: "documents that ELVA 0.37 encrypts",
        group: Group::Documents,
        help: "Pass documents of this name on unread and keep nothing of them",
        more: "For end-to-end encrypted ones; those of ELVA 0.37 are recognised without it. In \
               the pattern * stands for any text, ? for one character.",
    }
    MESSAGE_MAX {
        name: "message_max",
        placeholder: "SIZE",
        default: "16MiB",
        group: Group::Limits,
        help: "The largest message that a client may send",
        more: "A client that has been away sends all it wrote in one message; a whole document \
               must fit. Up to so much memory can be taken by each client.",
    }
    MEMORY {
        name: "memory",
        placeholder: "SIZE",
        default: "1GiB",
        group: Group::Limits,
        help: "Documents that nobody has open leave memory at once above this",
    }
    IDLE {
        name: "idle",
        placeholder: "TIME",
        default: "1min",
        group: Group::Limits,
        help: "Documents that nobody has open leave memory after this time",
    }
    LOG {
        name: "log",
        short: Some('l'),
        form: Form::Path,
        placeholder: "FILE",
        default_words: "standard error",
        elva_variable: "ELVA_LOG",
        elva_key: "log.file",
        group: Group::Log,
        help: "Write the log to this file instead of standard error",
    }
    LOG_LEVEL {
        name: "log_level",
        placeholder: "LEVEL",
        default: "info",
        elva_key: "log.level",
        group: Group::Log,
        help: "How much to log: error, warn, info, debug or trace; -v is debug, -vv is trace",
        more: "RUST_LOG, where set, decides instead: a filter such as yrelay::upstream=debug.",
    }
    LOG_FORMAT {
        name: "log_format",
        placeholder: "FORMAT",
        default: "text",
        group: Group::Log,
        help: "text, or json: one object per line",
        more: "Under systemd, text carries the journal's priorities.",
    }
}

#[cfg(test)]
mod tests;
