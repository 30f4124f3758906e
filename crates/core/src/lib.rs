//! The pure core of yrelay: bytes, time and events in; effects out.
//!
//! No runtime, file, socket, clock or randomness; `Cargo.toml` is the proof. In reading order:
//! names ([`id`]) and bounds ([`limits`]); bytes ([`decode`], [`json`], [`wire`], [`link`], [`hocuspocus`]); the
//! grammar of updates ([`update`]) and what is kept of them ([`id_set`], [`state_vector`],
//! [`replica`]); who is present ([`awareness`]); and the two state machines, of one document
//! ([`document`], fed and drained through [`event`]) and of the upstream link ([`upstream`], with
//! what is offered there unasked: [`offers`]).
#![warn(missing_docs)]
#![warn(clippy::indexing_slicing)]

pub mod id;
pub mod limits;

pub mod decode;
pub mod fellow;
pub mod hocuspocus;
pub mod json;
pub mod link;
pub mod wire;

pub mod id_set;
pub mod replica;
pub mod state_vector;
pub mod update;

pub mod awareness;
pub mod backoff;
pub mod close;

mod archive;
pub mod history;

mod downlink;
mod fernet;
mod fnv;
mod frames;
mod log;
mod opening;
mod outflow;
mod peer;
mod uplink;

pub mod document;
pub mod event;
pub mod offers;
pub mod upstream;

pub use log::LogSize;
pub use peer::Role;

/// A time or a span in milliseconds. Times count from an arbitrary start and never go back.
pub type Millis = u64;
