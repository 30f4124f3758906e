//! THE table of settings. Options, variables, keys in files, defaults, help, `yrelay config` and
//! docs/settings.md all come from it: to add a setting, add an entry, and use it in `configure`.

pub(crate) mod configure;
pub(crate) mod elva;
pub(crate) mod file;
pub(crate) mod gather;
mod login;
pub(crate) mod merge;
pub(crate) mod route;
pub(crate) mod search;
mod setting;
pub(crate) mod show;
pub(crate) mod unknown;
mod upstream;
pub(crate) mod value;

use setting::NOTHING;
pub(crate) use setting::{Form, Group, Setting};

/// The setting of this name.
pub(crate) fn named(name: &str) -> Option<&'static Setting> {
    ALL.iter().copied().find(|setting| setting.name == name)
}

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
        foreign_variable: "PORT",
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
        help: "What the server speaks: elva, yjs (as y-websocket does) or hocuspocus",
        more: "elva is all documents over one connection, yjs one connection for each of them.",
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
        instead_of: &["password"],
        group: Group::Upstream,
        help: "The file with the user's password; its last newline does not count",
        more: "It is read at every attempt, so it must be a plain file. Where the server refuses \
               the password, mending the file is enough.",
    }
    PASSWORD_COMMAND {
        name: "password_command",
        placeholder: "COMMAND",
        default_words: "none",
        instead_of: &["password", "password_file"],
        group: Group::Upstream,
        help: "The command that prints the user's password in its first line",
        more: "Run by the shell when the password is needed, for 10 s at most, and again when the \
               server refuses it. No file that is merely found on the way up may name one.",
    }
    KEYRING {
        name: "keyring",
        form: Form::Switch,
        default: "false",
        instead_of: &["password", "password_file", "password_command"],
        group: Group::Upstream,
        help: "Take the user's password from the desktop's key ring",
        more: "There its service is yrelay and its user is user@host. Only in programs that are \
               built with the feature `keyring`.",
    }
    TOKEN {
        name: "token",
        form: Form::Secret,
        placeholder: "TOKEN",
        default_words: "none",
        group: Group::Upstream,
        help: "A token for the server: hocuspocus is given it, {token} stands for it elsewhere",
        more: "Everybody on this machine can see it on the command line: prefer --token-file.",
    }
    TOKEN_FILE {
        name: "token_file",
        form: Form::Path,
        placeholder: "FILE",
        default_words: "none",
        instead_of: &["token"],
        group: Group::Upstream,
        help: "The file with the token; read at every attempt, without its last newline",
    }
    TOKEN_COMMAND {
        name: "token_command",
        placeholder: "COMMAND",
        default_words: "none",
        instead_of: &["token", "token_file"],
        group: Group::Upstream,
        help: "The command that prints the token in its first line",
        more: "As --password-command. The token is got anew before it ends, which a JSON Web Token \
               says itself.",
    }
    TOKEN_LIFETIME {
        name: "token_lifetime",
        placeholder: "TIME",
        default_words: "as the token says",
        group: Group::Upstream,
        help: "How long a token is good that does not say so itself; 0s: for one use",
    }
    TOKEN_URL {
        name: "token_url",
        placeholder: "URL",
        default_words: "none",
        group: Group::Upstream,
        help: "Ask there for a token for each document, as y-sweet's programs do; http(s)://",
        more: "It is sent {\"docId\": IDENTIFIER} by POST, with the token of --token as \
               `Authorization: Bearer`; {identifier} in the address is filled in.",
    }
    UPSTREAM_PARAMS {
        name: "upstream_params",
        form: Form::List,
        placeholder: "QUERY",
        default_words: "none",
        group: Group::Upstream,
        help: "Add this to the server's address, such as client=elva&persistent=1",
        more: "In a value {token} stands for the token. What no address may hold is encoded.",
    }
    NAMES {
        name: "names",
        placeholder: "HOW",
        default_words: "raw; for hocuspocus decoded",
        group: Group::Upstream,
        help: "How the server is told identifiers: raw, as in an address, or decoded",
    }
    ON_RESET {
        name: "on_reset",
        placeholder: "WHAT",
        default: "ask",
        group: Group::Upstream,
        help: "When the server has begun a document anew: ask, or merge what is here into it",
    }
    INSECURE_LOGIN {
        name: "insecure_login",
        form: Form::Switch,
        default: "false",
        group: Group::Upstream,
        help: "Send password or token over ws:// to another machine: all in between read it",
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
        foreign_variable: "YPERSISTENCE",
        group: Group::Documents,
        help: "Keep documents in this directory",
        more: "The default is `yrelay` in the platform's directory for state: $XDG_STATE_HOME or \
               ~/.local/state, ~/Library/Application Support on macOS, %LOCALAPPDATA% on Windows.",
    }
    EPHEMERAL {
        name: "ephemeral",
        form: Form::Switch,
        default: "false",
        instead_of: &["data_dir"],
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
        help: "Pass documents of this name on unread and keep what is said as it is",
        more: "For end-to-end encrypted ones; those of ELVA 0.37 are recognised without it. In \
               the pattern * stands for any text, ? for one character.",
    }
    AUTH_FILE {
        name: "auth_file",
        form: Form::Path,
        placeholder: "FILE",
        default_words: "none: whoever reaches it may come in",
        group: Group::Server,
        help: "Let those in who have a login in this file (HTTP Basic), and nobody else",
        more: "`htpasswd -B FILE USER` writes it. It is read again when it changes. Logins travel in \
               the clear: have TLS in front.",
    }
    VISIBLE {
        name: "visible",
        placeholder: "WHEN",
        default: "true",
        elva_key: "server.visible",
        group: Group::Server,
        help: "List documents on the page /: never, false, true or always",
        more: "never and always count whatever clients ask for, with ELVA 0.37's ?visible=0 or 1; \
               false and true count for those that ask for nothing.",
    }
    PERSISTENT {
        name: "persistent",
        placeholder: "WHEN",
        default: "true",
        elva_key: "server.persistent",
        group: Group::Server,
        help: "Keep documents while somebody has them open: never, false, true or always",
        more: "As above, with ?persistent=0 or 1. What is not kept is passed on unread.",
    }
    PERMANENT {
        name: "permanent",
        placeholder: "WHEN",
        default_words: "as persistent",
        elva_key: "server.permanent",
        group: Group::Server,
        help: "Store documents: never, false, true or always",
        more: "As above, with ?permanent=0 or 1. What is stored once stays so.",
    }
    BROADCAST_ONLY {
        name: "broadcast_only",
        form: Form::Switch,
        default: "false",
        instead_of: &["data_dir"],
        group: Group::Server,
        help: "Pass all documents on unread and keep nothing: clients tell each other",
        more: "As ELVA 0.33's server without --persistent, and its successor's by default.",
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
    CONNECTIONS_PER_ADDRESS {
        name: "connections_per_address",
        placeholder: "NUMBER",
        default: "1024",
        group: Group::Limits,
        help: "Connections that may come from one address of another machine",
        more: "Each document that a program has open is one. A proxy on another machine brings all \
               its clients from its own address.",
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
