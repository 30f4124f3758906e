//! A relay below each kind of server: either of them goes and comes back, perhaps without what it
//! had. Afterwards everybody has every piece that was written, once.

use std::time::Duration;

use yrelay_interop::{
    Client, Document, Kind, Site, Software, converge, eventually, eventually_eq, ready,
    side_by_side, within, y_sweet_ready,
};

/// Nobody has these open when it matters. One alone would be tried at each connection.
const SHELVES: [&str; 2] = ["shelf", "cellar"];
const DRAFT: &str = "draft";
/// In half a minute the others would notice by themselves.
const MISSED: Duration = Duration::from_secs(15);

/// A server and a relay, somebody who writes at the relay, and all that was written.
struct Scene {
    site: Site,
    _writer: Client,
    near: Document,
    pieces: Vec<String>,
}

impl Scene {
    fn begin(software: Software) -> Scene {
        let site = Site::build(software, &["--idle", "1s"]);
        let (writer, near) = site.at_relay(Kind::YWebsocket3, "notes");
        Scene { site, _writer: writer, near, pieces: Vec::new() }
    }

    fn write(&mut self, at: &Document, piece: &str) {
        at.append(piece);
        self.pieces.push(piece.to_owned());
    }

    fn write_near(&mut self, piece: &str) {
        self.near.append(piece);
        self.pieces.push(piece.to_owned());
    }

    /// Whether each piece is there once, and nothing else.
    fn is_whole(&self, text: &str) -> bool {
        text.len() == self.pieces.iter().map(String::len).sum::<usize>()
            && self.pieces.iter().all(|piece| text.matches(piece.as_str()).count() == 1)
    }

    /// Somebody comes by at the relay, writes, and leaves when it is saved.
    fn visit(&self, documents: &[&str], piece: &str) {
        let visitor = Client::start(Kind::YWebsocket1, &self.site.relay.url());
        for document in documents {
            let document = visitor.open(document);
            eventually("the relay answers", || document.synced());
            document.append(piece);
            eventually("it is saved", || document.saved());
        }
    }

    /// Those who have not seen anything before find this straight at the server.
    fn is_at_server(&self, document: &str, text: &str) {
        let (_fresh, fresh) = self.site.at_server(document);
        eventually_eq("the server has it all, once", || fresh.text(), &text.to_owned());
    }

    /// All is well again: what the relay says of that is true at that moment.
    fn settles(&self, others: &[&Document]) {
        let all: Vec<&Document> = others.iter().copied().chain([&self.near]).collect();
        let text = converge(&all, |text| self.is_whole(text));
        self.site.confirmed("notes");
        self.site.relay.freeze();
        self.is_at_server("notes", &text);
        self.site.relay.thaw();
    }

    fn goes_offline(&self) {
        eventually("the loss is noticed", || self.site.relay.upstream_state() != "online");
    }

    /// The server has confirmed them, and they have left the relay's memory.
    fn are_put_away(&self, documents: &[&str]) {
        eventually("they are put away", || {
            documents.iter().all(|document| {
                let standing = self.site.relay.document(document);
                // How it stands further above is told of documents in memory only.
                standing["confirmed"] == true && standing["above"].is_null()
            })
        });
    }
}

fn sees(document: &Document, others: &[&str]) -> bool {
    document.peers() == others
}

fn meet(one: &Document, other: &Document) {
    eventually("both see each other", || {
        one.announce("near");
        other.announce("far");
        sees(one, &["far"]) && sees(other, &["near"])
    });
}

/// With somebody at the server, too.
fn both_go_on(scene: &mut Scene) -> Client {
    let (there, far) = scene.site.at_server("notes");
    scene.write_near("<near>");
    scene.write(&far, "<far>");
    scene.settles(&[&far]);
    meet(&scene.near, &far);

    scene.site.server.stop();
    scene.goes_offline();
    scene.write_near("<near, no server>");
    scene.write(&far, "<far, no server>");
    scene.site.server.restart();
    scene.settles(&[&far]);
    meet(&scene.near, &far);

    scene.site.relay.kill();
    scene.write_near("<near, no relay>");
    scene.write(&far, "<far, no relay>");
    scene.site.relay.restart();
    scene.settles(&[&far]);
    meet(&scene.near, &far);
    there
}

/// Nobody but the relay can give back to the server what it has lost.
fn the_server_falls_back(scene: &mut Scene) {
    scene.visit(&SHELVES, "<shelf>");
    scene.are_put_away(&SHELVES);
    scene.site.server.stop();
    let backup = scene.site.server.backup();
    scene.site.server.restart();
    scene.write_near("<not in the backup>");
    scene.visit(&SHELVES, "<nor this>");
    scene.settles(&[]);
    scene.are_put_away(&SHELVES);
    scene.site.server.kill();
    scene.goes_offline();
    scene.site.server.roll_back(&backup);
    scene.site.server.restart();
    scene.write_near("<rolled back>");
    scene.settles(&[]);
    SHELVES.iter().for_each(|shelf| scene.is_at_server(shelf, "<shelf><nor this>"));
}

fn the_server_forgets(scene: &mut Scene) {
    scene.are_put_away(&SHELVES);
    scene.site.server.kill();
    scene.goes_offline();
    scene.site.server.wipe();
    scene.site.server.restart();
    scene.write_near("<wiped>");
    scene.settles(&[]);
    SHELVES.iter().for_each(|shelf| scene.is_at_server(shelf, "<shelf><nor this>"));
}

/// What it has passed on or confirmed it need not have stored.
fn the_server_is_killed_at_work(scene: &mut Scene) {
    let (there, far) = scene.site.at_server("notes");
    scene.write_near("<at work>");
    converge(&[&far, &scene.near], |text| scene.is_whole(text));
    there.kill();
    scene.site.server.kill();
    scene.goes_offline();
    scene.visit(&[DRAFT], "<draft>");
    scene.site.relay.kill();
    scene.site.relay.restart();
    scene.site.server.restart();
    scene.write_near("<killed>");
    scene.settles(&[]);
    scene.is_at_server(DRAFT, "<draft>");
}

fn heals(software: Software) {
    let mut scene = Scene::begin(software);
    let far = both_go_on(&mut scene);
    far.kill();
    the_server_falls_back(&mut scene);
    the_server_forgets(&mut scene);
    the_server_is_killed_at_work(&mut scene);
    within(MISSED, "the gone are missed", || sees(&scene.near, &[]));
}

#[test]
fn y_websocket_server() {
    if ready() {
        heals(Software::YWebsocket);
    }
}

#[test]
fn pycrdt_websocket() {
    if ready() {
        heals(Software::Pycrdt);
    }
}

#[test]
fn elva_37() {
    if ready() {
        heals(Software::Elva37);
    }
}

#[test]
fn y_sweet() {
    if ready() && y_sweet_ready() {
        heals(Software::YSweet);
    }
}

#[test]
fn hocuspocus() {
    if ready() {
        side_by_side(&[
            ("2", || heals(Software::Hocuspocus2)),
            ("3", || heals(Software::Hocuspocus3)),
            ("4", || heals(Software::Hocuspocus4)),
        ]);
    }
}
