//! The scripts of a scenario: written once, said in each round to each contender.

use std::collections::HashMap;
use std::rc::Rc;

use super::document_name;
use crate::contender::Contender;
use crate::ledger::Ledger;
use crate::scenario::{Layout, Message};
use crate::script::{self, Script, Work};

/// Scripts that were written already.
#[derive(Default)]
pub struct Cast {
    /// By document and number, prefix, and count. They all belong to one scenario.
    scripts: HashMap<(usize, usize, Vec<u8>, usize), Rc<Script>>,
    works: HashMap<Vec<u8>, Rc<Work>>,
}

impl Cast {
    /// A ledger with all authors of a layout, each with so many messages.
    pub(super) fn ledger(
        &mut self,
        layout: Layout,
        contender: &dyn Contender,
        message: Message,
        count: usize,
    ) -> Ledger {
        let mut ledger = Ledger::default();
        for document in 0..layout.documents {
            let prefix = contender.address(0, &document_name(document)).prefix;
            let scripts: Vec<Rc<Script>> = (0..layout.writers)
                .map(|index| {
                    let key = (document, index, prefix.clone(), count);
                    let id = script::author_id(document, index);
                    let script = self.scripts.entry(key).or_insert_with(|| {
                        Rc::new(match message {
                            Message::Text(size) => script::typing(id, &prefix, size, count),
                            Message::Presence => script::presence(id, &prefix, count),
                        })
                    });
                    script.clone()
                })
                .collect();
            ledger.add_document(&scripts);
        }
        ledger
    }

    /// A large document and how it came about.
    pub(super) fn work(&mut self, contender: &dyn Contender, updates: usize) -> Rc<Work> {
        let prefix = contender.address(0, &document_name(0)).prefix;
        let id = script::author_id(0, 0);
        let work = self
            .works
            .entry(prefix)
            .or_insert_with_key(|prefix| Rc::new(script::editing(id, prefix, updates)));
        work.clone()
    }
}
