//! docs/settings.md has a line for each setting, and for each that a route may have.

use crate::settings::{ALL, Setting, named, route};

const BEGIN: &str = "<!-- from here on written by a test from crates/yrelay/src/settings.rs -->\n";
const ROUTES: &str =
    "<!-- from here on written by a test from crates/yrelay/src/settings/route.rs -->\n";
const END: &str = "<!-- to here -->\n";

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// What a setting is, in a cell.
fn words(setting: &Setting) -> String {
    let list = if setting.form.is_list() { "; a list" } else { "" };
    format!("{}{list}", setting.help)
}

/// The keys of a route: its own with what they are, and those that mean what they mean above.
fn routes() -> String {
    let (known, own): (Vec<_>, Vec<_>) =
        route::ALL.iter().partition(|setting| named(setting.name).is_some());
    let mut table = String::from("\n| key | |\n|---|---|\n");
    for setting in own {
        table += &format!("| `{}` | {} |\n", route::key(setting), words(setting));
    }
    let (outside, here): (Vec<_>, Vec<_>) =
        known.into_iter().partition(|setting| route::is_inherited(setting));
    let key = |setting: &&Setting| match route::key(setting) {
        key if key == setting.name => code(key),
        key => format!("{} (`{}` above)", code(key), setting.name),
    };
    let keys = |list: &[&Setting]| list.iter().map(key).collect::<Vec<_>>().join(", ");
    format!(
        "{table}\nThe rest are as above, for the server of the route: {}.\nWhere a route does not \
         say them, these are as outside: {}.\n\n",
        keys(&here),
        keys(&outside)
    )
}

fn table() -> String {
    let mut table = String::from(
        "\n| key | option | variables | ELVA 0.37 | default | |\n|---|---|---|---|---|---|\n",
    );
    for setting in ALL {
        let short = setting.short.map_or(String::new(), |short| format!("`-{short}`, "));
        let option = format!("{short}`{}`", setting.option());
        let variables = [setting.variable(), Some(setting.elva_variable.to_owned())];
        let variables: Vec<_> = variables
            .into_iter()
            .flatten()
            .filter(|name| !name.is_empty())
            .map(|name| code(&name))
            .chain(
                (!setting.foreign_variable.is_empty())
                    .then(|| format!("{} (serve)", code(setting.foreign_variable))),
            )
            .collect();
        let default = match (setting.default_serve, setting.default) {
            ("", "") => setting.default_words.to_owned(),
            ("", default) => code(default),
            (serve, default) => format!("{}; serve: {}", code(default), code(serve)),
        };
        table += &format!(
            "| `{}` | {option} | {} | {} | {default} | {} |\n",
            setting.name,
            variables.join(", "),
            code(setting.elva_key),
            words(setting),
        );
    }
    table + "\n"
}

#[test]
fn the_reference_names_each_setting() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
    for (begin, table) in [(BEGIN, table()), (ROUTES, routes())] {
        let text = std::fs::read_to_string(path).unwrap();
        let (before, rest) = text.split_once(begin).unwrap();
        let (now, after) = rest.split_once(END).unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, format!("{before}{begin}{table}{END}{after}")).unwrap();
        } else {
            assert!(
                now == table,
                "write it anew: UPDATE_DOCS=1 cargo test -p yrelay --bin yrelay reference"
            );
        }
    }
}
