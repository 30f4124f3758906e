//! What ELVA's programs make of settings.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::install;
use crate::world::World;

/// What `elva context -a service` of 0.33 says in each of these worlds, and the defaults of the
/// service where it says nothing: one process goes through all of them.
pub fn elva33_contexts(worlds: &[World]) -> Vec<Value> {
    ask(install::elva33_python("originals/elva33_contexts.py", &["inside"]), worlds)
}

/// The same, with a process for each: slow.
pub fn elva33_contexts_by_command(worlds: &[World]) -> Vec<Value> {
    ask(install::elva33_python("originals/elva33_contexts.py", &["outside"]), worlds)
}

/// What ELVA 0.37 prints as its settings in this world, with these arguments.
pub fn elva37_context(world: &World, arguments: &[&str]) -> String {
    let mut command = install::elva37();
    world.enter(command.args(arguments).arg("context"));
    install::run(&mut command)
}

/// What `elva room` of 0.37 lists of the server at this port, with details.
pub fn elva37_rooms(port: u16) -> String {
    let (world, mut command) = (World::new(), install::elva37());
    command.args(["connect", "--host", "127.0.0.1", "--port", &port.to_string()]);
    world.enter(command.args(["room", "--info", "--details", "--timeout", "10"]));
    install::run(&mut command)
}

/// The settings of ELVA 0.37 in each of these worlds, and where it would connect to.
pub fn elva37_settings(worlds: &[World]) -> Vec<Value> {
    ask(install::elva37_python("originals/elva37_settings.py"), worlds)
}

/// A generation of ELVA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// 0.33
    Elva33,
    /// 0.37
    Elva37,
}

/// Lets the store of ELVA append words to the text in a file, and says what is in it then:
/// `identifier`, `text`, `rows`. Without words the file stays as it is.
pub fn elva_file(generation: Generation, path: &Path, identifier: &str, words: &[&str]) -> Value {
    let script = "originals/elva_files.py";
    let mut command = match generation {
        Generation::Elva33 => install::elva33_python(script, &["33"]),
        Generation::Elva37 => install::elva37_python(script),
    };
    if generation == Generation::Elva37 {
        command.arg("37");
    }
    command.arg(path).arg(identifier).args(words);
    serde_json::from_str(&install::run(&mut command)).expect("the script prints JSON")
}

/// Tells a script of the worlds, and reads what it says: a line for each.
fn ask(mut command: Command, worlds: &[World]) -> Vec<Value> {
    let told: Value = worlds.iter().map(World::told).collect();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("Python starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let writer = thread::spawn(move || drop(stdin.write_all(told.to_string().as_bytes())));
    let output = child.wait_with_output().expect("Python ends");
    writer.join().expect("writing does not panic");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = str::from_utf8(&output.stdout).expect("scripts write UTF-8").lines();
    let said: Vec<Value> = said.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(said.len(), worlds.len());
    said
}
