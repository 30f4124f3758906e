//! `yrelay import`: files of ELVA and raw updates become documents, or parts of them.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use bytes::Bytes;
use yrelay::documents::Documents;
use yrelay::store::elva_file;
use yrelay_core::id::DocumentId;
use yrelay_core::limits;
use yrelay_core::replica::Replica;
use yrelay_core::update::Update;

use super::PARTLY;
use super::progress::Progress;
use crate::printable::printable;
use crate::{log, print};

/// Faults of one file that are told one by one.
const FAULTS_TOLD: usize = 10;

/// What a file holds.
#[derive(Default)]
struct Source {
    /// The name of its document, if the file tells.
    identifier: Option<String>,
    replica: Replica,
    updates: u64,
    /// What was left out, and why.
    faults: Vec<String>,
    /// Those beyond the first.
    more_faults: usize,
}

/// Imports each file. What cannot be is told of, and does not hold up the others.
pub(super) async fn run(
    documents: &Documents,
    files: &[impl AsRef<Path>],
    identifier: Option<&str>,
) -> anyhow::Result<ExitCode> {
    if files.len() > 1 && identifier.is_some() {
        anyhow::bail!("--identifier names one document: import its file alone");
    }
    let mut code = ExitCode::SUCCESS;
    let mut progress = Progress::new();
    for (number, path) in files.iter().enumerate() {
        let path = path.as_ref();
        let shown = printable(&path.display().to_string());
        let place = format!("file {} of {}", number + 1, files.len());
        match import(documents, path, identifier, &place, &mut progress).await {
            Ok((id, source)) => {
                progress.clear();
                print(&format!("{shown}: {} updates into {id:?}\n", source.updates))?;
                for fault in &source.faults {
                    log::say("warning", &format!("{shown}: {}", printable(fault)));
                }
                if source.more_faults > 0 {
                    let more = source.more_faults;
                    log::say("warning", &format!("{shown}: {more} more rows left out"));
                }
                if !source.faults.is_empty() && code == ExitCode::SUCCESS {
                    code = ExitCode::from(PARTLY);
                }
            }
            Err(error) => {
                progress.clear();
                log::say("error", &format!("{shown}: {error:#}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

async fn import(
    documents: &Documents,
    path: &Path,
    identifier: Option<&str>,
    place: &str,
    progress: &mut Progress,
) -> anyhow::Result<(DocumentId, Source)> {
    let source = read(path, |rows| progress.show(&format!("{place}: {rows} updates read")))?;
    let name = identifier.map(str::to_owned).or_else(|| source.identifier.clone());
    let name = name.or_else(|| stem(path));
    let id = DocumentId::new(&name.unwrap_or_default()).map_err(|error| {
        anyhow::anyhow!("its name is no identifier ({error}): give one with --identifier")
    })?;
    let updates = source.replica.snapshot();
    for (number, update) in updates.iter().enumerate() {
        progress.show(&format!("{place}: part {} of {} stored", number, updates.len()));
        documents.put(&id, update).await?;
    }
    Ok((id, source))
}

/// The name of a file, without `.y`.
fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(".y").unwrap_or(name).to_owned())
}

fn read(path: &Path, mut told: impl FnMut(u64)) -> anyhow::Result<Source> {
    let mut source = Source::default();
    if !elva_file::is_sqlite(path)? {
        let update = raw(path)?;
        source.replica.apply(&update);
        source.updates = 1;
        return Ok(source);
    }
    let contents = elva_file::read(path, |number, row| {
        let update = row.and_then(|bytes| Update::parse(bytes).map_err(|e| e.to_string()));
        match update {
            Ok(update) => {
                source.replica.apply(&update);
                source.updates += 1;
                told(source.updates);
            }
            Err(why) => source.fault(format!("row {number} left out: {why}")),
        }
    })?;
    source.identifier = contents.identifier;
    if let Some(why) = contents.broken {
        source.fault(format!("what follows row {} is lost: {why}", source.updates));
    }
    Ok(source)
}

fn raw(path: &Path) -> anyhow::Result<Update> {
    let mut bytes = Vec::new();
    let most = limits::UPDATE_BYTES_MAX as u64;
    fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    // Version 2 begins with a zero, and so does an update of version 1 without structs.
    let hint = match bytes.first() {
        Some(0) => "; if it is of version 2, write it anew as version 1 (encodeStateAsUpdate)",
        _ => "",
    };
    Update::parse(Bytes::from(bytes))
        .map_err(|error| anyhow::anyhow!("neither a file of ELVA nor a Yjs update: {error}{hint}"))
}

impl Source {
    fn fault(&mut self, words: String) {
        if self.faults.len() < FAULTS_TOLD {
            self.faults.push(words);
        } else {
            self.more_faults += 1;
        }
    }
}
