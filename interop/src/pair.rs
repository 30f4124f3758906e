//! Two people who write a document together.

use std::thread;

use crate::{
    Client, Document, Keeping, Kind, Proxy, Relay, Server, Software, converge, eventually_eq,
};

/// A server, and below it two relays, each behind a network of its own and with a client.
pub struct Pair {
    /// The server.
    pub server: Server,
    /// What is between the server and each relay.
    pub proxies: [Proxy; 2],
    /// The relays.
    pub relays: [Relay; 2],
    /// A client of each relay.
    pub clients: [Client; 2],
    /// `notes`, as each client has it.
    pub documents: [Document; 2],
}

impl Pair {
    /// Starts it all and waits until both relays are online.
    pub fn build(keeping: Keeping) -> Pair {
        let server = Server::start(Software::Elva33(keeping));
        let proxies = [(); 2].map(|()| Proxy::start(server.port()));
        let relays = proxies.each_ref().map(|proxy| Relay::below(&proxy.url()));
        Pair::join(server, proxies, relays)
    }

    /// Gives each relay a client and waits until both relays are online.
    pub fn join(server: Server, proxies: [Proxy; 2], relays: [Relay; 2]) -> Pair {
        let clients = relays.each_ref().map(|relay| Client::start(Kind::YWebsocket3, &relay.url()));
        let documents = clients.each_ref().map(|client| client.open("notes"));
        let pair = Pair { server, proxies, relays, clients, documents };
        pair.online();
        pair
    }

    /// Waits until both relays are online.
    pub fn online(&self) {
        for relay in &self.relays {
            eventually_eq("online", || relay.upstream_state(), &"online".to_owned());
        }
    }

    /// Waits until both documents hold the same and `complete` accepts the text; returns it.
    pub fn converge(&self, complete: impl Fn(&str) -> bool) -> String {
        converge(&self.documents.each_ref(), complete)
    }

    /// Waits until both relays say that the server holds everything.
    pub fn confirmed(&self) {
        for relay in &self.relays {
            let confirmed = || relay.document("notes")["confirmed"].clone();
            eventually_eq("confirmed", confirmed, &true.into());
        }
    }
}

/// Runs scenes at the same time, however few cores there are: they wait most of the time.
pub fn side_by_side(scenes: &[(&str, fn())]) {
    thread::scope(|scope| {
        for (name, scene) in scenes {
            let builder = thread::Builder::new().name((*name).to_owned());
            builder.spawn_scoped(scope, scene).expect("threads can be started");
        }
    });
}
