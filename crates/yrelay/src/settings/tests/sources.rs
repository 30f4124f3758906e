//! Sources and their order.

use yrelay::keeping::{Asked, Keeping, Policies, Policy};
use yrelay::status::Role;

use super::*;
use crate::settings::{ALL, Form, elva};

type Put = Box<dyn Fn(&mut World, &str)>;

/// A source: how a text gets there, and how it is told where it came from.
struct Source {
    put: Put,
    origin: String,
}

fn file(path: &'static str, before: String, quoted: bool, shown: &str, place: &str) -> Source {
    let put = move |world: &mut World, text: &str| {
        let text = if quoted { format!("{text:?}") } else { text.to_owned() };
        let there = world.path(&path.replace("~/.config", SETTINGS).replace('~', "home/jane"));
        let old = fs::read_to_string(there).unwrap_or_default();
        world.file(path, &format!("{old}{before}{text}\n"));
    };
    Source { put: Box::new(put), origin: format!("{shown}:{place}") }
}

/// All sources of a setting, the strongest first.
fn sources(setting: &'static Setting, role: Role) -> Vec<Source> {
    let name = setting.name;
    let column = name.len() + 4;
    let mut all = vec![Source {
        put: Box::new(move |world, text| {
            let position = match name {
                "host" => vec![text.to_owned()],
                "port" => vec!["localhost".to_owned(), text.to_owned()],
                _ => vec![format!("{}={text}", setting.option())],
            };
            world.line.extend(position);
        }),
        origin: setting.option(),
    }];
    let variables = [setting.variable(), Some(setting.elva_variable.to_owned())];
    for variable in variables.into_iter().flatten().filter(|variable| !variable.is_empty()) {
        let origin = variable.clone();
        all.push(Source { put: Box::new(move |world, text| world.set(&variable, text)), origin });
    }
    let key = |before: &str| format!("{before}{name} = ");
    let named = |path: &'static str, shown: &'static str| {
        let source = file(path, key(""), true, shown, &format!("1:{column}"));
        let put = move |world: &mut World, text: &str| {
            (source.put)(world, text);
            world.line.extend(["-c".to_owned(), world.path(path).display().to_string()]);
        };
        Source { put: Box::new(put), origin: source.origin.replace("else/", "/else/") }
    };
    all.push(named("else/first.toml", "else/first.toml"));
    all.push(named("else/second.toml", "else/second.toml"));
    let place = format!("1:{column}");
    all.push(file("~/project/yrelay.toml", key(""), true, "~/project/yrelay.toml", &place));
    let users = "~/.config/yrelay/yrelay.toml";
    all.push(file(users, key(""), true, users, &place));
    // The order within one file of ELVA's is the other way round: tables come last.
    let elvas = "~/project/deep/elva.toml";
    let second = format!("2:{column}");
    let app = if role == Role::Serve { "[app.server]\n" } else { "[app.service]\n" };
    all.push(file("~/a/elva.toml", key(app), true, "~/a/elva.toml", &second));
    all.push(file(elvas, key(""), true, "elva.toml", &place));
    let users = "~/.config/elva/elva.toml";
    all.push(file(users, key(""), true, users, &place));
    if !setting.elva_key.is_empty() {
        let (table, key) = setting.elva_key.split_once('.').unwrap();
        let before = format!("[{table}]\n{key} = ");
        let place = format!("2:{}", key.len() + 4);
        let above = "~/project/elva.toml";
        all.push(file(above, before, true, above, &place));
    }
    let foreign = setting.foreign_variable;
    if role == Role::Serve && !foreign.is_empty() {
        let put = Box::new(move |world: &mut World, text: &str| world.set(foreign, text));
        all.push(Source { put, origin: foreign.to_owned() });
    }
    all
}

/// A role, and how it is called.
const ROLES: [(Role, &str); 2] = [(Role::Service, "service"), (Role::Serve, "serve")];

#[test]
fn each_setting_comes_from_each_of_its_sources_in_their_order() {
    for (role, command) in ROLES {
        for setting in ALL.iter().filter(|setting| setting.serves(role)) {
            comes_from_each_of_its_sources(setting, role, &format!("yrelay {command}"));
        }
    }
}

fn comes_from_each_of_its_sources(setting: &'static Setting, role: Role, line: &str) {
    let count = sources(setting, role).len();
    for strongest in 0..count {
        let mut world = World::new().say(line);
        // Files that are named on the command line are named instead of ELVA's.
        world.set("ELVA_CONFIG_PATH", &world.path("home/jane/a/elva.toml").to_string_lossy());
        let mut expected = String::new();
        for (index, source) in sources(setting, role).iter().enumerate().skip(strongest) {
            let text = match (setting.form, setting.name) {
                (Form::Switch, _) => "true".to_owned(),
                // In the words of Python's logging, which the last source has.
                (_, "log_level") if index + 1 == count => "DEBUG".to_owned(),
                _ => format!("v{index}"),
            };
            (source.put)(&mut world, &text);
            if index == strongest {
                expected = format!("{} ({})", text.to_lowercase(), source.origin);
            }
        }
        let value = world.settings().of(setting);
        let text = value.text().rsplit(['/', '\\']).next().unwrap().to_owned();
        let told = format!("{text} ({})", world.without_root(&value.origin.to_string()));
        assert_eq!(told, expected, "{line}: {}", setting.name);
    }
    let default = World::new().say(line).settings().get(setting);
    let default = default.map(|value| value.text().to_owned());
    assert_eq!(default.as_deref(), setting.default(role), "{line}: {}", setting.name);
}

#[test]
fn what_y_websockets_server_is_told_by_counts_for_a_server_and_less_than_files() {
    let mut world = World::new().say("yrelay serve");
    world.set("PORT", "1234");
    world.set("YPERSISTENCE", "./dbs");
    assert_eq!(told(&world.settings(), "port"), "1234 (PORT)");
    assert!(told(&world.settings(), "data_dir").ends_with("dbs (YPERSISTENCE)"));
    assert_eq!(world.settings().warnings, [""; 0]);
    world.file("~/yrelay.toml", "port = 9\nephemeral = true\n");
    assert_eq!(told(&world.settings(), "port"), "9 (~/yrelay.toml:1:8)");
    assert_eq!(told(&world.settings(), "data_dir"), " (default)");
    let world = world.say("yrelay service");
    world.file("~/yrelay.toml", "");
    assert_eq!(told(&world.settings(), "port"), "8000 (default)");
    assert_eq!(told(&world.settings(), "data_dir"), " (default)");
    let mut world = world.say("yrelay serve");
    // What a cluster sets for a service without a name of ours.
    world.set("PORT", "tcp://10.0.0.1:80");
    assert_eq!(told(&world.settings(), "port"), "8765 (default)");
    world.set("PORT", "eighty");
    assert!(world.fault().starts_with("PORT: \"eighty\" is no port"));
}

#[test]
fn a_server_has_policies_and_a_service_has_none() {
    let policies = |line: &str| {
        let world = World::new().say(line);
        world.file("~/elva.toml", "[server]\nvisible = 'NEVER'\npermanent = false\n");
        world.settings().config().unwrap().policies
    };
    let (service, serve) = (policies("yrelay service"), policies("yrelay serve"));
    assert_eq!(service, Policies::ALL);
    let (visible, permanent) = (Policy::Never, Some(Policy::False));
    assert_eq!(serve, Policies { visible, permanent, ..Policies::default() });
    let all = policies("yrelay serve --visible always --persistent always --permanent always");
    let permanent = Some(Policy::Always);
    assert_eq!(all, Policies { permanent, ..Policies::ALL });
    let nothing = policies("yrelay serve --broadcast-only --permanent always");
    let wish = Asked { persistent: Some(true), permanent: Some(true), ..Asked::default() };
    assert_eq!(nothing.keeping(wish), Keeping::Nothing);
    let default = World::new().say("yrelay serve").settings().config().unwrap().policies;
    assert_eq!(default, Policies::default());
}

#[test]
fn a_setting_has_one_name_and_no_other_has_it() {
    for (index, setting) in ALL.iter().enumerate() {
        assert!(!setting.help.is_empty() && !setting.help.ends_with('.'), "{}", setting.name);
        assert!(setting.help.len() <= 80, "{}: {}", setting.name, setting.help.len());
        assert!(
            !setting.default.is_empty() || !setting.default_words.is_empty(),
            "{}",
            setting.name
        );
        for other in &ALL[..index] {
            assert!(
                setting.name != other.name
                    && (setting.short.is_none() || setting.short != other.short)
            );
        }
        for other in setting.instead_of {
            assert!(named(other).is_some(), "{}", setting.name);
        }
    }
    // What is ours is none of ELVA's that mean nothing here, but for those with two meanings.
    let both = ALL.iter().filter(|setting| elva::knows(setting.name));
    assert_eq!(both.map(|setting| setting.name).collect::<Vec<_>>(), ["server", "user", "log"]);
}

#[test]
fn a_role_has_its_own_defaults_and_passes_by_what_is_not_its_own() {
    let mut world = World::new().say("yrelay serve");
    world.file(
        "~/elva.toml",
        "server = 'ws://far/'\n[app.service]\nport = 1\n[app.server]\nhost = 'h'\n",
    );
    world.set("YRELAY_USER", "jane");
    let mut settings = world.settings();
    assert_eq!(told(&settings, "port"), "8765 (default)");
    assert_eq!(told(&settings, "host"), "h (~/elva.toml:5:8)");
    assert_eq!(told(&settings, "server"), " (default)");
    assert!(settings.config().unwrap().upstream.is_none());
}

#[test]
fn two_ways_of_saying_the_same_exclude_each_other_and_the_stronger_counts() {
    let mut world = World::new();
    world.file("~/yrelay.toml", "ephemeral = true\npassword = 'x'\n");
    assert_eq!(told(&world.settings(), "ephemeral"), "true (~/yrelay.toml:1:13)");
    world.set("YRELAY_DATA_DIR", "~/here");
    world.set("YRELAY_PASSWORD_FILE", "~/password");
    let settings = world.settings();
    assert_eq!(told(&settings, "ephemeral"), "false (default)");
    assert!(settings.get(&crate::settings::PASSWORD).is_none());
    assert!(told(&settings, "data_dir").ends_with("here (YRELAY_DATA_DIR)"));
    assert!(
        settings
            .of(named("data_dir").unwrap())
            .text()
            .starts_with(&*world.path("").to_string_lossy())
    );
    let world = world.say("yrelay service --ephemeral");
    assert_eq!(told(&world.settings(), "data_dir"), " (default)");
    // What is denied claims nothing.
    let world = world.say("yrelay service --ephemeral=no");
    assert!(told(&world.settings(), "data_dir").ends_with("here (YRELAY_DATA_DIR)"));
}

#[test]
fn a_login_in_an_address_belongs_to_its_source() {
    let mut world = World::new();
    world.set("ELVA_SERVER", "wss://jane:hunter2@far/x");
    world.file("~/yrelay.toml", "user = 'joe'\npassword_file = 'p'\n");
    let settings = world.settings();
    assert_eq!(told(&settings, "server"), "wss://far/x (ELVA_SERVER)");
    assert_eq!(told(&settings, "user"), "jane (ELVA_SERVER)");
    assert_eq!(told(&settings, "password"), "hunter2 (ELVA_SERVER)");
    assert!(settings.get(named("password_file").unwrap()).is_none());
}

#[test]
fn a_login_in_an_address_goes_to_that_address_and_for_that_user_only() {
    let login = |line: &str| {
        let mut world = World::new().say(line);
        world.set("ELVA_SERVER", "wss://jane:hunter2@far/x");
        let settings = world.settings();
        [told(&settings, "user"), told(&settings, "password")]
    };
    let none = " (default)".to_owned();
    assert_eq!(login("yrelay service -s wss://evil"), [none.clone(), none.clone()]);
    assert_eq!(login("yrelay service -u ann"), ["ann (--user)".into(), none.clone()]);
    assert_eq!(login("yrelay service -u jane")[1], "hunter2 (ELVA_SERVER)");
    let beside = "yrelay -u ann service -s wss://jo:x@far --password-file y";
    assert_eq!(login(beside), ["ann (--user)".into(), none]);
    let other = "yrelay service -s wss://jane:x@far -p y";
    assert_eq!(login(other), ["jane (--server)", "y (--password)"]);
}

#[test]
fn an_empty_variable_is_none_and_an_empty_option_is_no_server() {
    let mut world = World::new();
    world.set("YRELAY_SERVER", "");
    world.set("ELVA_SERVER", "ws://localhost:9/");
    assert_eq!(told(&world.settings(), "server"), "ws://localhost:9/ (ELVA_SERVER)");
    world.line.push("--server=".into());
    assert!(world.settings().config().unwrap().upstream.is_none());
    // What a cluster sets for a service named yrelay.
    world.set("YRELAY_PORT", "tcp://10.0.0.1:80");
    world.set("YRELAY_PORT_80_TCP_ADDR", "10.0.0.1");
    world.set("YRELAY_SERVICE_HOST", "10.0.0.1");
    let settings = world.settings();
    assert_eq!(told(&settings, "port"), "8000 (default)");
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn options_are_taken_before_and_behind_the_command() {
    for line in [
        "yrelay -s ws://a.example -m elva -u jane -l x -v service",
        "yrelay service localhost 8000 -s ws://a.example -u jane -l x -v",
        "yrelay -s ws://b.example -u joe -l y service -s ws://a.example -u jane -l x -v",
        "yrelay config service -v -s ws://a.example -u jane -l x",
    ] {
        let settings = World::new().say(line).settings();
        assert_eq!(told(&settings, "server"), "ws://a.example (--server)", "{line}");
        assert_eq!(told(&settings, "user"), "jane (--user)", "{line}");
        assert_eq!(told(&settings, "log"), "x (--log)", "{line}");
        assert_eq!(told(&settings, "log_level"), "debug (-v)", "{line}");
    }
    let level = |line| told(&World::new().say(line).settings(), "log_level");
    assert_eq!(level("yrelay -vv service"), "trace (-vv)");
    assert_eq!(level("yrelay -v service -v"), "trace (-vv)");
    assert_eq!(level("yrelay service -vvvvv"), "trace (-vvvvv)");
    assert_eq!(level("yrelay service -v --log-level warn"), "warn (--log-level)");
}

#[test]
fn lists_have_several_values_in_each_source() {
    let mut world = World::new();
    world.file("~/yrelay.toml", "opaque = ['a', \"b,c\"]\nallow_host = 'one.example'\n");
    assert_eq!(world.settings().of(named("opaque").unwrap()).texts, ["a", "b,c"]);
    assert_eq!(told(&world.settings(), "allow_host"), "one.example (~/yrelay.toml:2:14)");
    world.set("YRELAY_OPAQUE", " d, e ,");
    assert_eq!(told(&world.settings(), "opaque"), "d,e (YRELAY_OPAQUE)");
    let world = world.say("yrelay service --opaque f --opaque g,h");
    assert_eq!(world.settings().of(named("opaque").unwrap()).texts, ["f", "g,h"]);
}

#[test]
fn a_relay_with_these_settings_is_found_by_another_process() {
    let url = |line: &str| World::new().say(line).settings().own_url();
    assert_eq!(url("yrelay service"), Ok("http://localhost:8000".into()));
    assert_eq!(url("yrelay service :: 9"), Ok("http://localhost:9".into()));
    assert_eq!(url("yrelay service 0.0.0.0 09"), Ok("http://localhost:9".into()));
    assert_eq!(url("yrelay service ::1 9"), Ok("http://[::1]:9".into()));
    let any = url("yrelay service localhost 0").unwrap_err().to_string();
    assert_eq!(any, "PORT: 0 is any free port: name the relay with --url URL");
    let found = |world: World| world.settings().own_url_is_found();
    assert!(found(World::new()));
    for line in ["service 127.0.0.2", "service localhost 9", "serve"] {
        assert!(!found(World::new().say(&format!("yrelay {line}"))), "{line}");
    }
    let mut world = World::new();
    world.file("~/yrelay.toml", "port = 9\n");
    assert!(found(world));
    world = World::new().say("yrelay service -c x.toml");
    world.file("~/project/deep/x.toml", "port = 9\n");
    assert!(!found(world));
    world = World::new();
    world.set("YRELAY_PORT", "9");
    assert!(!found(world));
}

#[test]
fn the_defaults_are_those_of_the_library() {
    let mut settings = World::new().settings();
    assert_eq!(settings.config().unwrap().bounds, yrelay::config::Bounds::default());
    assert_eq!(settings.log().unwrap(), crate::log::Log::default());
}

#[test]
fn documents_are_retained_for_ever_or_for_days() {
    for (text, days) in [("forever", None), ("For Ever", None), ("", None), ("90d", Some(90))] {
        let mut world = World::new();
        world.set("YRELAY_RETAIN", text);
        let mut settings = world.settings();
        let retain_ms = settings.config().unwrap().bounds.retain_ms;
        assert_eq!(retain_ms, days.map(|days: u64| days * 86_400_000), "{text}");
    }
}
