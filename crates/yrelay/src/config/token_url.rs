//! Who gives tokens for one document, as y-sweet's applications have it.

use std::fmt;

use percent_encoding::utf8_percent_encode;
use yrelay_core::id::DocumentId;

use super::params::VALUE;
use crate::target::{IDENTIFIER, Target, TargetError};

/// The address of a page that is asked for a token, `http://` or `https://`. In its path or query
/// `{identifier}` stands for the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUrl(Target);

/// Why a text is no such address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenUrlError {
    /// Neither `http://` nor `https://` in front.
    #[error("it must begin with http:// or https://")]
    Scheme,
    /// Anything else.
    #[error(transparent)]
    Rest(TargetError),
}

impl TokenUrl {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, TokenUrlError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(TokenUrlError::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => "ws",
            "https" => "wss",
            _ => return Err(TokenUrlError::Scheme),
        };
        let begin = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(begin);
        let filled = path.replace(IDENTIFIER, "x");
        // What looks like a place for something else would be sent as it is.
        if authority.contains('{') || filled.contains('{') {
            return Err(TokenUrlError::Rest(TargetError::Malformed));
        }
        let target = Target::parse(&format!("{scheme}://{authority}{filled}"));
        let mut target = target.map_err(TokenUrlError::Rest)?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        target.path = format!("{slash}{path}");
        Ok(Self(target))
    }

    /// Where to ask for a document.
    pub fn at(&self, id: &DocumentId) -> Target {
        let identifier = utf8_percent_encode(id.as_str(), VALUE).to_string();
        Target { path: self.0.path.replace(IDENTIFIER, &identifier), ..self.0.clone() }
    }

    /// Whether nobody in between can read what is asked, but on this machine.
    pub fn is_private(&self) -> bool {
        self.0.secure || self.0.is_loopback()
    }
}

impl fmt::Display for TokenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.0.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.0.authority(), self.0.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_filled_in() {
        let id = DocumentId::new("a b/\u{fc}").unwrap();
        for (text, shown, path) in [
            ("https://app.example", "https://app.example/", "/"),
            ("HTTP://App.example:80/auth", "http://app.example/auth", "/auth"),
            (
                "http://[::1]:8080/doc/{identifier}/auth?d={identifier}",
                "http://[::1]:8080/doc/{identifier}/auth?d={identifier}",
                "/doc/a%20b%2F%C3%BC/auth?d=a%20b%2F%C3%BC",
            ),
            (
                "https://app.example?d={identifier}",
                "https://app.example/?d={identifier}",
                "/?d=a%20b%2F%C3%BC",
            ),
        ] {
            let url = TokenUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(url.at(&id).path, path);
            assert_eq!(url.at(&id).secure, shown.starts_with("https"));
        }
    }

    #[test]
    fn what_is_no_such_address_is_named() {
        let rest = TokenUrlError::Rest;
        for (text, error) in [
            ("", TokenUrlError::Scheme),
            ("app.example/auth", TokenUrlError::Scheme),
            ("wss://app.example/auth", TokenUrlError::Scheme),
            ("https:///auth", rest(TargetError::Host)),
            ("https://jane:hunter2@app.example/", rest(TargetError::Login)),
            ("https://{identifier}/auth", rest(TargetError::Malformed)),
            ("https://app.example/{document}", rest(TargetError::Malformed)),
            ("https://app.example/#x", rest(TargetError::Fragment)),
            ("https://app.example:0/", rest(TargetError::Port)),
        ] {
            assert_eq!(TokenUrl::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn what_others_can_read_is_known() {
        for (text, private) in [
            ("https://far/", true),
            ("http://localhost:8080/", true),
            ("http://127.0.0.1/", true),
            ("http://far/", false),
        ] {
            assert_eq!(TokenUrl::parse(text).unwrap().is_private(), private, "{text}");
        }
    }
}
