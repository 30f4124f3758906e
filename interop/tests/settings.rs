//! Settings files of ELVA, as its own programs read and write them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use yrelay_interop::{
    Authority, Client, Elva33Server, Elva33Service, Gate, Keeping, Kind, Relay, World, converge,
    elva33_contexts, elva33_contexts_by_command, elva37_context, elva37_settings, eventually_eq,
    free_port, ready, settings,
};

/// What both programs say in one world, in the same words.
type Said = BTreeMap<&'static str, String>;

const SERVER: &str = "server";
const USER: &str = "user";
const PASSWORD: &str = "password";
const HOST: &str = "host";
const PORT: &str = "port";
const LOG: &str = "log";

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
                // It is opened from where one stands.
                let absolute =
                    |log: &mut String| *log = world.working().join(&*log).display().to_string();
                expected.get_mut(LOG).into_iter().for_each(absolute);
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
        ];
        let found = elva37_settings(&self.worlds);
        self.compare(
            &paths.map(|(name, _)| name),
            found.iter().map(|found| {
                said(paths.iter().filter_map(|(name, path)| Some((*name, found.pointer(path)?))))
            }),
        )
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
