//! Faults under the real program: killed, stopped, lied to, churned. Each counts how often it came
//! out well; `YRELAY_LONG=1` has them count for long, and print what they have seen.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../shared/alone.rs"]
mod alone;
#[path = "../relay/client.rs"]
#[expect(dead_code, reason = "the tests of the relay use the rest")]
mod client;
#[path = "../relay/local.rs"]
#[expect(dead_code, reason = "the tests of the relay use the rest")]
mod local;
#[path = "../relay/program.rs"]
#[expect(dead_code, reason = "the tests of the relay use the rest")]
mod program;
#[path = "../../../../interop/src/proxy.rs"]
#[allow(dead_code, unreachable_pub, reason = "real clients and servers use the rest")]
mod proxy;
#[path = "../relay/server.rs"]
#[expect(dead_code, reason = "the tests of the relay use the rest")]
mod server;
#[path = "../shared/signals.rs"]
mod signals;
#[path = "../relay/socket.rs"]
mod socket;
#[path = "../relay/wait.rs"]
mod wait;

mod ledger;
mod poison;
#[cfg(target_os = "linux")]
mod process;
mod random;
mod scale;

mod answers;
mod chain;
mod hostile;
mod kill;
mod large;
mod soak;
mod standstill;
mod stop;
