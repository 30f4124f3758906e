//! What `/-/status` and the list of documents say. The status is read back, too, perhaps from a
//! relay of another version: unknown fields are passed over, and some may be missing.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The whole of `/-/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Of the program.
    pub version: Cow<'static, str>,
    /// With an upstream or without.
    pub role: Role,
    /// The way to the server above, for all documents that no route is for.
    pub upstream: Upstream,
    /// The ways to the servers of routes.
    #[serde(default)]
    pub routes: Vec<Upstream>,
    /// What is wrong with the place where documents are kept.
    #[serde(default)]
    pub store: Option<String>,
    /// All documents in memory or with unconfirmed changes.
    pub documents: Vec<Document>,
}

/// Which command was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Local, may have an upstream.
    Service,
    /// The far end.
    Serve,
}

/// The connection to the server above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// How it stands.
    pub state: UpstreamState,
    /// Its address, without any login.
    pub url: Option<String>,
    /// Why it is not online: how the last attempt or connection ended.
    pub reason: Option<String>,
    /// When it last went online, ceased to be, or was refused the login: milliseconds since 1970.
    pub since: Option<u64>,
    /// When it is tried again: milliseconds since 1970.
    pub next_try: Option<u64>,
    /// What to do, where it shows that it wants to be spoken to otherwise.
    #[serde(default)]
    pub advice: Option<String>,
}

/// How the upstream stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpstreamState {
    /// There is none.
    #[default]
    None,
    /// It is being tried.
    Connecting,
    /// No document needs it at the moment.
    Idle,
    /// Connected.
    Online,
    /// Not connected; tried again.
    Offline,
    /// It wants a login, or another one.
    Unauthorized,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Its name.
    pub identifier: String,
    /// Local clients.
    #[serde(default)]
    pub clients: usize,
    /// Relays below that have it open.
    #[serde(default)]
    pub links: usize,
    /// All of it is on this machine's disk.
    pub saved: bool,
    /// The upstream has proved that it holds all of it; `null` where it can prove nothing.
    pub confirmed: Option<bool>,
    /// Whoever is above the upstream, to the top, has confirmed it as well; `null` where that is
    /// not known.
    #[serde(default)]
    pub above: Option<bool>,
    /// Saved, and with an upstream also confirmed; sent, where that can prove nothing.
    pub synced: bool,
    /// Of the replica.
    #[serde(default)]
    pub bytes: u64,
    /// The last attempt to save it failed; it is tried again.
    #[serde(default)]
    pub unsaved: bool,
    /// Structs wait for others that have not arrived; or, if it is encrypted, its log is full and
    /// what comes now is not kept.
    #[serde(default)]
    pub incomplete: bool,
    /// Encrypted by its clients: its frames are passed on and kept unread.
    #[serde(default)]
    pub opaque: bool,
    /// Kept in memory while somebody has it open, or not at all, as its clients asked: "saved"
    /// means no more.
    #[serde(default)]
    pub volatile: bool,
    /// Why it is kept from the upstream.
    pub parked: Option<String>,
}

/// One entry of the list at `/`, in the form that ELVA's `room` app reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Its name.
    pub identifier: String,
    /// Local clients.
    pub clients: usize,
    /// Stored on disk.
    pub persistent: bool,
    /// Stays when the last client leaves.
    pub permanent: bool,
    /// Encrypted by its clients.
    pub secret: bool,
}

impl UpstreamState {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Connecting, Self::Idle, Self::Online, Self::Offline, Self::Unauthorized];

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Connecting => "connecting",
            Self::Idle => "idle",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Unauthorized => "unauthorized",
        }
    }
}

impl Serialize for UpstreamState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for UpstreamState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let state = Self::ALL.into_iter().find(|state| state.word() == word);
        state.ok_or_else(|| D::Error::custom(format!("unknown state {word:?}")))
    }
}

impl Upstream {
    /// For a relay without one.
    pub fn none() -> Self {
        Self {
            state: UpstreamState::None,
            url: None,
            reason: None,
            since: None,
            next_try: None,
            advice: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_status_page_keeps_its_form() {
        let document = Document {
            identifier: "notes".into(),
            clients: 2,
            links: 1,
            saved: true,
            confirmed: None,
            above: None,
            synced: false,
            bytes: 17,
            unsaved: false,
            incomplete: false,
            opaque: false,
            volatile: false,
            parked: None,
        };
        let status = Status {
            version: "1.2.3".into(),
            role: Role::Service,
            upstream: Upstream {
                state: UpstreamState::Unauthorized,
                url: Some("wss://elva.example.org/".into()),
                reason: Some("HTTP status 401".into()),
                since: Some(1_700_000_000_000),
                next_try: None,
                advice: None,
            },
            routes: Vec::new(),
            store: Some("damaged".into()),
            documents: vec![document],
        };
        let form = json!({
            "version": "1.2.3",
            "role": "service",
            "upstream": {
                "state": "unauthorized",
                "url": "wss://elva.example.org/",
                "reason": "HTTP status 401",
                "since": 1_700_000_000_000_u64,
                "next_try": null,
                "advice": null,
            },
            "routes": [],
            "store": "damaged",
            "documents": [{
                "identifier": "notes",
                "clients": 2,
                "links": 1,
                "saved": true,
                "confirmed": null,
                "above": null,
                "synced": false,
                "bytes": 17,
                "unsaved": false,
                "incomplete": false,
                "opaque": false,
                "volatile": false,
                "parked": null,
            }],
        });
        assert_eq!(serde_json::to_value(&status).unwrap(), form);
        assert_eq!(serde_json::from_value::<Status>(form).unwrap(), status);
    }

    fn read(upstream: &str, document: &str) -> serde_json::Result<Status> {
        serde_json::from_str(&format!(
            r#"{{"version": "0.1.0", "role": "serve", "upstream": {upstream},
                "documents": [{document}]}}"#
        ))
    }

    #[test]
    fn the_page_of_another_version_is_read() {
        let known = r#""identifier": "notes", "saved": true, "synced": true"#;
        let earlier = read(r#"{"state": "none"}"#, &format!("{{{known}}}")).unwrap();
        assert_eq!(earlier.upstream, Upstream::none());
        let document = &earlier.documents[0];
        assert!(document.clients == 0 && document.bytes == 0 && document.confirmed.is_none());
        assert!(!document.unsaved && !document.incomplete && !document.opaque);
        assert!(!document.volatile);
        assert_eq!(document.parked, None);
        let later = read(r#"{"state": "none", "rtt": 23}"#, &format!("{{{known}, \"age\": [1]}}"));
        assert_eq!(later.unwrap(), earlier);
    }

    #[test]
    fn what_no_default_can_stand_for_is_missed() {
        let none = r#"{"state": "none"}"#;
        for document in
            [r#"{"identifier": "a", "saved": true}"#, r#"{"saved": true, "synced": true}"#]
        {
            assert!(read(none, document).is_err(), "{document}");
        }
        for upstream in ["{}", r#"{"state": "asleep"}"#, r#"{"state": "Online"}"#] {
            assert!(read(upstream, "").is_err(), "{upstream}");
        }
        for word in ["none", "connecting", "idle", "online", "offline", "unauthorized"] {
            let read = read(&format!(r#"{{"state": "{word}"}}"#), "").unwrap();
            assert_eq!(read.upstream.state.word(), word);
        }
    }
}
