//! The whole relay over real sockets: clients below, a server above, a disk beside.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../shared/alone.rs"]
mod alone;
mod client;
mod local;
mod program;
mod server;
mod socket;
mod wait;

mod bounds;
mod broadcast;
mod content;
mod damage;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod disks;
mod fellows;
mod flags;
mod large;
mod link;
mod login;
#[cfg(target_os = "linux")]
mod memory;
mod moving;
mod opaque;
mod pages;
mod parking;
mod refusing;
mod retain;
mod saving;
mod stopping;
mod strangers;
mod tokens;
