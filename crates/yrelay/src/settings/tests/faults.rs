//! What is wrong is named with its place and the way out.

use base64::Engine as _;

use super::*;

/// The faults of these lines in `yrelay.toml`, each for itself.
fn in_file(lines: &[&str]) -> String {
    let fault = |line: &&str| {
        let world = World::new();
        world.file("~/project/deep/yrelay.toml", &format!("\n{line}\n"));
        world.fault()
    };
    lines.iter().map(fault).collect::<Vec<_>>().join("\n")
}

#[test]
fn faults_in_files_name_line_and_column() {
    let faults = in_file(&[
        "server = 'elva.example.org'",
        "server = ['ws://a/', 'ws://b/']",
        "server = [{ url = 'ws://a/' }]",
        "server = 'wss://far/'\nnames = 'both'",
        "server = 'wss://far/'\non_reset = 'wipe'",
        "server = 'wss://far/'\nupstream_params = ['a=b', 'client']",
        "server = 'wss://far/'\nupstream_params = 'yauth={token}'",
        "server = 'wss://far/'\ntoken_url = 'wss://far/auth'",
        "server = 'wss://far/'\ntoken_url = 'https://jane:hunter2@far/auth'",
        "server = 'wss://far/'\ntoken_lifetime = 60",
        "messages = 'morse'",
        "port = 65536",
        "port = 'eighty'",
        "host = 'here'\nport = -1",
        "ephemeral = 'perhaps'",
        "password = 'hunter2'\npassword_file = 'x'",
        "server = 'wss://far'\npassword = 'hunter2'",
        "server = 'wss://far'\nuser = 'ja:ne'",
        "server = 'wss://far'\nuser = 'jane'\npassword = \"\"",
        "server = 'wss://far'\nuser = 'jane'\npassword_file = '/no/file'",
        "server = 'ws://far'\nuser = 'jane'\npassword = 'hunter2'",
        "server = 'wss://far'\nuser = 'jane'\npassword_command = 'echo hunter2'",
        "server = 'wss://far'\ntoken_command = 'echo hunter2'",
        "password_file = 'x'\npassword_command = 'y'",
        "keyring = true\npassword = 'hunter2'",
        "token_file = 'x'\ntoken_command = 'y'",
        "token_file = 'x'\ntoken = 'hunter2'",
        "server = 'wss://far'\nkeyring = 'maybe'",
        "server = 'wss://far'\ntoken = \"\"",
        "server = 'wss://far'\ntoken = \"hunter\\n2\"",
        "server = 'wss://far'\ntoken_file = '/no/file'",
        "server = 'ws://far'\ntoken = 'hunter2'",
        "server = 'wss://far'\ntoken = 'hunter2'\ntoken_url = 'http://far/auth'",
        "server = 'wss://far'\ntls_ca = ['/no/file']",
        "allow_origin = ['https://good.example', 'bad.example']",
        "allow_host = ['a:80']",
        "message_max = 1000",
        "message_max = '1 kB'",
        "message_max = '1 TB'",
        "memory = '1 MB'",
        "idle = 60",
        "idle = '1 year'",
        "retain = 90",
        "retain = '1h'",
        "log_level = 'loud'",
        "log_format = 'xml'",
        "password = 'hunter2",
        "port = 8000 8001",
        "port = 8000\nport = 8001",
    ]);
    assert!(!faults.contains("hunter2"), "{faults}");
    insta::assert_snapshot!(faults);
}

#[test]
fn faults_of_options_and_variables_name_them() {
    let mut faults = Vec::new();
    for line in [
        "-s elva.example.org",
        "-s https://elva.example.org",
        "-s ws://jane:hunter2@",
        "-m morse",
        "localhost 70000",
        "-u jane",
        "-p hunter2",
        "--password-command x",
        "--keyring",
        "--token hunter2",
        "--token-file x",
        "--token-url https://far",
        "-s ws://far --token hunter2",
        "-s wss://far --password-command x",
        "-s wss://far --upstream-params=client",
        "-s wss://far -p hunter2",
        "-s wss://jane:hunter2@far --password-file x",
        "-s wss://far -u jane -p hunter2 --password-file x",
        "-s ws://jane:hunter2@far",
        "--ephemeral --data-dir x",
        "--ephemeral=maybe",
        "-c nowhere.toml",
        "--idle 5",
    ] {
        faults.push(World::new().say(&format!("yrelay service {line}")).fault());
    }
    for line in ["-s ws://a serve", "-m elva serve", "-u jane serve", "-p x serve"] {
        faults.push(World::new().say(&format!("yrelay {line}")).fault());
    }
    for line in [
        "--auth-file=",
        "--auth-file /no/file",
        "--broadcast-only --data-dir x",
        "--broadcast-only=maybe",
        "--visible maybe",
        "--permanent 1",
    ] {
        faults.push(World::new().say(&format!("yrelay serve {line}")).fault());
    }
    for (name, text) in [
        ("YRELAY_PORT", "eighty"),
        ("ELVA_SERVER", "ws://jane:hunter2@host:no/"),
        ("YRELAY_MESSAGES", "morse"),
        ("YRELAY_IDLE", "5"),
        ("YRELAY_EPHEMERAL", "perhaps"),
    ] {
        let mut world = World::new();
        world.set(name, text);
        faults.push(world.fault());
    }
    let mut world = World::new();
    world.set("HOME", "");
    faults.push(world.fault());
    let faults = faults.join("\n");
    assert!(!faults.contains("hunter2"), "{faults}");
    insta::assert_snapshot!(faults);
}

#[test]
fn a_login_for_nobody_is_a_mistake_on_the_command_line_only() {
    let mut world = World::new();
    world.set("ELVA_USER", "jane");
    world.file("~/elva.toml", "password = 'hunter2'\n");
    assert!(world.settings().config().unwrap().upstream.is_none());
}

#[test]
fn a_user_without_a_password_gives_nothing_away() {
    let world = World::new().say("yrelay service -s ws://elva.example.org -u jane");
    let login = world.settings().config().unwrap().upstream.unwrap().login.unwrap();
    assert!(!login.has_secret());
    for line in
        ["-s wss://far", "-s ws://localhost:1", "-s ws://[::1]", "-s ws://far --insecure-login"]
    {
        let world = World::new().say(&format!("yrelay service -u jane -p hunter2 {line}"));
        assert!(world.settings().config().unwrap().upstream.unwrap().login.unwrap().has_secret());
    }
}

#[test]
fn a_file_that_was_found_does_not_let_a_password_from_elsewhere_go_unencrypted() {
    let world = World::new();
    world.file("~/.config/elva/elva.toml", "user = 'jane'\npassword = 'hunter2'\n");
    world.file("~/project/yrelay.toml", "server = 'ws://evil'\ninsecure_login = true\n");
    assert!(world.fault().starts_with("~/project/yrelay.toml:1:10: server: the password would go"));
    let login = "user = 'jane'\npassword = 'hunter2'\n";
    let whole = format!("server = 'ws://far'\ninsecure_login = true\n{login}");
    world.file("~/project/yrelay.toml", &whole);
    assert!(world.settings().config().is_ok());
    world.file("~/project/yrelay.toml", "server = 'ws://far'\n");
    world.file("~/.config/yrelay/yrelay.toml", "insecure_login = true\n");
    assert!(world.settings().config().is_ok());
}

#[test]
fn places_are_counted_in_characters() {
    let world = World::new();
    world.file(
        "~/elva.toml",
        "# \u{fc}\nconnect = { identifier = '\u{fc}\u{fc}', host = 'far', port = 'x' }\n",
    );
    assert_eq!(
        world.fault(),
        "~/elva.toml:2:53: connect.port: \"x\" is no port: write a number from 0 to 65535"
    );
}

#[test]
fn variables_that_are_no_text_are_named() {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt as _;
        let bad = || OsString::from_vec(b"/tmp/\xff".to_vec());
        let mut world = World::new();
        world.variables = Variables::new([("YRELAY_DATA_DIR".into(), bad())].into_iter());
        assert_eq!(world.fault(), "YRELAY_DATA_DIR: it is not valid UTF-8");
        world.variables = Variables::new([("OTHER".into(), bad())].into_iter());
        assert!(world.gather().is_ok());
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let world = World::new();
    world.file("else/latin", "");
    fs::write(world.path("else/latin"), b"user = '\xfc'").unwrap();
    fs::write(world.path("else/long"), "#".repeat((1 << 20) + 1)).unwrap();
    for (name, words) in [
        ("latin", "stream did not contain valid UTF-8"),
        ("long", "it is longer than 1 MiB"),
        ("", "Is a directory (os error 21)"),
    ] {
        let path = world.path(&format!("else/{name}")).display().to_string();
        let world = World::new().say(&format!("yrelay service -c {path}"));
        let fault = world.fault();
        assert!(fault.starts_with("cannot read ") && fault.ends_with(words), "{fault}");
    }
    // Nobody asked for these.
    fs::create_dir(world.path("home/jane/project/yrelay.toml")).unwrap();
    assert_eq!(world.settings().files, [""; 0]);
}

#[test]
fn slips_of_the_pen_are_warned_about_and_elvas_own_keys_are_not() {
    let mut world = World::new();
    let ours = "sevrer = 'x'\ndata-dir = 'x'\ncolour = 1\nname = 'Jane'\n[app.editor]\nx = 1\n[servers]\nx = 1\n[connect]\ny = 1\n[memory]\nmax = 1\n[app.service]\nsevrer = 1\n\"a.b\" = 1\n";
    world.file("~/project/yrelay.toml", ours);
    let elvas = "sevrer = 'x'\ncolour = 1\nname = 'Jane'\n[rooms]\nx = 1\n[app.service]\nsevrer = 1\n\"a\\u001b[31m\" = 1\n";
    world.file("~/elva.toml", elvas);
    world.set("YRELAY_SEVRER", "x");
    world.set("YRELAY_COLOUR", "x");
    world.set("YRELAY_PASSWORD", "hunter2");
    world.set("ELVA_NAME", "Jane");
    insta::assert_snapshot!(world.settings().warnings.join("\n"));
}

#[cfg(unix)]
#[test]
fn a_directory_of_certificates_is_read_whole() {
    let world = World::new();
    let certificate = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let base64 = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
    };
    world.file("else/ca/one.pem", &certificate("one"));
    world.file("else/ca/two.pem", &format!("{}{}", certificate("two"), certificate("three")));
    let directory = world.path("else/ca").display().to_string();
    let world = world.say(&format!("yrelay service -s wss://far --tls-ca {directory}"));
    let upstream = world.settings().config().unwrap().upstream.unwrap();
    assert_eq!(upstream.authorities.len(), 3);
    for content in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        world.file("else/ca/three.pem", content);
        let path = world.path("else/ca/three.pem").display().to_string();
        let world = World::new().say(&format!("yrelay service -s wss://far --tls-ca {path}"));
        assert!(world.fault().starts_with("--tls-ca: cannot use "), "{content}");
    }
}
