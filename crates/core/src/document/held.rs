//! What happens to a document while it loads: it waits, in order.

use std::collections::BTreeSet;

use crate::event::Input;
use crate::id::PeerId;
use crate::limits;

/// Inputs that wait for what is stored.
#[derive(Debug, Default)]
pub(super) struct Held {
    inputs: Vec<Input>,
    bytes: usize,
}

impl Held {
    pub(super) fn push(&mut self, input: Input) {
        if let Input::Frame { bytes, .. } = &input {
            self.bytes += bytes.len();
        }
        self.inputs.push(input);
    }

    /// Whether more may come.
    pub(super) fn has_room(&self) -> bool {
        self.inputs.is_empty()
            || (self.inputs.len() < limits::HELD_INPUTS_MAX && self.bytes < limits::HELD_BYTES_MAX)
    }

    /// All of them, in order.
    pub(super) fn inputs(self) -> Vec<Input> {
        self.inputs
    }

    /// The clients that came and are still here.
    pub(super) fn clients(self) -> BTreeSet<PeerId> {
        let mut clients = BTreeSet::new();
        for input in self.inputs {
            match input {
                Input::Attach { peer } | Input::AttachLink { peer, .. } => clients.insert(peer),
                Input::Detach { peer } => clients.remove(&peer),
                _ => false,
            };
        }
        clients
    }
}
