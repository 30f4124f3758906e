//! Documents come in and go out, whether a relay runs or not.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::alone::alone;
use crate::client::{Client, Editor};
use crate::local::Relay;
use crate::program::Program;
use crate::server::Server;
use crate::wait::{PATIENCE, eventually};

/// Runs a command on the documents of a directory.
pub(crate) fn yrelay(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yrelay"));
    command.args(arguments).arg("--data-dir").arg(directory).stdin(Stdio::null());
    alone(&mut command);
    command.output().unwrap()
}

/// What it prints, once it has ended well.
pub(crate) fn printed(directory: &Path, arguments: &[&str]) -> String {
    let output = yrelay(directory, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &*error), (Some(0), ""), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one line that it ends with instead.
pub(crate) fn fails(directory: &Path, arguments: &[&str], words: &str) {
    let output = yrelay(directory, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty() && error.lines().count() == 1, "{error}");
    assert!(error.starts_with("error: ") && error.contains(words), "{words:?} is not in {error}");
}

fn listed(directory: &Path) -> Vec<Value> {
    serde_json::from_str(&printed(directory, &["documents", "--json"])).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let name = |document: Value| document["identifier"].as_str().unwrap().to_owned();
    listed(directory).into_iter().map(name).collect()
}

/// The text of a document, as a raw update holds it.
fn exported(directory: &Path, document: &str) -> String {
    let output = yrelay(directory, &["export", document]);
    assert_eq!(output.status.code(), Some(0));
    let editor = Editor::new(9);
    editor.apply(&output.stdout);
    editor.text()
}

/// A file with an update that writes these words.
fn update(directory: &Path, name: &str, words: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, Editor::new(7).write(words)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_stopped_store_takes_and_gives_documents() {
    let (files, directory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let data = &directory.path().join("not there yet");
    fails(data, &["documents"], "nothing is stored in ");
    assert!(!data.exists(), "looking makes no store");
    let file = update(files.path(), "my notes.y", "hello");
    let said = printed(data, &["import", &file]);
    assert_eq!(said, format!("{file}: 1 updates into \"my notes\"\n"));
    let row = listed(data).remove(0);
    assert_eq!((&row["identifier"], &row["clients"]), (&"my notes".into(), &0.into()));
    assert!(row["bytes"].as_u64().unwrap() > 0 && row["confirmed"].is_null(), "{row}");
    assert_eq!(exported(data, "my notes"), "hello");
    printed(data, &["import", &file, "--identifier", "a/b"]);
    assert_eq!(names(data), ["a/b", "my notes"]);
    assert_eq!(exported(data, "a/b"), "hello");

    // A relay finds them, and says what it always said of the server above.
    let relay = Relay::alone(data);
    let mut client = Client::synced(relay.address(), "my%20notes", 1);
    assert_eq!(client.text(), "hello");
    client.save(" world");
    drop((client, relay));
    assert_eq!(exported(data, "my notes"), "hello world");
}

#[test]
fn importing_again_changes_nothing() {
    let (files, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = update(files.path(), "notes", "hello");
    let rows = || -> i64 {
        let disk = rusqlite::Connection::open(data.path().join("yrelay.db")).unwrap();
        disk.query_row("SELECT count(*) FROM updates", [], |row| row.get(0)).unwrap()
    };
    for _ in 0..3 {
        printed(data.path(), &["import", &file]);
        assert_eq!(rows(), 1);
    }
    let relay = Relay::alone(data.path());
    printed(data.path(), &["import", &file]);
    drop(relay);
    assert_eq!(rows(), 1);
}

#[test]
fn looking_after_a_store_confirms_nothing_and_takes_nothing_back() {
    let (files, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start();
    let relay = Relay::below(&server, data.path());
    Client::synced(relay.address(), "notes", 1).save("hello");
    relay.pages.until_synced("notes");
    eventually("the mark is off", || {
        let disk = rusqlite::Connection::open(data.path().join("yrelay.db")).unwrap();
        let sql = "SELECT unconfirmed IS NULL FROM documents";
        // What the log has saved has its row a little later.
        disk.query_row(sql, [], |row| row.get(0)).unwrap_or(false)
    });
    drop(relay);
    assert_eq!(listed(data.path())[0]["confirmed"], true);
    printed(data.path(), &["import", &update(files.path(), "notes", "> ")]);
    assert_eq!(listed(data.path())[0]["confirmed"], false);
    // The server gets what was imported meanwhile.
    let _relay = Relay::below(&server, data.path());
    server.until("both", |state| state.text("notes").len() == 7);
}

#[test]
fn a_running_relay_passes_on_what_is_imported() {
    let (files, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start();
    let relay = Relay::below(&server, data.path());
    let mut client = Client::synced(relay.address(), "notes", 1);
    client.save("hello");
    relay.pages.until_synced("notes");
    printed(data.path(), &["import", &update(files.path(), "notes", "imported ")]);
    let both = |text: &str| text.len() == 14 && text.contains("hello");
    while !both(&client.text()) {
        let frame = client.next();
        client.take(&frame);
    }
    server.until("what was imported", |state| both(&state.text("notes")));
    let row = listed(data.path()).remove(0);
    assert_eq!((&row["identifier"], &row["clients"]), (&"notes".into(), &1.into()));
    assert!(both(&exported(data.path(), "notes")));
    // It counts as saved: the process may die.
    let program = Program::start(&data.path().join("own"), &[]);
    let own = data.path().join("own");
    printed(&own, &["import", &update(files.path(), "other", "kept")]);
    program.kill();
    assert_eq!(exported(&own, "other"), "kept");
}

#[test]
fn what_cannot_be_imported_is_named() {
    let (files, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let good = update(files.path(), "good", "hello");
    let bad = |name: &str, bytes: &[u8]| {
        let path = files.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let garbage = bad("garbage", b"\xff\xff\xff");
    // Y.encodeStateAsUpdateV2 of the text "hi".
    let second =
        bad("second", b"\0\0\x01\x07\0\0\x01\x04\x06texthi\x02\x01\x01\x01\0\0\x01\x01\0\0");
    let missing = files.path().join("missing").to_str().unwrap().to_owned();
    fails(data.path(), &["import", &garbage], "neither a file of ELVA nor a Yjs update");
    fails(data.path(), &["import", &second], "as version 1 (encodeStateAsUpdate)");
    fails(data.path(), &["import", &missing], "missing: No such file");
    fails(data.path(), &["import", &good, "--identifier", "-/x"], "is no identifier");
    fails(data.path(), &["import", &good, "--identifier", ""], "is no identifier");
    fails(data.path(), &["import", &good, &garbage, "--identifier", "x"], "names one document");
    assert!(names(data.path()).is_empty());
    // One that is bad does not hold up the others.
    let output = yrelay(data.path(), &["import", &garbage, &good]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(names(data.path()), ["good"]);
    fails(data.path(), &["export", "no such"], "there is no document \"no such\" here");
    let relay = Relay::alone(data.path());
    fails(data.path(), &["export", "no such"], "there is no document \"no such\" here");
    fails(data.path(), &["import", &good, "--identifier", "secret/x"], "end-to-end encrypted");
    drop(relay);
}

#[test]
fn files_of_elva_come_in_row_by_row() {
    let (files, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = files.path().join("file name");
    let disk = rusqlite::Connection::open(&path).unwrap();
    disk.execute_batch(
        "CREATE TABLE metadata(key PRIMARY KEY, value); CREATE TABLE yupdates(yupdate BLOB);
         INSERT INTO metadata VALUES ('identifier', 'from inside');",
    )
    .unwrap();
    let editor = Editor::new(1);
    let rows = [Some(editor.write("a")), Some(vec![0xff]), None, Some(editor.write("b"))];
    for row in rows {
        disk.execute("INSERT INTO yupdates VALUES (?1)", [row]).unwrap();
    }
    let file = path.to_str().unwrap();
    let output = yrelay(data.path(), &["import", file]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("{file}: 2 updates into \"from inside\"\n"));
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(warned.lines().count() == 2 && warned.contains("row 2 left out: "), "{warned}");
    assert!(warned.contains("row 3 left out: Null instead of an update"), "{warned}");
    assert_eq!(exported(data.path(), "from inside"), "ab");

    let out = files.path().join("out.y");
    let out = out.to_str().unwrap();
    fails(data.path(), &["export", "from inside", "--format", "y"], "-o FILE");
    printed(data.path(), &["export", "from inside", "--format", "y", "-o", out]);
    fails(data.path(), &["export", "from inside", "--format", "y", "-o", out], "is there already");
    fails(data.path(), &["export", "from inside", "-o", out], "is there already");
    let again = data.path().join("again");
    assert_eq!(
        printed(&again, &["import", out]),
        format!("{out}: 1 updates into \"from inside\"\n")
    );
    assert_eq!(exported(&again, "from inside"), "ab");
}

#[test]
fn what_a_server_does_not_store_is_not_said_to_be_imported() {
    for policies in [["--permanent", "never"], ["--persistent", "never"]] {
        let (files, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let good = update(files.path(), "good", "hello");
        let kept = update(files.path(), "kept", "hello");
        printed(data.path(), &["import", &kept]);
        let directory = data.path().to_str().unwrap();
        let _server = Program::serve(&[&["--data-dir", directory], &policies[..]].concat());
        fails(data.path(), &["import", &good], "\"good\" is not stored here");
        // What is stored already stays so.
        printed(data.path(), &["import", &kept]);
        assert_eq!(exported(data.path(), "kept"), "hello");
    }
}

#[test]
fn what_stands_behind_a_gap_is_kept_in_files_of_elva() {
    let (files, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let editor = Editor::new(1);
    let (first, _, third) = (editor.write("a"), editor.write("b"), editor.write("c"));
    for (name, update) in [("1", first), ("3", third)] {
        fs::write(files.path().join(name), update).unwrap();
        let file = files.path().join(name);
        printed(data.path(), &["import", file.to_str().unwrap(), "--identifier", "gap"]);
    }
    let output = yrelay(data.path(), &["export", "gap"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().contains("incomplete here"));
    let whole = Editor::new(2);
    whole.apply(&output.stdout);
    assert_eq!(whole.text(), "a");
    let out = files.path().join("gap.y");
    printed(data.path(), &["export", "gap", "--format", "y", "-o", out.to_str().unwrap()]);
    let disk = rusqlite::Connection::open(out).unwrap();
    let rows: i64 = disk.query_row("SELECT count(*) FROM yupdates", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 2);
}

#[cfg(unix)]
#[test]
fn a_file_is_there_whole_or_not_at_all() {
    let (files, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let long = "x".repeat(100_000);
    printed(data.path(), &["import", &update(files.path(), "long", &long)]);
    let out = TempDir::new().unwrap();
    let name = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    let commands: [&[&str]; 4] = [
        &["export", "long", "-o", &name("update")],
        &["export", "long", "--format", "text", "-o", &name("text")],
        &["export", "long", "--format", "y", "-o", &name("y")],
        &["backup", &name("yrelay.db")],
    ];
    for arguments in commands {
        // No file may grow beyond 64 KiB, as on a disk that fills up.
        let mut command = Command::new("bash");
        command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""]);
        command.arg(env!("CARGO_BIN_EXE_yrelay")).args(arguments);
        command.arg("--data-dir").arg(data.path());
        alone(&mut command);
        assert_eq!(command.output().unwrap().status.code(), Some(1), "{arguments:?}");
        let left: Vec<_> = fs::read_dir(out.path()).unwrap().collect();
        assert!(left.is_empty(), "{arguments:?} leaves {left:?}");
    }
}

/// The status that a request below `/-/store/` is answered with.
fn asked(address: SocketAddr, method: &str, page: &str, lines: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "{method} /-/store/{page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn only_who_can_read_the_token_may_come_in() {
    let data = TempDir::new().unwrap();
    let relay = Relay::alone(data.path());
    Client::synced(relay.address(), "notes", 1).save("hello");
    let run = fs::read(data.path().join("yrelay.run")).unwrap();
    let run: Value = serde_json::from_slice(&run).unwrap();
    let token = run["token"].as_str().unwrap();
    let with = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let ask = |method: &str, page: &str, lines: &str| asked(relay.address(), method, page, lines);
    let mut other = token.to_owned();
    let last = if other.pop() == Some('A') { 'B' } else { 'A' };
    other.push(last);
    let wrong = [
        String::new(),
        with(""),
        with(&other),
        with(&token[1..]),
        format!("Authorization: Basic {token}\r\n"),
        format!("Authorization: {token}\r\n"),
    ];
    for lines in wrong {
        for (method, page) in [
            ("GET", "documents"),
            ("GET", "documents/notes"),
            ("PUT", "documents/notes"),
            ("DELETE", "documents/notes"),
            ("POST", "backup"),
            ("GET", "nothing"),
        ] {
            assert_eq!(ask(method, page, &lines), 403, "{method} {page} {lines}");
        }
    }
    // The token does not open to web pages, nor under a foreign name.
    let page = with(token) + "Origin: https://evil.example\r\n";
    assert_eq!(ask("DELETE", "documents/notes", &page), 403);
    for (method, page, status) in [
        ("GET", "documents", 200),
        ("GET", "documents/notes", 200),
        ("GET", "documents/unknown", 404),
        ("DELETE", "documents/unknown", 404),
        ("PATCH", "documents/notes", 409),
        ("GET", "documents/", 409),
        ("GET", "documentsnotes", 409),
        ("POST", "backup", 409),
    ] {
        assert_eq!(ask(method, page, &with(token)), status, "{method} {page}");
    }
    assert_eq!(relay.pages.document("notes")["saved"], true);
    assert!(relay.pages.document("unknown").is_null(), "asking makes no document");
}

#[cfg(unix)]
#[test]
fn a_relay_is_found_while_it_runs() {
    let data = TempDir::new().unwrap();
    let run = data.path().join("yrelay.run");
    let program = Program::start(data.path(), &[]);
    assert!(run.exists());
    assert!(names(data.path()).is_empty());
    program.kill();
    // Left behind, and no obstacle.
    assert!(run.exists());
    assert!(names(data.path()).is_empty());
    assert!(!run.exists());
    let program = Program::start(data.path(), &[]);
    // Without it, who has the store is told.
    fs::remove_file(&run).unwrap();
    fails(data.path(), &["documents"], "is in use by process ");
    // One of another process says nothing: it may be somebody else's port by now.
    let stale = |pid: u32| {
        let run_file = format!(r#"{{"url":"ws://127.0.0.1:1","token":"x","pid":{pid}}}"#);
        fs::write(&run, run_file).unwrap();
    };
    stale(1);
    fails(data.path(), &["documents"], "is in use by process ");
    stale(program.pid());
    fails(data.path(), &["documents"], ") does not answer as it should");
    program.signal("TERM");
    assert_eq!(program.code(), Some(0));
    assert!(!run.exists());
}

#[test]
fn a_deleted_document_is_gone_and_its_clients_with_it() {
    let data = TempDir::new().unwrap();
    let relay = Relay::alone(data.path());
    let mut clients = [1, 2].map(|number| Client::synced(relay.address(), "notes", number));
    clients[0].save("hello");
    Client::synced(relay.address(), "other", 1).save("stays");
    fails(data.path(), &["delete", "notes"], "add --yes");
    assert_eq!(clients[0].sent_so_far().len(), 0);
    let said = printed(data.path(), &["delete", "notes", "--yes"]);
    assert!(said.contains("can bring it back"), "{said}");
    for client in &mut clients {
        // Whoever is about to write when it is sent away brings nothing back.
        client.write("too late");
        assert_eq!(client.closed(), 4404);
    }
    assert_eq!(names(data.path()), ["other"]);
    fails(data.path(), &["delete", "notes", "-y"], "there is no document \"notes\" here");
    // It begins anew, from nothing.
    let mut again = Client::synced(relay.address(), "notes", 3);
    assert_eq!(again.text(), "");
    again.save("new");
    drop((clients, again, relay));
    assert_eq!(exported(data.path(), "notes"), "new");
    printed(data.path(), &["delete", "notes", "--yes"]);
    assert_eq!(names(data.path()), ["other"]);
    assert_eq!(exported(data.path(), "other"), "stays");
}

#[test]
fn other_holders_can_bring_a_document_back() {
    let data = TempDir::new().unwrap();
    let server = Server::start();
    let relay = Relay::below(&server, data.path());
    Client::synced(relay.address(), "notes", 1).save("hello");
    relay.pages.until_synced("notes");
    printed(data.path(), &["delete", "notes", "--yes"]);
    assert!(relay.pages.document("notes").is_null());
    let mut client = Client::synced(relay.address(), "notes", 2);
    client.read_until("hello");
    // An editor that comes back with what it had is one, too.
    let alone = TempDir::new().unwrap();
    let relay = Relay::alone(alone.path());
    let mut client = Client::synced(relay.address(), "notes", 1);
    client.save("mine");
    printed(alone.path(), &["delete", "notes", "--yes"]);
    assert_eq!(client.closed(), 4404);
    let client = client.rejoin(relay.address(), "notes");
    eventually("it is back", || relay.pages.document("notes")["saved"] == true);
    assert_eq!(exported(alone.path(), "notes"), "mine");
    drop(client);
}

#[test]
fn a_store_is_copied_while_it_is_in_use() {
    let (data, copies) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let relay = Relay::alone(data.path());
    let mut client = Client::synced(relay.address(), "notes", 1);
    client.save("saved before");
    Client::synced(relay.address(), "other", 2).save("too");
    let copy = copies.path().join("yrelay.db");
    let said = printed(data.path(), &["backup", copy.to_str().unwrap()]);
    assert!(said.starts_with("copied the store to "), "{said}");
    client.save(" and after");
    fails(data.path(), &["backup", copy.to_str().unwrap()], "is there already");
    let lost = copies.path().join("no/such");
    fails(data.path(), &["backup", lost.to_str().unwrap()], "No such file");
    assert_eq!(names(copies.path()), ["notes", "other"]);
    assert_eq!(exported(copies.path(), "notes"), "saved before");
    assert_eq!(exported(copies.path(), "other"), "too");
    // From a stopped store, too.
    drop((client, relay));
    let second = copies.path().join("second");
    fs::create_dir(&second).unwrap();
    printed(data.path(), &["backup", second.join("yrelay.db").to_str().unwrap()]);
    assert_eq!(exported(&second, "notes"), "saved before and after");
}
