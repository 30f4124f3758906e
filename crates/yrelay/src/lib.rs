//! yrelay: one local endpoint for everything that edits Yjs documents.
#![warn(missing_docs)]

pub mod clock;
pub mod limits;

pub mod connector;
pub mod http;
pub mod metrics;
pub mod origin;
pub mod outbox;
pub mod pump;
pub mod socket;
pub mod status;
pub mod store;
pub mod target;
pub mod ws;

mod connection;
mod jobs;
mod refusals;
pub mod relay;
pub mod report;
pub mod shutdown;
mod upstream;
