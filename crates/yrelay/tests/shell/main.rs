//! The shell over real sockets, without documents: HTTP, WebSockets, connecting, the program.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../shared/alone.rs"]
mod alone;
mod common;
#[cfg(unix)]
#[path = "../shared/signals.rs"]
mod signals;

mod connector;
mod http;
#[cfg(unix)]
mod logging;
mod logins;
mod program;
mod settings;
mod websocket;
