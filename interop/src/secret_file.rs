//! A password or token in a file, as people change it.

use std::fs;

use tempfile::TempDir;

/// A file that holds a secret.
pub struct SecretFile(TempDir);

impl SecretFile {
    /// Writes it somewhere.
    pub fn new(text: &str) -> SecretFile {
        let file = SecretFile(TempDir::new().expect("temporary directories can be made"));
        file.write(text);
        file
    }

    /// Holds another one from now on.
    pub fn write(&self, text: &str) {
        // It is read at any time: the file is replaced, not rewritten.
        let fresh = self.0.path().join("fresh");
        let written = fs::write(&fresh, format!("{text}\n"));
        written.and_then(|()| fs::rename(fresh, self.path())).expect("homes are writable");
    }

    /// Where it is.
    pub fn path(&self) -> String {
        self.0.path().join("secret").to_str().expect("a plain path").to_owned()
    }
}
