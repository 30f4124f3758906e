//! What hostile bytes are tried on: each target takes any bytes and must come back, soon and
//! without a panic. Targets are ordinary functions: the tests run them over what is kept in
//! `corpus/`, and `fuzz/run` lets libFuzzer look for more.

pub mod corpus;

mod document;
mod messages;
#[cfg(feature = "store")]
mod store;
mod tape;
mod update;
mod upstream;

pub use update::exercise;

/// Something that takes any bytes.
#[derive(Debug)]
pub struct Target {
    /// `fuzz/run` knows it by this, and its inputs are kept under it.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "update", run: update::one },
    Target { name: "replica", run: update::many },
    Target { name: "wire", run: messages::wire },
    Target { name: "awareness", run: messages::awareness },
    Target { name: "link", run: messages::link },
    Target { name: "fellow", run: messages::fellow },
    Target { name: "document", run: document::run },
    Target { name: "upstream", run: upstream::run },
    #[cfg(feature = "store")]
    Target { name: "store", run: store::run },
];
