//! What the tests of yrelay share: a deterministic simulation of the pure core.
//!
//! One seed is one run, to the last message: editors (real Yjs documents behind model providers)
//! write through services (the core's state machines, driven as yrelay drives them, over a model
//! disk) to a model of ELVA's server, in virtual time and over connections that break.

mod account;
mod behaviour;
mod below;
mod client;
mod disk;
mod editor;
mod fault;
mod garbage;
mod jobs;
mod link;
mod memory;
mod network;
mod offers;
mod outputs;
mod peer;
mod presence;
mod refused;
mod rest;
mod script;
mod server;
mod service;
mod simulation;
mod sleep;
mod steps;
mod sweep;
mod traffic;
mod watch;
mod world;
mod writer;

#[cfg(test)]
mod tests;

pub mod node;

pub use server::{Foreign, Mode};
pub use simulation::{Summary, simulate};
pub use sweep::{Stride, sweep};
