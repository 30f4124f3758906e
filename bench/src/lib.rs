//! yrelay beside its peers and the bare limit, measured.
//!
//! In reading order:
//! - [`scenario`] says what is measured: plain data. [`stage`] carries one scenario out against one
//!   contender, once; [`contender`] says how a contender is started and spoken to.
//! - The load comes from a [`crowd`] of [`connection`]s on one thread. What they say is a
//!   [`script`], prepared with yrs and framed beforehand ([`ws`], [`yjs`]); the [`ledger`] checks
//!   every delivery.
//! - [`process`] starts what is measured on a processor of its own ([`machine`]); [`usage`] reads
//!   from /proc what that cost.
//! - [`bare`] is the limit: the least that a server on this runtime with this WebSocket library
//!   can do.
//! - [`results`], [`table`] and [`plot`] show what came of it.
//! - [`counts`] is another matter: instructions of the core by itself.
#![cfg(target_os = "linux")]
#![warn(missing_docs)]

pub mod alarm;
pub mod bare;
pub mod clock;
pub mod connection;
pub mod contender;
pub mod counts;
pub mod crowd;
pub mod ledger;
pub mod machine;
pub mod plot;
pub mod process;
pub mod results;
pub mod scenario;
pub mod script;
pub mod stage;
pub mod table;
pub mod usage;
pub mod ws;
pub mod yjs;
pub mod yrs_memory;
