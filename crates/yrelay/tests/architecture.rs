//! What holds the house together and no compiler checks.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// Before its tests. Beyond this a second noun hides in a file.
const LINES_MAX: usize = 400;
/// With the tests at its end.
const LINES_WITH_TESTS_MAX: usize = 600;

/// A source file of a crate, its path from the root of the workspace.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// What stands before its tests; nothing of a file that is all tests.
    fn code(&self) -> &str {
        if self.path.contains("/tests") {
            return "";
        }
        self.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap()
    }

    /// Whether a crate is named in the code, comments aside.
    fn names(&self, name: &str) -> bool {
        let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
        self.text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
            line.match_indices(name).any(|(at, _)| {
                !line[..at].ends_with(part_of_word)
                    && !line[at + name.len()..].starts_with(part_of_word)
            })
        })
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn files_below(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// All that is built into the crates, their unit tests included.
fn sources() -> Vec<Source> {
    let root = root();
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        files_below(&entry.unwrap().path().join("src"), &mut files);
    }
    let source = |path: PathBuf| Source {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/"),
    };
    let sources: Vec<Source> = files.into_iter().map(source).collect();
    assert!(sources.len() > 50, "the sources are elsewhere");
    sources
}

/// The crates that a crate is built from.
fn dependencies(package: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join(format!("crates/{package}/Cargo.toml"))).unwrap();
    let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap();
    let section = rest.split("\n[").next().unwrap();
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap().to_owned();
    section.lines().filter(|line| !line.is_empty()).map(name).collect()
}

/// No code outside these names this crate.
fn is_named_only_in(name: &str, places: &[&str]) {
    let mut named = 0;
    for source in sources().iter().filter(|source| source.names(name)) {
        let allowed = places.iter().any(|place| source.path.starts_with(place));
        assert!(allowed, "{} names {name}", source.path);
        named += 1;
    }
    assert!(named > 0, "nobody names {name}");
}

#[test]
fn the_core_is_pure() {
    assert_eq!(dependencies("core"), ["bytes", "percent-encoding", "thiserror"]);
}

#[test]
fn each_large_library_is_named_in_one_place() {
    is_named_only_in(
        "rusqlite",
        &["crates/yrelay/src/store.rs", "crates/yrelay/src/store/", "crates/testdisk/src/"],
    );
    is_named_only_in("bcrypt", &["crates/yrelay/src/accounts.rs"]);
    is_named_only_in("yrs", &["crates/testkit/src/", "crates/yrelay/src/commands/render.rs"]);
}

#[test]
fn what_serves_tests_is_not_built_in() {
    for package in ["core", "yrelay"] {
        for name in dependencies(package) {
            let serves_tests = [
                "yrelay-testkit",
                "yrelay-testdisk",
                "yrelay-fuzz",
                "yrelay-interop",
                "yrelay-bench",
            ];
            assert!(!serves_tests.contains(&&*name), "{package} is built from {name}");
        }
    }
    for place in ["crates/testkit", "crates/testdisk", "fuzz", "interop", "bench"] {
        let manifest = root().join(place).join("Cargo.toml");
        if let Ok(manifest) = fs::read_to_string(manifest) {
            assert!(manifest.contains("\npublish = false\n"), "{place} would be published");
        }
    }
}

#[test]
fn files_stay_short() {
    for source in sources() {
        let (lines, all) = (source.code().lines().count(), source.text.lines().count());
        assert!(lines <= LINES_MAX, "{}: {lines} lines before its tests", source.path);
        assert!(all <= LINES_WITH_TESTS_MAX, "{}: {all} lines with its tests", source.path);
    }
}

#[test]
fn sources_are_ascii_but_for_strings() {
    for source in sources() {
        for line in source.code().lines().filter(|line| !line.is_ascii()) {
            let before = line.split(|c: char| !c.is_ascii()).next().unwrap();
            assert!(before.contains('"'), "{}: {line}", source.path);
        }
    }
}

#[test]
fn tests_that_documents_name_exist() {
    let root = root();
    let mut files = Vec::new();
    for place in ["crates", "interop", "fuzz"] {
        files_below(&root.join(place), &mut files);
    }
    let is_word =
        |word: &str| word.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b));
    for document in ["docs/reliability.md", "docs/fault-matrix.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let code = text.split('`').skip(1).step_by(2);
        let names = code.map(|code| code.rsplit('/').next().unwrap());
        let named = names.filter_map(|name| name.split_once("::"));
        for (file, test) in named.filter(|(file, test)| is_word(file) && is_word(test)) {
            let exists = files
                .iter()
                .filter(|path| {
                    path.ends_with(format!("{file}.rs"))
                        || path.ends_with(format!("{file}/main.rs"))
                })
                .any(|path| fs::read_to_string(path).unwrap().contains(&format!("fn {test}(")));
            assert!(exists, "{document} names {file}::{test}, which is not there");
        }
    }
}
