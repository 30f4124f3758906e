//! What is kept of the inputs that were tried on a target: those that led somewhere new, and those
//! that once did harm. A line of hex for each.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Where the inputs of a target are kept.
pub fn path(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{target}.hex"))
}

/// The inputs of a target; none if there are none yet.
pub fn read(target: &str) -> io::Result<Vec<Vec<u8>>> {
    match fs::read_to_string(path(target)) {
        Ok(text) => text.lines().map(bytes).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// An input as it is kept.
pub fn line(input: &[u8]) -> String {
    input.iter().map(|byte| format!("{byte:02x}")).chain(["\n".to_owned()]).collect()
}

fn bytes(line: &str) -> io::Result<Vec<u8>> {
    let byte = |at| u8::from_str_radix(line.get(at..at + 2).unwrap_or_default(), 16);
    let bytes: Result<_, _> = (0..line.len()).step_by(2).map(byte).collect();
    bytes.map_err(|_| io::Error::other(format!("not hex: {line}")))
}
