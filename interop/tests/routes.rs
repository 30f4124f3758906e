//! One relay, several servers: each document goes where its route says, and nowhere else.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use yrelay_interop::{
    Client, Document, Keeping, Kind, Relay, Server, Software, World, converge, eventually,
    eventually_eq, free_port, ready, steady,
};

/// The three servers that routes and all else go to, and a relay below them.
struct Crossing {
    elva: Server,
    team: Server,
    rest: Server,
    relay: Relay,
    client: Client,
}

impl Crossing {
    fn build() -> Crossing {
        let elva = Server::start(Software::Elva33(Keeping::Disk));
        let team = Server::guarded(Software::Hocuspocus4);
        let rest = Server::start(Software::YWebsocket);
        let (world, port) = (World::new(), free_port());
        world.write("~/token", "secret\n");
        let settings = format!(
            r#"
port = {port}
host = "127.0.0.1"
server = "{}"
messages = "yjs"
data_dir = "data"

[[route]]
match = ["diary/*", "private-?"]
local = true

[[route]]
match = "elva/*"
server = "{}"

[[route]]
match = "team/*"
server = "{}"
messages = "hocuspocus"
token_file = "token"
strip = "team/"
prefix = "group-"
"#,
            rest.url(),
            elva.url(),
            team.url()
        );
        world.write("~/yrelay.toml", &settings);
        let relay = Relay::start_in(world, port, &[]);
        let client = Client::start(Kind::YWebsocket3, &relay.url());
        Crossing { elva, team, rest, relay, client }
    }

    fn open(&self, name: &str) -> Document {
        let document = self.client.open(name);
        eventually("the relay answers", || document.synced());
        document
    }

    fn confirmed(&self, document: &str, expected: &Value) {
        let confirmed = || self.relay.document(document)["confirmed"].clone();
        eventually_eq("how it stands", confirmed, expected);
    }

    /// How the relay stands to each server: by default, to ELVA, to the team.
    fn states(&self) -> [Value; 3] {
        let status = self.relay.status();
        let of_route = |url: &str| {
            let routes = status["routes"].as_array().expect("routes are a list");
            let route = routes.iter().find(|route| route["url"] == url);
            route.expect("status shows each route")["state"].clone()
        };
        assert_eq!(status["upstream"]["url"], self.rest.url());
        let routes = [&self.elva.url(), &self.team.url()].map(|url| of_route(url));
        let [elva, team] = routes;
        [status["upstream"]["state"].clone(), elva, team]
    }

    /// What these servers have of a document, for somebody who comes straight to them.
    fn at_elva(&self, name: &str) -> (Client, Document) {
        opened(Client::start(Kind::Elva33Framed, &self.elva.url()), name)
    }

    fn at_team(&self, name: &str) -> (Client, Document) {
        let url = self.team.url();
        opened(Client::start_with_token(Kind::Hocuspocus4, &url, "secret"), name)
    }

    fn at_rest(&self, name: &str) -> (Client, Document) {
        opened(Client::start(Kind::YWebsocket3, &self.rest.url()), name)
    }
}

fn opened(client: Client, name: &str) -> (Client, Document) {
    let document = client.open(name);
    (client, document)
}

/// It is whole there, and goes on in both directions.
fn meets(near: &Document, far: &Document) {
    let text = near.text();
    converge(&[near, far], |it| it == text);
    near.append("<near>");
    converge(&[near, far], |it| it.ends_with("<near>"));
    far.append("<far>");
    converge(&[near, far], |it| it.ends_with("<far>"));
}

#[test]
fn documents_go_where_their_routes_say() {
    if !ready() {
        return;
    }
    let mut crossing = Crossing::build();
    let names = ["diary/today", "private-1", "elva/thesis", "team/plans", "notes"];
    let documents = names.map(|name| crossing.open(name));
    for (name, document) in names.iter().zip(&documents) {
        document.append(name);
    }
    for name in &names[..2] {
        crossing.confirmed(name, &Value::Null);
    }
    for name in &names[2..] {
        crossing.confirmed(name, &json!(true));
    }
    assert_eq!(crossing.states(), ["online", "online", "online"].map(Value::from));
    nothing_strays(&crossing, &names);
    let [.., thesis, plans, notes] = &documents;
    let (_elva, far_thesis) = crossing.at_elva("elva/thesis");
    let (_team, far_plans) = crossing.at_team("group-plans");
    let (_rest, far_notes) = crossing.at_rest("notes");
    meets(thesis, &far_thesis);
    meets(plans, &far_plans);
    meets(notes, &far_notes);
    one_server_is_away(&mut crossing, [thesis, plans, notes], &far_plans);
}

/// Nobody has come to the servers yet but the relay.
fn nothing_strays(crossing: &Crossing, names: &[&str]) {
    let at_team = || stored(crossing.team.data());
    eventually_eq("what Hocuspocus stores", at_team, &vec!["group-plans".to_owned()]);
    let elva = Client::start(Kind::Elva33Framed, &crossing.elva.url());
    has_one_of(&elva, names, "elva/thesis");
    let rest = Client::start(Kind::YWebsocket3, &crossing.rest.url());
    has_one_of(&rest, names, "notes");
}

/// What this one finds at its server.
fn has_one_of(visitor: &Client, names: &[&str], there: &str) {
    let documents: Vec<Document> = names.iter().map(|name| visitor.open(name)).collect();
    let texts = || documents.iter().map(Document::text).collect::<Vec<String>>();
    let expected = |name: &&str| if *name == there { there } else { "" }.to_owned();
    let expected: Vec<String> = names.iter().map(expected).collect();
    eventually_eq("that one is there", texts, &expected);
    assert_eq!(steady(Duration::from_millis(300), texts), expected);
}

/// The files in a directory.
fn stored(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory is there").flatten();
    entries.map(|entry| entry.file_name().into_string().expect("a plain name")).collect()
}

fn one_server_is_away(crossing: &mut Crossing, near: [&Document; 3], far_plans: &Document) {
    let [thesis, plans, notes] = near;
    crossing.rest.kill();
    eventually("the loss is noticed", || crossing.states()[0] != "online");
    let since: Vec<Value> = routes_since(&crossing.relay);
    notes.append("<away>");
    plans.append("<meanwhile>");
    converge(&[plans, far_plans], |text| text.ends_with("<meanwhile>"));
    thesis.append("<meanwhile>");
    crossing.confirmed("elva/thesis", &json!(true));
    crossing.confirmed("team/plans", &json!(true));
    crossing.confirmed("notes", &json!(false));
    assert_eq!(crossing.states()[1..], ["online", "online"].map(Value::from));
    assert_eq!(routes_since(&crossing.relay), since, "they were never away");
    crossing.rest.restart();
    crossing.confirmed("notes", &json!(true));
    let (_fresh, fresh) = crossing.at_rest("notes");
    converge(&[notes, &fresh], |text| text.matches("<away>").count() == 1);
}

/// Since when each route's server has been there.
fn routes_since(relay: &Relay) -> Vec<Value> {
    let status = relay.status();
    let routes = status["routes"].as_array().expect("routes are a list");
    routes.iter().map(|route| route["since"].clone()).collect()
}
