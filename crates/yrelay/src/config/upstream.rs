//! A server above: where it is, what it speaks, who we are there, what it calls documents.

use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use yrelay_core::id::DocumentId;

use super::{Params, TokenUrl};
use crate::login::Login;
use crate::target::Target;

/// A server above.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its address.
    pub target: Target,
    /// What it speaks.
    pub speaks: Messages,
    /// Who we are there, should it ask.
    pub login: Option<Login>,
    /// Who gives tokens for a document, if the server does not take ours itself.
    pub token_url: Option<TokenUrl>,
    /// What its address is given besides.
    pub params: Params,
    /// Authorities to be trusted beside those that the machine trusts.
    pub authorities: Vec<CertificateDer<'static>>,
    /// How it is told the names of documents.
    pub names: Names,
    /// What its names begin with, ...
    pub prefix: String,
    /// ... in place of what ours begin with.
    pub strip: String,
    /// What to do when it has lost a document, or has another one of that name.
    pub on_reset: OnReset,
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Messages {
    /// ELVA's messages: all documents over one connection.
    #[default]
    Elva,
    /// What y-websocket speaks: one connection for each document.
    Yjs,
    /// What Hocuspocus speaks.
    Hocuspocus,
}

/// How a server is told the name of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// As it stands in an address: percent-encoded.
    Raw,
    /// As people write it.
    Decoded,
}

/// What to do when a server begins anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnReset {
    /// Keep the document off it until somebody decides.
    #[default]
    Ask,
    /// Give it what is here.
    Merge,
}

impl Upstream {
    /// One that speaks ELVA's messages, asks for no login and has no certificate of its own kind.
    pub fn open(target: Target) -> Self {
        Self {
            target,
            speaks: Messages::Elva,
            login: None,
            token_url: None,
            params: Params::default(),
            authorities: Vec::new(),
            names: Messages::Elva.names(),
            prefix: String::new(),
            strip: String::new(),
            on_reset: OnReset::Ask,
        }
    }

    /// What the server calls a document; nothing, if it can have no name there.
    pub fn name_of(&self, id: &DocumentId) -> Option<String> {
        let rest = id.as_str().strip_prefix(&self.strip)?;
        // There, too, a name is one.
        let name = DocumentId::new(&format!("{}{rest}", self.prefix)).ok()?;
        Some(match self.names {
            Names::Raw => name.to_encoded(),
            Names::Decoded => name.as_str().to_owned(),
        })
    }

    /// Path and query of a document, where each has an address of its own; nothing, if it can have
    /// no name there. The name stands where the server's address has `{identifier}`, or at the end
    /// of its path.
    pub(crate) fn path_of(&self, id: &DocumentId, token: Option<&str>) -> Option<String> {
        let name = self.name_of(id)?;
        let name = match self.names {
            Names::Raw => name,
            Names::Decoded => DocumentId::new(&name).ok()?.to_encoded(),
        };
        Some(self.params.onto(&self.target.of_document(&name), token))
    }

    /// Whether it is a y-sweet, by where its documents are or where it has tokens from.
    pub(crate) fn is_y_sweet(&self) -> bool {
        self.token_url.is_some() || self.target.path.contains("/d/{identifier}/ws/")
    }

    /// Path and query for all documents.
    pub(crate) fn path(&self, token: Option<&str>) -> String {
        self.params.onto(&self.target.path, token)
    }

    /// The document that the server calls so.
    pub fn id_of(&self, name: &str) -> Option<DocumentId> {
        let name = match self.names {
            Names::Raw => DocumentId::from_encoded(name),
            Names::Decoded => DocumentId::new(name),
        };
        let name = name.ok()?;
        let rest = name.as_str().strip_prefix(&self.prefix)?;
        DocumentId::new(&format!("{}{rest}", self.strip)).ok()
    }
}

impl Messages {
    /// How such servers are told names, unless something else is said.
    pub fn names(self) -> Names {
        match self {
            Self::Elva | Self::Yjs => Names::Raw,
            Self::Hocuspocus => Names::Decoded,
        }
    }
}

impl FromStr for Messages {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "elva" => Ok(Self::Elva),
            "yjs" => Ok(Self::Yjs),
            "hocuspocus" => Ok(Self::Hocuspocus),
            _ => Err(format!("{text:?} is none of elva, yjs, hocuspocus")),
        }
    }
}

impl FromStr for Names {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "raw" => Ok(Self::Raw),
            "decoded" => Ok(Self::Decoded),
            _ => Err(format!("{text:?} is none of raw, decoded")),
        }
    }
}

impl FromStr for OnReset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ask" => Ok(Self::Ask),
            "merge" => Ok(Self::Merge),
            _ => Err(format!("{text:?} is none of ask, merge")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(names: Names, strip: &str, prefix: &str) -> Upstream {
        let (strip, prefix) = (strip.to_owned(), prefix.to_owned());
        Upstream { names, strip, prefix, ..Upstream::open(Target::parse("ws://far/").unwrap()) }
    }

    #[test]
    fn a_document_has_a_name_there_and_is_found_by_it() {
        for (names, strip, prefix, id, name) in [
            (Names::Raw, "", "", "a b/\u{fc}", "a%20b/%C3%BC"),
            (Names::Decoded, "", "", "a b/\u{fc}", "a b/\u{fc}"),
            (Names::Raw, "work/", "", "work/plans", "plans"),
            (Names::Raw, "", "my team/", "plans", "my%20team/plans"),
            (Names::Decoded, "work/", "team/", "work/50%", "team/50%"),
            (Names::Raw, "work/", "team/", "work/50%", "team/50%25"),
            (Names::Raw, "work", "team", "work", "team"),
        ] {
            let upstream = upstream(names, strip, prefix);
            let id = DocumentId::new(id).unwrap();
            assert_eq!(upstream.name_of(&id).as_deref(), Some(name), "{id}");
            assert_eq!(upstream.id_of(name), Some(id), "{name}");
        }
    }

    #[test]
    fn what_has_no_name_there_is_not_taken_for_another() {
        let id = |text: &str| DocumentId::new(text).unwrap();
        let mapped = upstream(Names::Raw, "work/", "team/");
        assert_eq!(mapped.name_of(&id("home/plans")), None);
        assert_eq!(mapped.id_of("work/plans"), None);
        let bare = upstream(Names::Decoded, "work/", "");
        assert_eq!(bare.name_of(&id("work/")), None, "it would be empty");
        assert_eq!(bare.name_of(&id("work/-/x")), None);
        let longer = upstream(Names::Raw, "", "team/");
        assert_eq!(longer.name_of(&id(&"x".repeat(510))), None);
        assert_eq!(longer.id_of("team/%FF"), None);
    }
}
