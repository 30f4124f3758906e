//! The pure core of yrelay: bytes, time and events in; effects out.
#![warn(missing_docs)]
#![warn(clippy::indexing_slicing)]

pub mod id;
pub mod limits;

pub mod decode;
pub mod json;

pub mod id_set;
pub mod replica;
pub mod state_vector;
pub mod update;
