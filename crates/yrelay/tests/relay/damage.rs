//! A document whose rows are damaged is not an empty document.

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::client::Client;
use crate::local::Relay;
use crate::server::Server;
use crate::socket::Message;

/// All rows of a document.
fn rows(directory: &Path, document: &str) -> Vec<Vec<u8>> {
    let disk = Connection::open(directory.join("yrelay.db")).unwrap();
    let mut statement = disk
        .prepare(
            "SELECT u.bytes FROM updates u JOIN documents d ON d.id = u.document
             WHERE d.identifier = ?1 ORDER BY u.seq, u.part",
        )
        .unwrap();
    statement.query_map([document], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Flips the last bit of the first row.
fn damage(directory: &Path, document: &str) {
    let disk = Connection::open(directory.join("yrelay.db")).unwrap();
    let mut row = rows(directory, document).swap_remove(0);
    *row.last_mut().unwrap() ^= 1;
    let changed = disk.execute(
        "UPDATE updates SET bytes = ?1
         WHERE id = (SELECT min(u.id) FROM updates u JOIN documents d ON d.id = u.document
                     WHERE d.identifier = ?2)",
        (row, document),
    );
    assert_eq!(changed.unwrap(), 1);
}

/// Two documents, one of them damaged.
fn scene() -> TempDir {
    let directory = TempDir::new().unwrap();
    let relay = Relay::alone(directory.path());
    let mut author = Client::synced(relay.address(), "damaged", 1);
    author.save("precious");
    author.save(" words");
    Client::synced(relay.address(), "a%20sound", 1).save("fine");
    drop((author, relay));
    damage(directory.path(), "damaged");
    directory
}

/// A client of the damaged document asks and offers: it is sent away and told nothing.
fn is_sent_away(relay: &Relay) {
    let mut client = Client::join(relay.address(), "damaged", 2);
    client.ask();
    client.write("default text");
    assert_eq!(client.socket.read(), Message::Close(1013));
}

#[test]
fn its_clients_are_sent_away_and_nothing_is_overwritten() {
    let directory = scene();
    let before = rows(directory.path(), "damaged");
    let relay = Relay::alone(directory.path());
    let mut reader = Client::synced(relay.address(), "a%20sound", 2);
    assert_eq!(reader.text(), "fine");
    for _ in 0..4 {
        is_sent_away(&relay);
    }
    reader.save("!");
    assert_eq!(relay.pages.metric("rejected_total{reason=\"load_failed\"}"), 4);
    let shown = relay.pages.document("damaged");
    assert_eq!(shown["clients"], 0, "it stays in the list: {shown}");
    drop((reader, relay));
    assert_eq!(rows(directory.path(), "damaged"), before);
}

#[test]
fn the_server_is_not_told_that_it_is_empty_either() {
    let directory = scene();
    let server = Server::start();
    server.with(|state| {
        state.document("damaged").write("theirs");
    });
    let relay = Relay::below(&server, directory.path());
    // A new server has confirmed nothing: all is loaded and pushed, with nobody here, one after
    // the other.
    relay.pages.until_synced("a sound");
    let update = yrelay_core::wire::update(&crate::client::Editor::new(7).write("theirs"));
    server.with(|state| state.send(&crate::server::frame("damaged", &update)));
    is_sent_away(&relay);
    let shown = relay.pages.document("damaged");
    assert_eq!(shown["synced"], false, "{shown}");
    assert!(!server.with(|state| state.knows("damaged")));
    assert_eq!(Client::synced(relay.address(), "a%20sound", 2).text(), "fine");
}

/// What a row held is lost here, not where others hold it.
#[test]
fn at_the_next_start_the_rest_of_it_is_there_and_what_is_lost_comes_back_from_an_editor() {
    let directory = TempDir::new().unwrap();
    let relay = Relay::alone(directory.path());
    let mut author = Client::synced(relay.address(), "damaged", 1);
    author.save("precious");
    drop(relay);
    // In a row of its own.
    let relay = Relay::alone(directory.path());
    let mut author = author.rejoin(relay.address(), "damaged");
    author.save(" words");
    drop(relay);
    damage(directory.path(), "damaged");
    let relay = Relay::alone(directory.path());
    assert_eq!(relay.pages.json("/-/status")["store"], serde_json::Value::Null);
    is_sent_away(&relay);
    let trouble = relay.pages.json("/-/status")["store"].take();
    assert!(trouble.as_str().unwrap().contains("restart yrelay"), "{trouble}");
    drop(relay);

    let relay = Relay::alone(directory.path());
    let trouble = relay.pages.json("/-/status")["store"].take();
    let file = trouble.as_str().unwrap().split("lies in ").nth(1).unwrap();
    let aside = Path::new(file.split(':').next().unwrap());
    assert!(aside.parent() == Some(directory.path()) && aside.exists(), "{trouble}");
    let mut reader = Client::synced(relay.address(), "damaged", 2);
    assert_eq!(reader.text(), "", "the second word waits for the first");
    drop(author.rejoin(relay.address(), "damaged"));
    reader.read_until("precious words");
    drop((reader, relay));
    assert_eq!(rows(directory.path(), "damaged").len(), 2);
}
