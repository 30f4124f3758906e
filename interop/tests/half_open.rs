//! Links that are dead and do not say so: nothing comes, nothing is closed.

use std::time::Duration;

use yrelay_interop::{Client, Keeping, Kind, Pair, eventually_eq, ready, side_by_side, within};

/// The relay gives up a silent link after 35 s; a little for a busy machine.
const FOUND: Duration = Duration::from_secs(38);
/// A network that was away for long is tried again after up to half a minute.
const BACK: Duration = Duration::from_secs(35);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Cut,
    Freeze,
    Strand,
}

fn an_edit_on_each_side(pair: &Pair) {
    pair.documents[0].append("<left>");
    pair.documents[1].append("<right>");
}

/// The way of the left relay freezes. It finds that out, and what was held back harms nobody.
fn a_frozen_link() {
    let pair = Pair::build(Keeping::Disk);
    pair.documents[0].append("<before>");
    pair.converge(|text| text == "<before>");
    pair.confirmed();
    pair.proxies[0].freeze();
    an_edit_on_each_side(&pair);
    within(FOUND, "the silence is noticed", || pair.relays[0].upstream_state() != "online");
    assert_eq!(pair.relays[1].upstream_state(), "online");
    an_edit_on_each_side(&pair);
    assert_eq!(pair.relays[0].document("notes")["confirmed"], false);
    pair.proxies[0].thaw();
    let length = "<before><left><right><left><right>".len();
    within(BACK, "back", || pair.relays[0].upstream_state() == "online");
    pair.converge(|text| text.len() == length);
    pair.confirmed();
}

/// It thaws before it was given up: nothing is lost, and nobody connects again.
fn a_link_that_freezes_for_a_moment() {
    let pair = Pair::build(Keeping::Disk);
    pair.proxies[0].freeze();
    an_edit_on_each_side(&pair);
    eventually_eq("saved", || pair.documents.each_ref().map(|it| it.saved()), &[true, true]);
    pair.proxies[0].thaw();
    pair.converge(|text| text.len() == "<left><right>".len());
    pair.confirmed();
    assert_eq!(pair.proxies[0].accepted(), 1);
}

/// The left machine has moved to another network.
fn a_stranded_link() {
    let pair = Pair::build(Keeping::Disk);
    pair.proxies[0].strand();
    an_edit_on_each_side(&pair);
    // What is written all the time is no sign of life of the other side.
    let typed = 350;
    pair.documents[0].type_slowly(&"x".repeat(typed), 100);
    within(FOUND, "the silence is noticed", || pair.proxies[0].accepted() == 2);
    pair.converge(|text| text.len() == "<left><right>".len() + typed);
    pair.confirmed();
    assert_eq!(pair.proxies[1].accepted(), 1);
}

/// Behind a server that keeps nothing: those who stay see each other again, those who went in the
/// meantime are gone.
fn presence(trouble: Trouble) {
    let pair = Pair::build(Keeping::Nothing);
    let [left, right] = &pair.documents;
    let guest = Client::start(Kind::YWebsocket3, &pair.relays[0].url());
    let visit = guest.open("notes");
    left.announce("left");
    right.announce("right");
    visit.announce("guest");
    eventually_eq("all are here", || right.peers(), &vec!["guest".to_owned(), "left".to_owned()]);
    eventually_eq("all are here", || left.peers(), &vec!["guest".to_owned(), "right".to_owned()]);
    let [proxy, _] = &pair.proxies;
    match trouble {
        Trouble::Cut => {
            proxy.refuse(true);
            proxy.cut();
        }
        Trouble::Freeze => proxy.freeze(),
        Trouble::Strand => proxy.strand(),
    }
    guest.kill();
    left.announce("left, offline");
    right.announce("right, meanwhile");
    match trouble {
        Trouble::Cut => eventually_eq("gone", || left.peers(), &vec![]),
        Trouble::Freeze => within(FOUND, "noticed", || pair.relays[0].upstream_state() != "online"),
        Trouble::Strand => {}
    }
    proxy.refuse(false);
    proxy.thaw();
    let others = |left: &str| vec![left.to_owned()];
    within(FOUND, "no ghost stays", || right.peers() == others("left, offline"));
    within(FOUND, "right is seen again", || left.peers() == others("right, meanwhile"));
    assert!(proxy.accepted() > 1);
    // Clients forget by themselves; a new one knows only what the relay tells.
    let late = Client::start(Kind::YWebsocket3, &pair.relays[1].url()).open("notes");
    let both = ["left, offline", "right, meanwhile"].map(str::to_owned);
    eventually_eq("the relay knows no ghost", || late.peers(), &both.to_vec());
}

#[test]
fn half_open_links_are_found_and_lose_nothing() {
    if !ready() {
        return;
    }
    side_by_side(&[
        ("a frozen link", a_frozen_link),
        ("a link that freezes for a moment", a_link_that_freezes_for_a_moment),
        ("a stranded link", a_stranded_link),
        ("presence over a cut", || presence(Trouble::Cut)),
        ("presence over a frozen link", || presence(Trouble::Freeze)),
        ("presence over a stranded link", || presence(Trouble::Strand)),
    ]);
}
