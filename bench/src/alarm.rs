//! A timer that wakes the poll to the microsecond: the poll's own time-out counts milliseconds,
//! which at some hundred updates a second would be most of what is measured.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A timer of the system's.
pub struct Alarm(OwnedFd);

impl Alarm {
    /// One that wakes this poll.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Wakes once, after so long, which is not zero.
    pub fn set(&self, after: Duration) -> io::Result<()> {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let after = Timespec {
            tv_sec: after.as_secs().cast_signed(),
            tv_nsec: after.subsec_nanos().into(),
        };
        let timer = Itimerspec { it_interval: never, it_value: after };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &timer)?;
        Ok(())
    }

    /// Has woken the poll.
    pub fn silence(&self) {
        // It may have been set anew since: then there is nothing to read.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}
