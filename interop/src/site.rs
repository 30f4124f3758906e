//! A relay below a server of another project.

use serde_json::json;

use crate::{Client, Document, Kind, Relay, Server, Software, eventually_eq};

/// A server, and a relay below it.
pub struct Site {
    /// The server.
    pub server: Server,
    /// The relay.
    pub relay: Relay,
}

impl Site {
    /// Starts both, the relay with further arguments.
    pub fn build(software: Software, more: &[&str]) -> Site {
        Site::below(Server::start(software), more)
    }

    /// Starts a relay below this server.
    pub fn below(server: Server, more: &[&str]) -> Site {
        let (messages, url) = server.for_relays();
        let arguments = [&["--server", &url, "--messages", messages], more].concat();
        Site { relay: Relay::start(&arguments), server }
    }

    /// Opens a document with a client of the server's own kind, straight there.
    pub fn at_server(&self, document: &str) -> (Client, Document) {
        let client = Client::start(self.server.software().native(), &self.server.url_for(document));
        let document = client.open(document);
        (client, document)
    }

    /// Opens a document with a client of the relay.
    pub fn at_relay(&self, kind: Kind, document: &str) -> (Client, Document) {
        let client = Client::start(kind, &self.relay.url());
        let document = client.open(document);
        (client, document)
    }

    /// Waits until the relay says that the server holds all of a document.
    pub fn confirmed(&self, document: &str) {
        let confirmed = || self.relay.document(document)["confirmed"].clone();
        eventually_eq("the server has shown that it holds it", confirmed, &json!(true));
    }
}
