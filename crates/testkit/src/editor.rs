//! A real Yjs document, what is typed into it, and what it comes to.

use bytes::Bytes;
use yrelay_core::replica::Want;
use yrelay_core::update::Update as Parsed;
use yrs::block::ClientID;
use yrs::types::ToJson;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    Any, Doc, GetString, Map, MapPrelim, MapRef, OffsetKind, Options, ReadTxn, StateVector, Text,
    TextRef, Transact, Update,
};

/// Something a person does. Places and lengths are cut to what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    Insert {
        at: u32,
        len: u32,
    },
    Delete {
        at: u32,
        len: u32,
    },
    Set {
        key: u32,
        value: u32,
    },
    Remove {
        key: u32,
    },
    /// Puts a new map under a key.
    Nest {
        key: u32,
    },
    SetNested {
        key: u32,
        inner: u32,
        value: u32,
    },
    /// Pastes so many KiB of text at the end.
    Paste {
        kib: u32,
    },
}

/// A document and the person who writes in it.
pub(crate) struct Editor {
    doc: Doc,
    text: TextRef,
    map: MapRef,
    /// So that no two edits write the same.
    edits: u32,
}

/// What a document comes to: replicas with equal images are equal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) text: String,
    pub(crate) map: String,
    pub(crate) state: Want,
    pub(crate) incomplete: bool,
}

impl Editor {
    pub(crate) fn new(id: u64) -> Self {
        let options = Options {
            offset_kind: OffsetKind::Utf16,
            ..Options::with_client_id(ClientID::new(id))
        };
        let doc = Doc::with_options(options);
        let text = doc.get_or_insert_text("text");
        let map = doc.get_or_insert_map("map");
        Self { doc, text, map, edits: 0 }
    }

    pub(crate) fn id(&self) -> u64 {
        self.doc.client_id().get()
    }

    pub(crate) fn state_vector(&self) -> Vec<u8> {
        self.doc.transact().state_vector().encode_v1()
    }

    pub(crate) fn everything(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    pub(crate) fn difference(&self, vector: &[u8]) -> Vec<u8> {
        let vector = StateVector::decode_v1(vector).expect("a sound state vector");
        self.doc.transact().encode_state_as_update_v1(&vector)
    }

    /// The same, without what stands beyond gaps.
    pub(crate) fn whole_difference(&self, vector: &[u8]) -> Vec<u8> {
        let vector = StateVector::decode_v1(vector).expect("a sound state vector");
        self.doc.transact().encode_diff_v1(&vector)
    }

    /// Takes an update. Returns what it changed, as an update.
    pub(crate) fn apply(&self, update: &[u8]) -> Option<Bytes> {
        let update = Update::decode_v1(update).expect("a sound update");
        let mut txn = self.doc.transact_mut();
        txn.apply_update(update).expect("an update that applies");
        news(txn.encode_update_v1())
    }

    /// Returns the update, if it comes to anything.
    pub(crate) fn edit(&mut self, edit: &Edit) -> Option<Bytes> {
        self.edits += 1;
        let mut txn = self.doc.transact_mut();
        let len = self.text.len(&txn);
        match *edit {
            Edit::Insert { at, len: count } => {
                let mark = ["ä", "€", "x", "0"][self.edits as usize % 4];
                self.text.insert(&mut txn, at % (len + 1), &mark.repeat(1 + count as usize));
            }
            Edit::Delete { at, len: count } if len > 0 => {
                let at = at % len;
                self.text.remove_range(&mut txn, at, (1 + count).min(len - at));
            }
            Edit::Delete { .. } => {}
            Edit::Set { key, value } => {
                self.map.insert(&mut txn, key_name(key), f64::from(value));
            }
            Edit::Remove { key } => {
                self.map.remove(&mut txn, &key_name(key));
            }
            Edit::Nest { key } => {
                let inner = MapPrelim::from([("born", Any::from(f64::from(self.edits)))]);
                self.map.insert(&mut txn, key_name(key), inner);
            }
            Edit::SetNested { key, inner, value } => {
                if let Some(yrs::Out::YMap(map)) = self.map.get(&txn, &key_name(key)) {
                    map.insert(&mut txn, key_name(inner), f64::from(value));
                }
            }
            Edit::Paste { kib } => {
                let text = "All work and no play makes Jack a dull boy. 0123456789 ABCDEFGHI";
                self.text.insert(&mut txn, len, &text.repeat(16 * kib as usize));
            }
        }
        news(txn.encode_update_v1())
    }

    pub(crate) fn image(&self) -> Image {
        let txn = self.doc.transact();
        let whole = txn.encode_state_as_update_v1(&StateVector::default());
        let parsed = Parsed::parse(whole.into()).expect("an editor writes what parses");
        let mut map: Vec<String> = Vec::new();
        if let Any::Map(entries) = self.map.to_json(&txn) {
            map.extend(entries.iter().map(|(key, value)| match value {
                Any::Map(inner) => {
                    let mut inner: Vec<_> = inner.iter().map(|(k, v)| format!("{k}:{v}")).collect();
                    inner.sort();
                    format!("{key}:{inner:?}")
                }
                other => format!("{key}:{other}"),
            }));
        }
        map.sort();
        Image {
            text: self.text.get_string(&txn),
            map: format!("{map:?}"),
            state: Want::of(&parsed),
            incomplete: txn.has_missing_updates(),
        }
    }
}

impl Image {
    /// What a newcomer sees who is sent these updates.
    pub(crate) fn of<'a>(updates: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let editor = Editor::new(1);
        for update in updates {
            editor.apply(update);
        }
        editor.image()
    }
}

fn key_name(key: u32) -> String {
    format!("k{}", key % 4)
}

fn news(update: Vec<u8>) -> Option<Bytes> {
    (update != yrelay_core::wire::EMPTY_UPDATE).then(|| update.into())
}
