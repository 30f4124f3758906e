//! Writers of random documents, and readers: yrs.

use serde_json::Value;
use yrelay_core::update::Update;
use yrs::types::Attrs;
use yrs::types::text::YChange;
use yrs::updates::decoder::Decode;
use yrs::{
    Any, Array, ArrayPrelim, ArrayRef, ClientID, Doc, GetString, Map, MapPrelim, MapRef,
    OffsetKind, Options, Out, ReadTxn, StateVector, Text, TextPrelim, TextRef, Transact,
    TransactionMut, WriteTxn, XmlElementPrelim, XmlFragment, XmlFragmentRef, XmlTextPrelim,
};

use super::Random;

/// Surrogate pairs come last.
const WORDS: [&str; 8] = ["a", "to", "é", "sentence", "€uro ", "😀", "x😀y", "👩‍👧"];
const KEYS: [&str; 4] = ["k", "l", "title", "😀"];

/// One client program.
pub struct Writer {
    pub doc: Doc,
    /// Whether it writes surrogate pairs. Where a difference cuts one, peers that took it and
    /// peers that took the whole differ for ever, also among Yjs clients.
    pub pairs: bool,
}

/// A client without content, with or without garbage collection.
pub fn reader(client: u64, skip_gc: bool) -> Writer {
    let mut options = Options::with_client_id(ClientID::new(client));
    options.offset_kind = OffsetKind::Utf16;
    options.skip_gc = skip_gc;
    options.cleanup_formatting = false;
    let doc = Doc::with_options(options);
    let mut txn = doc.transact_mut();
    roots(&mut txn);
    drop(txn);
    Writer { doc, pairs: true }
}

fn word(random: &mut Random) -> &'static str {
    WORDS[random.below(if random.pairs { 8 } else { 5 })]
}

fn roots(txn: &mut TransactionMut<'_>) -> (TextRef, ArrayRef, MapRef, XmlFragmentRef) {
    (
        txn.get_or_insert_text("t"),
        txn.get_or_insert_array("a"),
        txn.get_or_insert_map("m"),
        txn.get_or_insert_xml_fragment("x"),
    )
}

impl Writer {
    pub fn apply(&self, update: &[u8]) {
        let update = yrs::Update::decode_v1(update).unwrap();
        self.doc.transact_mut().apply_update(update).unwrap();
    }

    pub fn apply_all<'a>(&self, updates: impl IntoIterator<Item = &'a Update>) {
        updates.into_iter().for_each(|update| self.apply(update.bytes()));
    }

    /// Takes what another has and this one lacks.
    pub fn sync_from(&self, other: &Self) {
        let theirs = self.doc.transact().state_vector();
        self.apply(&other.doc.transact().encode_diff_v1(&theirs));
    }

    pub fn is_pending(&self) -> bool {
        self.doc.transact().has_missing_updates()
    }

    pub fn state_vector(&self) -> yrelay_core::state_vector::StateVector {
        let vector = self.doc.transact().state_vector();
        vector.iter().map(|(client, clock)| (client.get(), *clock)).collect()
    }

    /// What it holds beyond a random state vector, cut anywhere if there is no pair to cut.
    pub fn some_difference(&self, random: &mut Random) -> Vec<u8> {
        let pairs = self.pairs;
        let txn = self.doc.transact();
        let vector = txn.state_vector();
        let cut = |clock: u32, random: &mut Random| match pairs {
            true => clock * random.below(2) as u32,
            false => random.below(clock as usize + 1) as u32,
        };
        let mut entries: Vec<_> =
            vector.iter().map(|(client, clock)| (client.get(), *clock)).collect();
        entries.sort_unstable();
        let cut: yrelay_core::state_vector::StateVector =
            entries.into_iter().map(|(client, clock)| (client, cut(clock, random))).collect();
        txn.encode_diff_v1(&StateVector::decode_v1(&cut.encode()).unwrap())
    }

    /// Everything that a person can see.
    pub fn view(&self) -> String {
        let mut txn = self.doc.transact_mut();
        let (text, array, map, xml) = roots(&mut txn);
        let mut view = String::new();
        for diff in text.diff(&txn, YChange::identity) {
            let attributes = diff.attributes.map(|attributes| {
                attributes
                    .iter()
                    .map(|(k, v)| format!("{k}={v:?}"))
                    .collect::<std::collections::BTreeSet<_>>()
            });
            view += &format!("{:?} {:?}\n", diff.insert.to_json_value(&txn), attributes);
        }
        view += &format!("{}\n", Out::YArray(array).to_json_value(&txn));
        view += &format!("{}\n", Out::YMap(map).to_json_value(&txn));
        view += &xml.get_string(&txn);
        view
    }

    /// The strings of the text, without embeds.
    pub fn text(&self) -> String {
        let mut txn = self.doc.transact_mut();
        roots(&mut txn).0.get_string(&txn)
    }

    /// Makes one random change; gives its update.
    pub fn act(&self, random: &mut Random) -> Vec<u8> {
        random.pairs = self.pairs;
        let mut txn = self.doc.transact_mut();
        let (text, array, map, xml) = roots(&mut txn);
        for _ in 0..=random.below(3) {
            match random.below(12) {
                0..4 => edit_text(&text, &mut txn, random),
                4..6 => edit_array(&array, &mut txn, random),
                6..8 => edit_map(&map, &mut txn, random),
                8 => edit_nested(&array, &map, &mut txn, random),
                _ => edit_xml(&xml, &mut txn, random),
            }
        }
        txn.encode_update_v1()
    }
}

trait ToJsonValue {
    fn to_json_value<T: ReadTxn>(&self, txn: &T) -> Value;
}

impl ToJsonValue for Out {
    /// With the keys of maps in order.
    fn to_json_value<T: ReadTxn>(&self, txn: &T) -> Value {
        let mut json = String::new();
        yrs::types::ToJson::to_json(self, txn).to_json(&mut json);
        serde_json::from_str(&json).unwrap_or(Value::String(json))
    }
}

/// The places in a text where no surrogate pair is cut.
fn places(text: &TextRef, txn: &TransactionMut<'_>) -> Vec<u32> {
    let mut places = vec![0];
    let mut at = 0;
    for diff in text.diff(txn, YChange::identity) {
        match &diff.insert {
            Out::Any(Any::String(string)) => {
                for char in string.chars() {
                    at += char.len_utf16() as u32;
                    places.push(at);
                }
            }
            _ => {
                at += 1;
                places.push(at);
            }
        }
    }
    places
}

fn some_range(places: &[u32], random: &mut Random) -> (u32, u32) {
    let first = random.below(places.len());
    let last = (first + random.below(6)).min(places.len() - 1);
    (places[first], places[last] - places[first])
}

fn edit_text(text: &TextRef, txn: &mut TransactionMut<'_>, random: &mut Random) {
    let places = places(text, txn);
    let (at, len) = some_range(&places, random);
    match random.below(9) {
        0..2 if len > 0 => text.remove_range(txn, at, len),
        2 if len > 0 => {
            let value = [Any::Bool(true), Any::Null, Any::from("red")][random.below(3)].clone();
            let attributes = Attrs::from([("b".into(), value)]);
            text.format(txn, at, len, attributes);
        }
        3 => {
            text.insert_embed(txn, at, Any::from(random.below(100) as f64));
        }
        4 => {
            let end = *places.last().unwrap();
            text.insert(txn, end, word(random));
        }
        _ => text.insert(txn, at, word(random)),
    }
}

fn some_any(random: &mut Random) -> Any {
    match random.below(9) {
        0 => Any::Null,
        1 => Any::Undefined,
        2 => Any::Bool(random.below(2) == 0),
        3 => Any::from(random.below(1_000_000) as f64),
        4 => Any::from(0.5),
        5 => Any::from(1i64 << 60),
        6 => Any::from(vec![1u8, 2, 255]),
        7 => Any::from(vec![Any::from("n"), Any::Null]),
        _ => Any::from(word(random)),
    }
}

fn edit_array(array: &ArrayRef, txn: &mut TransactionMut<'_>, random: &mut Random) {
    let len = array.len(txn);
    let at = random.below(len as usize + 1) as u32;
    match random.below(6) {
        0..2 if at < len => array.remove_range(txn, at, (len - at).min(1 + random.below(3) as u32)),
        2 => {
            array.insert(txn, at, MapPrelim::from([("n", some_any(random))]));
        }
        3 => {
            array.insert(txn, at, TextPrelim::new("nested"));
        }
        _ => {
            let values: Vec<Any> = (0..=random.below(3)).map(|_| some_any(random)).collect();
            array.insert_range(txn, at, values);
        }
    }
}

fn edit_map(map: &MapRef, txn: &mut TransactionMut<'_>, random: &mut Random) {
    let key = KEYS[random.below(KEYS.len())];
    match random.below(6) {
        0 => {
            map.remove(txn, key);
        }
        1 => {
            map.insert(txn, key, ArrayPrelim::from([some_any(random)]));
        }
        2 => {
            map.insert(txn, key, MapPrelim::from([("inner", some_any(random))]));
        }
        _ => {
            map.insert(txn, key, some_any(random));
        }
    }
}

/// Edits inside whatever type stands in the array or the map.
fn edit_nested(array: &ArrayRef, map: &MapRef, txn: &mut TransactionMut<'_>, random: &mut Random) {
    let len = array.len(txn);
    let out = if len > 0 && random.below(2) == 0 {
        array.get(txn, random.below(len as usize) as u32)
    } else {
        map.get(txn, KEYS[random.below(KEYS.len())])
    };
    match out {
        Some(Out::YMap(map)) => edit_map(&map, txn, random),
        Some(Out::YArray(array)) => edit_array(&array, txn, random),
        Some(Out::YText(text)) => edit_text(&text, txn, random),
        _ => {}
    }
}

fn edit_xml(xml: &XmlFragmentRef, txn: &mut TransactionMut<'_>, random: &mut Random) {
    let len = xml.len(txn);
    let at = random.below(len as usize + 1) as u32;
    match random.below(6) {
        0..2 if at < len => xml.remove_range(txn, at, 1),
        2 => {
            xml.insert(txn, at, XmlTextPrelim::new(word(random)));
        }
        3 if at < len => {
            if let Some(yrs::XmlOut::Text(text)) = xml.get(txn, at) {
                let end = text.len(txn);
                text.insert(txn, end, word(random));
            }
        }
        _ => {
            let element = xml.insert(txn, at, XmlElementPrelim::empty("p"));
            yrs::Xml::insert_attribute(&element, txn, "id", "1");
            element.insert(txn, 0, XmlTextPrelim::new("in p"));
        }
    }
}
