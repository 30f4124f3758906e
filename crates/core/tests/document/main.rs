//! The state machine of one document, told as scripts in virtual time.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod awareness;
mod dialects;
mod doubt;
mod fellows;
mod follow;
mod gaps;
mod greet;
mod histories;
mod join;
mod loading;
mod model;
mod opaque;
mod opaque_links;
mod random;
mod returning;
mod script;
mod seen;
mod storage;
mod updates;
mod words;
