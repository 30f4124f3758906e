//! What documents say: read in a process of its own, whatever that does.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use yrs::{
    Any, Array as _, ArrayPrelim, Doc, Map as _, MapPrelim, ReadTxn as _, StateVector, Text as _,
    TextPrelim, Transact as _, WriteTxn as _, XmlElementPrelim, XmlFragment as _, XmlTextPrelim,
};

use crate::alone::alone;
use crate::moving::{fails, printed, yrelay};
use crate::wait::find;

/// A store with one document, `it`.
fn store(update: &[u8]) -> TempDir {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("it");
    fs::write(&file, update).unwrap();
    printed(directory.path(), &["import", file.to_str().unwrap()]);
    directory
}

fn whole(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_diff_v1(&StateVector::default())
}

/// Roots of each type, an empty one, and what may be in them.
fn everything() -> TempDir {
    let doc = Doc::new();
    let mut txn = doc.transact_mut();
    txn.get_or_insert_text("prose").insert(&mut txn, 0, "two\nlines \u{1f58a}");
    let list = txn.get_or_insert_array("list");
    list.insert(&mut txn, 0, 1.5);
    list.insert(&mut txn, 1, "word");
    list.insert(&mut txn, 2, ArrayPrelim::from([true]));
    list.insert(&mut txn, 3, Any::Null);
    let map = txn.get_or_insert_map("map \"quoted\"");
    map.insert(&mut txn, "a", MapPrelim::from([("b", "c")]));
    map.insert(&mut txn, "t", TextPrelim::new("nested"));
    map.insert(&mut txn, "gone", 1);
    map.remove(&mut txn, "gone");
    let page = txn.get_or_insert_xml_fragment("page");
    let element = page.insert(&mut txn, 0, XmlElementPrelim::empty("p"));
    element.insert(&mut txn, 0, XmlTextPrelim::new("in it"));
    let empty = txn.get_or_insert_text("emptied");
    empty.insert(&mut txn, 0, "x");
    empty.remove_range(&mut txn, 0, 1);
    drop(txn);
    store(&whole(&doc))
}

#[test]
fn json_shows_each_root_as_what_it_is() {
    let directory = everything();
    let shown = |arguments: &[&str]| -> Value {
        let arguments = [&["export", "it", "--format", "json"], arguments].concat();
        serde_json::from_str(&printed(directory.path(), &arguments)).unwrap()
    };
    let all = json!({
        "prose": "two\nlines \u{1f58a}",
        "list": [1.5, "word", [true], null],
        "map \"quoted\"": {"a": {"b": "c"}, "t": "nested"},
        "page": "<p>in it</p>",
        "emptied": "",
    });
    assert_eq!(shown(&[]), all);
    assert_eq!(shown(&["--root", "list"]), json!({"list": [1.5, "word", [true], null]}));
    assert_eq!(shown(&["--root", "emptied:map"]), json!({"emptied": {}}));
    assert_eq!(shown(&["--root", "emptied:array"]), json!({"emptied": []}));
    assert_eq!(shown(&["--root", "emptied:xml"]), json!({"emptied": ""}));
}

#[test]
fn text_is_that_of_the_only_text_or_of_the_one_that_is_chosen() {
    let directory = everything();
    let export = ["export", "it", "--format", "text"];
    let text = |root: &str| printed(directory.path(), &[&export[..], &["--root", root]].concat());
    assert_eq!(text("prose"), "two\nlines \u{1f58a}");
    assert_eq!(text("page"), "<p>in it</p>");
    assert_eq!(text("emptied"), "");
    let words = "it has several texts: choose with --root one of \"page\", \"prose\"";
    fails(directory.path(), &export, words);
    for (root, words) in [
        ("list", "no text is in it"),
        ("nothing", "there is no root \"nothing\"; there are: \"emptied\", \"list\""),
        ("prose:poem", "there is no root \"prose:poem\""),
    ] {
        fails(directory.path(), &[&export[..], &["--root", root]].concat(), words);
    }
    fails(directory.path(), &["export", "it", "--root", "prose"], "--root goes with --format");
    let odd = ["export", "it", "--format", "text", "--root=-x"];
    fails(directory.path(), &odd, "there is no root \"-x\"; there are: ");

    let doc = Doc::new();
    doc.get_or_insert_text("a:text").insert(&mut doc.transact_mut(), 0, "odd name");
    let one = store(&whole(&doc));
    assert_eq!(printed(one.path(), &export), "odd name");
    assert_eq!(printed(one.path(), &[&export[..], &["--root", "a:text"]].concat()), "odd name");
    let file = one.path().join("out.txt");
    let file = file.to_str().unwrap();
    assert_eq!(printed(one.path(), &[&export[..], &["-o", file]].concat()), "");
    assert_eq!(fs::read_to_string(file).unwrap(), "odd name");
    fails(one.path(), &[&export[..], &["-o", file]].concat(), "is there already");
}

/// Ever deeper maps.
fn nested(levels: u64) -> Vec<u8> {
    let mut update = vec![1];
    let number = |update: &mut Vec<u8>, mut number: u64| {
        while number >= 0x80 {
            update.push(number as u8 | 0x80);
            number >>= 7;
        }
        update.push(number as u8);
    };
    number(&mut update, levels);
    update.extend([1, 0]);
    for level in 0..levels {
        update.push(0x27);
        if level == 0 {
            update.extend(b"\x01\x04root");
        } else {
            update.extend([0, 1]);
            number(&mut update, level - 1);
        }
        update.extend(b"\x01m\x01");
    }
    update.push(0);
    update
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

/// What has killed, hung or exhausted programs that read it with yrs 0.28.1.
fn poisons() -> Vec<(&'static str, Vec<u8>)> {
    let deep = [&b"\x01\x01\x01\x00\x08\x01\x01a\x01"[..], &[117, 1].repeat(100_000), &[126, 0]];
    vec![
        ("poisons the pending part", bytes("01016d010203002701016d016e01280003")),
        (
            "hangs",
            bytes("020101000101000b0301018401000b74c3a96c6c6f686d6e7861c10105010034210100003400"),
        ),
        (
            "poisons, too",
            bytes("01020418a81a0601 7d03520417010301040300010601 1501".replace(' ', "").as_str()),
        ),
        ("valid but old", bytes("010101000201017401013100")),
        ("nests values", deep.concat()),
        ("nests types", nested(200_000)),
        ("is garbage", vec![0xff; 64]),
        ("is nothing", vec![]),
    ]
}

/// The process that reads, by itself: nothing stands before it.
#[cfg(unix)]
#[test]
fn whatever_it_reads_the_process_ends() {
    for (name, poison) in poisons() {
        for format in ["text", "json"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_yrelay"));
            command.args(["render", "--seconds", "2", format]);
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            alone(&mut command);
            let mut child = command.spawn().unwrap();
            // It may be gone before it has read all.
            let _ = child.stdin.take().unwrap().write_all(&poison);
            find(&format!("an end of what {name}"), || child.try_wait().unwrap());
        }
    }
}

/// The command: content, or one line.
#[test]
fn whatever_is_stored_the_command_ends_in_content_or_a_line() {
    let directory = TempDir::new().unwrap();
    for (name, poison) in poisons() {
        let file = directory.path().join(name);
        fs::write(&file, poison).unwrap();
        let imported = yrelay(directory.path(), &["import", file.to_str().unwrap()]);
        if imported.status.code() != Some(0) {
            continue; // the gate has seen it
        }
        for format in ["text", "json"] {
            let output = yrelay(directory.path(), &["export", name, "--format", format]);
            let error = String::from_utf8(output.stderr).unwrap();
            match output.status.code() {
                Some(0) | Some(3) => {}
                Some(1) => {
                    assert!(output.stdout.is_empty() && error.lines().count() == 1, "{error}");
                    assert!(error.starts_with("error: "), "{name}: {error}");
                }
                code => panic!("{name}: {code:?}, {error}"),
            }
        }
    }
}
