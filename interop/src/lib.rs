//! Real Yjs clients and real servers against yrelay.
//!
//! Nothing here imitates a peer: the clients are y-websocket 1 to 4, pycrdt and the providers of
//! ELVA 0.33 and 0.37 and of Hocuspocus 2 to 4; the servers are ELVA's, y-websocket's, Hocuspocus,
//! pycrdt-websocket and y-sweet. They come from npm and PyPI into `target/interop/` at the first
//! run (about half a minute) and run as child processes; y-sweet takes longer ([`y_sweet_ready`]).
//!
//! In reading order:
//! - [`ready`] installs them; a test begins with `if !ready() { return; }`. What is needed is
//!   Node with npm, and Python 3.12 or newer. Where one is missing, tests say so and pass,
//!   except under `CI=true`.
//! - [`Client`] drives a client process (the scripts in `clients/`), [`Document`] one document
//!   in it.
//! - A [`Server`] of some [`Software`], [`Elva33Service`] and [`Elva37Server`] are the peers on the
//!   network; [`Relay`] is the program under test. Between them stand a [`Gate`], which asks for a
//!   login and speaks TLS with what an [`Authority`] signs, a [`Proxy`], which does to connections
//!   what networks do, and a [`Tap`], which tells frames.
//! - A [`World`] has settings files and variables; relays and ELVA's programs start in it, or say
//!   what they make of it ([`settings`], [`elva33_contexts`], [`elva37_settings`]).
//! - [`yrelay`] runs one of its commands; [`elva_file`] lets ELVA's stores work on their files.
//! - A relay on a laptop has a wall clock of its own that jumps while it sleeps
//!   ([`clocks_ready`], Linux only).
//! - A [`Runner`] runs the cases of the Autobahn testsuite, which make a [`Report`].
//! - A [`Site`] is a relay below a server, a [`Pair`] is two people on two relays. [`side_by_side`] lets long waits overlap.
//! - [`eventually`], [`within`] and [`converge`] wait for conditions; nothing sleeps.
//!
//! Children are killed with their process group when dropped. When a test fails, the last lines
//! of every child's output follow.

mod autobahn;
mod certificate;
mod client;
mod clock;
mod elva;
mod foreign;
mod gate;
mod install;
mod originals;
mod pair;
mod port;
mod process;
mod proxy;
mod relay;
mod secret_file;
mod site;
mod state;
mod tap;
mod wait;
mod world;
mod y_sweet;

pub use autobahn::{FuzzingServer, Report, Runner};
pub use certificate::{Authority, Certificate};
pub use client::{Client, Content, Document, Kind};
pub use elva::{Elva33Service, Elva37Server};
pub use foreign::{Backup, Keeping, Server, Software};
pub use gate::Gate;
pub use install::{clocks_ready, ready};
pub use originals::{
    Generation, elva_file, elva33_contexts, elva33_contexts_by_command, elva37_context,
    elva37_rooms, elva37_settings,
};
pub use pair::{Pair, side_by_side};
pub use port::free as free_port;
pub use proxy::Proxy;
pub use relay::{Relay, settings, yrelay};
pub use secret_file::SecretFile;
pub use site::Site;
pub use state::State;
pub use tap::{Frame, Tap};
pub use wait::{converge, eventually, eventually_eq, steady, within};
pub use world::World;
pub use y_sweet::y_sweet_ready;
