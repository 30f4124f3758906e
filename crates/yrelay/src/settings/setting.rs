//! What a setting is: an entry of the table.

use yrelay::status::Role;

/// One setting, under all its names.
pub(crate) struct Setting {
    /// The key in files. The option is this with dashes, the variable `YRELAY_` and capitals.
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) form: Form,
    /// What stands for its value in help.
    pub(crate) placeholder: &'static str,
    /// Empty where there is none, or where it is found out.
    pub(crate) default: &'static str,
    /// For `yrelay serve`, where that is another.
    pub(crate) default_serve: &'static str,
    /// Shown in place of a default that is found out.
    pub(crate) default_words: &'static str,
    /// Settings that this one replaces: they are ways of saying the same.
    pub(crate) instead_of: &'static [&'static str],
    /// The variable that ELVA 0.33 has for it.
    pub(crate) elva_variable: &'static str,
    /// The variable that the servers it can stand in for have for it; for `yrelay serve` only, and
    /// weaker than files: other programs are told by it, too.
    pub(crate) foreign_variable: &'static str,
    /// Where ELVA 0.37 has it in its file.
    pub(crate) elva_key: &'static str,
    pub(crate) group: Group,
    pub(crate) help: &'static str,
    /// Further help, where it needs more than a line.
    pub(crate) more: &'static str,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By its position on the command line.
    Argument,
    /// Any text.
    Text,
    /// Never shown, and never taken from a variable, which other programs see.
    Secret,
    /// The path of a file or directory.
    Path,
    /// Several of them.
    Paths,
    /// Several texts.
    List,
    /// Yes or no.
    Switch,
}

/// What a setting is about: a heading of the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Listen,
    Upstream,
    Documents,
    Server,
    Limits,
    Log,
}

impl Form {
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Self::Paths | Self::List)
    }

    pub(crate) fn is_path(self) -> bool {
        matches!(self, Self::Path | Self::Paths)
    }
}

impl Group {
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Listen => "Where to listen",
            Self::Upstream => "The server above",
            Self::Documents => "Documents, and who may open them",
            Self::Server => "What a server decides",
            Self::Limits => "Limits",
            Self::Log => "Log",
        }
    }
}

impl Setting {
    /// `--data-dir`, or `PORT`.
    pub(crate) fn option(&self) -> String {
        match self.form {
            Form::Argument => self.placeholder.to_owned(),
            _ => format!("--{}", self.long()),
        }
    }

    /// `data-dir`.
    pub(crate) fn long(&self) -> String {
        self.name.replace('_', "-")
    }

    /// `YRELAY_DATA_DIR`.
    pub(crate) fn variable(&self) -> Option<String> {
        (self.form != Form::Secret).then(|| format!("YRELAY_{}", self.name.to_uppercase()))
    }

    /// Its default in this role, if that is a fixed one.
    pub(crate) fn default(&self, role: Role) -> Option<&'static str> {
        let of_role = if role == Role::Serve { self.default_serve } else { "" };
        [of_role, self.default].into_iter().find(|text| !text.is_empty())
    }

    /// Whether a command of this role has it.
    pub(crate) fn serves(&self, role: Role) -> bool {
        match self.group {
            Group::Upstream => role == Role::Service,
            Group::Server => role == Role::Serve,
            _ => true,
        }
    }
}

pub(super) const NOTHING: Setting = Setting {
    name: "",
    short: None,
    form: Form::Text,
    placeholder: "",
    default: "",
    default_serve: "",
    default_words: "",
    instead_of: &[],
    elva_variable: "",
    foreign_variable: "",
    elva_key: "",
    group: Group::Listen,
    help: "",
    more: "",
};
