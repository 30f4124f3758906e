//! A child process that runs Yjs.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use yrelay_core::update::Update;

use super::hex;

const YJS: &str = "yjs@13.6.33";

/// Asks Yjs all of `requests` and gives as many answers; nothing where there is no Node.
pub fn ask(requests: Vec<Value>) -> Option<Vec<Value>> {
    let modules = yrelay_testkit::node::node_modules("yjs", &[YJS])?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/yjs_oracle.cjs");
    let mut child = Command::new("node")
        .arg(script)
        .arg(modules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let count = requests.len();
    let answers = converse(&mut child, requests);
    assert!(child.wait().unwrap().success());
    assert_eq!(answers.len(), count);
    Some(answers)
}

/// Writes from a thread of its own: neither side waits for a full pipe.
fn converse(child: &mut Child, requests: Vec<Value>) -> Vec<Value> {
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        for request in requests {
            writeln!(stdin, "{request}").unwrap();
        }
    });
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let answers = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    writer.join().unwrap();
    answers
}

pub fn hexes<'a>(updates: impl IntoIterator<Item = &'a Update>) -> Vec<String> {
    updates.into_iter().map(|update| hex(update.bytes())).collect()
}

/// What a client sees that starts empty and takes these updates.
pub fn read<'a>(updates: impl IntoIterator<Item = &'a Update>, gc: bool) -> Value {
    json!({ "do": "read", "updates": hexes(updates), "gc": gc })
}
