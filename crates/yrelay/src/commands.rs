//! Commands that move documents in and out: `documents`, `import`, `export`, `delete`, `backup`,
//! and `resolve`, which decides between two histories of one.
//! The store may be in use by a running relay or by nobody; they do the same either way.

mod child;
mod export;
mod import;
mod progress;
pub(crate) mod render;
pub(crate) mod resolve;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytesize::ByteSize;
use tokio::runtime;
use tokio::task::LocalSet;
use yrelay::documents::Documents;
use yrelay::moving::Listed;
use yrelay::new_file;
use yrelay_core::id::DocumentId;

use crate::print;
use crate::printable::printable;
use crate::settings::gather::Settings;
use export::Format;
use progress::Progress;
use resolve::Choice;

/// Something was left out, and told of.
const PARTLY: u8 = 3;

/// What to do with documents.
#[derive(Debug)]
pub(crate) enum Command {
    Documents { json: bool },
    Import { files: Vec<PathBuf>, identifier: Option<String> },
    Export { identifier: String, format: String, output: Option<PathBuf>, root: Option<String> },
    Delete { identifier: String, yes: bool },
    Backup { file: PathBuf },
    Resolve { identifier: String, choice: Choice },
}

/// Does it with the documents of the data directory that the settings name.
pub(crate) fn run(command: Command, settings: &Settings) -> anyhow::Result<ExitCode> {
    let (directory, opaque) = settings.documents()?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let makes = matches!(command, Command::Import { .. });
    LocalSet::new().block_on(&runtime, async {
        let documents = Documents::open(&directory, &opaque, makes)?;
        let done = carry_out(&documents, command).await;
        let closed = documents.close().await;
        let code = done?;
        closed?;
        Ok(code)
    })
}

async fn carry_out(documents: &Documents, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Documents { json } => list(&documents.list().await?, json)?,
        Command::Import { files, identifier } => {
            return import::run(documents, &files, identifier.as_deref()).await;
        }
        Command::Export { identifier, format, output, root } => {
            let format = Format::new(&format, root)?;
            return export::run(documents, &named(&identifier)?, &format, output.as_deref()).await;
        }
        Command::Delete { identifier, yes } => delete(documents, &identifier, yes).await?,
        Command::Backup { file } => back_up(documents, &file).await?,
        Command::Resolve { identifier, choice } => {
            resolve::run(documents, &named(&identifier)?, choice).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn named(identifier: &str) -> anyhow::Result<DocumentId> {
    DocumentId::new(identifier).map_err(|error| anyhow::anyhow!("{identifier:?}: {error}"))
}

fn list(documents: &[Listed], json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string(documents)? + "\n" } else { table(documents) };
    print(&text)?;
    Ok(())
}

fn table(documents: &[Listed]) -> String {
    let mut text =
        format!("{:>10}  {:>7}  {:9}  {:10}  DOCUMENT\n", "SIZE", "CLIENTS", "CONFIRMED", "OPENED");
    let now = yrelay::clock::unix_ms();
    for document in documents {
        let confirmed = match document.confirmed {
            None => "-",
            Some(true) => "yes",
            Some(false) => "no",
        };
        text += &format!(
            "{:>10}  {:>7}  {confirmed:9}  {:10}  {}{}\n",
            size(document.bytes),
            document.clients,
            opened(now.saturating_sub(document.opened)),
            printable(&document.identifier),
            if document.opaque { "  (encrypted)" } else { "" },
        );
    }
    text
}

/// How long ago, to the day that is noted.
fn opened(ms: u64) -> String {
    match ms / (24 * 3_600_000) {
        0 => "today".to_owned(),
        1 => "1 day ago".to_owned(),
        days => format!("{days} days ago"),
    }
}

fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().si().to_string()
}

async fn delete(documents: &Documents, identifier: &str, yes: bool) -> anyhow::Result<()> {
    let id = named(identifier)?;
    let listed = documents.list().await?;
    let Some(document) = listed.iter().find(|document| document.identifier == identifier) else {
        anyhow::bail!("there is no document {id:?} here; `yrelay documents` lists those that are");
    };
    if !yes && !confirmed(document)? {
        anyhow::bail!("nothing was deleted");
    }
    documents.delete(&id).await?;
    print(&format!(
        "deleted {id:?} here; whoever else holds it (the server above, an editor) can bring it back\n"
    ))?;
    Ok(())
}

/// Asks a person. Where there is none, somebody must have said so before.
fn confirmed(document: &Listed) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        anyhow::bail!("nobody is here to be asked: add --yes to delete {:?}", document.identifier);
    }
    let (name, clients) = (printable(&document.identifier), document.clients);
    let bytes = size(document.bytes);
    eprint!("Delete {name} ({bytes}) here, and send its {clients} clients away? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

async fn back_up(documents: &Documents, file: &Path) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    let copy = documents.back_up(file);
    let watch = async {
        loop {
            yrelay::clock::sleep(progress::PERIOD_MS).await;
            let part = new_file::unfinished(file);
            let bytes = part.metadata().map_or(0, |metadata| metadata.len());
            progress.show(&format!("{} copied", size(bytes)));
        }
    };
    tokio::select! {
        copied = copy => copied?,
        () = watch => {}
    }
    drop(progress);
    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
    let shown = printable(&file.display().to_string());
    print(&format!("copied the store to {shown} ({})\n", size(bytes)))?;
    Ok(())
}
