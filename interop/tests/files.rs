//! Files of ELVA, written and read by its own stores, go in and come out.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use yrelay_interop::Generation::{Elva33, Elva37};
use yrelay_interop::{
    Client, Generation, Keeping, Kind, Relay, Server, Software, elva_file, eventually,
    eventually_eq, ready, yrelay,
};

const NAME: &str = "a b/\u{fc} \"c\"";

/// What ELVA's editors of a generation call their text.
fn root(generation: Generation) -> &'static str {
    match generation {
        Elva33 => "ytext",
        Elva37 => "text",
    }
}

fn text(data: &Path, root: &str) -> String {
    yrelay(data, &["export", NAME, "--format", "text", "--root", root])
}

fn names(data: &Path) -> Value {
    let listed: Value =
        serde_json::from_str(&yrelay(data, &["documents", "--json"])).expect("JSON");
    let names = listed.as_array().expect("a list").iter();
    names.map(|document| document["identifier"].clone()).collect()
}

fn exported(data: &Path, to: PathBuf) -> PathBuf {
    let path = to.to_str().expect("UTF-8").to_owned();
    yrelay(data, &["export", NAME, "--format", "y", "-o", &path]);
    to
}

#[test]
fn what_one_store_writes_each_reads() {
    if !ready() {
        return;
    }
    for writer in [Elva33, Elva37] {
        let home = TempDir::new().expect("a directory");
        let data = home.path().join("data");
        let file = home.path().join("other name.y");
        elva_file(writer, &file, NAME, &["hello", " "]);
        elva_file(writer, &file, NAME, &["world"]);
        yrelay(&data, &["import", file.to_str().expect("UTF-8")]);
        assert_eq!(names(&data), json!([NAME]), "{writer:?}");
        assert_eq!(text(&data, root(writer)), "hello world", "{writer:?}");

        let out = exported(&data, home.path().join("out.y"));
        let read = elva_file(writer, &out, NAME, &[]);
        assert_eq!(read["identifier"], NAME, "{writer:?}");
        assert_eq!(read["text"], "hello world", "{writer:?}");
        // The other generation takes the file, too; its editors call their text otherwise.
        let other = if writer == Elva33 { Elva37 } else { Elva33 };
        assert_eq!(elva_file(other, &out, NAME, &[])["identifier"], NAME, "{other:?}");

        // Work goes on there, and comes back.
        for generation in [writer, other] {
            elva_file(generation, &out, NAME, &["!"]);
        }
        yrelay(&data, &["import", out.to_str().expect("UTF-8")]);
        assert_eq!(text(&data, root(writer)), "hello world!", "{writer:?}");
        assert_eq!(text(&data, root(other)), "!", "{writer:?}");
    }
}

#[test]
fn files_without_a_name_inside_are_named_by_their_own() {
    if !ready() {
        return;
    }
    let home = TempDir::new().expect("a directory");
    let data = home.path().join("data");
    let file = home.path().join("notes.v2.y");
    elva_file(Elva37, &file, "", &["hello"]);
    yrelay(&data, &["import", file.to_str().expect("UTF-8")]);
    assert_eq!(names(&data), json!(["notes.v2"]));
}

#[test]
fn what_a_server_of_elva_has_kept_moves_in_while_people_work() {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let before = Relay::below(&server.url());
    let author = Client::start(Kind::YWebsocket3, &before.url()).open("notes");
    author.append("from the server");
    eventually("it is there", || before.document("notes")["confirmed"] == true);
    // Its server leaves the suffix away, and writes when it finds the time.
    let file = server.data().join("notes");
    eventually("it is on its disk", || elva_file(Elva33, &file, "notes", &[])["rows"] != 0);
    drop(before);
    server.kill();

    let relay = Relay::start(&[]);
    let editor = Client::start(Kind::Elva37, &relay.url()).open("notes");
    editor.append("here: ");
    eventually("it is saved", || relay.document("notes")["saved"] == true);
    yrelay(&relay.data(), &["import", file.to_str().expect("UTF-8")]);
    let both = |text: &str| text.contains("here: ") && text.contains("from the server");
    eventually("the editor sees it", || both(&editor.text()));
    assert!(both(&yrelay(&relay.data(), &["export", "notes", "--format", "text"])));

    // ELVA's editors come back after every close code, and would bring it back.
    editor.disconnect();
    yrelay(&relay.data(), &["delete", "notes", "--yes"]);
    eventually_eq("it is gone", || relay.document("notes").is_null(), &true);
}
