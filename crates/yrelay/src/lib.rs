//! yrelay: one local endpoint for everything that edits Yjs documents.
//!
//! This is the shell: everything around the documents, whose behaviour is in `yrelay_core`. One
//! thread owns it all: [`handle::start`] takes the port, opens the store and answers with a
//! [`handle::Handle`]. A connection comes in through [`acceptor`] and [`http`], which asks
//! [`origin`] whether it may, and becomes a WebSocket ([`ws`]) that a [`pump`] works: frames go to
//! the [`relay`], and what the relay queues in the [`outbox`] goes out.
#![warn(missing_docs)]

pub mod clock;
pub mod config;
pub mod keeping;
pub mod limits;
pub mod login;
pub mod netrc;
pub mod secret;
pub mod target;

pub mod acceptor;
pub mod accounts;
pub mod admin;
pub mod connector;
pub mod descriptors;
pub mod guard;
pub mod http;
pub mod listen;
pub mod origin;
pub mod outbox;
pub mod pump;
pub mod seats;
pub mod socket;
pub mod ws;

pub mod documents;
pub mod handle;
pub mod metrics;
pub mod moving;
pub mod new_file;
pub mod relay;
pub mod report;
pub mod resolve;
pub mod run_file;
pub mod shutdown;
pub mod status;
pub mod store;

mod allowance;
mod connection;
mod evict;
mod holder;
mod jobs;
mod link_server;
mod pace;
mod programs;
mod refusals;
mod retain;
mod root;
mod routes;
mod state;
mod tokens;
mod turn;
mod upstream;
mod watch;
