//! The command line: commands, and an option for each setting.

mod moving;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use yrelay::status::Role;

use crate::commands;
use crate::settings::gather::Given;
use crate::settings::value::{Layer, Origin, Value};
use crate::settings::{
    self, Form, Group, LOG, LOG_LEVEL, MESSAGES, PASSWORD, SERVER, Setting, TLS_CA, USER,
};

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
  yrelay status
      Whether all is saved and has arrived there
  yrelay config service --server wss://elva.example.org/
      Which settings that would have, and where they come from
  yrelay serve 0.0.0.0 8765 --data-dir /var/lib/yrelay
      A server that programs elsewhere connect to";

const SERVICE: &str = "Run the local relay.

Programs on this machine connect to ws://HOST:PORT/<identifier>. The first line of output is \
\"listening on ws://HOST:PORT\"; logs go to standard error. SIGTERM or Ctrl-C stop it with \
everything saved; a second one ends it at once.";

const SERVICE_EXAMPLES: &str = "Settings:
  Each option is a key in files, too, written with _ for -: data_dir = \"~/documents\". Read are
  those that --config names, the nearest yrelay.toml upward from here, the user's
  (~/.config/yrelay/yrelay.toml), and elva.toml where ELVA looks for it. Before them come the
  variables YRELAY_DATA_DIR and so on, and ELVA_SERVER, ELVA_USER, ELVA_LOG, ELVA_MESSAGES;
  before those the command line. `yrelay config` shows what counts.

Examples:
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

It is the same relay without a server above it: documents at ws://HOST:PORT/<identifier>. \
--auth-file has it ask for logins. It has no TLS: keep it behind a reverse proxy that has, or in \
a network you trust. The variables of y-websocket's server, PORT and YPERSISTENCE, count where \
nothing else says where to listen and where to keep documents.";

const CONFIG: &str = "Show the settings of a command, and where they come from.

They are printed as a settings file, without secrets: `yrelay config > my.toml` keeps them, \
`yrelay service -c my.toml` has them again.";

const STATUS: &str = "Show how everything stands: the server above, and each document.

Exit code 0: all is saved and has arrived above. 1: no relay runs there. 3: the server above is \
away, or does not have all yet. 4: something needs you: the login is refused, the disk takes \
nothing, or a document is kept from the server.";

/// What ELVA takes before the command.
const BEFORE: [&Setting; 5] = [&SERVER, &MESSAGES, &USER, &PASSWORD, &LOG];
const CONFIG_OPTION: &str = "config";
const VERBOSE: &str = "verbose";

/// What to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Run a relay.
    Run(Role, Given),
    /// Show its settings.
    Config(Role, Given),
    /// Ask a running one how it stands.
    Status { url: Option<String>, json: bool, given: Given },
    /// Move documents in or out.
    Documents(commands::Command, Given),
    /// Read the content of an update: a child of `export`.
    Render { format: String, root: Option<String>, seconds: u64 },
    /// Print completions for a shell.
    Completions(Shell),
}

/// The whole command line.
pub(crate) fn command() -> Command {
    let before = BEFORE.into_iter().map(option).chain([config_option(), verbose()]);
    let relay = |name: &'static str, role| {
        let of_role = settings::ALL.iter().filter(move |setting| setting.serves(role));
        let default = move |arg: Arg, setting: &Setting| match setting.default(role) {
            Some(default) if setting.form != Form::Switch => arg.default_value(default),
            _ => arg,
        };
        let options = of_role.map(|setting| default(option(setting), setting));
        Command::new(name).args(options).arg(config_option()).arg(verbose())
    };
    let service = relay("service", Role::Service).about("Run the local relay");
    let serve =
        relay("serve", Role::Serve).about("Run a server that programs elsewhere connect to");
    let config = Command::new("config")
        .about("Show the settings of a command, and where they come from")
        .long_about(CONFIG)
        .arg(config_option())
        .subcommand(service.clone().about("Those of `yrelay service` with these options"))
        .subcommand(serve.clone().about("Those of `yrelay serve` with these options"));
    Command::new("yrelay")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EXAMPLES)
        .max_term_width(100)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(before.map(|arg| arg.hide(true)))
        .subcommand(service.long_about(SERVICE).after_help(SERVICE_EXAMPLES))
        .subcommand(serve.long_about(SERVE))
        .subcommand(status())
        .subcommand(config)
        .subcommands(moving::commands())
        .subcommand(completions())
}

fn status() -> Command {
    let url = Arg::new("url")
        .long("url")
        .value_name("URL")
        .help("The relay to ask, such as http://localhost:8000; else the one that is configured");
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print the page /-/status as it is");
    Command::new("status").about("Show how everything stands").long_about(STATUS).args([
        url,
        json,
        option(&TLS_CA).help_heading(None),
        config_option(),
    ])
}

fn completions() -> Command {
    let shell = Arg::new("shell")
        .value_name("SHELL")
        .required(true)
        .value_parser(value_parser!(Shell))
        .help("The shell that is to know yrelay's commands and options");
    Command::new("completions")
        .about("Print completions for a shell, such as: source <(yrelay completions bash)")
        .arg(shell)
}

/// The option of a setting.
fn option(setting: &'static Setting) -> Arg {
    let repeated = if setting.form.is_list() { "; may be repeated" } else { "" };
    let help = format!("{}{repeated}", setting.help);
    let mut arg = Arg::new(setting.name).value_name(setting.placeholder).help(help.clone());
    if !setting.more.is_empty() {
        arg = arg.long_help(format!("{help}\n\n{}", setting.more));
    }
    if setting.group != Group::Listen {
        arg = arg.help_heading(setting.group.heading());
    }
    if setting.form != Form::Argument {
        arg = arg.long(setting.long());
    }
    if let Some(short) = setting.short {
        arg = arg.short(short);
    }
    match setting.form {
        Form::Paths | Form::List => arg.action(ArgAction::Append),
        // A file's `true` must have an answer: --ephemeral=false.
        Form::Switch => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("yes|no")
            .hide_possible_values(true),
        _ => arg,
    }
}

fn config_option() -> Arg {
    Arg::new(CONFIG_OPTION)
        .short('c')
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .action(ArgAction::Append)
        .help(
            "Read this settings file before those that are found; the first of several counts most",
        )
}

fn verbose() -> Arg {
    Arg::new(VERBOSE)
        .short('v')
        .action(ArgAction::Count)
        .help_heading(Group::Log.heading())
        .help("Log more: -v for details, -vv for everything")
}

/// Reads a command line. On a mistake, or to help, it prints and ends the process.
pub(crate) fn parse(line: impl IntoIterator<Item = OsString>) -> Task {
    task(&command().get_matches_from(line))
}

pub(crate) fn task(matches: &ArgMatches) -> Task {
    match matches.subcommand() {
        Some(("service", sub)) => Task::Run(Role::Service, given(&[sub, matches])),
        Some(("serve", sub)) => Task::Run(Role::Serve, given(&[sub, matches])),
        Some(("config", config)) => match config.subcommand() {
            Some(("serve", sub)) => Task::Config(Role::Serve, given(&[sub, config, matches])),
            Some((_, sub)) => Task::Config(Role::Service, given(&[sub, config, matches])),
            None => Task::Config(Role::Service, given(&[config, matches])),
        },
        Some(("status", sub)) => Task::Status {
            url: sub.get_one::<String>("url").cloned(),
            json: sub.get_flag("json"),
            given: given(&[sub, matches]),
        },
        Some(("render", sub)) => Task::Render {
            format: sub.get_one::<String>("format").cloned().unwrap_or_default(),
            root: sub.get_one::<String>("root").cloned(),
            seconds: sub.get_one::<u64>("seconds").copied().unwrap_or_default(),
        },
        Some((name, sub)) => match moving::command(name, sub) {
            Some(command) => Task::Documents(command, given(&[sub, matches])),
            None => Task::Completions(*sub.get_one::<Shell>("shell").expect("it is required")),
        },
        None => unreachable!("a command is required"),
    }
}

/// What was given: behind the command, which counts more, and before it.
fn given(levels: &[&ArgMatches]) -> Given {
    let mut given = Given::default();
    let mut verbose = 0;
    for matches in levels {
        let config = matches.get_many::<PathBuf>(CONFIG_OPTION);
        given.config.extend(config.into_iter().flatten().cloned());
        if let Ok(Some(count)) = matches.try_get_one::<u8>(VERBOSE) {
            verbose = count.saturating_add(verbose);
        }
        for setting in settings::ALL {
            if let Some(value) = given_value(matches, setting) {
                given.options.entry(setting.name).or_insert(value);
            }
        }
    }
    verbosity(verbose, &mut given.options);
    given
}

fn given_value(matches: &ArgMatches, setting: &Setting) -> Option<Value> {
    let texts = matches.try_get_many::<String>(setting.name).ok().flatten()?;
    let on_line = matches.value_source(setting.name) == Some(ValueSource::CommandLine);
    on_line.then(|| Value {
        texts: texts.cloned().collect(),
        origin: Origin::Option(setting.option()),
    })
}

fn verbosity(count: u8, options: &mut Layer) {
    let level = match count {
        0 => return,
        1 => "debug",
        _ => "trace",
    };
    let flag = format!("-{}", "v".repeat(count.into()));
    options.entry(LOG_LEVEL.name).or_insert(Value::new(level, Origin::Option(flag)));
}
