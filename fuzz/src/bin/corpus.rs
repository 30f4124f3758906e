//! Inputs as libFuzzer has them, each in a file, and as they are kept, each in a line of hex:
//! `corpus unpack TARGET FOLDER`, `corpus pack TARGET FOLDER`. `fuzz/run` calls it.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs, io};

use yrelay_fuzz::corpus;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [command, target, folder] = arguments.as_slice() else {
        return Err(io::Error::other("usage: corpus pack|unpack TARGET FOLDER"));
    };
    match command.as_str() {
        "unpack" => unpack(target, Path::new(folder)),
        _ => pack(target, Path::new(folder)),
    }
}

fn unpack(target: &str, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, input) in corpus::read(target)?.iter().enumerate() {
        fs::write(folder.join(format!("kept-{number}")), input)?;
    }
    Ok(())
}

/// All of the folder, the shortest first.
fn pack(target: &str, folder: &Path) -> io::Result<()> {
    let mut inputs = BTreeSet::new();
    for file in folder.read_dir()? {
        let input = fs::read(file?.path())?;
        inputs.insert((input.len(), input));
    }
    let lines = inputs.iter().map(|(_, input)| corpus::line(input));
    fs::write(corpus::path(target), lines.collect::<String>())
}
