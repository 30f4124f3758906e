//! `[[route]]`: documents that go elsewhere.

use yrelay::config::{Config, Messages, Names, OnReset};
use yrelay::secret::Need;
use yrelay_core::id::DocumentId;

use super::*;

/// What each key is for, in one file.
const FILE: &str = r#"
server = "wss://far/"
user = "jane"
password = "hunter2"
on_reset = "merge"

[[route]]
match = ["diary/*", "secret-?"]
local = true

[[route]]
match = "work/*"
server = "wss://joe:hunter3@work.example.org/sync"
messages = "hocuspocus"
token_file = "token"
token_lifetime = "1h"
params = ["client=elva", "persistent=1"]
names = "raw"
strip = "work/"
prefix = "team/"
on_reset = "ask"

[[route]]
match = "*.md"
server = "ws://localhost:9/"
messages = "yjs"
"#;

fn world(text: &str) -> World {
    let world = World::new();
    world.file("~/project/yrelay.toml", text);
    world.file("~/project/token", "of a route\n");
    world
}

fn config(world: &World) -> Config {
    world.settings().config().unwrap()
}

#[test]
fn routes_are_read_in_their_order_and_share_no_login() {
    let world = world(FILE);
    let config = config(&world);
    let route = |id: &str| config.route_of(&DocumentId::new(id).unwrap());
    assert_eq!(
        [route("diary/1"), route("secret-x"), route("work/a.md")],
        [Some(0), Some(0), Some(1)]
    );
    assert_eq!([route("a.md"), route("notes"), route("secret-")], [Some(2), None, None]);
    assert!(config.routes[0].upstream.is_none());
    let work = config.routes[1].upstream.as_ref().unwrap();
    assert_eq!(work.target.to_string(), "wss://work.example.org/sync");
    assert_eq!((work.speaks, work.names), (Messages::Hocuspocus, Names::Raw));
    assert_eq!(work.params.onto("/sync", None), "/sync?client=elva&persistent=1");
    assert_eq!((&*work.strip, &*work.prefix, work.on_reset), ("work/", "team/", OnReset::Ask));
    let login = work.login.as_ref().unwrap();
    assert_eq!(login.user(), Some("joe"));
    assert_eq!(login.authorization().unwrap(), "Basic am9lOmh1bnRlcjM=");
    let fresh = login.token().unwrap().get(Need::Good).unwrap();
    assert_eq!(fresh.expires_at_unix_ms, Some(fresh.got_at_unix_ms + 3_600_000));
    let last = config.routes[2].upstream.as_ref().unwrap();
    assert!(last.login.is_none(), "a password must not go to another server");
    assert_eq!((last.speaks, last.on_reset), (Messages::Yjs, OnReset::Merge));
    assert_eq!(config.upstream.unwrap().login.unwrap().user(), Some("jane"));
}

#[test]
fn nothing_of_the_servers_own_settings_goes_over_to_a_route() {
    let mut world = world("[[route]]\nmatch = '*'\nserver = 'wss://other'\n").say(
        "yrelay service -s wss://far -u jane -p x --token t -m hocuspocus --names decoded \
         --upstream-params a=b --token-url https://far --insecure-login",
    );
    world.file("else/credentials/yrelay.token", "t\n");
    world.set("CREDENTIALS_DIRECTORY", &world.path("else/credentials").display().to_string());
    let config = config(&world);
    let route = config.routes[0].upstream.as_ref().unwrap();
    assert!(route.login.is_none() && route.token_url.is_none());
    assert_eq!((route.speaks, route.names), (Messages::Elva, Names::Raw));
    assert_eq!(route.params.onto("/", None), "/");
    // But whom to trust does.
    let bad = world.say("yrelay service --tls-ca /no/file");
    assert!(bad.fault().starts_with("--tls-ca: cannot use /no/file"));
}

#[test]
fn netrc_has_logins_for_routes_too() {
    let mut world = world("[[route]]\nmatch = '*'\nserver = 'wss://other'\n");
    let netrc = world.file("~/netrc", "machine other login ann password x\n");
    world.set("NETRC", &netrc.display().to_string());
    let config = config(&world);
    assert!(config.upstream.is_none());
    assert_eq!(
        config.routes[0].upstream.as_ref().unwrap().login.as_ref().unwrap().user(),
        Some("ann")
    );
}

#[test]
fn routes_come_from_the_strongest_file_that_has_any() {
    let mut world = World::new();
    let route = |pattern: &str| format!("[[route]]\nmatch = '{pattern}'\nlocal = true\n");
    let first = |world: &World| {
        let origin = world.settings().routes.first().map(|said| said.origin.to_string());
        (world.settings().routes.len(), world.without_root(&origin.unwrap_or_default()))
    };
    world.file("~/.config/yrelay/yrelay.toml", &(route("a") + &route("b")));
    assert_eq!(first(&world), (2, "~/.config/yrelay/yrelay.toml:1:1".into()));
    world.file("~/project/yrelay.toml", "port = 1\n");
    assert_eq!(first(&world).0, 2);
    world.file("~/project/yrelay.toml", &format!("port = 1\n{}", route("c")));
    assert_eq!(first(&world), (1, "~/project/yrelay.toml:2:1".into()));
    let named = world.file("else/x.toml", &route("d"));
    world.set("YRELAY_CONFIG", &named.display().to_string());
    assert_eq!(first(&world), (1, "/else/x.toml:1:1".into()));
    let serve = world.say("yrelay serve");
    assert_eq!(first(&serve).0, 0);
}

#[test]
fn routes_may_be_written_in_one_line() {
    let world =
        world("route = [{ match = 'a', local = true }, { match = 'b', server = 'wss://b' }]");
    let config = config(&world);
    assert_eq!(config.upstreams().count(), 1);
    assert_eq!(world.settings().routes[1].origin.to_string(), "~/project/yrelay.toml:1:41");
}

#[test]
fn what_is_wrong_with_a_route_is_named_with_its_place() {
    let mut faults = Vec::new();
    for text in [
        "route = 'x'",
        "route = ['x']",
        "[route]\nmatch = 'x'\nlocal = true",
        "[[route]]\nlocal = true",
        "[[route]]\nmatch = []\nlocal = true",
        "[[route]]\nmatch = ['a', '']\nlocal = true",
        "[[route]]\nmatch = 'a'",
        "[[route]]\nmatch = 'a'\nlocal = false",
        "[[route]]\nmatch = 'a'\nserver = ''",
        "[[route]]\nmatch = 'a'\nlocal = 'maybe'",
        "[[route]]\nmatch = 'a'\nlocal = true\nserver = 'wss://far'",
        "[[route]]\nmatch = 'a'\nlocal = true\nuser = 'jane'",
        "[[route]]\nmatch = 'a'\nserver = ['wss://far', 'wss://near']",
        "[[route]]\nmatch = 'a'\nserver = 'far'",
        "[[route]]\nmatch = 'a'\nserver = 'ws://localhost:8000/x'",
        "[[route]]\nmatch = 'a'\nserver = 'ws://far'\nuser = 'jane'\npassword = 'hunter2'",
        "[[route]]\nmatch = 'a'\nserver = 'ws://jane:hunter2@far'",
        "[[route]]\nmatch = 'a'\nserver = 'ws://far'\nmessages = 'hocuspocus'\ntoken = 'hunter2'",
        "[[route]]\nmatch = 'a'\nserver = 'wss://far'\npassword = 'hunter2'",
        "[[route]]\nmatch = 'a'\nserver = 'wss://far'\nuser = 'jane'\npassword = 'hunter2'\npassword_file = 'x'",
        "[[route]]\nmatch = 'a'\nserver = 'wss://far'\nuser = 'jane'\npassword_file = '/no/file'",
        "[[route]]\nmatch = 'a'\nserver = 'wss://far'\ntoken_command = 'echo hunter2'",
        "[[route]]\nmatch = 'a'\nserver = 'wss://far'\ntoken = 'hunter2'\ntoken_url = 'http://far'",
        "[[route]]\nmatch = 'a'\nserver = 'wss://far'\nmessages = 'morse'",
        "[[route]]\nmatch = 'a'\nserver = 'wss://far'\nparams = 'x'",
        "[[route]]\nmatch = 'a'\nserver = 'wss://far'\nparams = 'x={token}'",
        "[[route]]\nmatch = 'a'\nserver = 'wss://far'\ntls_ca = '/no/file'",
        "[[route]]\nmatch = ['a/*', 'b/*']\nserver = 'wss://far'\nstrip = 'a/'",
        "[[route]]\nmatch = 'a/*'\nserver = 'wss://far'\nstrip = 'a/*'",
        "[[route]]\nmatch = 'a'\nlocal = true\n[[route]]\nmatch = 'b'",
    ] {
        faults.push(world(&format!("{text}\n")).fault());
    }
    let faults = faults.join("\n");
    assert!(!faults.contains("hunter2"), "{faults}");
    insta::assert_snapshot!(faults);
}

#[test]
fn slips_of_the_pen_in_routes_are_warned_about() {
    let world = world(
        "[[route]]\nmatch = 'a'\nlocal = true\nsevrer = 'x'\ncolour = 1\n[route.memory]\nmax = 1\n\
         [[route]]\nmatch = 'b'\nlocal = true\nport = 1\nupstream_params = 'x'\n",
    );
    world.file("~/elva.toml", "[[route]]\nmatch = 'c'\nlocal = true\n");
    insta::assert_snapshot!(world.settings().warnings.join("\n"));
    assert_eq!(config(&world).routes.len(), 2);
}

#[test]
fn routes_are_shown_with_their_places_and_can_be_saved() {
    let world = world(FILE);
    let shown = world.settings().show(None);
    assert!(!shown.contains("hunter"), "{shown}");
    let (_, routes) = shown.split_once("[[route]]").unwrap();
    // How wide it is depends on where the directory is.
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let routes: Vec<_> = routes.lines().map(words).collect();
    insta::assert_snapshot!(world.without_root(&format!("[[route]] {}", routes.join("\n"))));
    let saved = World::new();
    saved.file("~/yrelay.toml", &shown);
    let config = config(&saved);
    assert_eq!(config.routes.len(), 3);
    assert_eq!(config.routes[1].upstream.as_ref().unwrap().prefix, "team/");
}

#[test]
fn a_route_says_nothing_twice_and_shares_its_names_with_the_settings() {
    use crate::settings::{named, route};
    for (index, setting) in route::ALL.iter().enumerate() {
        let key = route::key(setting);
        assert!(!setting.help.is_empty() && setting.help.len() <= 80, "{key}");
        assert!(route::ALL[..index].iter().all(|other| route::key(other) != key), "{key}");
        let own = ["match", "local", "prefix", "strip"].contains(&key);
        assert_eq!(named(setting.name).is_none(), own, "{key}");
    }
}
