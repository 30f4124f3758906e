//! What documents are called at a server.

use yrelay_core::id::DocumentId;

/// How identifiers become names there, and names identifiers here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Naming {
    /// Names travel as they are; otherwise percent-encoded, as browsers write them.
    pub decoded: bool,
    /// What identifiers begin with and names do not.
    pub strip: String,
    /// What names begin with and identifiers do not.
    pub prefix: String,
}

impl Naming {
    /// The name of a document in messages. One that does not begin as it should, or grows too long,
    /// has none.
    pub fn name(&self, id: &DocumentId) -> Option<String> {
        let name = self.plain(id)?;
        Some(if self.decoded { name.as_str().to_owned() } else { name.to_encoded() })
    }

    /// Its name in an address, where it is percent-encoded always.
    pub fn path(&self, id: &DocumentId) -> Option<String> {
        Some(self.plain(id)?.to_encoded())
    }

    /// The document of this name, if one can have it.
    pub fn identifier(&self, name: &str) -> Option<DocumentId> {
        let plain = match self.decoded {
            true => DocumentId::new(name),
            false => DocumentId::from_encoded(name),
        };
        let plain = plain.ok()?;
        let rest = plain.as_str().strip_prefix(&*self.prefix)?;
        DocumentId::new(&format!("{}{rest}", self.strip)).ok()
    }

    /// A name is one that a document could have.
    fn plain(&self, id: &DocumentId) -> Option<DocumentId> {
        let rest = id.as_str().strip_prefix(&*self.strip)?;
        DocumentId::new(&format!("{}{rest}", self.prefix)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> DocumentId {
        DocumentId::new(text).unwrap()
    }

    #[test]
    fn names_are_encoded_or_not_and_found_again() {
        let raw = Naming::default();
        let decoded = Naming { decoded: true, ..Naming::default() };
        for (text, encoded) in [("notes", "notes"), ("a b/\u{fc}", "a%20b/%C3%BC"), ("5%", "5%25")]
        {
            assert_eq!(raw.name(&id(text)).as_deref(), Some(encoded));
            assert_eq!(decoded.name(&id(text)).as_deref(), Some(text));
            for naming in [&raw, &decoded] {
                assert_eq!(naming.path(&id(text)).as_deref(), Some(encoded));
                let name = naming.name(&id(text)).unwrap();
                assert_eq!(naming.identifier(&name), Some(id(text)));
            }
        }
    }

    #[test]
    fn a_part_is_left_out_and_another_put_in_its_place() {
        let naming = Naming { strip: "work/".into(), prefix: "team-".into(), decoded: true };
        assert_eq!(naming.name(&id("work/plan")).as_deref(), Some("team-plan"));
        assert_eq!(naming.path(&id("plan")), None, "it would be another's name");
        assert_eq!(naming.identifier("team-plan"), Some(id("work/plan")));
        assert_eq!(naming.identifier("plan"), None, "nobody here is called that there");
    }
}
