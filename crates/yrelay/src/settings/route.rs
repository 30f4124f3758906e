//! `[[route]]`: documents that go elsewhere, or nowhere. A route is a value as a whole: what it
//! does not say of its server, no other source says for it, but whom to trust and what to do when
//! a server begins anew.

use yrelay::config::{Patterns, Route};

use super::file::{File, Section};
use super::gather::Settings;
use super::merge;
use super::search::Places;
use super::setting::NOTHING;
use super::upstream::{Remarks, Server};
use super::value::{Fault, Layer, Origin, switch};
use super::{
    Form, Group, INSECURE_LOGIN, KEYRING, MESSAGES, NAMES, ON_RESET, PASSWORD, PASSWORD_COMMAND,
    PASSWORD_FILE, SERVER, Setting, TLS_CA, TOKEN, TOKEN_COMMAND, TOKEN_FILE, TOKEN_LIFETIME,
    TOKEN_URL, UPSTREAM_PARAMS, USER,
};

static MATCH: Setting = Setting {
    name: "match",
    form: Form::List,
    group: Group::Upstream,
    help: "The documents: * stands for any text, ? for one character",
    ..NOTHING
};
pub(super) static LOCAL: Setting = Setting {
    name: "local",
    form: Form::Switch,
    default: "false",
    group: Group::Upstream,
    help: "They stay on this machine",
    ..NOTHING
};
pub(super) static PREFIX: Setting = Setting {
    name: "prefix",
    group: Group::Upstream,
    help: "What the server's names of these documents begin with, ...",
    ..NOTHING
};
pub(super) static STRIP: Setting = Setting {
    name: "strip",
    group: Group::Upstream,
    help: "... in place of this, with which all of `match` begin",
    ..NOTHING
};

/// All that a route may say, in the order of the reference.
pub(crate) static ALL: &[&Setting] = &[
    &MATCH,
    &LOCAL,
    &SERVER,
    &MESSAGES,
    &USER,
    &PASSWORD,
    &PASSWORD_FILE,
    &PASSWORD_COMMAND,
    &KEYRING,
    &TOKEN,
    &TOKEN_FILE,
    &TOKEN_COMMAND,
    &TOKEN_LIFETIME,
    &TOKEN_URL,
    &UPSTREAM_PARAMS,
    &NAMES,
    &PREFIX,
    &STRIP,
    &ON_RESET,
    &INSECURE_LOGIN,
    &TLS_CA,
];

/// What a route is told of by the settings outside of it.
static INHERITED: &[&Setting] = &[&ON_RESET, &TLS_CA];

/// Its key in a route.
pub(crate) fn key(setting: &Setting) -> &'static str {
    setting.name.strip_prefix("upstream_").unwrap_or(setting.name)
}

pub(crate) fn is_inherited(setting: &Setting) -> bool {
    INHERITED.iter().any(|inherited| inherited.name == setting.name)
}

/// What one route says, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) values: Layer,
    pub(crate) origin: Origin,
}

/// What a file says of its routes.
pub(crate) fn said(file: &File, places: &Places) -> Result<Vec<Said>, Fault> {
    let read = |section: &Section| {
        let mut layer = Layer::new();
        for setting in ALL {
            if section.leaves.contains_key(key(setting)) {
                let value = file.value_in(&section.leaves, setting, key(setting), places)?;
                layer.insert(setting.name, value);
            }
        }
        Ok(Said { values: merge::alone(layer)?, origin: file.origin_of(section) })
    };
    file.routes.iter().map(read).collect()
}

impl Settings {
    /// The routes, checked.
    pub(super) fn routes(&mut self) -> Result<Vec<Route>, Fault> {
        let routes = self.routes.clone();
        routes.iter().map(|said| self.route(said)).collect()
    }

    fn route(&mut self, said: &Said) -> Result<Route, Fault> {
        let patterns = said.patterns()?;
        let local = said.values.get(LOCAL.name).map(|local| local.parse_with(switch));
        if local.transpose()?.unwrap_or_default() {
            let beside = |name: &&str| ![MATCH.name, LOCAL.name].contains(name);
            if let Some(name) = said.values.keys().copied().find(beside) {
                let reason = "`local` keeps these documents on this machine: leave one of both out";
                return Err(said.values[name].origin.fault(reason));
            }
            return Ok(Route { patterns, upstream: None });
        }
        let server = said.values.get(SERVER.name).filter(|server| !server.text().trim().is_empty());
        let Some(server) = server else {
            let reason = "say where its documents go: server = URL, or local = true";
            return Err(said.origin.fault(reason));
        };
        let mut remarks = Remarks::default();
        let upstream = Server::of_route(self, said).upstream(&mut remarks)?;
        self.is_not_own(&upstream.target, &server.origin)?;
        self.say(remarks);
        Ok(Route { patterns, upstream: Some(upstream) })
    }
}

impl Said {
    /// For which documents it is, as people have written it.
    pub(crate) fn shown_patterns(&self) -> String {
        self.values.get(MATCH.name).map_or_else(String::new, |value| value.texts.join(", "))
    }

    fn patterns(&self) -> Result<Patterns, Fault> {
        let Some(value) = self.values.get(MATCH.name).filter(|value| !value.texts.is_empty())
        else {
            return Err(self.origin.fault("say which documents it is for: match = \"work/*\""));
        };
        if value.texts.iter().any(String::is_empty) {
            return Err(value.origin.fault("no document has an empty name: * stands for all"));
        }
        if let Some(strip) = self.values.get(STRIP.name) {
            let is_wild = strip.text().contains(['*', '?']);
            // Else some of them would have no name there.
            if is_wild || !value.texts.iter().all(|text| text.starts_with(strip.text())) {
                let reason = "all of `match` must begin with it, and * or ? cannot be in it";
                return Err(strip.origin.fault(reason));
            }
        }
        Ok(Patterns::new(value.texts.iter().map(String::as_str)))
    }
}
