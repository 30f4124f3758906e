//! `yrelay export`: a document as a file of ELVA, as a raw update, or as people read it.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use yrelay::documents::{Documents, joined};
use yrelay::new_file;
use yrelay::store::elva_file;
use yrelay_core::id::DocumentId;
use yrelay_core::replica::Want;
use yrelay_core::update::Update;

use super::{PARTLY, child};
use crate::log;
use crate::printable::printable;

/// How a document is written.
#[derive(Debug)]
pub(super) enum Format {
    /// One raw update of version 1.
    Update,
    /// A file of ELVA.
    Y,
    /// Its content, by the child process: `text` or `json`.
    Content { kind: String, root: Option<String> },
}

impl Format {
    pub(super) fn new(name: &str, root: Option<String>) -> anyhow::Result<Self> {
        match (name, root) {
            ("text" | "json", root) => Ok(Self::Content { kind: name.to_owned(), root }),
            (_, Some(_)) => anyhow::bail!("--root goes with --format text and json"),
            ("y", None) => Ok(Self::Y),
            _ => Ok(Self::Update),
        }
    }
}

/// Writes a document to a file that is not there yet, or to standard output.
pub(super) async fn run(
    documents: &Documents,
    id: &DocumentId,
    format: &Format,
    output: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let binary = !matches!(format, Format::Content { .. });
    if output.is_none() && (matches!(format, Format::Y) || binary && io::stdout().is_terminal()) {
        anyhow::bail!("that is no text: name a file for it with -o FILE");
    }
    let updates = documents.read(id).await?;
    if let (Format::Y, Some(path)) = (format, output) {
        let written = elva_file::write(path, id, &updates);
        written.map_err(|error| anyhow::anyhow!("{}: {error}", shown(path)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (update, is_whole) = one(&updates);
    let content = match format {
        Format::Content { kind, root } => child::render(&update, kind, root.as_deref()).await?,
        _ => update.bytes().to_vec(),
    };
    write(&content, output)?;
    if !is_whole {
        let words = "a part that stands behind a gap is left out; --format y has it, too";
        log::say("warning", &format!("{id:?} is incomplete here: {words}"));
        return Ok(ExitCode::from(PARTLY));
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}

/// All that does not stand behind a gap, as one update, and whether that is all. Yjs and others
/// lose content where one update has gaps.
pub(super) fn one(updates: &[Update]) -> (Update, bool) {
    let replica = joined(updates);
    let settled = replica.state_vector();
    let mut want = Want::everything(&replica);
    want.structs = settled.iter().map(|(client, clock)| (client, 0..clock)).collect();
    let update = replica.take_chunk(&mut want, usize::MAX).map(|chunk| chunk.update);
    // One beyond the bounds of updates is cut, too.
    let is_whole = !replica.is_incomplete() && want.is_empty();
    (update.unwrap_or_default(), is_whole)
}

fn write(content: &[u8], output: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = output else {
        let mut stdout = io::stdout();
        return match stdout.write_all(content).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        };
    };
    let fail = |at: &Path, error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists if at == path => {
            anyhow::anyhow!("{}: {}", shown(path), elva_file::FileError::Exists)
        }
        _ => anyhow::anyhow!("{}: {error}", shown(at)),
    };
    new_file::make(path, fail, |part| fs::write(part, content).map_err(|error| fail(path, error)))
}
