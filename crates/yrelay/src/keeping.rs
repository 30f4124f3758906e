//! How well a document is kept and whether it is listed: what clients ask for with the flags of
//! ELVA 0.37, under the policies of a server.

use std::str::FromStr;

/// How well a document is kept, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeping {
    /// Not at all: what its clients say is passed on unread.
    Nothing,
    /// In memory, while somebody has it open.
    Memory,
    /// In the store.
    Stored,
}

/// What a client asks for; of each flag perhaps nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// That it is listed.
    pub visible: Option<bool>,
    /// That it is kept.
    pub persistent: Option<bool>,
    /// That it is stored.
    pub permanent: Option<bool>,
}

/// What a server makes of one flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// No, whatever clients ask for.
    Never,
    /// No, unless the client asks for it.
    False,
    /// Yes, unless the client asks for the opposite.
    True,
    /// Yes, whatever clients ask for.
    Always,
}

/// What a server makes of all flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policies {
    /// Whether documents are listed.
    pub visible: Policy,
    /// Whether they are kept.
    pub persistent: Policy,
    /// Whether they are stored; those that are kept, where this says nothing.
    pub permanent: Option<Policy>,
}

impl Asked {
    /// That it is stored, as far as a client has a say.
    pub const TO_KEEP: Self = Self { visible: None, persistent: Some(true), permanent: Some(true) };

    /// Reads the query of a request, such as `client=elva&visible=0`. What is no flag is passed
    /// by; the first of several counts.
    pub fn from_query(query: &str) -> Self {
        let flag = |name: &str| {
            let mut values = query.split('&').filter_map(|pair| pair.split_once('='));
            match values.find(|(key, _)| *key == name)?.1 {
                "1" => Some(true),
                "0" => Some(false),
                _ => None,
            }
        };
        Self {
            visible: flag("visible"),
            persistent: flag("persistent"),
            permanent: flag("permanent"),
        }
    }
}

impl Policy {
    /// Decides on one flag.
    pub fn decide(self, asked: Option<bool>) -> bool {
        match self {
            Self::Never => false,
            Self::False => asked.unwrap_or(false),
            Self::True => asked.unwrap_or(true),
            Self::Always => true,
        }
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_lowercase().as_str() {
            "never" => Ok(Self::Never),
            "false" => Ok(Self::False),
            "true" => Ok(Self::True),
            "always" => Ok(Self::Always),
            _ => Err(format!("{text:?} is none of never, false, true, always")),
        }
    }
}

impl Policies {
    /// Everything is stored and listed, and clients are not asked: on one's own machine.
    pub const ALL: Self =
        Self { visible: Policy::Always, persistent: Policy::Always, permanent: None };

    /// How well a document is kept for a client that asks for this.
    pub fn keeping(&self, asked: Asked) -> Keeping {
        let permanent = match self.permanent {
            Some(policy) => policy.decide(asked.permanent),
            None => self.persistent.decide(asked.permanent.or(asked.persistent)),
        };
        if permanent {
            Keeping::Stored
        } else if self.persistent.decide(asked.persistent) {
            Keeping::Memory
        } else {
            Keeping::Nothing
        }
    }
}

/// Everything is stored and listed, unless clients ask for less.
impl Default for Policies {
    fn default() -> Self {
        Self { visible: Policy::True, persistent: Policy::True, permanent: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_from_the_query() {
        let asked =
            Asked::from_query("client=elva&visible=0&persistent=1&permanent=0&persistent=0");
        let expected =
            Asked { visible: Some(false), persistent: Some(true), permanent: Some(false) };
        assert_eq!(asked, expected);
        for query in ["", "client=elva", "visible", "visible=", "visible=true", "xvisible=1", "=1"]
        {
            assert_eq!(Asked::from_query(query), Asked::default(), "{query}");
        }
    }

    #[test]
    fn clients_decide_within_the_policy() {
        let decisions = |policy: &str| {
            let policy: Policy = policy.parse().unwrap();
            [None, Some(false), Some(true)].map(|asked| policy.decide(asked))
        };
        assert_eq!(decisions("NEVER"), [false, false, false]);
        assert_eq!(decisions("False"), [false, false, true]);
        assert_eq!(decisions("true"), [true, false, true]);
        assert_eq!(decisions("always"), [true, true, true]);
        assert!("1".parse::<Policy>().is_err());
    }

    /// What comes of each wish: of `persistent` (down) and `permanent` (across).
    fn table(policies: Policies) -> String {
        let wishes = [("-", None), ("0", Some(false)), ("1", Some(true))];
        let mut table = String::new();
        for (_, persistent) in wishes {
            for (_, permanent) in wishes {
                let asked = Asked { visible: None, persistent, permanent };
                table += match policies.keeping(asked) {
                    Keeping::Nothing => "nothing ",
                    Keeping::Memory => "memory  ",
                    Keeping::Stored => "stored  ",
                };
            }
            table.truncate(table.trim_end().len());
            table += "\n";
        }
        table
    }

    #[test]
    fn all_is_stored_unless_a_client_asks_for_less() {
        let expected = "stored  memory  stored\nnothing nothing stored\nstored  memory  stored\n";
        assert_eq!(table(Policies::default()), expected);
        assert_eq!(table(Policies::ALL), "stored  stored  stored\n".repeat(3));
    }

    #[test]
    fn what_is_not_to_be_kept_is_not_stored_either() {
        let of = |persistent, permanent| table(Policies { persistent, permanent, ..Policies::ALL });
        assert_eq!(of(Policy::Never, None), "nothing nothing nothing\n".repeat(3));
        let expected = "nothing nothing stored\nnothing nothing stored\nstored  memory  stored\n";
        assert_eq!(of(Policy::False, None), expected);
        // To be stored is to be kept, as with ELVA.
        assert_eq!(of(Policy::Never, Some(Policy::Always)), "stored  stored  stored\n".repeat(3));
        let expected = "memory  memory  memory\nnothing nothing nothing\nmemory  memory  memory\n";
        assert_eq!(of(Policy::True, Some(Policy::Never)), expected);
    }
}
