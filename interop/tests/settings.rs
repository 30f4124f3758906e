//! Settings files of ELVA, as its own programs read and write them. What is compared is what
//! yrelay shows with what they show, and where they would connect to.

// Lists of paths have colons in between.
#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use yrelay_interop::{
    Authority, Client, Elva33Service, Gate, Keeping, Kind, Relay, Server, Software, World,
    converge, elva33_contexts, elva33_contexts_by_command, elva37_context, elva37_settings,
    eventually_eq, free_port, ready, settings,
};

/// What both programs say in one world, in the same words.
type Said = BTreeMap<&'static str, String>;

const SERVER: &str = "server";
const USER: &str = "user";
const PASSWORD: &str = "password";
const HOST: &str = "host";
const PORT: &str = "port";
const LOG: &str = "log";
const LOG_LEVEL: &str = "log_level";

/// Where one stands, and the files that one may find there: what is named, the nearest, those
/// above, and the user's.
const STANDING: &str = "~/project/deep";
const FILES: [&str; 6] = [
    "~/named/one.toml",
    "~/named/two.toml",
    "~/project/deep/elva.toml",
    "~/project/elva.toml",
    "~/elva.toml",
    "~/.config/elva/elva.toml",
];

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Secrets do not show: all that is said of them is that they are known.
fn said<'a>(values: impl IntoIterator<Item = (&'static str, &'a Value)>) -> Said {
    let known = |(name, value)| {
        let text = text(value)?;
        Some((name, if name == PASSWORD { "known".to_owned() } else { text }))
    };
    values.into_iter().filter_map(known).collect()
}

/// What `yrelay config` says of these settings.
fn yrelay(world: &World, names: &[&'static str]) -> Said {
    let printed = settings(world);
    let value = |name: &str| {
        let hidden = if name == PASSWORD { "# " } else { "" };
        let prefix = format!("{hidden}{name} = ");
        let rest = printed.lines().find_map(|line| line.strip_prefix(&prefix))?;
        // The origin follows.
        serde_json::Deserializer::from_str(rest).into_iter().next()?.ok()
    };
    let values: Vec<(_, Value)> =
        names.iter().filter_map(|name| Some((*name, value(name)?))).collect();
    said(values.iter().map(|(name, value)| (*name, value)))
}

/// A list of worlds, each with what it is about.
#[derive(Default)]
struct Atlas {
    titles: Vec<String>,
    worlds: Vec<World>,
}

impl Atlas {
    fn add(&mut self, title: &str, files: &[(&str, &str)], variables: &[(&str, &str)]) {
        let mut world = World::new().standing(STANDING);
        for (place, text) in files {
            world.write(place, text);
        }
        for (name, text) in variables {
            world.set(name, text);
        }
        self.put(title, world);
    }

    fn put(&mut self, title: &str, world: World) {
        self.titles.push(title.to_owned());
        self.worlds.push(world);
    }

    /// Compares yrelay with ELVA 0.33 in each world; returns what they say.
    fn as_elva33(&self) -> Vec<Said> {
        let names = [SERVER, USER, PASSWORD, HOST, PORT, LOG];
        let contexts = elva33_contexts(&self.worlds);
        self.compare(
            &names,
            contexts.iter().zip(&self.worlds).map(|(context, world)| {
                let mut expected = said(names.map(|name| (name, &context[name])));
                if let Some(log) = expected.get_mut(LOG) {
                    // It is opened from where one stands.
                    *log = world.working().join(&*log).display().to_string();
                }
                expected
            }),
        )
    }

    /// Compares yrelay with ELVA 0.37 in each world; returns what they say.
    fn as_elva37(&self) -> Vec<Said> {
        let paths = [
            (SERVER, "/url"),
            (USER, "/basic/user"),
            (PASSWORD, "/basic/secret"),
            (LOG, "/log/file"),
            (LOG_LEVEL, "/log/level"),
        ];
        let found = elva37_settings(&self.worlds);
        let expected = found.iter().map(|found| {
            let values =
                paths.iter().filter_map(|(name, path)| Some((*name, found.pointer(path)?)));
            let mut expected = said(values);
            if let Some(url) = expected.get_mut(SERVER) {
                // It writes this address without brackets, and reaches nobody so.
                *url = url.replace("//::1", "//[::1]");
            }
            // Without a level it logs nothing.
            let level = expected.entry(LOG_LEVEL).or_insert("info".to_owned());
            *level = level.to_lowercase();
            expected
        });
        self.compare(&paths.map(|(name, _)| name), expected)
    }

    fn compare(&self, names: &[&'static str], expected: impl Iterator<Item = Said>) -> Vec<Said> {
        let rows = self.titles.iter().zip(&self.worlds).zip(expected);
        rows.map(|((title, world), expected)| {
            assert_eq!(yrelay(world, names), expected, "{title}, in {:?}", world.working());
            expected
        })
        .collect()
    }
}

/// Rules of ELVA 0.33 on which file counts.
fn files_of_elva33(atlas: &mut Atlas) {
    let [one, two, near, above, top, users] = FILES;
    let flat = "server = 'wss://flat'\nport = 1\n";
    let service = "[app.service]\nport = 2\nhost = 'service'\n";
    atlas.add("nothing", &[], &[]);
    atlas.add("a file above", &[(above, flat)], &[]);
    atlas.add("the nearest only", &[(near, "user = 'near'"), (top, flat)], &[]);
    atlas.add("the user's beside it", &[(above, "port = 7"), (users, flat)], &[]);
    atlas.add("tables above keys", &[(near, flat), (users, service)], &[]);
    atlas.add("tables of one file", &[(near, "[app.default]\nport = 3"), (users, service)], &[]);
    atlas.add("an empty table", &[(near, "[app.service]"), (users, service)], &[]);
    let one_file = ("ELVA_CONFIG_PATH", "~/named/one.toml");
    let two_files = ("ELVA_CONFIG_PATH", "../../named/two.toml:~/named/one.toml");
    let named = [(one, "port = 4\nuser = 'one'"), (two, "port = 5"), (near, flat)];
    atlas.add("a named file", &named, &[one_file]);
    atlas.add("two named files, in their order", &named, &[two_files]);
    atlas.add("a named file that is not there", &named[1..], &[two_files]);
    atlas.add("one twice", &[(near, flat)], &[("ELVA_CONFIG_PATH", "elva.toml:elva.toml")]);
    let elsewhere = [("~/else/elva/elva.toml", flat), (users, service)];
    atlas.add("another directory", &elsewhere, &[("XDG_CONFIG_HOME", "~/else")]);
    let world = World::new().standing("~/.config/elva");
    world.write(users, flat);
    atlas.put("standing in the user's directory", world);
}

/// Rules of ELVA 0.33 on what a file says.
fn values_of_elva33(atlas: &mut Atlas) {
    let near = FILES[2];
    let all = r#"
        name = "Jane"
        identifier = "8c3e1f5e-7d0f-4a35-9b6b-0a2b1d6d2f11"
        messages = "yjs"
        server = 'wss://flat'
        user = "zoë \"'{[] 🖊"
        password = 'hunter2'
        log = 'flat.log'
        [app.default]
        server = 'wss://default'
        port = 1
        [app.service]
        port = 2
        [app.editor]
        port = 3
        theme = 'dark'
        [app.server]
        host = '0.0.0.0'
        persistent = true
    "#;
    let variables = [("ELVA_SERVER", "wss://v"), ("ELVA_USER", "v"), ("ELVA_LOG", "v.log")];
    atlas.add("everything", &[(near, all)], &[]);
    atlas.add("variables", &[(near, all)], &variables);
    atlas.add("empty variables", &[(near, all)], &variables.map(|(name, _)| (name, "")));
    let none = [("ELVA_PASSWORD", "x"), ("ELVA_HOST", "x"), ("ELVA_PORT", "1")];
    atlas.add("what are no variables of it", &[(near, all)], &none);
    atlas.add("a log elsewhere", &[], &[("ELVA_LOG", "~/logs/v.log")]);
    atlas.add("a port in quotes", &[(near, "port = '8100'")], &[]);
    let nowhere = "server = ''\nuser = ''\n";
    let somewhere = "server = 'wss://flat'\nuser = 'jane'\n";
    atlas.add("empty values", &[(near, nowhere), (FILES[5], somewhere)], &[]);
    atlas.add("messages", &[(near, all)], &[("ELVA_MESSAGES", "yjs")]);
}

#[test]
fn each_rule_of_elva_33_is_kept() {
    if !ready() {
        return;
    }
    let mut atlas = Atlas::default();
    files_of_elva33(&mut atlas);
    values_of_elva33(&mut atlas);
    atlas.as_elva33();
    // Many worlds fit into one process; what is asked there is what the program says.
    let few = &atlas.worlds[atlas.worlds.len() - 5..];
    assert_eq!(elva33_contexts_by_command(few), elva33_contexts(few));
}

/// The same numbers at each run.
struct Dice(u64);

impl Dice {
    /// One of so many.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % sides
    }

    /// A part of a list.
    fn some<T>(&mut self, list: impl IntoIterator<Item = T>) -> Vec<T> {
        list.into_iter().filter(|_| self.roll(2) == 0).collect()
    }

    /// One of a list.
    fn one<T>(&mut self, mut list: Vec<T>) -> T {
        let index = usize::try_from(self.roll(list.len() as u64)).expect("a short list");
        list.swap_remove(index)
    }
}

/// A file in which each value says where it stands.
fn of_elva33(number: usize, dice: &mut Dice) -> String {
    let mut file = String::new();
    for (table, name) in ["", "[app.editor]", "[app.default]", "[app.service]"].iter().enumerate() {
        if table > 0 && dice.roll(2) == 0 {
            continue;
        }
        let here = format!("{number}-{table}");
        let lines = [
            format!("server = 'wss://{here}.example'"),
            // yrelay refuses a password without a user: the user stands beside it.
            format!("user = 'user {here}'{}", dice.one(vec!["", "\npassword = 'secret'"])),
            format!("host = 'host-{here}'"),
            format!("port = {number}00{table}"),
            format!("log = '{here}.log'"),
            "name = 'Jane'".to_owned(),
            "messages = 'yjs'".to_owned(),
            "theme = 'dark'".to_owned(),
        ];
        // As in a template: the table is there, what it could hold is not.
        let lines = if dice.roll(4) == 0 { Vec::new() } else { dice.some(lines) };
        file += &format!("{name}\n{}\n", lines.join("\n"));
    }
    file
}

fn random_elva33(dice: &mut Dice) -> World {
    let mut world = World::new().standing(STANDING);
    for (number, place) in dice.some(FILES.iter().enumerate()) {
        world.write(place, &of_elva33(number + 1, dice));
    }
    let named = ["", FILES[0], FILES[1], "~/named/one.toml:~/named/two.toml"];
    world.set("ELVA_CONFIG_PATH", dice.one(named.to_vec()));
    for (name, text) in dice.some([
        ("ELVA_SERVER", "wss://variable"),
        ("ELVA_USER", "variable"),
        ("ELVA_LOG", "v.log"),
    ]) {
        world.set(name, if dice.roll(3) == 0 { "" } else { text });
    }
    world
}

#[test]
fn random_worlds_are_read_as_elva_33_reads_them() {
    if !ready() {
        return;
    }
    let mut dice = Dice(33);
    let mut atlas = Atlas::default();
    for number in 0..120 {
        atlas.put(&format!("world {number}"), random_elva33(&mut dice));
    }
    let said = atlas.as_elva33();
    // Else little would be compared.
    for name in [SERVER, USER, HOST, PORT, LOG] {
        let found: BTreeSet<_> = said.iter().filter_map(|said| said.get(name)).collect();
        assert!(found.len() >= 10, "{name}: {found:?}");
    }
}

#[test]
fn what_elva_37_writes_is_read_as_it_reads_it() {
    if !ready() {
        return;
    }
    let authority = Authority::new();
    let pem = authority.file().display().to_string();
    let mut atlas = Atlas::default();
    for line in [
        "connect -h elva.example.org",
        "connect -h elva.example.org -p 8443 -i notes -s sesame basic -u jane -s hunter2",
        "connect -h elva.example.org tls --off log -v",
        "connect -h 10.0.0.7 log -vv -f elva.log",
        "connect -h 10.0.0.7 -p 8443 tls --off",
        "connect -h localhost basic -u zoë",
        "connect -h localhost -p 8443 tls --on",
        "connect -h ::1",
        "connect -h ::1 -p 8443 tls --on",
        "connect -h [2001:db8::7] -p 8443",
        "connect -p 8443 -i notes tls --on",
        &format!("connect -h elva.example.org tls --authority {pem}"),
    ] {
        let world = World::new().standing(STANDING);
        let arguments: Vec<_> = line.split(' ').collect();
        world.write(FILES[2], &elva37_context(&world, &arguments));
        atlas.put(line, world);
    }
    let said = atlas.as_elva37();
    assert_eq!(said.iter().filter(|said| said.contains_key(SERVER)).count(), said.len() - 1);
    let last = atlas.worlds.last().expect("there is one");
    assert_eq!(yrelay(last, &["tls_ca"])["tls_ca"], json!([pem]).to_string());
}

/// A file in which most values say where they stand.
fn of_elva37(number: usize, dice: &mut Dice) -> String {
    let login = format!("user = 'user {number}'");
    let host = ["localhost".to_owned(), format!("10.0.0.{number}"), format!("{number}.example")];
    let tables = [
        ("connect", vec![format!("host = '{}'", dice.one(host.to_vec()))]),
        ("connect", vec![format!("port = {number}000"), "identifier = 'notes'".to_owned()]),
        ("basic", vec![login.clone()]),
        // yrelay refuses a password without a user: the user stands beside it.
        ("basic", vec![login, "secret = 'secret'".to_owned()]),
        ("tls", vec![format!("on = {}", dice.roll(2) == 0)]),
        ("log", vec![format!("file = '{number}.log'")]),
        ("log", vec![format!("level = '{}'", dice.one(vec!["INFO", "DEBUG"]))]),
        ("user", vec!["name = 'Jane'".to_owned()]),
        ("server", vec!["host = '0.0.0.0'".to_owned(), "port = 1".to_owned()]),
    ];
    let mut merged = BTreeMap::<_, BTreeSet<_>>::new();
    for (table, lines) in dice.some(tables) {
        merged.entry(table).or_default().extend(lines);
    }
    let lines = |lines: BTreeSet<String>| lines.into_iter().collect::<Vec<_>>().join("\n");
    merged.into_iter().map(|(table, keys)| format!("[{table}]\n{}\n", lines(keys))).collect()
}

#[test]
fn random_worlds_are_read_as_elva_37_reads_them() {
    if !ready() {
        return;
    }
    let mut dice = Dice(37);
    let mut atlas = Atlas::default();
    for number in 0..60 {
        let mut world = World::new().standing(STANDING);
        // It sends passwords in the clear.
        world.set("YRELAY_INSECURE_LOGIN", "true");
        for (number, place) in dice.some(FILES[2..].iter().enumerate()) {
            world.write(place, &of_elva37(number + 1, &mut dice));
        }
        atlas.put(&format!("world {number}"), world);
    }
    let said = atlas.as_elva37();
    // Else little would be compared.
    for (name, least) in [(SERVER, 20), (USER, 4), (LOG, 4)] {
        let found: BTreeSet<_> = said.iter().filter_map(|said| said.get(name)).collect();
        assert!(found.len() >= least, "{name}: {found:?}");
    }
}

/// A directory with a file for the service of ELVA 0.33, and for the editors of 0.37 that go to it.
fn office(server_url: &str, port: u16) -> World {
    let world = World::new().standing(STANDING);
    let file = format!(
        "user = 'anna'\npassword = 'sesame'\nmessages = 'yjs'\n\
         [app.service]\nserver = '{server_url}'\nport = {port}\n\
         [connect]\nhost = 'localhost'\nport = {port}\nidentifier = 'notes'\n"
    );
    world.write("~/project/elva.toml", &file);
    world
}

#[test]
fn a_relay_takes_the_place_of_the_original_without_options() {
    if !ready() {
        return;
    }
    let server = Server::start(Software::Elva33(Keeping::Disk));
    let gate = Gate::start(&server.url(), "anna", "sesame");
    let ports = [free_port(), free_port()];
    let relay = Relay::start_in(office(&gate.url(), ports[0]), ports[0], &[]);
    eventually_eq("online", || relay.upstream_state(), &"online".to_owned());
    gate.saw(&["none", "right"]);
    // The original does not get through the gate: it stumbles when it is asked for a login.
    let original =
        Elva33Service::start_in(office(&server.url(), ports[1]), ports[1], &server.url());
    let [ours, theirs] = [relay.url(), original.url()]
        .map(|url| Client::start(Kind::YWebsocket3, &url).open("notes"));
    ours.append("<ours>");
    theirs.append("<theirs>");
    converge(&[&ours, &theirs], |text| text.len() == "<ours><theirs>".len());
}

#[test]
fn a_relay_that_editors_go_to_is_not_below_itself() {
    if !ready() {
        return;
    }
    let port = free_port();
    let world = World::new().standing(STANDING);
    let editors = ["connect", "-h", "localhost", "-p", &port.to_string(), "-i", "notes"];
    let written = elva37_context(&world, &editors);
    world.write("~/project/elva.toml", &format!("[app.service]\nport = {port}\n{written}"));
    let relay = Relay::start_in(world, port, &[]);
    let documents =
        [Kind::Elva37, Kind::Pycrdt].map(|kind| Client::start(kind, &relay.url()).open("notes"));
    documents[0].append("<one>");
    documents[1].append("<other>");
    converge(&documents.each_ref(), |text| text.len() == "<one><other>".len());
    assert_eq!(relay.upstream_state(), "none");
    assert_eq!(relay.document("notes")["clients"], 2);
}
