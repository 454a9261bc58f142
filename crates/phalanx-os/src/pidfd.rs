//! Descriptors that stand for processes: `pidfd_open(2)`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, test_kill_process};
use rustix::time::Timespec;

/// Opens a descriptor for the process `pid`. It becomes readable once the process has ended.
///
/// # Errors
/// `NotFound` when there is no such process, or the kernel's refusal.
pub fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => Ok(fd),
        Err(rustix::io::Errno::SRCH) => Err(io::Error::from(io::ErrorKind::NotFound)),
        Err(e) => Err(e.into()),
    }
}

/// Whether there is a process (or a zombie) with that pid, as far as the kernel tells us. Needs no
/// descriptor.
#[must_use]
pub fn may_exist(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Whether the process behind the descriptor has ended (a zombie has ended too). Does not wait.
#[must_use]
pub fn has_ended(pidfd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut fds, Some(&zero)), Ok(n) if n > 0)
}

/// Sends a signal to exactly the process behind the descriptor, never to a later one of that pid.
///
/// # Errors
/// `NotFound` when it has been reaped; `InvalidInput` for a number that is no signal.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(signal)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    match pidfd_send_signal(pidfd, signal) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::SRCH) => Err(io::Error::from(io::ErrorKind::NotFound)),
        Err(e) => Err(e.into()),
    }
}
