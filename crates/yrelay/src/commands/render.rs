//! What a document says, for people: read by yrs, which is named here and nowhere else. What it
//! reads may make it panic, loop, or take all memory, so this runs in a process of its own (see
//! `child`): an update comes in on standard input, its content leaves on standard output.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::thread;

use yrs::types::ToJson as _;
use yrs::updates::decoder::Decode as _;
use yrs::{
    Any, Array as _, ArrayRef, Doc, GetString as _, MapRef, Out, ReadTxn as _, TextRef,
    Transact as _, Update, XmlFragmentRef,
};

/// What people write deeply nested, yrs reads by recursion.
const STACK_BYTES: usize = 256 << 20;

/// What a root is to be read as. Updates do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Array,
    Map,
    Xml,
}

/// The whole work of the child process. Its first line on standard error is why it failed.
pub(crate) fn run(format: &str, root: Option<&str>, seconds: u64) -> ExitCode {
    limit(seconds);
    std::panic::set_hook(Box::new(|_| {}));
    let (format, root) = (format.to_owned(), root.map(str::to_owned));
    let work = move || {
        let mut update = Vec::new();
        io::stdin().read_to_end(&mut update).map_err(|error| error.to_string())?;
        let content = content(&update, &format, root.as_deref())?;
        io::stdout().write_all(content.as_bytes()).map_err(|error| error.to_string())
    };
    let done =
        thread::Builder::new().stack_size(STACK_BYTES).spawn(work).map(thread::JoinHandle::join);
    match done {
        Ok(Ok(Ok(()))) => return ExitCode::SUCCESS,
        Ok(Ok(Err(why))) => eprintln!("{why}"),
        Ok(Err(_)) => return ExitCode::from(CRASHED),
        Err(error) => eprintln!("{error}"),
    }
    ExitCode::FAILURE
}

/// It ended as a program should not.
pub(super) const CRASHED: u8 = 70;

/// Whatever happens to it, the machine bears it.
fn limit(seconds: u64) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        const MEMORY_BYTES: u64 = 4 << 30;
        let most = |n| Rlimit { current: Some(n), maximum: Some(n) };
        for (resource, limit) in
            [(Resource::Cpu, seconds), (Resource::As, MEMORY_BYTES), (Resource::Core, 0)]
        {
            // Where the system does not take it, there still is the parent's patience.
            let _ = setrlimit(resource, most(limit));
        }
    }
    #[cfg(not(unix))]
    let _ = seconds;
}

fn content(update: &[u8], format: &str, root: Option<&str>) -> Result<String, String> {
    let doc = Doc::new();
    let refused = |why: String| format!("its content cannot be read: yrs does not take it: {why}");
    let update = Update::decode_v1(update).map_err(|error| refused(error.to_string()))?;
    let applied = doc.transact_mut().apply_update(update);
    applied.map_err(|error| refused(error.to_string()))?;
    let mut names: Vec<String> =
        doc.transact().root_refs().map(|(name, _)| name.to_owned()).collect();
    names.sort();
    let (name, kind) = match root {
        Some(root) => asked(root, &names)?,
        None => (None, None),
    };
    if let Some(name) = name {
        names = vec![name.to_owned()];
    }
    let kind_of = |name: &str| kind.unwrap_or_else(|| guess(&doc, name));
    if format == "text" { text(&doc, &names, kind_of) } else { Ok(json(&doc, &names, kind_of)) }
}

/// `NAME`, or `NAME:TYPE`.
fn asked<'a>(root: &'a str, names: &[String]) -> Result<(Option<&'a str>, Option<Kind>), String> {
    let is_there = |name: &str| names.iter().any(|known| known == name);
    let typed = root.rsplit_once(':').and_then(|(name, kind)| {
        let kind = match kind {
            "text" => Kind::Text,
            "array" => Kind::Array,
            "map" => Kind::Map,
            "xml" => Kind::Xml,
            _ => return None,
        };
        Some((name, kind))
    });
    match typed {
        _ if is_there(root) => Ok((Some(root), None)),
        Some((name, kind)) if is_there(name) => Ok((Some(name), Some(kind))),
        _ => Err(format!("there is no root {root:?}; there are: {}", shown(names))),
    }
}

fn shown(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    if quoted.is_empty() { "none".to_owned() } else { quoted.join(", ") }
}

/// By its content. One that is empty may be any: it counts as a text.
fn guess(doc: &Doc, name: &str) -> Kind {
    let map = doc.get_or_insert_map(name);
    let (list, text) = (as_array(doc, name), as_text(doc, name));
    let txn = doc.transact();
    let mut parts = list.iter(&txn);
    if yrs::Map::len(&map, &txn) > 0 {
        Kind::Map
    } else if !text.get_string(&txn).is_empty() || list.len(&txn) == 0 {
        Kind::Text
    } else if parts
        .all(|part| matches!(part, Out::YXmlElement(_) | Out::YXmlText(_) | Out::YXmlFragment(_)))
    {
        Kind::Xml
    } else {
        Kind::Array
    }
}

fn as_array(doc: &Doc, name: &str) -> ArrayRef {
    doc.get_or_insert_array(name)
}

fn as_text(doc: &Doc, name: &str) -> TextRef {
    doc.get_or_insert_text(name)
}

fn as_map(doc: &Doc, name: &str) -> MapRef {
    doc.get_or_insert_map(name)
}

fn as_xml(doc: &Doc, name: &str) -> XmlFragmentRef {
    doc.get_or_insert_xml_fragment(name)
}

/// The root that was asked for, or the only one that holds text.
fn text(doc: &Doc, names: &[String], kind_of: impl Fn(&str) -> Kind) -> Result<String, String> {
    let read = |name: &String| match kind_of(name) {
        Kind::Text => Some(as_text(doc, name).get_string(&doc.transact())),
        Kind::Xml => Some(as_xml(doc, name).get_string(&doc.transact())),
        Kind::Array | Kind::Map => None,
    };
    let mut texts: Vec<(&String, String)> =
        names.iter().filter_map(|name| Some((name, read(name)?))).collect();
    if texts.len() > 1 {
        texts.retain(|(_, text)| !text.is_empty());
    }
    match texts.len() {
        0 if names.is_empty() => Ok(String::new()),
        0 => Err(format!("no text is in it; --format json shows its roots: {}", shown(names))),
        1 => Ok(texts.swap_remove(0).1),
        _ => {
            let names: Vec<_> = texts.iter().map(|(name, _)| (*name).clone()).collect();
            Err(format!("it has several texts: choose with --root one of {}", shown(&names)))
        }
    }
}

/// All roots as one object, in order.
fn json(doc: &Doc, names: &[String], kind_of: impl Fn(&str) -> Kind) -> String {
    let mut text = String::from("{");
    for (number, name) in names.iter().enumerate() {
        let value = match kind_of(name) {
            Kind::Text => Any::from(as_text(doc, name).get_string(&doc.transact())),
            Kind::Xml => Any::from(as_xml(doc, name).get_string(&doc.transact())),
            Kind::Array => as_array(doc, name).to_json(&doc.transact()),
            Kind::Map => as_map(doc, name).to_json(&doc.transact()),
        };
        text.push_str(if number == 0 { "\n  " } else { ",\n  " });
        text += &format!("{}: {}", in_json(&Any::from(name.as_str())), in_json(&value));
    }
    text + if names.is_empty() { "}\n" } else { "\n}\n" }
}

fn in_json(value: &Any) -> String {
    let mut text = String::new();
    value.to_json(&mut text);
    text
}
