//! Servers, and who we are there.

use secrecy::ExposeSecret as _;
use yrelay::config::{Messages, Names, OnReset, Upstream};
use yrelay::login::Login;
use yrelay::secret::Need;

use super::*;

fn upstream(world: &World) -> Upstream {
    world.settings().config().unwrap().upstream.unwrap()
}

fn service(line: &str) -> World {
    World::new().say(&format!("yrelay service {line}"))
}

/// Who logs in with what: `jane:hunter2`; the token behind a blank.
fn login(world: &World) -> String {
    let Some(login) = upstream(world).login else { return "nobody".into() };
    let text = |secret: Option<&yrelay::secret::Secret>| match secret.map(|it| it.get(Need::Good)) {
        Some(Ok(fresh)) => fresh.text.expose_secret().to_owned(),
        Some(Err(error)) => format!("({error})"),
        None => "-".into(),
    };
    let token = login.token().map(|token| format!(" {}", text(Some(token))));
    format!(
        "{}:{}{}",
        login.user().unwrap_or("-"),
        text(login.password()),
        token.unwrap_or_default()
    )
}

/// Warnings and notes once all is checked.
fn said(world: &World) -> (String, String) {
    let mut settings = world.settings();
    settings.config().unwrap();
    let text = |lines: &[String]| world.without_root(&lines.join("\n"));
    (text(&settings.warnings), text(&settings.notes))
}

#[test]
fn a_server_is_what_is_said_of_it() {
    let plain = upstream(&service("-s wss://far"));
    assert_eq!((plain.speaks, plain.names), (Messages::Elva, Names::Raw));
    assert_eq!((plain.on_reset, plain.params.onto("/", None)), (OnReset::Ask, "/".into()));
    assert!(plain.token_url.is_none() && plain.prefix.is_empty() && plain.strip.is_empty());
    let line = "-s wss://far -m Hocuspocus --on-reset merge --upstream-params a=b&c={token} \
                --upstream-params d=e --token t --token-url http://localhost/{identifier}";
    let full = upstream(&service(line));
    assert_eq!((full.speaks, full.names), (Messages::Hocuspocus, Names::Decoded));
    assert_eq!(full.on_reset, OnReset::Merge);
    assert_eq!(full.params.onto("/", Some("t")), "/?a=b&c=t&d=e");
    assert_eq!(full.token_url.unwrap().to_string(), "http://localhost/{identifier}");
    let names = |line: &str| upstream(&service(line)).names;
    assert_eq!(names("-s wss://far -m hocuspocus --names raw"), Names::Raw);
    assert_eq!(names("-s wss://far -m yjs"), Names::Raw);
    assert_eq!(names("-s wss://far -m yjs --names decoded"), Names::Decoded);
}

#[cfg(unix)]
#[test]
fn a_password_and_a_token_come_from_commands() {
    let mut world = service("-s wss://far -u jane -m hocuspocus");
    world.set("YRELAY_PASSWORD_COMMAND", "echo hunter2; echo more");
    world.set("YRELAY_TOKEN_COMMAND", "echo token of $0 && false");
    assert_eq!(
        login(&world),
        "jane:hunter2 (cannot read the token from its command: exit status: 1)"
    );
    // By the user's own file and by one that is named.
    let mut world = service("-s wss://far -u jane");
    world.file("~/.config/yrelay/yrelay.toml", "password_command = 'echo one'\n");
    assert_eq!(login(&world), "jane:one");
    let path = world.file("else/x.toml", "password_command = 'echo two'\n");
    world.set("YRELAY_CONFIG", &path.display().to_string());
    assert_eq!(login(&world), "jane:two");
}

#[cfg(unix)]
#[test]
fn no_command_is_run_at_the_start_nor_for_a_file_that_was_merely_found() {
    let world = service("-s wss://far -u jane");
    let ran = world.path("ran");
    world.file(
        "~/.config/yrelay/yrelay.toml",
        &format!("password_command = 'touch {}'\n", ran.display()),
    );
    upstream(&world);
    assert!(!ran.exists());
    login(&world);
    assert!(ran.exists());
    for file in ["~/project/yrelay.toml", "~/project/elva.toml"] {
        let world = service("-s wss://far -u jane");
        world.file(file, "password_command = 'true'\n");
        let fault = world.fault();
        assert!(fault.contains(": no program is run for a file that was merely found"), "{fault}");
    }
}

#[test]
fn a_token_is_a_login_of_its_own_or_goes_with_a_user() {
    let world = service("-s wss://far -m hocuspocus --token t");
    assert_eq!(login(&world), "-:- t");
    assert_eq!(said(&world), Default::default());
    let world = service("-s wss://far -m hocuspocus --token t -u jane -p hunter2");
    assert_eq!(login(&world), "jane:hunter2 t");
    assert!(upstream(&world).login.as_ref().is_some_and(Login::has_secret));
    let mut world = service("-s wss://far -m hocuspocus");
    let path = world.file("else/token", "from file\n");
    world.set("YRELAY_TOKEN_FILE", &path.display().to_string());
    world.set("YRELAY_TOKEN_LIFETIME", "1h");
    assert_eq!(login(&world), "-:- from file");
    let fresh = upstream(&world).login.unwrap().token().unwrap().get(Need::Good).unwrap();
    assert_eq!(fresh.expires_at_unix_ms, Some(fresh.got_at_unix_ms + 3_600_000));
    world.set("YRELAY_TOKEN_LIFETIME", "0");
    let fresh = upstream(&world).login.unwrap().token().unwrap().get(Need::Good).unwrap();
    assert_eq!(fresh.expires_at_unix_ms, None);
}

#[test]
fn a_token_that_goes_nowhere_is_noticed() {
    for (line, is_lost) in [
        ("", true),
        ("-m yjs", true),
        ("-m yjs --upstream-params=yauth={token}", false),
        ("--token-url=https://far", false),
        ("-m hocuspocus", false),
    ] {
        let world = service(&format!("-s wss://far --token t {line}"));
        let (warnings, _) = said(&world);
        let expected =
            "the token for far goes nowhere: say where, such as --upstream-params token={token}";
        assert_eq!(warnings, if is_lost { expected } else { "" }, "{line}");
    }
    // The answer of that page is a token.
    service("-s wss://far --token-url=https://far --upstream-params=t={token}")
        .settings()
        .config()
        .unwrap();
}

#[test]
fn a_secret_goes_unencrypted_only_where_that_is_said() {
    for line in ["-s ws://localhost", "-s wss://far", "-s ws://far --insecure-login"] {
        assert_eq!(login(&service(&format!("{line} -m hocuspocus --token t"))), "-:- t");
    }
    let page = "-s wss://far --token t --token-url http://far";
    assert!(service(page).fault().starts_with("--token-url: the token would go there unencrypted"));
    upstream(&service(&format!("{page} --insecure-login")));
    upstream(&service("-s wss://far --token-url http://far"));
    // A found file does not decide it for a token from elsewhere.
    let world = World::new();
    world.file("~/.config/yrelay/yrelay.toml", "token = 'hunter2'\nmessages = 'hocuspocus'\n");
    world.file("~/project/yrelay.toml", "server = 'ws://evil'\ninsecure_login = true\n");
    assert!(world.fault().starts_with("~/project/yrelay.toml:1:10: server: the token would go"));
}

#[test]
fn netrc_is_asked_for_what_is_not_given() {
    let netrc = "machine far login jane password one\nmachine far login joe password two\n\
                 machine other login ann password three\ndefault login x password y\n";
    let given = |line: &str| {
        let world = service(line);
        let path = world.file(if cfg!(windows) { "~/_netrc" } else { "~/.netrc" }, netrc);
        close(&path, 0o600);
        (login(&world), said(&world).1)
    };
    for (line, expected, note) in [
        ("-s wss://far", "jane:one", "The password of jane at far: ~/.netrc"),
        ("-s wss://FAR:444 -u joe", "joe:two", "The password of joe at far: ~/.netrc"),
        ("-s wss://far -u ann", "ann:-", ""),
        ("-s wss://far -u joe -p given", "joe:given", ""),
        ("-s wss://other", "ann:three", "The password of ann at other: ~/.netrc"),
        ("-s wss://unknown", "nobody", ""),
        ("-s wss://jim@far", "jim:-", ""),
    ] {
        let (login, told) = given(line);
        assert_eq!((&*login, &*told.replace("_netrc", ".netrc")), (expected, note), "{line}");
    }
}

#[test]
fn netrc_is_elsewhere_if_a_variable_says_so_and_may_be_of_no_use() {
    let mut world = service("-s wss://far");
    world.file("~/.netrc", "machine far login jane password one\n");
    let path = world.file("else/netrc", "machine far login joe password two\n");
    world.set("NETRC", &path.display().to_string());
    assert_eq!(login(&world), "joe:two");
    fs::write(&path, [0xff]).unwrap();
    assert_eq!(login(&world), "nobody");
    let (warnings, _) = said(&world);
    assert!(warnings.starts_with("/else/netrc is passed by: "), "{warnings}");
    fs::remove_file(&path).unwrap();
    assert_eq!((login(&world), said(&world)), ("nobody".into(), Default::default()));
    // A name that cannot be sent.
    fs::write(&path, "machine far login a:b password x\n").unwrap();
    assert_eq!(login(&world), "nobody");
}

#[test]
fn what_netrc_has_is_shown_to_nobody_in_between() {
    for (line, expected) in [
        ("-s ws://far", "nobody"),
        ("-s ws://far -u jane", "jane:-"),
        ("-s ws://far --insecure-login", "jane:one"),
    ] {
        let world = service(line);
        let path = world.file("~/.netrc", "machine far login jane password one\n");
        close(&path, 0o600);
        let world = with_netrc(world, &path);
        assert_eq!(login(&world), expected, "{line}");
        let warning =
            "~/.netrc: the password of jane does not go to far unencrypted: write wss:// for ws://";
        let (warnings, _) = said(&world);
        assert_eq!(warnings.is_empty(), expected == "jane:one", "{warnings}");
        assert!(warnings.is_empty() || warnings == warning, "{warnings}");
    }
    let world = World::new();
    let path = world.file("~/.netrc", "machine evil login jane password one\n");
    world.file("~/project/yrelay.toml", "server = 'ws://evil'\ninsecure_login = true\n");
    assert_eq!(login(&with_netrc(world, &path)), "nobody");
}

fn with_netrc(mut world: World, path: &Path) -> World {
    world.set("NETRC", &path.display().to_string());
    world
}

/// Whom a file is open to.
fn close(path: &Path, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
}

#[cfg(unix)]
#[test]
fn a_netrc_that_others_can_read_is_used_and_warned_about() {
    let world = service("-s wss://far");
    let path = world.file("~/.netrc", "machine far login jane password one\n");
    close(&path, 0o644);
    assert_eq!(login(&world), "jane:one");
    assert_eq!(said(&world).0, "~/.netrc: others can read it: chmod 600 ~/.netrc");
}

#[test]
fn credentials_of_systemd_are_found_and_weaker_than_what_is_given() {
    let credentials = |line: &str| {
        let mut world = service(line);
        world.file("else/credentials/yrelay.password", "hunter2\n");
        world.file("else/credentials/yrelay.token", "t\n");
        world.set("CREDENTIALS_DIRECTORY", &world.path("else/credentials").display().to_string());
        world
    };
    let notes = "The token: /else/credentials/yrelay.token\n\
                 The password: /else/credentials/yrelay.password";
    let world = credentials("-s wss://far -m hocuspocus -u jane");
    assert_eq!(login(&world), "jane:hunter2 t");
    assert_eq!(said(&world), (String::new(), notes.into()));
    let world = credentials("-s wss://far -m hocuspocus -u jane -p given --token given");
    assert_eq!((login(&world), said(&world)), ("jane:given given".into(), Default::default()));
    let world = credentials("-s wss://far -m hocuspocus");
    assert_eq!(login(&world), "-:- t");
    let warning =
        "/else/credentials/yrelay.password is passed by: a password needs a user: add --user NAME";
    assert_eq!(said(&world).0, warning);
    // It is for us, so what is wrong with it is a fault.
    world.file("else/credentials/yrelay.token", "\n");
    assert_eq!(world.fault(), "CREDENTIALS_DIRECTORY: the token is empty");
    let open = credentials("-s ws://far -m hocuspocus -u jane");
    assert!(open.fault().starts_with("--server: the password would go to far unencrypted"));
}

#[test]
fn the_key_ring_is_asked_for_a_user_of_a_host() {
    let world = service("-s wss://far --keyring -u jane");
    if yrelay::secret::HAS_KEYRING {
        assert!(upstream(&world).login.unwrap().password().unwrap().is_costly());
        assert!(
            service("-s wss://far --keyring")
                .fault()
                .starts_with("--keyring: a password needs a user")
        );
    } else {
        let fault = "--keyring: this yrelay is built without the feature `keyring`: use \
                     password_file or password_command";
        assert_eq!(world.fault(), fault);
    }
    assert_eq!(login(&service("-s wss://far --keyring=no -u jane")), "jane:-");
}

#[test]
fn secrets_are_not_shown() {
    let world = service("-s wss://far -m hocuspocus -u jane -p hunter2 --token hunter2");
    let mut settings = world.settings();
    let config = settings.config().unwrap();
    let shown = format!("{}\n{config:?}\n{settings:?}", settings.show(None));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("# token = \"[redacted]\""), "{shown}");
}

#[test]
fn what_was_found_is_shown_with_its_place() {
    let world = service("-s wss://far");
    world.file("~/.netrc", "machine far login jane password hunter2\n");
    let path = world.path("home/jane/.netrc");
    let world = with_netrc(world, &path);
    let mut settings = world.settings();
    settings.config().unwrap();
    let shown = settings.show(None);
    assert!(shown.contains("\n# The password of jane at far: ~/.netrc\n"), "{shown}");
    assert!(!shown.contains("hunter2"));
}
