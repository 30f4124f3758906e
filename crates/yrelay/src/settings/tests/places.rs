//! Which files there are, and what paths in them mean.

use super::*;

#[test]
fn paths_in_our_files_are_relative_to_them_and_in_elvas_to_where_one_stands() {
    let mut world = World::new();
    world.file("~/project/yrelay.toml", "data_dir = 'store'\npassword_file = '~/p'\n");
    world.file("~/project/elva.toml", "log = 'elva.log'\n");
    world.set("YRELAY_TLS_CA", "~/ca.pem,other.pem");
    let text = |name: &str| {
        let texts = world.settings().of(named(name).unwrap()).texts.join(" ");
        world.without_root(&texts)
    };
    assert_eq!(text("data_dir"), "/home/jane/project/store");
    assert_eq!(text("password_file"), "/home/jane/p");
    assert_eq!(text("log"), "elva.log");
    assert_eq!(text("tls_ca"), "/home/jane/ca.pem other.pem");
}

#[test]
fn a_file_is_named_by_a_variable_too_and_read_once() {
    let mut world = World::new();
    let named = world.file("else/x.toml", "port = 1\n");
    world.file("~/project/deep/yrelay.toml", "port = 2\n");
    let settings = world.settings();
    assert_eq!(
        (told(&settings, "port"), settings.files),
        ("2 (yrelay.toml:1:8)".into(), vec!["yrelay.toml".into()])
    );
    world.set("YRELAY_CONFIG", &format!(":{}", named.display()));
    assert!(told(&world.settings(), "port").starts_with("1 ("));
    world.set("YRELAY_CONFIG", "~/x.toml");
    assert_eq!(world.fault(), "YRELAY_CONFIG: there is no file /home/jane/x.toml");
    world.set("ELVA_CONFIG_PATH", &world.file("else/elva", "user = 'x'\n").to_string_lossy());
    let world = world.say("yrelay service -c yrelay.toml");
    assert_eq!(told(&world.settings(), "user"), " (default)");
    let settings = world.settings();
    assert_eq!(
        (told(&settings, "port"), settings.files),
        ("2 (yrelay.toml:1:8)".into(), vec!["yrelay.toml".into()])
    );
}

#[cfg(target_os = "linux")]
#[test]
fn documents_are_kept_in_the_state_directory() {
    let at = |list: &[(&str, &str)]| {
        let variable = |name: &str| Some(list.iter().find(|(key, _)| *key == name)?.1.to_owned());
        crate::settings::search::Places::new(PathBuf::from("/w"), variable).state
    };
    for (list, expected) in [
        (&[("HOME", "/home/jane")][..], Some("/home/jane/.local/state/yrelay")),
        (&[("HOME", "/home/jane"), ("XDG_STATE_HOME", "/s")], Some("/s/yrelay")),
        (&[("HOME", "/h"), ("XDG_STATE_HOME", "relative")], Some("/h/.local/state/yrelay")),
        (&[("HOME", "")], None),
    ] {
        assert_eq!(at(list).as_deref(), expected.map(Path::new));
    }
}

#[cfg(unix)]
#[test]
fn a_file_is_one_under_all_its_names() {
    let world = World::new();
    let file = world.file("~/yrelay.toml", "port = 1\n");
    std::os::unix::fs::symlink(&file, world.working().join("yrelay.toml")).unwrap();
    let world = world.say("yrelay service -c ../../yrelay.toml");
    assert_eq!(world.settings().files.len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn the_directory_for_settings_can_be_another() {
    let mut world = World::new();
    world.file("else/yrelay/yrelay.toml", "port = 1\n");
    world.set("XDG_CONFIG_HOME", &world.path("else").to_string_lossy());
    assert!(told(&world.settings(), "port").starts_with("1 ("));
    world.set("XDG_CONFIG_HOME", "else");
    assert_eq!(told(&world.settings(), "port"), "8000 (default)");
}

/// What strangers leave in a directory that all may write to.
#[cfg(unix)]
#[test]
fn files_of_strangers_on_the_way_up_are_passed_by() {
    use std::os::unix::fs::chown;
    let world = World::new();
    let ours = world.file("~/yrelay.toml", "server = 'ws://evil'\n");
    let elvas = world.file("~/project/elva.toml", "server = 'ws://evil'\n");
    if [&ours, &elvas].iter().any(|path| chown(path, Some(12_345), None).is_err()) {
        return; // only root can give files away
    }
    let settings = world.settings();
    assert_eq!(told(&settings, "server"), " (default)");
    insta::assert_snapshot!(settings.warnings.join("\n"));
    let named = world.say("yrelay service -c ../elva.toml");
    assert!(told(&named.settings(), "server").starts_with("ws://evil ("));
}
