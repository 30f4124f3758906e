//! How many files and sockets the process may have open.

#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits;

/// Where the system names no bound it has one all the same: macOS takes no more than this.
#[cfg(unix)]
const UNNAMED_MAX: u64 = 10_240;

/// Takes as many as the administrator allows. Shells give far fewer, for the sake of programs that
/// wait with select(2).
#[cfg(unix)]
pub fn raise() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum.or(Some(UNNAMED_MAX)), maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "no more file descriptors to be had");
    }
}

/// There is no such bound here.
#[cfg(not(unix))]
pub fn raise() {}

/// How many connections there may be, the files and other sockets of the relay left aside.
pub fn connections_max() -> usize {
    descriptors_max().saturating_sub(limits::DESCRIPTORS_SPARE).max(1)
}

#[cfg(unix)]
fn descriptors_max() -> usize {
    let current = getrlimit(Resource::Nofile).current;
    current.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
fn descriptors_max() -> usize {
    usize::MAX
}
