//! The command lines of those that move documents in and out.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};

use super::{config_option, option};
use crate::commands;
use crate::commands::resolve::Choice;
use crate::settings::DATA_DIR;

const DOCUMENTS: &str = "List the documents that are stored.

SIZE is what each takes here, CONFIRMED whether the server above holds all of it. While a relay \
runs, documents that are open and not stored are listed, too.";

const IMPORT: &str = "Read documents from files.

A file of ELVA (0.33, 0.37; mostly named .y) holds a document, any other file is taken for one \
raw Yjs update of version 1 (Y.encodeStateAsUpdate). What it holds is added to the document: \
nothing is replaced, and importing the same file again changes nothing. Where a relay runs, \
whoever has the document open gets it at once, and so does the server above; else it gets it \
once a relay runs.

Exit code 0: all is stored. 1: a file is not. 3: rows of a file were left out, and named.";

const EXPORT: &str = "Write a document to a file or to standard output.

Content (text, json) is read by a process of its own, which may take a minute and 4 GiB. The \
types of a document's roots are guessed by what is in them; --root NAME:TYPE says so.

Exit code 3: a part that stands behind a gap was left out.";

const DELETE: &str = "Forget a document.

It is deleted here, and whoever has it open is sent away (close code 4404). It is deleted nowhere \
else: the server above, and editors that hold it, bring it back when somebody opens it again.";

const BACKUP: &str = "Copy the whole store while it is in use.

The copy is of one moment, and a store itself: put it in an empty directory as yrelay.db, and \
name that with --data-dir. Going back to an old copy is safe: what came later comes back from the \
server above and from editors.";

const RESOLVE: &str = "Decide what becomes of a document that the server has made anew.

Some servers build documents anew, from a file perhaps: the same text, of another history. To merge \
that would double it, so a relay keeps both apart, goes on locally, and shows the document as \
diverged (`yrelay status`) until somebody decides. Programs that have what was given up are sent \
away (close code 4409) until they reload.";

/// The commands.
pub(super) fn commands() -> [Command; 7] {
    let import = Command::new("import")
        .about("Read documents from files of ELVA and raw Yjs updates")
        .long_about(IMPORT)
        .arg(
            path("files", "The files to read")
                .value_name("FILE")
                .required(true)
                .num_args(1..)
                .action(ArgAction::Append),
        )
        .arg(
            Arg::new("identifier")
                .long("identifier")
                .value_name("IDENTIFIER")
                .allow_hyphen_values(true)
                .help("The document's name; else that in the file, or the file's without .y"),
        );
    let backup = Command::new("backup")
        .about("Copy the whole store while it is in use")
        .long_about(BACKUP)
        .arg(
            path("file", "The file to write; it must not be there yet")
                .value_name("FILE")
                .required(true),
        );
    let documents = Command::new("documents")
        .about("List the documents that are stored")
        .long_about(DOCUMENTS)
        .arg(switch("json", "Print them as JSON"));
    let delete = Command::new("delete")
        .about("Forget a document")
        .long_about(DELETE)
        .arg(identifier())
        .arg(switch("yes", "Do not ask").short('y'));
    let placed = [documents, import, export(), delete, backup, resolve()]
        .map(|command| command.args([option(&DATA_DIR).help_heading(None), config_option()]));
    let [documents, import, export, delete, backup, resolve] = placed;
    [documents, import, export, delete, backup, resolve, render()]
}

fn export() -> Command {
    let format = Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .default_value("update")
        .value_parser(["update", "y", "text", "json"])
        .help("update: a raw Yjs update; y: a file of ELVA; text, json: the content");
    let output = path("output", "The file to write, which must not be there yet")
        .short('o')
        .long("output")
        .value_name("FILE");
    let root = Arg::new("root")
        .long("root")
        .value_name("NAME[:TYPE]")
        .help("Only this root; TYPE is text, array, map or xml");
    Command::new("export")
        .about("Write a document to a file or to standard output")
        .long_about(EXPORT)
        .arg(identifier())
        .args([format, output, root])
}

fn resolve() -> Command {
    let choices = [
        switch("push", "What is here wins: it goes up, and what the server has is deleted there"),
        switch("adopt", "What the server has wins: what is here is given up"),
        switch("branch", "What the server has wins; what is here goes on as IDENTIFIER-branch"),
    ];
    Command::new("resolve")
        .about("Decide what becomes of a document that the server has made anew")
        .long_about(RESOLVE)
        .arg(identifier())
        .args(choices)
        .group(ArgGroup::new("choice").args(["push", "adopt", "branch"]).required(true))
}

/// What `export` runs to read content. It is for nobody else.
fn render() -> Command {
    let seconds =
        Arg::new("seconds").long("seconds").value_parser(value_parser!(u64)).required(true);
    let format =
        Arg::new("format").required(true).value_parser(PossibleValuesParser::new(["text", "json"]));
    Command::new("render").hide(true).args([seconds, format, Arg::new("root")])
}

fn identifier() -> Arg {
    Arg::new("identifier").value_name("IDENTIFIER").required(true).help("The document's name")
}

fn path(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_parser(value_parser!(PathBuf)).help(help)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// Which of the commands that work on documents it is.
pub(super) fn command(name: &str, matches: &ArgMatches) -> Option<commands::Command> {
    let text = |name| matches.get_one::<String>(name).cloned();
    let needed = |name| text(name).unwrap_or_default();
    let path = |name| matches.get_one::<PathBuf>(name).cloned();
    Some(match name {
        "documents" => commands::Command::Documents { json: matches.get_flag("json") },
        "import" => commands::Command::Import {
            files: matches.get_many("files").into_iter().flatten().cloned().collect(),
            identifier: text("identifier"),
        },
        "export" => commands::Command::Export {
            identifier: needed("identifier"),
            format: needed("format"),
            output: path("output"),
            root: text("root"),
        },
        "delete" => commands::Command::Delete {
            identifier: needed("identifier"),
            yes: matches.get_flag("yes"),
        },
        "resolve" => commands::Command::Resolve {
            identifier: needed("identifier"),
            choice: match (matches.get_flag("push"), matches.get_flag("adopt")) {
                (true, _) => Choice::Push,
                (_, true) => Choice::Adopt,
                _ => Choice::Branch,
            },
        },
        "backup" => commands::Command::Backup { file: path("file").unwrap_or_default() },
        _ => return None,
    })
}
