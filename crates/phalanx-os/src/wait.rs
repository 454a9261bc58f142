//! Collecting the exit status of children: `waitid(2)`.

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, WaitOptions};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// It ended by itself with this code, 0 to 255.
    Code(u8),
    /// A signal ended it.
    Signal(u8),
    /// It has ended, but somebody else collected its status.
    Unknown,
}

impl ExitStatus {
    /// The code, or the negative number of the signal; 255 if the status is unknown.
    #[must_use]
    pub fn as_exitcode(self) -> i32 {
        match self {
            Self::Code(code) => i32::from(code),
            Self::Signal(signal) => -i32::from(signal),
            Self::Unknown => 255,
        }
    }

    /// The status in the format of `wait(2)`; an unknown status is the code 255.
    #[must_use]
    pub fn as_raw(self) -> i32 {
        match self {
            Self::Code(code) => i32::from(code) << 8,
            Self::Signal(signal) => i32::from(signal),
            Self::Unknown => 255 << 8,
        }
    }

    /// The status behind the format of `wait(2)`.
    #[must_use]
    pub fn from_raw(raw: i32) -> Self {
        match (raw & 0x7f) as u8 {
            0 => Self::Code((raw >> 8) as u8),
            signal => Self::Signal(signal),
        }
    }

    fn from_waitid(status: &WaitIdStatus) -> Self {
        if let Some(code) = status.exit_status() {
            Self::Code(code as u8)
        } else {
            Self::Signal(status.terminating_signal().unwrap_or(0) as u8)
        }
    }
}

/// The status of the child behind the descriptor if it has ended, which ends its life as a
/// zombie; `None` while it runs. Does not wait.
///
/// A child whose status was collected by somebody else gives [`ExitStatus::Unknown`].
///
/// # Errors
/// The kernel's refusal.
pub fn reap(pidfd: impl AsFd) -> io::Result<Option<ExitStatus>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options) {
            Ok(Some(status)) => return Ok(Some(ExitStatus::from_waitid(&status))),
            Ok(None) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(Errno::CHILD) => {
                let ended = crate::pidfd::has_ended(&pidfd);
                return Ok(ended.then_some(ExitStatus::Unknown));
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Waits for the child `pid` to end and collects its status.
///
/// # Errors
/// When it is no child of this process.
pub fn reap_blocking(pid: u32) -> io::Result<ExitStatus> {
    let pid = Pid::from_raw(pid.cast_signed());
    loop {
        match rustix::process::waitpid(pid, WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(ExitStatus::from_raw(status.as_raw())),
            Ok(None) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_statuses_survive_the_way_there_and_back() {
        for status in [ExitStatus::Code(0), ExitStatus::Code(255), ExitStatus::Signal(9)] {
            assert_eq!(ExitStatus::from_raw(status.as_raw()), status);
        }
        assert_eq!(ExitStatus::Signal(15).as_exitcode(), -15);
        assert_eq!(ExitStatus::Unknown.as_exitcode(), 255);
    }
}
