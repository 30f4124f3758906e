//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::{ExposeSecret as _, SecretString};
use yrelay::config::{self, Bounds, Config, ConfigError, Patterns, Storage, UpstreamOptions};
use yrelay::login::Password;
use yrelay::origin::{Host, Origin, Rules};
use yrelay::status::Role;
use yrelay::target::Address;

use crate::log;

const ABOUT: &str = "One local endpoint for everything that edits Yjs documents.

Programs connect to ws://localhost:8000/<identifier> as to any y-websocket server. yrelay passes \
every change on to the other programs at once, keeps the documents on disk, and carries all of \
them over one connection to a remote server. When the network goes, work goes on; when it \
returns, both sides converge.";

const EXAMPLES: &str = "Examples:
  yrelay service
      Local only: documents at ws://localhost:8000/<identifier>
  yrelay service --server wss://elva.example.org/
      The same, and in sync with a server
  yrelay service localhost 0
      On a free port; the first line of output names it
  yrelay serve 0.0.0.0 8765 --data-dir /var/lib/yrelay
      A server that programs elsewhere connect to
  curl http://localhost:8000/-/status
      How everything stands, as JSON";

const SERVICE: &str = "Run the local relay.

Programs on this machine connect to ws://HOST:PORT/<identifier>. The first line of output is \
\"listening on ws://HOST:PORT\"; logs go to standard error. SIGTERM or Ctrl-C stop it with \
everything saved; a second one ends it at once.";

const SERVICE_EXAMPLES: &str = "Examples:
  yrelay service
      Local only: nothing leaves this machine
  yrelay service -s wss://elva.example.org/
      In sync with a server that speaks ELVA's messages
  YRELAY_SERVER=wss://elva.example.org/ yrelay service localhost 0
      The server from the environment, on a free port
  yrelay service -s wss://elva.example.org/ -u jane --password-file ~/.elva-password
      The same, with a login
  yrelay service --allow-origin https://editor.example.org
      Let an editor from the web in beside those on localhost

Pages:
  http://HOST:PORT/           the list of documents, as JSON
  http://HOST:PORT/-/status   saved and confirmed, per document, as JSON
  http://HOST:PORT/-/metrics  for Prometheus
  http://HOST:PORT/-/healthy  \"ok\"";

const SERVE: &str = "Run a server that programs elsewhere connect to.

It is the same relay without a server above it: documents at ws://HOST:PORT/<identifier>. It has no logins and no TLS: keep it behind a \
reverse proxy that has both, or in a network you trust.";

/// The command line, as given.
#[derive(Debug, Parser)]
#[command(name = "yrelay", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    before: Before,
    #[command(flatten)]
    pub(crate) log: Log,
    #[command(subcommand)]
    command: Command,
}

/// What ELVA takes before the command.
#[derive(Debug, Args)]
struct Before {
    #[arg(short, long, value_name = "URL", hide = true)]
    server: Option<SecretString>,
    #[arg(short, long, value_name = "KIND", hide = true)]
    messages: Option<Messages>,
    #[arg(short, long, value_name = "NAME", hide = true)]
    user: Option<String>,
    #[arg(short, long, value_name = "PASSWORD", hide = true)]
    password: Option<SecretString>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct Log {
    /// Write the log to this file instead of standard error
    #[arg(short = 'l', long = "log", value_name = "FILE", global = true)]
    file: Option<PathBuf>,
    /// Log more: -v for details, -vv for everything. RUST_LOG, where set, decides instead
    #[arg(short, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// Write lines for people (text) or for programs (json)
    #[arg(long = "log-format", value_name = "FORMAT", default_value = "text", global = true)]
    format: log::Format,
}

impl Log {
    pub(crate) fn settings(&self) -> log::Log {
        let level = match self.verbose {
            0 => log::Level::Info,
            1 => log::Level::Debug,
            _ => log::Level::Trace,
        };
        log::Log { file: self.file.clone(), level, format: self.format }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the local relay
    #[command(long_about = SERVICE, after_help = SERVICE_EXAMPLES)]
    Service {
        /// Name or address to listen on; localhost is both 127.0.0.1 and ::1
        #[arg(default_value = "localhost")]
        host: String,
        /// Port to listen on; 0 takes a free one
        #[arg(default_value_t = 8000)]
        port: u16,
        #[command(flatten)]
        upstream: Upstream,
        #[command(flatten)]
        common: Common,
    },
    /// Run a server that programs elsewhere connect to
    #[command(long_about = SERVE)]
    Serve {
        /// Name or address to listen on; 0.0.0.0 is all of this machine's
        #[arg(default_value = "localhost")]
        host: String,
        /// Port to listen on; 0 takes a free one
        #[arg(default_value_t = 8765)]
        port: u16,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
#[command(next_help_heading = "The server above")]
struct Upstream {
    /// The server to sync with, ws:// or wss://; without it everything stays on this machine
    ///
    /// YRELAY_SERVER and ELVA_SERVER are read where this is not given.
    #[arg(short, long, value_name = "URL", id = "upstream_server")]
    server: Option<SecretString>,
    /// What the server speaks
    #[arg(short, long, value_name = "KIND", id = "upstream_messages")]
    messages: Option<Messages>,
    /// Log in to the server as this user, once it asks for a login (HTTP Basic)
    #[arg(short, long, value_name = "NAME", id = "upstream_user")]
    user: Option<String>,
    /// The user's password. Everybody on this machine can see it here: prefer --password-file
    #[arg(
        short,
        long,
        value_name = "PASSWORD",
        id = "upstream_password",
        conflicts_with = "password_file"
    )]
    password: Option<SecretString>,
    /// The file with the user's password; its last newline does not count
    ///
    /// It is read at every attempt, so it must be a plain file. Where the server refuses the
    /// password, mending the file is enough.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Send the password over ws:// to another machine, where everybody in between can read it
    #[arg(long)]
    insecure_login: bool,
    /// Trust the certificates in this file, too (PEM), as authorities for wss://; may be repeated
    #[arg(long, value_name = "FILE")]
    tls_ca: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Messages {
    /// ELVA: all documents over one connection (the default)
    Elva,
    /// y-websocket: one connection per document (not available yet)
    Yjs,
    /// Hocuspocus (not available yet)
    Hocuspocus,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Documents, and who may open them")]
struct Common {
    /// Keep documents in this directory
    ///
    /// The default is `yrelay` in the platform's directory for state: $XDG_STATE_HOME or
    /// ~/.local/state, ~/Library/Application Support on macOS, %LOCALAPPDATA% on Windows.
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data_dir: Option<PathBuf>,
    /// Keep nothing: documents live as long as the process
    #[arg(long)]
    ephemeral: bool,
    /// Let web pages of this origin in, such as https://editor.example.org; may be repeated
    ///
    /// Pages from localhost are let in always, programs that are no browsers too.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<Origin>,
    /// Answer to this host name beside localhost, where listening on loopback; may be repeated
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<Host>,
    /// Pass documents of this name on unread and keep nothing of them; may be repeated
    ///
    /// For end-to-end encrypted ones; those of ELVA 0.37 are recognised without it. In the
    /// pattern * stands for any text, ? for one character.
    #[arg(long, value_name = "PATTERN")]
    opaque: Vec<String>,
}

impl Cli {
    /// Whether everybody on this machine can see a password in the list of processes.
    pub(crate) fn shows_password(&self) -> bool {
        let Command::Service { upstream, .. } = &self.command else { return false };
        let in_address = |text: &SecretString| {
            Address::parse(text.expose_secret()).is_ok_and(|address| address.password.is_some())
        };
        let mut servers = upstream.server.iter().chain(&self.before.server);
        upstream.password.is_some() || self.before.password.is_some() || servers.any(in_address)
    }

    /// The settings. `variable` looks up the environment.
    pub(crate) fn config(
        self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let (role, host, port, upstream, common) = match self.command {
            Command::Service { host, port, upstream, common } => {
                check_messages(upstream.messages.or(self.before.messages))?;
                let upstream = config::upstream(upstream.options(self.before), &variable)?;
                (Role::Service, host, port, upstream, common)
            }
            Command::Serve { host, port, common } => {
                self.before.refuse()?;
                (Role::Serve, host, port, None, common)
            }
        };
        let storage = match (common.ephemeral, common.data_dir) {
            (true, _) => Storage::Ephemeral,
            (false, Some(path)) => Storage::Directory(path),
            (false, None) => Storage::Directory(config::data_directory(&variable)?),
        };
        let rules = Rules { allow_origins: common.allow_origin, allow_hosts: common.allow_host };
        let opaque = Patterns::new(common.opaque.iter().map(String::as_str));
        Ok(Config { role, host, port, upstream, storage, rules, opaque, bounds: Bounds::default() })
    }
}

impl Before {
    fn refuse(&self) -> Result<(), ConfigError> {
        for (given, option) in [
            (self.server.is_some(), "--server"),
            (self.messages.is_some(), "--messages"),
            (self.user.is_some(), "--user"),
            (self.password.is_some(), "--password"),
        ] {
            if given {
                return Err(ConfigError::ServeHasNoUpstream(option));
            }
        }
        Ok(())
    }
}

impl Upstream {
    fn options(self, before: Before) -> UpstreamOptions {
        let file = self.password_file.map(Password::File);
        let text = self.password.or(before.password).filter(|_| file.is_none());
        UpstreamOptions {
            server: self.server.or(before.server),
            user: self.user.or(before.user),
            password: file.or(text.map(Password::Text)),
            insecure_login: self.insecure_login,
            tls_ca: self.tls_ca,
        }
    }
}

fn check_messages(messages: Option<Messages>) -> Result<(), ConfigError> {
    match messages {
        None | Some(Messages::Elva) => Ok(()),
        Some(Messages::Yjs) => Err(ConfigError::Messages("yjs")),
        Some(Messages::Hocuspocus) => Err(ConfigError::Messages("hocuspocus")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Config, ConfigError> {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        cli.config(|name| (name == "HOME").then(|| "/home/jane".into()))
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_original_service() {
        let config = parse("yrelay service").unwrap();
        assert_eq!((config.host.as_str(), config.port), ("localhost", 8000));
        assert!(config.role == Role::Service && config.upstream.is_none());
        let config = parse("yrelay serve").unwrap();
        assert_eq!((config.host.as_str(), config.port), ("localhost", 8765));
        assert!(config.role == Role::Serve && config.upstream.is_none());
    }

    #[test]
    fn the_server_is_taken_before_and_after_the_command() {
        for line in [
            "yrelay -s ws://a.example service",
            "yrelay service localhost 8000 -s ws://a.example",
            "yrelay -s ws://b.example -m elva service -s ws://a.example",
        ] {
            let upstream = parse(line).unwrap().upstream.unwrap();
            assert_eq!(upstream.target.host, "a.example", "{line}");
        }
    }

    #[test]
    fn the_login_is_taken_before_and_after_the_command() {
        for line in [
            "yrelay -u jane -p secret service -s wss://a.example",
            "yrelay service -s wss://a.example --user jane --password secret",
            "yrelay -u joe -p x -s wss://a.example service -u jane -p secret",
            "yrelay service -s wss://jane:secret@a.example",
        ] {
            let login = parse(line).unwrap().upstream.unwrap().login.unwrap();
            let header = login.authorization().unwrap();
            assert_eq!(header, "Basic amFuZTpzZWNyZXQ=", "{line}");
        }
        let both = "yrelay service -s wss://a -u jane -p x --password-file y";
        assert!(Cli::try_parse_from(both.split(' ')).is_err());
        for line in ["-p hunter2 service", "service -p hunter2", "service -s ws://a:hunter2@b"] {
            let shown = format!("{:?}", Cli::try_parse_from(format!("yrelay {line}").split(' ')));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn a_password_on_the_command_line_is_noticed_wherever_it_stands() {
        let shows = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap().shows_password();
        assert!(shows("yrelay -p x service"));
        assert!(shows("yrelay service --password x"));
        assert!(shows("yrelay service -s wss://jane:x@host"));
        assert!(!shows("yrelay service -s wss://jane@host --password-file x"));
        assert!(!shows("yrelay serve"));
    }

    #[test]
    fn what_is_not_there_yet_is_refused() {
        for (line, error) in [
            ("yrelay service -m yjs", ConfigError::Messages("yjs")),
            ("yrelay -m hocuspocus service", ConfigError::Messages("hocuspocus")),
            ("yrelay -s ws://a serve", ConfigError::ServeHasNoUpstream("--server")),
            ("yrelay -m elva serve", ConfigError::ServeHasNoUpstream("--messages")),
            ("yrelay -u jane serve", ConfigError::ServeHasNoUpstream("--user")),
            ("yrelay -p x serve", ConfigError::ServeHasNoUpstream("--password")),
        ] {
            assert_eq!(parse(line).unwrap_err(), error, "{line}");
        }
    }

    #[test]
    fn documents_are_kept_where_one_says() {
        let storage = |line| parse(line).unwrap().storage;
        assert_eq!(storage("yrelay service --ephemeral"), Storage::Ephemeral);
        assert_eq!(storage("yrelay serve --data-dir x/y"), Storage::Directory("x/y".into()));
        let both = "yrelay service --ephemeral --data-dir x";
        assert!(Cli::try_parse_from(both.split(' ')).is_err());
    }

    #[test]
    fn origins_and_hosts_are_checked_at_once() {
        let line = "yrelay service --allow-origin https://a.example --allow-origin app://b \
                    --allow-host c.example";
        let rules = parse(line).unwrap().rules;
        assert_eq!((rules.allow_origins.len(), rules.allow_hosts.len()), (2, 1));
        for line in ["--allow-origin *", "--allow-origin a.example", "--allow-host a:80"] {
            let line = format!("yrelay service {line}");
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
