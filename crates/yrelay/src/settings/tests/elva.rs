//! `elva.toml` of both generations.

use super::*;

/// As the documentation of ELVA 0.33 has it, and with a table for each of its programs.
const OF_33: &str = r#"
name = "Jane"
user = "jane"
password = "hunter2"
identifier = "8c3e1f5e-7d0f-4a35-9b6b-0a2b1d6d2f11"
server = "ws://localhost:8000"
messages = "yjs"
log = "elva.log"
level = 10

[app.default]
host = "127.0.0.1"
port = 8101

[app.editor]
theme = "dark"
server = "ws://editors/"

[app.service]
server = "wss://elva.example.org/sync/"
port = 8100

[app.server]
port = 9000
persistent = true
"#;

/// As ELVA 0.37 writes it: `elva config -d context` keeps such a table in a file of its own.
const OF_37: &str = r#"
[basic]
secret = "hunter2"
user = "jane"

[connect]
host = "elva.example.org"
identifier = "notes"
port = 8443
secret = "for the end-to-end encryption"

[editor]
ansi = true

[log]
file = "/var/log/elva.log"
level = "DEBUG"

[server]
host = "0.0.0.0"
port = 41536
path = "documents"
persistent = "ALWAYS"

[tls]
authority = "/etc/ssl/tu-ca.pem"
on = true

[user]
color = "fuchsia"
name = "Jane"
"#;

#[test]
fn flat_keys_and_tables_are_read_as_elva_33_reads_them() {
    let mut world = World::new();
    world.file("~/project/elva.toml", OF_33);
    let settings = world.settings();
    for (name, expected) in [
        ("server", "wss://elva.example.org/sync/ (~/project/elva.toml:20:10)"),
        ("user", "jane (~/project/elva.toml:3:8)"),
        ("password", "hunter2 (~/project/elva.toml:4:12)"),
        // What the editors speak: the service speaks ELVA's, as the original does.
        ("messages", "elva (default)"),
        ("log", "elva.log (~/project/elva.toml:8:7)"),
        ("log_level", "debug (~/project/elva.toml:9:9)"),
        ("host", "127.0.0.1 (~/project/elva.toml:12:8)"),
        ("port", "8100 (~/project/elva.toml:21:8)"),
    ] {
        assert_eq!(told(&settings, name), expected);
    }
    assert_eq!(settings.warnings, [""; 0]);
    world.set("ELVA_MESSAGES", "yjs");
    let mut settings = world.settings();
    let upstream = settings.config().unwrap().upstream.unwrap();
    assert_eq!(upstream.target.to_string(), "wss://elva.example.org/sync/");
    assert_eq!(upstream.login.unwrap().user(), Some("jane"));
    let settings = world.say("yrelay serve").settings();
    assert_eq!(told(&settings, "port"), "9000 (~/project/elva.toml:24:8)");
}

#[test]
fn elva_33_merges_its_files_by_key_but_takes_the_tables_of_one() {
    let mut world = World::new();
    let named = world.file("else/named.toml", "user = 'named'\n");
    world.set("ELVA_CONFIG_PATH", &named.to_string_lossy());
    world.file("~/project/deep/elva.toml", "port = 1\nuser = 'near'\n");
    // Further up than the nearest: not read.
    world.file("~/project/elva.toml", "host = 'far'\nport = 2\n[app.service]\nport = 3\n");
    let users =
        "server = 'ws://user/'\nport = 4\n[app.service]\nport = 5\n[app.default]\nuser = 'app'\n";
    world.file("~/.config/elva/elva.toml", users);
    let settings = world.settings();
    for (name, expected) in [
        ("server", "ws://user/ (~/.config/elva/elva.toml:1:10)"),
        ("port", "5 (~/.config/elva/elva.toml:4:8)"),
        ("user", "app (~/.config/elva/elva.toml:6:8)"),
        ("host", "localhost (default)"),
    ] {
        assert_eq!(told(&settings, name), expected);
    }
    // Tables of the nearer file are instead of those of the farther, not beside them.
    world.file("~/project/deep/elva.toml", "[app.service]\nhost = 'near'\n");
    let settings = world.settings();
    assert_eq!(told(&settings, "host"), "near (elva.toml:2:8)");
    assert_eq!(told(&settings, "port"), "4 (~/.config/elva/elva.toml:2:8)");
    assert!(told(&settings, "user").starts_with("named ("));
    // Even where they are empty.
    world.file("~/project/deep/elva.toml", "[app.service]\n# host = 'near'\n");
    let settings = world.settings();
    assert_eq!(told(&settings, "port"), "4 (~/.config/elva/elva.toml:2:8)");
}

#[test]
fn tables_are_read_as_elva_37_reads_them() {
    let world = World::new();
    world.file("~/project/deep/elva.toml", OF_37);
    let mut settings = world.settings();
    for (name, expected) in [
        ("server", "wss://elva.example.org:8443/ (elva.toml:7:8)"),
        ("user", "jane (elva.toml:4:8)"),
        ("password", "hunter2 (elva.toml:3:10)"),
        ("log", "/var/log/elva.log (elva.toml:16:8)"),
        ("log_level", "debug (elva.toml:17:9)"),
        ("tls_ca", "/etc/ssl/tu-ca.pem (elva.toml:26:13)"),
        ("host", "localhost (default)"),
        ("port", "8000 (default)"),
    ] {
        assert_eq!(told(&settings, name), expected);
    }
    assert_eq!(settings.warnings, [""; 0]);
    settings.forget(&crate::settings::TLS_CA);
    assert_eq!(settings.config().unwrap().upstream.unwrap().login.unwrap().user(), Some("jane"));
}

#[test]
fn elva_37_merges_all_files_up_to_the_root_deeply() {
    let world = World::new();
    world.file("~/project/deep/elva.toml", "[connect]\nport = 1\n");
    world.file(
        "~/project/elva.toml",
        "[connect]\nhost = 'up.example'\nport = 2\n[tls]\non = false\n",
    );
    world.file("~/.config/elva/elva.toml", "[connect]\nhost = 'user'\n[basic]\nuser = 'jane'\n");
    let settings = world.settings();
    assert_eq!(told(&settings, "server"), "ws://up.example:1/ (~/project/elva.toml:2:8)");
    assert_eq!(told(&settings, "user"), "jane (~/.config/elva/elva.toml:4:8)");
    // What ELVA 0.33 reads counts before: it is the one with a service.
    world.file("~/.config/elva/elva.toml", "server = 'ws://old/'\n");
    assert_eq!(told(&world.settings(), "server"), "ws://old/ (~/.config/elva/elva.toml:1:10)");
}

#[test]
fn editors_that_come_here_are_no_server_above() {
    let world = World::new();
    for (host, tls) in [("localhost", false), ("127.0.0.1", false), ("::1", false), ("::1", true)] {
        let tls = format!("[tls]\non = {tls}\n");
        world.file("~/elva.toml", &format!("{tls}[connect]\nhost = '{host}'\nport = 8000\n"));
        let mut settings = world.settings();
        assert!(settings.config().unwrap().upstream.is_none(), "{host}");
        assert_eq!(told(&settings, "server"), " (default)", "{host}");
    }
    let mut settings = world.say("yrelay service localhost 8001").settings();
    let upstream = settings.config().unwrap().upstream.unwrap();
    assert_eq!(upstream.target.to_string(), "wss://[::1]:8000/");
    // Who says so with the words of the service has made a mistake, as with the original.
    let mut world = World::new();
    world.set("ELVA_SERVER", "ws://localhost:8000");
    assert!(world.settings().config().unwrap().upstream.is_some());
    let world = World::new();
    world.file("~/elva.toml", "server = 'ws://localhost:8000'\n");
    assert!(world.settings().config().unwrap().upstream.is_some());
}

#[test]
fn what_elva_37_would_do_for_its_server_and_we_do_not_is_said() {
    let world = World::new();
    let tls = "[tls]\nmode = 'NONE'\nhostname = false\ncertificate = 'me.pem'\n";
    world.file(
        "~/elva.toml",
        &format!("{tls}[basic]\nsecret = 'REDACTED'\nuser = 'x'\ncommand = 'pass elva'\n"),
    );
    assert_eq!(world.settings().warnings, [""; 0]);
    let world = world.say("yrelay service -s wss://far");
    insta::assert_snapshot!(world.settings().warnings.join("\n"));
}

#[test]
fn levels_are_those_of_python() {
    let level = |text: &str| {
        let world = World::new();
        world.file("~/elva.toml", text);
        told(&world.settings(), "log_level").split(' ').next().unwrap().to_owned()
    };
    for (text, expected) in [
        ("level = 'CRITICAL'", "error"),
        ("level = 40", "error"),
        ("level = 'WARNING'", "warn"),
        ("level = 20", "info"),
        ("level = 'DEBUG'", "debug"),
        ("level = 'unheard of'", "info"),
        ("level = 'DEBUG'\nlog_level = 'trace'", "trace"),
        ("[log]\nlevel = 1", "info"),
        ("[log]\nlevel = 2", "debug"),
        ("[log]\nlevel = 0", "info"),
        ("[log]\nlevel = 'DEBUG'", "debug"),
    ] {
        assert_eq!(level(text), expected, "{text}");
    }
}

#[test]
fn a_named_file_of_elvas_is_elvas() {
    let world = World::new().say("yrelay service -c ../../../../else/elva.toml");
    world.file("else/elva.toml", "log = 'x.log'\ncolour = 1\n");
    let settings = world.settings();
    assert!(told(&settings, "log").starts_with("x.log ("));
    assert_eq!(settings.warnings, [""; 0]);
    let world = World::new();
    let other = world.file("else/other.toml", "log = 'x.log'\nname = 'Jane'\ncolour = 1\n");
    let world = world.say(&format!("yrelay service -c {}", other.display()));
    let settings = world.settings();
    assert!(world.without_root(&told(&settings, "log")).starts_with("/else/"));
    assert_eq!(settings.warnings.len(), 1);
}
