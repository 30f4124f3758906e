//! The process that reads a document's content, watched: it may crash, and it may not end.

use std::env;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread;

use tokio::task::spawn_blocking;
use yrelay::clock;
use yrelay_core::update::Update;

use super::render::CRASHED;

/// Long enough for a book.
const SECONDS: u64 = 60;
/// The name of the command that it runs; no person needs it.
pub(crate) const COMMAND: &str = "render";

/// The content of an update, as the child writes it.
pub(super) async fn render(
    update: &Update,
    format: &str,
    root: Option<&str>,
) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new(env::current_exe()?);
    command.args([COMMAND, "--seconds", &SECONDS.to_string(), format, "--"]);
    command.args(root);
    watched(command, update.bytes().to_vec()).await
}

async fn watched(mut command: Command, input: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // Whoever crashes does not read to the end.
    let writer = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let words = thread::spawn(move || {
        let mut words = Vec::new();
        stderr.map(|stderr| stderr.take(64 << 10).read_to_end(&mut words));
        words
    });
    let reader = spawn_blocking(move || {
        let mut content = Vec::new();
        let read = stdout.map(|mut stdout| stdout.read_to_end(&mut content));
        read.transpose().map(|_| content)
    });
    let read = clock::timeout(SECONDS * 1_000, reader).await;
    if read.is_none() {
        child.kill()?;
    }
    let status = child.wait()?;
    let _ = writer.join();
    let words = words.join().unwrap_or_default();
    let words = String::from_utf8_lossy(&words).lines().next().unwrap_or_default().to_owned();
    match (read, status.code()) {
        (Some(content), Some(0)) => Ok(content??),
        (Some(_), Some(code)) if code != i32::from(CRASHED) && !words.is_empty() => {
            anyhow::bail!("{words}")
        }
        (None, _) => anyhow::bail!("its content is not read within {SECONDS} s; {RAW}"),
        _ => anyhow::bail!(
            "its content cannot be read: the library for that fails at it ({status}); {RAW}"
        ),
    }
}

const RAW: &str = "--format update and y still work";
