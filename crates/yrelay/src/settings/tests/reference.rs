//! docs/settings.md has a line for each setting.

use crate::settings::ALL;

const BEGIN: &str = "<!-- from here on written by a test from crates/yrelay/src/settings.rs -->\n";
const END: &str = "<!-- to here -->\n";

fn table() -> String {
    let mut table = String::from(
        "\n| key | option | variables | ELVA 0.37 | default | |\n|---|---|---|---|---|---|\n",
    );
    let code = |text: &str| match text.is_empty() {
        true => String::new(),
        false => format!("`{text}`"),
    };
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
        let list = if setting.form.is_list() { "; a list" } else { "" };
        table += &format!(
            "| `{}` | {option} | {} | {} | {default} | {}{list} |\n",
            setting.name,
            variables.join(", "),
            code(setting.elva_key),
            setting.help,
        );
    }
    table + "\n"
}

#[test]
fn the_reference_names_each_setting() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (now, after) = rest.split_once(END).unwrap();
    let table = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert!(
            now == table,
            "write it anew: UPDATE_DOCS=1 cargo test -p yrelay --bin yrelay reference"
        );
    }
}
